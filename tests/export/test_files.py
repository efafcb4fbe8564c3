"""Written files, run by onnxruntime and by torch.export, against the detectors."""

import sys
from dataclasses import replace

import pytest
import torch
from torch.torch_version import TorchVersion

from corrlight.export.check import compare_file
from corrlight.export.files import (
    FORMATS,
    Shape,
    check_packages,
    open_file,
    record,
    write_file,
    write_program,
)
from corrlight.export.network import ExportNetwork
from corrlight.predict.load import load
from tests.export.conftest import DETECTORS
from tests.helpers.run_folder import make_run

FIXED = Shape(batch=1, height=64, width=96)
FREE_SIZE = Shape(batch=1, height=64, width=96, any_size=True)
FREE = replace(FREE_SIZE, any_batch=True)
STORED = {"class_names": ["a", "ü"], "input": {"size": [64, 96]}}
# A recording takes as long as its graph is: what stands there several times stands there fewer.
SHORTER = {
    "detr_small": ["detector.net.num_decoder_layers=2"],
    "deformable_detr_small": ["detector.net.num_decoder_layers=2"],  # They refine boxes.
    "sparse_rcnn_small": ["detector.net.num_stages=2"],
    **{
        f"{n}_small": ["detector.net.num_convs=1"] for n in ("atss", "foveabox", "paa", "retinanet")
    },
}
# Files of these three, dense as ATSS is, take one picture at a time: a free number of them is a
# further symbol in every size of the recording.
ONE_PICTURE = ("foveabox_small", "paa_small", "retinanet_small")
# Of those that are written as ONNX, one with masks, and a set.
BOTH_FORMATS = ("yolact_small", "detr_small")


def pictures(*shape):
    generator = torch.Generator().manual_seed(1)
    small = torch.rand(shape[0], 3, 8, 8, generator=generator) * 255
    return torch.nn.functional.interpolate(small, size=shape[1:], mode="bilinear")


def grey(own, *size):
    """Return a picture of the mean colour, of which an untrained network sees nothing."""
    return own.collate.mean.expand(1, 3, *size).clone()


def find_nothing_in_grey(own):
    """Raise the threshold, where there is one, above the scores of a grey picture."""
    if not hasattr(own.postprocessor, "score_thresh"):
        return False
    own.postprocessor.score_thresh = 0.0
    network = ExportNetwork(own).eval()
    raw = ExportNetwork(own, raw=True).eval()
    with torch.no_grad():
        picture = grey(own, 64, 96)
        own.postprocessor.score_thresh = 1e-4 + max(
            float(network(picture)[1].max()), float(raw(picture)[0].sigmoid().max())
        )
    return True


def shorter(detector, tmp_path):
    options = ["data.image_size=64", *SHORTER.get(detector, [])]
    return load(make_run(tmp_path / "run" / "r", detector, *options), "cpu")


def opened(path, file_format):
    run, stored = open_file(path, file_format)
    assert stored == STORED
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # one file
    return run


@pytest.mark.slow
@pytest.mark.onnx
def test_raw_onnx(model, tmp_path):
    """Of the detector with the most outputs: coefficients and prototypes."""
    own = model("yolact_small")
    network = ExportNetwork(own, raw=True)
    write_file(network, tmp_path / "m.onnx", "onnx", FIXED, STORED)
    batches = [*pictures(2, 64, 96).split(1), torch.full((1, 3, 64, 96), 127.0)]
    found = compare_file(opened(tmp_path / "m.onnx", "onnx"), network, own, batches)
    assert found.holds, str(found)
    assert found.rows > 50


@pytest.mark.slow
@pytest.mark.onnx
@pytest.mark.parametrize("detector", DETECTORS)
def test_files_of_any_size_and_batch(tmp_path, detector):
    """One recording in both formats: other sizes and numbers of pictures, and no detection."""
    own = shorter(detector, tmp_path)
    thresholds = find_nothing_in_grey(own)
    network = ExportNetwork(own)
    alone = detector in ONE_PICTURE
    program = record(network, FREE_SIZE if alone else FREE)
    for file_format in FORMATS if detector in BOTH_FORMATS else ("onnx",):
        path = tmp_path / file_format / "file"
        path.parent.mkdir()
        write_program(program, network, path, file_format, STORED)
        run = opened(path, file_format)
        batches = [pictures(1, 64, 96), pictures(3, 96, 64), pictures(2, 128, 160)]
        if alone:
            batches = [image for batch in batches for image in batch.split(1)]
        found = compare_file(run, network, own, batches)
        assert found.holds, str(found)
        assert found.rows > 50
        if thresholds:
            found = compare_file(run, network, own, [grey(own, 64, 96), grey(own, 96, 64)])
            assert (found.pictures, found.rows, found.unmatched) == (2, 0, 0)


@pytest.mark.slow
@pytest.mark.onnx
def test_onnx_of_deformable_attention(tmp_path):
    own = shorter("deformable_detr_small", tmp_path)
    network = ExportNetwork(own)
    (tmp_path / "out").mkdir()
    write_file(network, tmp_path / "out" / "m.onnx", "onnx", FIXED, STORED)
    batches = pictures(2, 64, 96).split(1)
    found = compare_file(opened(tmp_path / "out" / "m.onnx", "onnx"), network, own, batches)
    assert found.holds, str(found)


@pytest.mark.slow
def test_a_recording_leaves_nothing_behind_in_the_detector(model):
    """Anchors were kept from the export: later calls got tensors without values."""
    own = model("atss_small")
    before = own.predict(torch.zeros(3, 64, 96, dtype=torch.uint8))[0]
    own.detector.anchors._cache.clear()
    record(ExportNetwork(own), FIXED)
    after = own.predict(torch.zeros(3, 64, 96, dtype=torch.uint8))[0]
    assert torch.equal(before.boxes, after.boxes)


@pytest.mark.onnx
def test_a_torch_whose_exporter_lacks_operators_is_one_line(monkeypatch):
    monkeypatch.setattr(torch, "__version__", TorchVersion("2.6.0"))
    with pytest.raises(ValueError, match=r"torch 2\.8 or newer for ONNX, .* but got 2\.6\.0\."):
        check_packages("onnx")
    check_packages("torch_export")


def test_a_missing_package_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ValueError, match=r"there is no onnx.*: pip install 'corrlight\[export\]'"):
        check_packages("onnx")
    check_packages("torch_export")
