"""Written files, run by onnxruntime and by torch.export, against the detectors."""

import json
import sys

import pytest
import torch

from corrlight.export.check import compare_file
from corrlight.export.files import Shape, check_packages, open_file, write_file
from corrlight.export.network import ExportNetwork
from tests.export.conftest import DETECTORS

FIXED = Shape(batch=1, height=64, width=96)
FREE = Shape(batch=1, height=64, width=96, any_batch=True, any_size=True)


def pictures(*shape):
    generator = torch.Generator().manual_seed(1)
    small = torch.rand(shape[0], 3, 8, 8, generator=generator) * 255
    return torch.nn.functional.interpolate(small, size=shape[1:], mode="bilinear")


def agreement(own, path, file_format, shape, batches, raw=False):
    network = ExportNetwork(own, raw)
    write_file(network, path, file_format, shape, {"class_names": list(own.class_names)})
    run, stored = open_file(path, file_format)
    assert stored == {"class_names": list(own.class_names)}
    assert sorted(p.name for p in path.parent.iterdir()) == [path.name]  # one file
    return compare_file(run, network, own, batches)


@pytest.mark.slow
@pytest.mark.onnx
@pytest.mark.parametrize(
    ("detector", "raw"),
    [
        ("atss_small", True), ("yolact_small", True), ("sparse_rcnn_small", True),
        ("paa_small", False), ("yolact_small", False),
    ],
)  # fmt: skip
def test_onnx(model, tmp_path, detector, raw):
    own = model(detector)
    batches = [*pictures(5, 64, 96).split(1), torch.full((1, 3, 64, 96), 127.0)]
    found = agreement(own, tmp_path / "m.onnx", "onnx", FIXED, batches, raw)
    assert found.holds, str(found)
    assert found.rows > 50


@pytest.mark.slow
@pytest.mark.onnx
@pytest.mark.parametrize("detector", [*DETECTORS, "deformable_detr_small"])
def test_onnx_of_any_size_and_batch(model, tmp_path, detector):
    own = model(detector)
    batches = [pictures(1, 64, 96), pictures(3, 96, 64), pictures(2, 128, 160)]
    found = agreement(own, tmp_path / "m.onnx", "onnx", FREE, batches)
    assert found.holds, str(found)


@pytest.mark.slow
@pytest.mark.parametrize("detector", ["atss_small", "yolact_small", "detr_small"])
def test_torch_export(model, tmp_path, detector):
    own = model(detector)
    batches = [pictures(1, 64, 96), pictures(3, 96, 64)]
    found = agreement(own, tmp_path / "m.pt2", "torch_export", FREE, batches)
    assert found.holds, str(found)


@pytest.mark.slow
@pytest.mark.onnx
@pytest.mark.parametrize("detector", ["atss_small", "yolact_small"])
def test_no_survivor(model, tmp_path, detector):
    own = model(detector)
    own.postprocessor.score_thresh = 1.0
    found = agreement(own, tmp_path / "m.onnx", "onnx", FIXED, [pictures(1, 64, 96)])
    assert (found.rows, found.unmatched) == (0, 0)


@pytest.mark.slow
def test_an_export_leaves_nothing_behind_in_the_detector(model, tmp_path):
    """Anchors were kept from the export: later calls got tensors without values."""
    own = model("atss_small")
    before = own.predict(torch.zeros(3, 64, 96, dtype=torch.uint8))[0]
    write_file(ExportNetwork(own), tmp_path / "m.pt2", "torch_export", FIXED, {})
    own.detector.anchors._cache.clear()
    write_file(ExportNetwork(own), tmp_path / "m.pt2", "torch_export", FIXED, {})
    after = own.predict(torch.zeros(3, 64, 96, dtype=torch.uint8))[0]
    assert torch.equal(before.boxes, after.boxes)


def test_a_missing_package_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ValueError, match=r"there is no onnx.*: pip install 'corrlight\[export\]'"):
        check_packages("onnx")
    check_packages("torch_export")


@pytest.mark.slow
def test_what_a_file_says_is_json(model, tmp_path):
    stored = {"class_names": ["a", "ü"], "input": {"size": [64, 96]}}
    path = tmp_path / "m.pt2"
    write_file(ExportNetwork(model("detr_small"), raw=True), path, "torch_export", FIXED, stored)
    assert open_file(path, "torch_export")[1] == json.loads(json.dumps(stored))
