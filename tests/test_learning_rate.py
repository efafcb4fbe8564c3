import pytest

from corrlight.learning_rate import scaled_lr


def test_linear_scaling():
    assert scaled_lr(0.01, 32, 16) == 0.02
    with pytest.raises(ValueError, match="`lr` to be positive and finite, but got nan"):
        scaled_lr(float("nan"), 16, 16)
    with pytest.raises(ValueError, match="`reference_batch_size` to be at least 1, but got 0"):
        scaled_lr(0.1, 16, 0)
