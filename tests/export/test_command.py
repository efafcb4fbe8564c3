import json

import numpy as np
import pytest
import torch
from PIL import Image

from corrlight.cli import main as cli
from corrlight.export import check, files, rounding
from corrlight.export.command import main


@pytest.fixture
def run(runs):
    return str(runs("foveabox_small"))


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "model.pt2"


def torch_export(run, out, *more):
    return main([run, "--format", "torch_export", "--out", str(out), "--raw", *more])


@pytest.mark.slow
@pytest.mark.onnx
def test_an_onnx_file_by_itself(runs, out, capsys):
    """What a user does with it: onnxruntime alone, and what the file says of itself."""
    import onnxruntime

    file = out.with_name("model.onnx")
    arguments = ["export", str(runs("atss_small")), "--format", "onnx", "--out", str(file)]
    assert cli(arguments) == 0
    said = capsys.readouterr().out
    assert "compared with the detector on 6 pictures" in said
    assert sorted(p.name for p in out.parent.iterdir()) == ["model.onnx", "model.onnx.md"]
    session = onnxruntime.InferenceSession(file)
    stored = session.get_modelmeta().custom_metadata_map
    assert json.loads(stored["class_names"]) == ["circle", "square", "star"]
    assert json.loads(stored["category_ids"]) == [3, 1, 7]
    assert json.loads(stored["input"])["size"] == [64, 64]
    assert json.loads(stored["normalization"])["mean"] == pytest.approx([123.675, 116.28, 103.53])
    boxes, scores, labels = session.run(None, {"images": np.zeros((1, 3, 64, 64), np.float32)})
    assert boxes.shape == (1, 100, 4)
    assert scores.shape == labels.shape == (1, 100)
    assert (scores[labels < 0] == 0).all()


def test_a_torch_file_with_own_pictures_and_size(run, out, tmp_path, capsys):
    Image.new("RGB", (80, 50), (200, 10, 10)).save(tmp_path / "a.png")
    code = torch_export(run, out, "--size", "64", "96", "--pictures", str(tmp_path / "a.png"))
    assert code == 0
    assert "on 2 pictures" in capsys.readouterr().out
    logits, boxes = torch.export.load(out).module()(torch.zeros(1, 3, 64, 96))
    assert logits.shape[:2] == boxes.shape[:2]
    assert "| input | `images`, float32" in out.with_name("model.pt2.md").read_text()


def test_a_file_that_differs_is_not_kept(run, out, monkeypatch, capsys):
    monkeypatch.setattr(files, "write_file", lambda network, path, *_: path.write_bytes(b"other"))
    monkeypatch.setattr(files, "open_file", lambda *_: (None, {}))
    monkeypatch.setattr(check, "compare_file", lambda *_: check.Agreement(pictures=1, boxes=0.5))
    assert torch_export(run, out) == 1
    assert "boxes 5.0e-01 px" in capsys.readouterr().err
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize(("own", "code"), [(5e-3, 0), (1e-3, 1)])
def test_a_detector_that_is_inexact_itself_allows_more(run, out, monkeypatch, capsys, own, code):
    monkeypatch.setattr(files, "write_file", lambda network, path, *_: path.write_bytes(b"other"))
    monkeypatch.setattr(files, "open_file", lambda *_: (None, {}))
    monkeypatch.setattr(rounding, "own_rounding", lambda *_: check.Agreement(boxes=own))

    def compared(run, network, model, batches, tolerances=check.Tolerances()):  # noqa: B008
        return check.Agreement(pictures=1, boxes=1e-2, tolerances=tolerances)

    monkeypatch.setattr(check, "compare_file", compared)
    assert torch_export(run, out) == code
    said = "".join(capsys.readouterr())
    assert f"allowed are {4 * own:.1e} px and 1.0e-05" in said
    assert out.exists() == (code == 0)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_interrupted_export_leaves_nothing(run, out, monkeypatch, error):
    def fails(network, path, *_):
        path.write_bytes(b"half")
        raise error

    monkeypatch.setattr(files, "write_file", fails)
    assert torch_export(run, out) == (130 if isinstance(error, KeyboardInterrupt) else 2)
    assert list(out.parent.iterdir()) == []


def test_a_file_is_not_replaced_unasked(run, out, capsys):
    out.write_text("mine")
    assert torch_export(run, out) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert out.read_text() == "mine"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--size", "100"], "multiples of 32"),
        (["--size", "1", "2", "3"], "one or two"),
        (["--batch", "0"], "batch"),
        (["--dynamic", "depth"], "depth"),
        (["--pictures", "gone.png"], "gone.png"),
    ],
)
def test_wrong_options_are_one_line(run, out, capsys, more, said):
    assert torch_export(run, out, *more) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("error: ")
    assert said in line
    assert list(out.parent.iterdir()) == []


def test_a_missing_package_is_one_line(run, out, monkeypatch, capsys):
    monkeypatch.setattr(files.importlib.util, "find_spec", lambda name: None)
    assert main([run, "--format", "onnx", "--out", str(out)]) == 2
    assert "pip install 'corrlight[export]'" in capsys.readouterr().err
