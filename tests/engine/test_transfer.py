import pytest
import torch

from corrlight.config.build import build_module
from corrlight.config.compose import compose_config
from corrlight.engine.class_rows import ClassRows, rows_of_module
from corrlight.engine.transfer import start_from
from tests.detectors.build import batch_of
from tests.helpers.detector_files import marked, names

# Cells at the edge all give a new D-FINE the same proposal: rounding decides which one is a query.
SMALL = marked([name for name in names("*_small") if name != "hf_d_fine_small"])
# Classifiers of one class a cell, of anchors, of a set, with masks, and in two stages.
QUICK = {"atss_small", "retinanet_small", "detr_small", "yolact_small", "faster_rcnn_small"}
ONE_OF_A_KIND = [
    pytest.param(*p.values, marks=[*p.marks, *[pytest.mark.slow] * (p.values[0] not in QUICK)])
    for p in SMALL
]
OLD, NEW = ("a", "b", "c", "d"), ("c", "x", "a")


def _module(detector, names, seed):
    config = compose_config([f"detector={detector}", "data.num_classes=3"]).config
    config.data.num_classes = len(names)
    torch.manual_seed(seed)
    module = build_module(config, class_names=names)
    with torch.no_grad():
        for tensor in module.detector.state_dict().values():
            if tensor.is_floating_point():
                tensor.add_(0.01 * torch.randn_like(tensor).abs())
    return module.eval(), config


def _saved(module, path, **more):
    names = list(module.class_names)
    torch.save({"state_dict": module.state_dict(), "class_names": names, **more}, path)
    return path


@pytest.mark.parametrize("detector", ONE_OF_A_KIND)
def test_shared_classes_say_what_they_said_before(detector, tmp_path):
    """The trunk and the outputs of shared classes are the file's, those of new ones the start's."""
    old, _ = _module(detector, OLD, seed=0)
    new, config = _module(detector, NEW, seed=1)
    rows = rows_of_module(config)
    batch = batch_of()
    with torch.no_grad():
        transfer = start_from(new, _saved(old, tmp_path / "x.ckpt"), rows, NEW)
        before, after = old.detector(batch), new.detector(batch)
    assert (transfer.classes, transfer.new_classes) == (("c", "a"), ("x",))
    assert not transfer.remade
    assert not transfer.left
    assert 0.5 < transfer.share < 1
    for was, now in zip(before, after, strict=True):
        if was.proposes:
            torch.testing.assert_close(now.logits, was.logits)
            continue
        if was.any_object:
            torch.testing.assert_close(now.logits[..., 0], was.logits[..., 0])
            continue
        background = range(4, was.logits.shape[-1])
        here = [0, 2, *range(3, now.logits.shape[-1])]
        torch.testing.assert_close(now.logits[..., here], was.logits[..., [2, 0, *background]])
        if was.class_boxes is None:
            torch.testing.assert_close(now.boxes, was.boxes)
        else:
            shared = now.class_boxes[:, :, [0, 2]], was.class_boxes[:, :, [2, 0]]
            torch.testing.assert_close(*shared)
        assert not torch.equal(now.logits[..., 1], was.logits[..., 1])


def test_a_new_class_keeps_its_initial_outputs(tmp_path):
    old, _ = _module("atss_small", OLD, seed=0)
    new, config = _module("atss_small", NEW, seed=1)
    rows = rows_of_module(config)
    weight = new.detector.state_dict()["classifier.weight"]
    first = weight.clone()
    start_from(new, _saved(old, tmp_path / "x.ckpt"), rows, NEW)
    assert torch.equal(weight[1], first[1])
    assert torch.equal(weight[0], old.detector.state_dict()["classifier.weight"][2])


@pytest.mark.parametrize(
    ("names", "reason"), [("qrst", "no class of the data"), ("", "names no classes")]
)
def test_other_classes_and_none_leave_the_classifier(tmp_path, names, reason):
    old, _ = _module("atss_small", OLD, seed=0)
    path = tmp_path / "x.ckpt"
    torch.save({"state_dict": old.state_dict(), "class_names": list(names)}, path)
    new, config = _module("atss_small", NEW, seed=1)
    rows = rows_of_module(config)
    kept = new.detector.state_dict()["classifier.weight"].clone()
    transfer = start_from(new, path, rows, NEW)
    assert torch.equal(new.detector.state_dict()["classifier.weight"], kept)
    assert {*transfer.remade} == {"detector.classifier.weight", "detector.classifier.bias"}
    assert all(reason in why for why in transfer.remade.values())
    assert transfer.classes == ()
    assert transfer.new_classes == NEW
    lines = dict(transfer.rows())
    assert reason in lines["anew"]
    assert lines["classes anew"] == "c, x, a"


def test_a_relative_gives_what_fits(tmp_path):
    """RetinaNet from ATSS: the trunk; what the one has alone is said on either side."""
    atss, _ = _module("atss_small", OLD, seed=0)
    new, config = _module("retinanet_small", OLD, seed=1)
    rows = rows_of_module(config)
    transfer = start_from(new, _saved(atss, tmp_path / "x.ckpt"), rows, OLD)
    assert "detector.backbone.conv1.weight" in transfer.taken
    assert transfer.remade["detector.regressor.weight"].startswith("[4, 64, 3, 3] in the file")
    assert transfer.remade["detector.classifier.bias"] == "the file lists its classes otherwise"
    assert "detector.centerness.weight" in transfer.left
    assert torch.equal(new.detector.backbone.conv1.weight, atss.detector.backbone.conv1.weight)


def test_another_network_is_refused(tmp_path):
    old, _ = _module("detr_small", OLD, seed=0)
    new, config = _module("yolact_small", OLD, seed=1)
    rows = rows_of_module(config)
    state = {k: v for k, v in old.state_dict().items() if "backbone" not in k}
    torch.save({"state_dict": state, "class_names": list(OLD)}, tmp_path / "x.ckpt")
    with pytest.raises(ValueError, match=r"0% of its parameters .* corrlight convert"):
        start_from(new, tmp_path / "x.ckpt", rows, OLD)
    torch.save({"weights": {}}, tmp_path / "y.ckpt")
    with pytest.raises(ValueError, match=r"Expected `state_dict` in the checkpoint"):
        start_from(new, tmp_path / "y.ckpt", rows, OLD)


def test_anchors_repeat_the_classes_and_background_comes_along(tmp_path):
    class Toy(torch.nn.Module):
        def __init__(self, values):
            super().__init__()
            self.detector = torch.nn.ParameterDict({"c": torch.tensor(values)})

    path = tmp_path / "x.ckpt"
    # Two anchors; classes a, b and background.
    torch.save({"state_dict": {"detector.c": torch.arange(6.0)}, "class_names": ["a", "b"]}, path)
    toy = Toy([-1.0] * 8)
    start_from(toy, path, {"detector.c": ClassRows(2, 1)}, ("b", "x", "a"))
    assert toy.detector["c"].tolist() == [1, -1, 0, 2, 4, -1, 3, 5]
