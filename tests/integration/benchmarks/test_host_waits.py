"""What a training step of every detector waits for: nothing on behalf of the correlation loss."""

import pytest
import torch

from benchmarks.harness.host_waits import HostWaits
from corrlight.config.build import build_module, instantiate_all
from corrlight.config.compose import compose_config
from tests.helpers.ranks.ddp_detectors import BOXES, DETECTORS, make_batch

X = torch.arange(4.0)
MASK = X > 1


@pytest.mark.parametrize(
    ("action", "count"),
    [
        (lambda: X.sum().item(), 1),
        (lambda: bool(MASK.any()), 1),
        (lambda: float(X[0]) + int(X[1]), 2),
        (lambda: X.tolist(), 1),
        (lambda: X.cpu(), 1),
        (lambda: X.numpy(), 1),
        (lambda: X[MASK], 1),
        (lambda: X.clone().index_put_((MASK,), X[0]), 1),
        (lambda: MASK.nonzero(), 1),
        (lambda: torch.masked_select(X, MASK), 1),
        (lambda: X.unique(), 1),
        (lambda: torch.arange(2).repeat_interleave(torch.tensor([1, 2])), 1),
        (lambda: torch.arange(2).repeat_interleave(torch.tensor([1, 2]), output_size=3), 0),
        (lambda: X.repeat_interleave(2), 0),
        (lambda: X[torch.tensor([0, 2])] + X[1:].sum() + X.where(MASK, 0).sum(), 0),
    ],
)  # fmt: skip
def test_what_waits_is_counted(action, count):
    with HostWaits() as waits:
        action()
    assert waits.total == count, waits.counts


def waits_of(module, corr):
    module.loss_callbacks = corr
    module.zero_grad()
    batch = make_batch(BOXES, seed=1)
    torch.manual_seed(0)
    with HostWaits() as waits:
        module.training_step(batch, 0).backward()
    return waits.counts


# One of each kind; the others gather their positives and call the loss by the same lines.
QUICK = {"atss_small", "detr_small", "sparse_rcnn_small", "yolact_small", "mask_rcnn_small"}


@pytest.mark.parametrize(
    "detector", [pytest.param(d, marks=[pytest.mark.slow] * (d not in QUICK)) for d in DETECTORS]
)
def test_the_correlation_loss_waits_for_nothing(detector):
    torch.manual_seed(0)
    config = compose_config([f"detector={detector}", "data.num_classes=3"]).config
    module = build_module(config).train()
    module.log_dict = lambda *args, **kwargs: None
    chosen = module.loss_callbacks
    assert [callback.coefficient for callback in chosen.values()] == ["concordance"]
    waits_of(module, type(chosen)())  # What is made in the first step, anchors say, waits once.
    without = waits_of(module, type(chosen)())
    # The one question whether the loss is finite, at least, is seen.
    assert without["_local_scalar_dense"] >= 1
    assert waits_of(module, chosen) == without
    if detector == DETECTORS[0]:  # Other coefficients ask the same of any detector.
        other = compose_config(["corr=pearson"]).config
        pearson = type(chosen)(instantiate_all(other.loss_callbacks, ()))
        assert waits_of(module, pearson) == without
