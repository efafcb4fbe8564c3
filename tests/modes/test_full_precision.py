import pytest
import torch

from corrlight.backbones.deformable import DeformableConv
from corrlight.modes.full_precision import full_precision


def test_autocast_is_off_inside_and_on_again_outside():
    x = torch.ones(2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        with full_precision(x):
            assert (x @ x).dtype == torch.float32
        assert (x @ x).dtype == torch.bfloat16


def test_meta_has_no_autocast_to_switch_off():
    x = torch.ones(2, 3, device="meta")
    # If this no longer fails, the helper can be the plain context.
    with pytest.raises(RuntimeError):
        torch.autocast("meta", enabled=False)
    with full_precision(x):
        assert (x @ x.T).shape == (2, 2)


def test_deformable_convolutions_have_a_shape_without_values():
    with torch.device("meta"):
        layer = DeformableConv(4, 6, 3, stride=2, padding=1)
        assert layer(torch.ones(1, 4, 8, 10)).shape == (1, 6, 4, 5)


def test_compilers_see_through_it():
    def product(x):
        with full_precision(x):
            return x @ x

    whole = torch.compile(product, backend="eager", fullgraph=True)
    with torch.autocast("cpu", torch.bfloat16):
        assert whole(torch.ones(2, 2)).dtype == torch.float32
