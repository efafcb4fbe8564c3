from dataclasses import replace

import pytest
import torch
import torchvision

from corrlight.config.build import build_module
from corrlight.config.compose import compose_config
from corrlight.structures import BACKGROUND
from tests.detectors.build import OBJECTS, batch_with
from tests.detectors.two_stage.small import tiny


@pytest.fixture(scope="module")
def batch():
    return batch_with(OBJECTS, OBJECTS[:1])


def test_stages(batch):
    detector = tiny().eval()
    first, last = detector(batch)
    count = 3 * (8 * 12 + 4 * 6 + 2 * 3 + 1 * 2)
    assert first.proposes
    assert not last.proposes
    assert first.logits.shape == (2, count, 1)
    number = last.logits.shape[1]
    assert 0 < number <= 40
    assert last.logits.shape == (2, number, 4)
    assert last.num_classes == 3
    assert last.priors.shape == (2, number, 4)
    assert last.class_boxes.shape == (2, number, 3, 4)
    assert last.deltas.shape == (2, number, 3, 4)
    best = last.logits[..., :3].argmax(-1)
    rows = torch.arange(number)
    for b in range(2):
        assert torch.equal(last.boxes[b], last.class_boxes[b, rows, best[b]])
    assert (last.given == BACKGROUND).all()
    assert not last.priors.requires_grad


def test_objects_are_among_the_proposals_in_training_alone(batch):
    detector = tiny()
    trained, evaluated = (detector.train(mode)(batch)[1] for mode in (True, False))
    for b, target in enumerate(batch.targets):
        own = trained.given[b] >= 0
        assert torch.equal(trained.priors[b, own], target.boxes)
        assert trained.given[b, own].tolist() == list(range(len(target.boxes)))
    assert (evaluated.given == BACKGROUND).all()
    assert trained.valid.sum() > evaluated.valid.sum() + 3


def test_regions_are_read_as_torchvision_does(batch):
    """The last stage again, from torchvision's operator of each level."""
    detector = tiny(sampling_ratio=0).eval()
    _, last = detector(batch)
    levels = detector.neck(detector.backbone(batch.images))[:3]
    boxes = last.priors[0]
    size = (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt()
    level = (size / 56).log2().floor().clamp(0, 2)
    regions = torch.zeros(len(boxes), 16, 7, 7)
    for i, features in enumerate(levels):
        mine = level == i
        regions[mine] = torchvision.ops.roi_align(
            features[:1], [boxes[mine]], 7, 1 / detector.region_strides[i], 0, aligned=True
        )
    logits, deltas = detector.head(regions.flatten(2).mT[None])
    torch.testing.assert_close(logits[0], last.logits[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(deltas[0], last.deltas[0], rtol=1e-4, atol=1e-4)


def test_sigmoid_has_no_background(batch):
    detector = tiny(activation="sigmoid")
    first, last = detector(batch)
    assert last.logits.shape[-1] == last.num_classes == 3
    assert last.activation == first.activation == detector.activation == "sigmoid"


def test_the_same_draw_in_every_epoch_anew(batch):
    """What losses see is the same when an epoch is repeated, and other hypotheses in the next."""
    options = ["detector=faster_rcnn_small", "data.num_classes=3", "corr=none"]
    module = build_module(compose_config(options).config).train()
    found = []
    for epoch in (0, 1, 0):
        torch.rand(1)  # whatever else draws numbers
        module.start_epoch(epoch)
        first, last = module.step(batch).predictions
        found.append([module.assigner(first, batch.targets).sampled, last.priors])
    for once, other, again in zip(*found, strict=True):
        assert torch.equal(once, again)
        assert once.shape != other.shape or not torch.equal(once, other)


@pytest.mark.parametrize("name", ["faster_rcnn_small", "mask_rcnn_small"])
def test_the_last_stage_looks_at_the_drawn_alone_and_losses_see_no_difference(name):
    options = [f"detector={name}", "data.num_classes=3", "corr=concordance"]
    module = build_module(compose_config(options).config).train()
    batch = batch_with(OBJECTS, [])
    masks = [torch.ones(len(target.boxes), 64, 96, dtype=torch.bool) for target in batch.targets]
    batch = replace(
        batch,
        targets=tuple(replace(t, masks=m) for t, m in zip(batch.targets, masks, strict=True)),
    )
    steps = []
    for assigner in (module.assigner, module.assigner.__call__):  # the second one has no `draw`
        module.assigner = assigner
        module.zero_grad()
        output = module.step(batch)
        output.loss.backward()
        steps.append((output, [p.grad.clone() for p in module.parameters() if p.requires_grad]))
    (early, gradients), (late, wanted) = steps
    number = early.predictions[1].logits.shape[1]
    assert number <= 64 < late.predictions[1].logits.shape[1]
    assert early.predictions[1].drawn is not None
    assert early.terms.keys() == late.terms.keys()
    for key, value in late.terms.items():
        torch.testing.assert_close(early.terms[key], value, rtol=1e-5, atol=1e-6)
    for found, expected in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_where_nothing_is_drawn_and_in_evaluation_it_looks_at_all(batch):
    options = ["detector=rs_rcnn_small", "data.num_classes=3", "corr=none"]
    module = build_module(compose_config(options).config).train()
    assert module.step(batch).predictions[1].drawn is None
    options[0] = "detector=faster_rcnn_small"
    module = build_module(compose_config(options).config).eval()
    assert module.step(batch).predictions[1].drawn is None


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("activation", "linear", r"`activation`.*got 'linear'"),
        ("strides", [8, 16], r"`strides` to have 4 entries.*got 2"),
        ("region_levels", 5, r"`region_levels` to be no more.*got 4 and 5"),
        ("delta_stds", [1, 1], "four positive numbers"),
        ("sampling_ratio", -1, r"`sampling_ratio`.*got -1"),
        ("hidden_channels", 0, r"`hidden_channels`.*got 0"),
    ],
)
def test_bad_arguments(name, value, message):
    with pytest.raises(ValueError, match=message):
        tiny(**{name: value})
