"""What a user holds of the loss."""

import logging

import pytest
import torch

from corrlight.losses import CorrelationLoss, correlation_loss
from corrlight.plug.handle import PATIENCE, Correlation
from tests.plug.batches import positives_of


class Recorder:
    def __init__(self):
        self.weights, self.removed = [], 0

    def set_weight(self, weight):
        self.weights.append(weight)

    def remove(self):
        self.removed += 1


def handle_of(weight=0.2, **options):
    handle = Correlation(CorrelationLoss("concordance", weight, **options), "library 1.0")
    handle.seam = Recorder()
    return handle


def step(handle, positives, *, training=True, num_objects=2, layers=None, ids=(1,)):
    return handle.step(layers or [positives], positives, list(ids), num_objects, training)


def test_a_step_is_the_loss_of_the_positives_summed_over_layers():
    handle = handle_of()
    first, second = positives_of([0] * 6, seed=1), positives_of([0] * 4, seed=2)
    value = step(handle, first, layers=[first, second])
    expected = sum(correlation_loss(p.scores, p.ious().detach()) for p in (first, second))
    torch.testing.assert_close(value, expected)
    assert value.requires_grad
    assert not handle.value.requires_grad
    assert handle.num_positives == 10
    assert -1 <= handle.beta <= 1


def test_a_weight_is_passed_on_and_checked():
    handle = handle_of()
    handle.weight = 0.7
    assert (handle.weight, handle.seam.weights) == (0.7, [0.7])
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"^Expected `weight` "):
            handle.weight = wrong
    assert handle.weight == 0.7


def test_removing_twice_removes_once():
    handle = handle_of()
    seam = handle.seam
    handle.remove()
    handle.remove()
    assert seam.removed == 1
    assert "removed" in repr(handle)


def test_training_starts_a_new_validation():
    handle = handle_of()
    positives = positives_of([0] * 4)
    for image_id in (1, 2):
        step(handle, positives, training=False, ids=[image_id])
    assert len(handle.validation) == 2
    step(handle, positives)
    assert len(handle.validation) == 2  # until the next one comes
    step(handle, positives, training=False, ids=[3])
    assert len(handle.validation) == 1
    assert handle.beta is not None


def test_nothing_is_undefined_before_a_step():
    assert (handle_of().value, handle_of().beta, handle_of().num_positives) == (None, None, 0)


def test_positives_that_are_not_finite_give_a_loss_that_is_not():
    positives = positives_of([0] * 3, boxes=torch.full((3, 4), float("nan")))
    assert step(handle_of(), positives).isnan()


@pytest.mark.parametrize(
    ("positives", "reason"),
    [(positives_of([]), "no positive was found"), (positives_of([0]), "positives had no corr")],
    ids=["none", "one"],
)
def test_a_loss_that_is_always_zero_is_reported_once(positives, reason, caplog):
    handle = handle_of()
    with caplog.at_level(logging.WARNING, logger="corrlight"):
        for _ in range(PATIENCE - 1):
            step(handle, positives)
        step(handle, positives, num_objects=0)  # no step with objects
        assert not caplog.records
        for _ in range(PATIENCE + 1):
            step(handle, positives)
    assert len(caplog.records) == 1
    assert reason in caplog.records[0].getMessage()


def test_a_loss_that_is_seldom_zero_is_not_reported(caplog):
    handle = handle_of()
    with caplog.at_level(logging.WARNING, logger="corrlight"):
        for k in range(2 * PATIENCE):
            step(handle, positives_of([0] * 4) if k % PATIENCE == 7 else positives_of([]))
    assert not caplog.records
