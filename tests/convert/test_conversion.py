import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from corrlight.backbones import ResNet
from corrlight.config.build import build_module
from corrlight.convert import convert_checkpoint
from corrlight.convert.expected import compose_detector, expected_detector
from corrlight.detectors.toolbox_names import to_toolbox_names
from corrlight.engine.checkpoint import load_checkpoint, load_weights
from corrlight.engine.class_rows import class_rows
from tests.convert.checkpoints import NUM_CLASSES, overrides_of, small_module, toolbox_state

NAMES = ("ant", "bee", "cat", "dog", "eel")


def same(a, b):
    assert a.keys() == b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)


def save_theirs(path, state, names=NAMES):
    torch.save({"meta": {"CLASSES": names}, "state_dict": state}, path)
    return path


# The published weights of the others make the same way in test_fixtures.
KINDS = (
    "atss_small", "deformable_detr_small", "detr_small", "gflv2_small", "mask_rcnn_small",
    "sparse_rcnn_small", "tood_small", "yolact_small",
)  # fmt: skip


@pytest.mark.parametrize(
    "detector",
    [pytest.param(k, marks=[pytest.mark.slow] * (k not in ("atss_small", "detr_small")))
     for k in KINDS],
)  # fmt: skip
def test_there_and_back_is_equal(tmp_path, detector):
    theirs = toolbox_state(detector)
    source = save_theirs(tmp_path / "theirs.pth", theirs)
    options = {"detector": detector, "overrides": overrides_of(detector)}
    report = convert_checkpoint(source, tmp_path / "ours.ckpt", **options)
    assert report.complete
    assert not report.unmatched
    module = small_module(detector)
    ours = load_checkpoint(tmp_path / "ours.ckpt")
    assert ours["class_names"] == [*NAMES]
    detector_state = {k: v for k, v in ours["state_dict"].items() if k.startswith("detector.")}
    same(detector_state, {f"detector.{k}": v for k, v in module.detector.state_dict().items()})
    back = tmp_path / "back.pth"
    report = convert_checkpoint(tmp_path / "ours.ckpt", back, **options, to="mmdetection")
    assert report.complete
    content = torch.load(back, weights_only=True)
    assert content["meta"]["CLASSES"] == NAMES
    counters = {k for k in content["state_dict"] if k.endswith("num_batches_tracked")}
    same({k: v for k, v in content["state_dict"].items() if k in theirs}, theirs)
    assert content["state_dict"].keys() - theirs.keys() <= counters


@pytest.mark.parametrize("detector", ["detr_small", "yolact_small"])
def test_names_of_2x_are_read_and_written(tmp_path, detector):
    theirs = toolbox_state(detector, "2.x")
    assert theirs.keys() != toolbox_state(detector).keys()
    save_theirs(tmp_path / "a.pth", theirs)
    options = {"detector": detector, "overrides": overrides_of(detector)}
    assert convert_checkpoint(tmp_path / "a.pth", tmp_path / "b.ckpt", **options).complete
    convert_checkpoint(
        tmp_path / "b.ckpt", tmp_path / "c.pth", **options, to="mmdetection", version="2.x"
    )
    back = torch.load(tmp_path / "c.pth", weights_only=True)["state_dict"]
    same({k: back[k] for k in theirs}, theirs)


def test_the_result_loads_as_a_checkpoint_of_ours(tmp_path):
    save_theirs(tmp_path / "a.pth", toolbox_state("atss_small"))
    for name in ("b.ckpt", "b.safetensors"):
        convert_checkpoint(tmp_path / "a.pth", tmp_path / name, detector="atss_small")
        config = compose_detector("atss_small", [f"data.num_classes={NUM_CLASSES}"])
        module = build_module(config)
        load_weights(module, tmp_path / name)
        same(module.detector.state_dict(), small_module("atss_small").detector.state_dict())
    assert load_checkpoint(tmp_path / "b.safetensors")["class_names"] == [*NAMES]


def test_missing_tensors_fail_and_nothing_is_written(tmp_path):
    state = toolbox_state("atss_small")
    del state["bbox_head.atss_cls.bias"], state["neck.lateral_convs.0.conv.weight"]
    state["bbox_head.atss_reg.bias"] = torch.zeros(7)
    state["bbox_head.extra.weight"] = torch.zeros(1)
    save_theirs(tmp_path / "a.pth", state)
    old = tmp_path / "b.ckpt"
    old.write_text("old")
    report = convert_checkpoint(tmp_path / "a.pth", old, detector="atss_small")
    assert not report.complete
    assert {*report.missing} == {"classifier.bias", "neck.lateral.0.weight"}
    assert report.misshaped == (("regressor.bias", (7,), (4,)),)
    assert report.unmatched == ("bbox_head.extra.weight",)
    text = "\n".join(report.lines())
    for part in ("not written", "  classifier.bias", "regressor.bias: [7] instead of [4]",
                 "  bbox_head.extra.weight"):  # fmt: skip
        assert part in text
    assert old.read_text() == "old"


def test_unmatched_tensors_are_reported_and_left_out(tmp_path):
    save_theirs(tmp_path / "a.pth", toolbox_state("atss_small"))
    report = convert_checkpoint(
        tmp_path / "a.pth", tmp_path / "b.ckpt", detector="atss_small",
        overrides=["detector.aux_head=none"],
    )  # fmt: skip
    assert report.complete
    assert {*report.unmatched} == {"centerness.weight", "centerness.bias"}


def test_counters_of_frozen_normalisation_are_dropped_and_made_again(tmp_path):
    overrides = ["backbone.norm=frozen"]
    config = compose_detector("atss_small", [*overrides, "data.num_classes=3"])
    module = build_module(config)
    state = to_toolbox_names(module.detector.state_dict(), module.detector.toolbox_names)
    counters = {
        k.replace("running_var", "num_batches_tracked"): torch.tensor(0)
        for k in state
        if k.endswith("running_var")
    }
    assert len(counters) == 20
    save_theirs(tmp_path / "a.pth", {**state, **counters}, ())
    paths = [tmp_path / n for n in ("a.pth", "b.ckpt", "c.pth")]
    options = {"detector": "atss_small", "overrides": overrides}
    assert {*convert_checkpoint(*paths[:2], **options).dropped} == {*counters}
    convert_checkpoint(*paths[1:], **options, to="mmdetection")
    same(torch.load(paths[2], weights_only=True)["state_dict"], {**state, **counters})


@pytest.mark.parametrize("detector", ["detr_small", "retinanet_small", "yolact_small"])
def test_classes_follow_the_annotations(tmp_path, detector):
    state = toolbox_state(detector)
    save_theirs(tmp_path / "a.pth", state)
    categories = [{"id": 9, "name": "ant"}, {"id": 2, "name": "dog"}, {"id": 5, "name": "cat"}]
    categories.append(dict(categories[1]))  # Repeated as it is, which counts once.
    (tmp_path / "gt.json").write_text(json.dumps({"images": [], "categories": categories}))
    report = convert_checkpoint(
        tmp_path / "a.pth", tmp_path / "b.ckpt", detector=detector,
        overrides=overrides_of(detector), annotations=tmp_path / "gt.json",
    )  # fmt: skip
    assert report.complete
    ours = load_checkpoint(tmp_path / "b.ckpt")
    assert ours["category_ids"] == [2, 5, 9]
    assert ours["class_names"] == ["dog", "cat", "ant"]
    before = small_module(detector).detector.state_dict()
    config = compose_detector(detector, overrides_of(detector))
    rows = class_rows(*(expected_detector(config, n).shapes for n in (3, 4)))
    softmax = small_module(detector).detector.activation == "softmax"
    for name, row in rows.items():
        old = before[name].unflatten(0, (row.repeats, -1))
        new = ours["state_dict"][f"detector.{name}"].unflatten(0, (row.repeats, -1))
        assert torch.equal(new[:, :3], old[:, [3, 2, 0]])
        assert torch.equal(new[:, 3:], old[:, NUM_CLASSES:])
        assert new.shape[1] - 3 == (softmax and "semantic" not in name)
    unchanged = {k for k in before if k not in rows}
    assert all(torch.equal(ours["state_dict"][f"detector.{k}"], before[k]) for k in unchanged)


def test_annotations_need_known_names(tmp_path):
    save_theirs(tmp_path / "a.pth", toolbox_state("atss_small"))
    save_theirs(tmp_path / "b.pth", toolbox_state("atss_small"), ())
    gt = tmp_path / "gt.json"
    gt.write_text(json.dumps({"categories": [{"id": 1, "name": "fox"}]}))
    options = {"detector": "atss_small", "annotations": gt}
    with pytest.raises(ValueError, match="but 'fox' are not"):
        convert_checkpoint(tmp_path / "a.pth", tmp_path / "c.ckpt", **options)
    with pytest.raises(ValueError, match="to name its 5 classes"):
        convert_checkpoint(tmp_path / "b.pth", tmp_path / "c.ckpt", **options)
    gt.write_text('{"categories": []}')
    with pytest.raises(ValueError, match="Expected `categories`"):
        convert_checkpoint(tmp_path / "a.pth", tmp_path / "c.ckpt", **options)


def test_backbones_of_torchvision_and_of_detectors(tmp_path):
    torch.manual_seed(0)
    plain = ResNet(18, frozen_stages=0, norm="batch", zero_init_residual=False).state_dict()
    torch.save({**plain, "fc.weight": torch.ones(1000, 512)}, tmp_path / "tv.pth")
    report = convert_checkpoint(tmp_path / "tv.pth", tmp_path / "a.pth", backbone="resnet18")
    assert report.complete
    assert not report.unmatched
    assert "fc.weight" in report.dropped
    state = torch.load(tmp_path / "a.pth", weights_only=True)
    same(state, {k: v for k, v in plain.items() if not k.endswith("num_batches_tracked")})
    model = ResNet(18, weights=tmp_path / "a.pth")
    assert torch.equal(model.layer4[1].conv2.weight, plain["layer4.1.conv2.weight"])

    theirs = {f"backbone.{k}": v for k, v in plain.items()} | {"neck.weight": torch.ones(1)}
    save_theirs(tmp_path / "det.pth", theirs)
    convert_checkpoint(tmp_path / "det.pth", tmp_path / "b.safetensors", backbone="resnet18")
    same(load_file(tmp_path / "b.safetensors"), state)
    report = convert_checkpoint(tmp_path / "tv.pth", tmp_path / "c.pth", backbone="resnet34")
    assert not report.complete
    assert "layer1.2.conv1.weight" in report.missing
    assert not (tmp_path / "c.pth").exists()


def test_options_that_do_not_go_together(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"conv1.weight": torch.ones(1)}, path)
    target = tmp_path / "b.ckpt"
    for options, message in (
        ({}, "exactly one of"),
        ({"detector": "atss", "backbone": "resnet50"}, "exactly one of"),
        ({"detector": "atss", "to": "detectron"}, "`to` to be 'corrlight' or 'mmdetection'"),
        ({"detector": "atss", "version": "1.x"}, "`version` .* got '1.x'"),
        ({"detector": "atss"}, "but it holds a backbone"),
        ({"backbone": "resnet50", "to": "mmdetection"}, "Expected neither"),
    ):
        with pytest.raises(ValueError, match=message):
            convert_checkpoint(path, target, **options)
    save_file({"backbone.conv1.weight": torch.ones(1)}, path)
    with pytest.raises(ValueError, match="Did you mean"):
        convert_checkpoint(path, target, detector="atsss")
    with pytest.raises(ValueError, match="another file than `source`"):
        convert_checkpoint(path, path, detector="atss")
