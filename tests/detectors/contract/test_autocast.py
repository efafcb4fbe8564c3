"""Every detector in bfloat16 autocast: finite, and, but for Sparse R-CNN, the loss within 1 %."""

import contextlib

import pytest
import torch

from corrlight.config.build import build_module
from corrlight.config.compose import compose_config
from tests.helpers.detector_files import marked, names, of_ours
from tests.helpers.ranks.ddp_detectors import BOXES, make_batch

SMALL = marked(names("*_small"))


@pytest.mark.parametrize("detector", SMALL)
@pytest.mark.parametrize("boxes", [BOXES, []], ids=["objects", "none"])
def test_a_step_in_bfloat16_is_finite(detector, boxes):
    torch.manual_seed(0)
    options = [f"detector={detector}", "corr=concordance", "data.num_classes=3"]
    module = build_module(compose_config(options).config).train()
    with torch.autocast("cpu", torch.bfloat16):
        output = module.step(make_batch(boxes, seed=1), detect=True)
    assert all(value.isfinite() for value in output.terms.values()), output.terms
    assert output.predictions[-1].boxes.dtype == torch.float32
    for found in output.detections:
        assert found.scores.isfinite().all()
        assert found.boxes.isfinite().all()
    output.loss.backward()
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


def build(detector):
    torch.manual_seed(0)
    options = [f"detector={detector}", "corr=concordance", "data.num_classes=3"]
    return build_module(compose_config(options).config).train()


def first_loss(module, seed, half):
    torch.manual_seed(1)  # of DETR's dropout
    context = torch.autocast("cpu", torch.bfloat16) if half else contextlib.nullcontext()
    with torch.no_grad(), context:
        return float(module.step(make_batch(BOXES, seed)).loss)


@pytest.mark.parametrize(
    "detector", [n for n in of_ours(names("*_small")) if not n.startswith("sparse_rcnn")]
)
def test_the_first_loss_is_that_of_float32(detector):
    for seed in (1, 2):
        full, half = (first_loss(build(detector), seed, half) for half in (False, True))
        assert half != full
        assert half == pytest.approx(full, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("detector", SMALL)
def test_thirty_steps_in_bfloat16_are_finite(detector):
    module = build(detector)
    optimizer = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=1e-3)
    for step in range(30):
        with torch.autocast("cpu", torch.bfloat16):
            output = module.step(make_batch(BOXES, seed=step % 3))
        assert all(value.isfinite() for value in output.terms.values()), (step, output.terms)
        optimizer.zero_grad()
        output.loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        assert norm.isfinite(), step
        optimizer.step()
