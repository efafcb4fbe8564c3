"""Detectors of torchvision, published and narrow."""

import functools

import pytest
import torch

from corrlight.backbones import FPN, ResNet
from corrlight.guests.torchvision_models import NARROW, PUBLISHED, _load, narrow, published


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_detectors_are_torchvisions(name):
    from torchvision.models import detection

    with torch.device("meta"):
        ours = published(name, 80, weights_backbone=None)
        theirs = getattr(detection, name)(weights=None, weights_backbone=None, num_classes=81)
    shapes = [{k: v.shape for k, v in m.state_dict().items()} for m in (ours, theirs)]
    assert shapes[0] == shapes[1]


def small(kind):
    torch.manual_seed(0)
    neck = functools.partial(FPN, out_channels=32, num_levels=3, extra_levels=None)
    return narrow(kind, 4, ResNet(18, base_width=4, frozen_stages=0), neck, [8, 16, 32])


@pytest.mark.parametrize("kind", NARROW)
def test_narrow_detectors_run_alone(kind):
    """They are detectors of torchvision like any other: this is its own forward pass."""
    model = small(kind).train()
    target = {"boxes": torch.tensor([[8.0, 8, 70, 80]]), "labels": torch.tensor([4])}
    target["masks"] = torch.ones(1, 128, 128, dtype=torch.uint8)
    losses = model([torch.rand(3, 128, 128)], [target])
    assert all(value.isfinite() for value in losses.values())
    assert sum(p.numel() for p in model.parameters()) < 2e6


def test_weights_from_a_file(tmp_path):
    model = torch.nn.Linear(2, 3)
    with pytest.raises(ValueError, match="but there is no "):
        _load(model, tmp_path / "none.pth", "linear")
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(ValueError, match=r"Cannot read the checkpoint .*text\.pth: it is no"):
        _load(model, tmp_path / "text.pth", "linear")
    torch.save({"weight": torch.zeros(3, 2), "bias": torch.zeros(4)}, tmp_path / "other.pth")
    reason = r"1 tensors differ: bias is \(3,\) in the model and \(4,\) in the file\.$"
    with pytest.raises(ValueError, match=reason):
        _load(model, tmp_path / "other.pth", "linear")
    torch.save({"weight": torch.ones(3, 2), "bias": torch.zeros(3)}, tmp_path / "fits.pth")
    _load(model, tmp_path / "fits.pth", "linear")
    assert torch.equal(model.weight, torch.ones(3, 2))


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"^Expected `name` to be one of "):
        published("yolov8", 2)
    with pytest.raises(ValueError, match=r"^Expected `kind` to be one of "):
        small("yolo")
