"""What every detector of ``conf/detector`` has to satisfy.

A detector is built once and run once in a mode on a batch; its tests read what that gave.
A full-size file, narrowed, differs from its small one in sizes: it takes one batch and learns.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from functools import cache, cached_property
from typing import get_args

import pytest
import torch
from omegaconf import DictConfig
from torch import Tensor

from corrlight.config.build import build_module
from corrlight.config.compose import compose_config
from corrlight.module import DetectionModule
from corrlight.ops import pyramid_conv
from corrlight.ops.switch import OPERATORS, fast_ops
from corrlight.structures import Batch, PredictionField, Predictions, StepOutput, Targets
from tests.helpers.detector_files import marked, names, of_ours

# Of other libraries the small ones: the full ones differ in size alone.
FILES = [n for n in names() if n in of_ours(names()) or n.endswith("_small")]
# Of these the small ones are quick, and differ in size alone.
SLOW = {"faster_rcnn", "mask_rcnn", "rs_rcnn", "rs_mask_rcnn"}
DETECTORS = marked([n for n in FILES if n.endswith("_small")])
FULL_SIZE = [
    pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else [])
    for n in FILES
    if not n.endswith("_small")
]
NUM_CLASSES = 3
HEIGHT, WIDTH = 96, 128

# Full-size heads are cut down to these, so that a test takes a second.
NARROW = {
    "num_stages": 2,
    "num_proposals": 30,
    "feedforward_channels": 256,
    "num_convs": 2,
    "num_encoder_layers": 1,
    "num_decoder_layers": 2,
    "prototype_channels": 64,
    "hidden_channels": 64,
}
NECK_CHANNELS = 64

BOXES = [[10.0, 12, 58, 60], [66, 20, 122, 90], [30, 50, 100, 94]]


@cache
def _config(detector: str) -> DictConfig:
    """Compose once; full-size files are narrowed so that a test takes a second."""
    overrides = [f"detector={detector}", "corr=concordance", f"data.num_classes={NUM_CLASSES}"]
    if not detector.endswith("small"):
        overrides += ["backbone=resnet18_small"]
    config = compose_config(overrides).config
    net = config.detector.net
    for key in NARROW.keys() & set(net):
        net[key] = min(NARROW[key], net[key])
    if "neck" in net:
        net.neck.out_channels = min(NECK_CHANNELS, net.neck.out_channels)
    return config


@cache
def _template(detector: str, weight: float | None) -> DetectionModule:
    """Build once with a weight of the loss, or without the loss."""
    config = copy.deepcopy(_config(detector))
    if weight is None:
        config.corr = {}  # as corr=none has it
    else:
        config.corr.weight = weight
    torch.manual_seed(0)
    module = build_module(config)
    assert ("corr" in module.loss_callbacks) == (weight is not None)
    return module


def make(detector: str, weight: float | None = 0.2) -> DetectionModule:
    module = copy.deepcopy(_template(detector, weight))
    assert isinstance(module, DetectionModule)
    return module


def image_targets(boxes: list[list[float]], image_id: int) -> Targets:
    masks = torch.zeros(len(boxes), HEIGHT, WIDTH, dtype=torch.bool)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[int(y1) : int(y2), int(x1) : int(x2)] = True
    return Targets(
        masks=masks,
        boxes=torch.tensor(boxes).reshape(-1, 4),
        labels=torch.arange(len(boxes)) % NUM_CLASSES,
        valid_size=(HEIGHT - 6 * (image_id - 1), WIDTH),
        padded_size=(HEIGHT, WIDTH),
        original_size=(HEIGHT * 2, WIDTH * 2),
        image_id=image_id,
    )


def batch(*boxes: list[list[float]]) -> Batch:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(len(boxes), 3, HEIGHT, WIDTH, generator=generator)
    return Batch(images=images, targets=tuple(image_targets(b, i + 1) for i, b in enumerate(boxes)))


CASES = {
    "objects": batch(BOXES, BOXES[:2]),
    "one_empty_image": batch(BOXES, []),
    "no_objects": batch([], []),
    "tiny_object": batch([[40.0, 40, 44, 43]], []),
}


def assert_finite_training(module: DetectionModule, loss: Tensor, case: str) -> None:
    assert torch.isfinite(loss), case
    loss.backward()
    assert_finite_gradients(module, case)


def assert_finite_gradients(module: DetectionModule, case: str) -> None:
    without = [n for n, p in module.named_parameters() if p.requires_grad and p.grad is None]
    assert not without, f"{case}: no gradient for {without}"
    for name, parameter in module.named_parameters():
        if parameter.grad is not None:
            assert torch.isfinite(parameter.grad).all(), f"{case}: {name}"


def stages_with_classes(stages: list[Predictions]) -> list[Predictions]:
    """All but those that propose boxes for the next: no loss callback sees them."""
    return [stage for stage in stages if not stage.proposes]


class Runs:
    """What several tests read of one detector; each is computed when first asked for."""

    def __init__(self, detector: str) -> None:
        self.detector = detector

    @cached_property
    def trained(self) -> tuple[DetectionModule, StepOutput]:
        """A training step on an image with objects and one without."""
        module = make(self.detector).train()
        return module, module.step(CASES["one_empty_image"])

    @cached_property
    def evaluated(self) -> tuple[DetectionModule, StepOutput]:
        """The same in evaluation, with detections."""
        module = make(self.detector).eval()
        with torch.no_grad():
            return module, module.step(CASES["one_empty_image"], detect=True)

    @cached_property
    def plain_code(self) -> tuple[DetectionModule, StepOutput]:
        """Two images with objects in evaluation, by PyTorch's own operators."""
        with fast_ops(()):
            module = make(self.detector).eval()  # dropout draws other numbers
            return module, module.step(CASES["objects"], detect=True)


@pytest.fixture(scope="module", params=DETECTORS)
def detector(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def runs(detector: str) -> Iterator[Runs]:
    yield Runs(detector)
    forget()


def forget() -> None:
    _template.cache_clear()
    _config.cache_clear()


def test_every_file_of_ours_is_asked():
    assert DETECTORS
    full, small = ({p.values[0] for p in of} for of in (FULL_SIZE, DETECTORS))
    assert {f"{name}_small" for name in full} <= small


@pytest.mark.parametrize("full_size", FULL_SIZE)
def test_contract_full_size_files(full_size):
    runs = Runs(full_size)
    module, output = runs.trained
    assert_finite_training(module, output.loss, "one_empty_image")
    assert_gives_what_it_says(runs)
    assert_same_types(runs)
    forget()


# Objects in every image: test_contract_fast_cpu_code_changes_nothing_but_rounding.
@pytest.mark.parametrize("case", ["one_empty_image", "no_objects", "tiny_object"])
def test_contract_loss_and_gradients_are_finite_and_reach_every_parameter(runs, detector, case):
    if case == "one_empty_image":
        module, output = runs.trained
    else:
        module = make(detector).train()
        output = module.step(CASES[case])
    assert_finite_training(module, output.loss, case)


def test_contract_predictions_have_what_the_detector_says_it_gives(runs):
    assert_gives_what_it_says(runs)


def assert_gives_what_it_says(runs: Runs) -> None:
    module, output = runs.evaluated
    for stage in stages_with_classes(output.predictions):
        optional = get_args(PredictionField)
        found = {name for name in optional if getattr(stage, name) is not None}
        assert found == set(module.detector.gives)
        assert stage.activation == module.detector.activation


def test_contract_one_positive(runs, detector):
    """A match cut down to one positive; its correlation is undefined and counted."""
    module = make(detector)
    assigner = module.assigner

    def one(predictions, targets):
        match = assigner(predictions, targets)
        gt_idx = match.gt_idx.clone()
        image, index = (gt_idx >= 0).nonzero()[0].tolist()
        kept = int(gt_idx[image, index])
        gt_idx[gt_idx >= 0] = -1
        gt_idx[image, index] = kept
        return dataclasses.replace(match, gt_idx=gt_idx)

    module.assigner = one
    output = module.train().step(CASES["objects"])
    assert all(len(p) == 1 for p in output.positives)
    assert int(output.counts["corr_num_undefined"]) == len(stages_with_classes(output.predictions))
    assert all(float(v.detach()) == 0 for k, v in output.terms.items() if k.endswith("loss_corr"))
    assert_finite_training(module, output.loss, "one positive")


def test_contract_constant_scores(runs, detector):
    module = make(detector)
    forward = module.detector.forward

    def constant(images):
        return [
            dataclasses.replace(p, logits=p.logits * 0 + 0.3 if p.logits.numel() else p.logits)
            for p in forward(images)
        ]

    module.detector.forward = constant  # type: ignore[method-assign]
    output = module.train().step(CASES["objects"])
    assert int(output.counts["corr_num_undefined"]) == len(stages_with_classes(output.predictions))
    assert_finite_training(module, output.loss, "constant scores")


def test_contract_training_and_evaluation_return_the_same_types(runs):
    assert_same_types(runs)


def assert_same_types(runs: Runs) -> None:
    (_, trained), (_, evaluated) = runs.trained, runs.evaluated
    assert trained.terms.keys() == evaluated.terms.keys()
    assert len(trained.predictions) == len(evaluated.predictions)
    for a, b in zip(trained.predictions, evaluated.predictions, strict=True):
        _same_form(a, b)
    assert len(evaluated.detections) == 2
    for detections in evaluated.detections:
        assert detections.boxes.shape == (len(detections), 4)
        assert torch.equal(detections.scores, detections.scores.sort(descending=True).values)
        assert bool(((detections.labels >= 0) & (detections.labels < NUM_CLASSES)).all())
        assert bool((detections.pred_idx < evaluated.predictions[-1].boxes.shape[1]).all())


def _same_form(a: Predictions, b: Predictions) -> None:
    # A second stage samples its proposals in training, and has all of them otherwise.
    sampled = a.class_boxes is not None
    assert b.drawn is None
    for field in (f for f in dataclasses.fields(a) if f.name != "drawn"):
        x, y = getattr(a, field.name), getattr(b, field.name)
        assert type(x) is type(y), field.name
        if isinstance(x, Tensor):
            assert sampled or x.shape == y.shape, field.name
            assert x.dtype == y.dtype, field.name


@pytest.mark.slow
def test_contract_twenty_steps_lower_the_loss(runs, detector):
    assert_learns(detector)


@pytest.mark.slow
@pytest.mark.parametrize("full_size", FULL_SIZE)
def test_contract_twenty_steps_of_full_size_files(full_size):
    assert_learns(full_size)
    forget()


def assert_learns(detector: str) -> None:
    if detector in ("mask_rcnn", "rs_mask_rcnn", "rs_rcnn"):
        pytest.skip("minutes with a thousand proposals; its small file takes the same steps")
    module = make(detector).train()
    optimizer = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], lr=3e-4)
    losses = []
    # The classes of TOOD follow the boxes, which its narrow head takes longer to fit; the scores of
    # GFLv2 start at half the prior, and their loss rises with the boxes' IoU first.
    # Deformable DETR looks at few points, which it has to find.
    steps = {"tood": 40, "gflv2": 50, "deformable_detr": 40}
    for _ in range(steps.get(detector.removesuffix("_small"), 20)):
        loss = module.step(CASES["objects"]).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        losses.append(float(loss))
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3]), losses


def test_contract_lambda_enters_once(runs, detector):
    """total(2w) - total(w) = w L_corr, in every detector."""
    with fast_ops(()), torch.no_grad():
        twice = make(detector, 0.4).eval().step(CASES["objects"])
    losses, terms = {}, {}
    for weight, output in ((0.2, runs.plain_code[1]), (0.4, twice)):
        losses[weight] = output.loss.detach().double()
        terms[weight] = sum(
            v.detach().double() for k, v in output.terms.items() if k.endswith("loss_corr")
        )
    assert float(terms[0.2]) > 1e-3
    torch.testing.assert_close(losses[0.4] - losses[0.2], terms[0.2], rtol=2e-3, atol=1e-5)
    torch.testing.assert_close(terms[0.4], 2 * terms[0.2], rtol=1e-6, atol=0)


def test_contract_the_loss_changes_neither_weights_nor_inference(runs, detector):
    plain = make(detector, None).eval()
    with_loss, output = runs.plain_code
    weights = with_loss.state_dict()
    assert plain.state_dict().keys() == weights.keys()
    plain.load_state_dict(weights)
    # Attention takes another way without gradients.
    with fast_ops(()):
        for a, b in zip(plain(CASES["objects"]), output.detections, strict=True):
            for name in ("boxes", "scores", "labels", "pred_idx"):
                assert torch.equal(getattr(a, name), getattr(b, name)), name


def test_contract_the_correlation_term_trains_the_classifier_alone(runs):
    _, output = runs.plain_code
    corr = torch.stack([v for k, v in output.terms.items() if k.endswith("loss_corr")]).sum()
    logits = [p.logits for p in output.predictions]
    boxes = [p.boxes for p in output.predictions]
    inputs = [*logits, *boxes]
    gradients = torch.autograd.grad(corr, inputs, allow_unused=True, retain_graph=True)
    assert any(g is not None and bool(g.any()) for g in gradients[: len(logits)])
    assert not any(g is not None and bool(g.any()) for g in gradients[len(logits) :])


def test_contract_fast_cpu_code_changes_nothing_but_rounding(runs, detector, monkeypatch):
    monkeypatch.setattr(pyramid_conv, "_MIN_TILES", 1)
    with fast_ops(OPERATORS):
        fast = make(detector).eval()
        output = fast.step(CASES["objects"])
        output.loss.backward()
    plain, expected = runs.plain_code
    plain.zero_grad()
    expected.loss.backward(retain_graph=True)
    torch.testing.assert_close(output.loss, expected.loss, rtol=1e-4, atol=1e-4)
    # Proposals come by their scores, of which rounding changes the order.
    logits = [
        [p.logits if p.class_boxes is None else p.logits.sort(1).values for p in o.predictions]
        for o in (output, expected)
    ]
    torch.testing.assert_close(*logits, rtol=1e-3, atol=1e-3)
    assert_finite_gradients(fast, "objects")
    gradients = [[p.grad for p in m.parameters() if p.grad is not None] for m in (fast, plain)]
    assert len(gradients[0]) == len(gradients[1])
    norms = [torch.stack([g.norm() for g in own]) for own in gradients]
    torch.testing.assert_close(*norms, rtol=1e-2, atol=1e-3 * float(norms[1].max()))
