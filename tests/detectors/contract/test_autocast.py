"""Every detector in bfloat16: finite, and the loss within 1 %, but for those that choose."""

import contextlib
import copy

import pytest
import torch

from corrlight.config.build import build_module
from corrlight.config.compose import compose_config
from tests.helpers.detector_files import marked, names, of_ours
from tests.helpers.ranks.ddp_detectors import BOXES, make_batch

# Rounding chooses other proposals, of which the losses differ by some percent.
LIKE_FLOAT32 = [
    n for n in of_ours(names("*_small")) if "rcnn" not in n and not n.startswith("deformable_detr")
]


# The same code with masks, or without, is that of other files.
ALIKE = {"rs_mask_rcnn_small", "tv_faster_rcnn_small"}
FILES = [
    pytest.param(*p.values, marks=[*p.marks, *[pytest.mark.slow] * (p.values[0] in ALIKE)])
    for p in marked(names("*_small"))
]


@pytest.fixture(scope="module", params=FILES)
def detector(request):
    return request.param


@pytest.fixture(scope="module")
def built(detector):
    """Return the detector, built once; tests that train take a copy."""
    return build(detector)


def build(detector, *more):
    torch.manual_seed(0)
    options = [f"detector={detector}", "corr=concordance", "data.num_classes=3", *more]
    return build_module(compose_config(options).config).train()


def test_a_step_in_bfloat16_is_finite(built):
    assert_finite(copy.deepcopy(built), BOXES)


# Sums over nothing are the criterion's: dense, set prediction, with masks, and in two stages.
@pytest.mark.parametrize("name", ["atss_small", "detr_small", "yolact_small", "faster_rcnn_small"])
def test_a_step_without_objects_is_finite(name):
    assert_finite(build(name), [])


def assert_finite(module, boxes):
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


def first_loss(module, seed, half):
    torch.manual_seed(1)  # of DETR's dropout
    context = torch.autocast("cpu", torch.bfloat16) if half else contextlib.nullcontext()
    with torch.no_grad(), context:
        return float(copy.deepcopy(module).step(make_batch(BOXES, seed)).loss)


def test_the_first_loss_is_that_of_float32(built, detector):
    if detector in LIKE_FLOAT32:
        assert_like_float32(built)


def test_the_first_loss_of_learned_queries_is_that_of_float32():
    assert_like_float32(build("deformable_detr_small", "detector.net.two_stage=false"))


def assert_like_float32(module):
    for seed in (1, 2):
        full, half = (first_loss(module, seed, half) for half in (False, True))
        assert half != full, seed
        assert half == pytest.approx(full, rel=0.01), seed


@pytest.mark.slow
def test_thirty_steps_in_bfloat16_are_finite(built):
    module = copy.deepcopy(built)
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
