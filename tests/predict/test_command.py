import json
import os
import shutil
import sys

import pytest
import torch

from corrlight.cli import main as cli
from corrlight.predict import command, model
from corrlight.predict.command import main
from tests.helpers.run_folder import IDS, NAMES


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def leftovers(out):
    return sorted(p.name for p in out.parent.iterdir())


def test_a_folder_from_the_command_line(run, shots, out, capsys):
    assert cli(["predict", str(shots), "--run", str(run), "--out", str(out), "--csv"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("3 pictures, ")
    assert "pictures a second" in said.out
    assert "1 other files are no pictures by their names" in said.err
    images = json.loads((out / "images.json").read_text())
    assert [i["file_name"] for i in images["images"]] == ["a.jpg", "b.png", "more/c.bmp"]
    assert [(c["id"], c["name"]) for c in images["categories"]] == list(zip(IDS, NAMES))  # noqa: B905
    detections = json.loads((out / "predictions.json").read_text())
    assert {d["image_id"] for d in detections} == {i["id"] for i in images["images"]}
    assert {d["category_id"] for d in detections} <= set(IDS)
    for image in images["images"]:
        assert (out / image["picture"]).is_file()
    assert len((out / "predictions.csv").read_text().splitlines()) == len(detections) + 1
    assert leftovers(out) == ["out"]


def test_the_command_finds_what_the_model_finds(run, shots, out):
    assert main([str(shots / "b.png"), "--run", str(run), "--out", str(out), "--no-pictures"]) == 0
    from corrlight.predict.load import load

    (found,) = load(run, "cpu").predict(shots / "b.png")
    assert json.loads((out / "predictions.json").read_text()) == found.to_coco(1)
    assert not (out / "pictures").exists()


def test_unreadable_pictures_are_named_and_the_others_written(run, shots, out, tmp_path, capsys):
    bad = tmp_path / "in"
    shutil.copytree(shots, bad)
    (bad / "torn.jpg").write_bytes((shots / "a.jpg").read_bytes()[:200])
    arguments = [str(bad), "--run", str(run), "--out", str(out)]
    assert main(arguments) == 1
    assert "torn.jpg" in capsys.readouterr().err
    images = json.loads((out / "images.json").read_text())
    assert [s["file_name"] for s in images["skipped"]] == ["torn.jpg"]
    assert len(images["images"]) == 3
    assert main([*arguments, "--overwrite", "--allow-unreadable"]) == 0


def test_a_list_on_standard_input(run, shots, out, monkeypatch):
    monkeypatch.setattr("sys.stdin", iter([f"{shots}/a.jpg\n", f"{shots}/b.png\n"]))
    assert main(["-", "--run", str(run), "--out", str(out), "--no-pictures"]) == 0
    images = json.loads((out / "images.json").read_text())
    assert [i["file_name"] for i in images["images"]] == ["a.jpg", "b.png"]


def test_a_folder_that_holds_something_is_never_replaced_unasked(run, shots, out, capsys):
    arguments = [str(shots / "a.jpg"), "--run", str(run), "--out", str(out), "--no-pictures"]
    out.mkdir()  # empty: fine
    assert main(arguments) == 0
    (out / "mark").write_text("")
    assert main(arguments) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (out / "mark").exists()
    assert main([*arguments, "--overwrite"]) == 0
    assert not (out / "mark").exists()
    assert leftovers(out) == ["out"]


def test_only_predictions_are_overwritten(run, shots, tmp_path, capsys):
    home = tmp_path / "home"
    home.mkdir()
    (home / "letter.txt").write_text("dear")
    arguments = [str(shots), "--run", str(run), "--overwrite"]
    assert main([*arguments, "--out", str(home)]) == 2
    assert "nothing is deleted" in capsys.readouterr().err
    assert (home / "letter.txt").read_text() == "dear"
    for name in ("predictions.json", "images.json"):
        (home / name).write_text("")
    shutil.copy(shots / "a.jpg", home)
    assert main([str(home), "--run", str(run), "--overwrite", "--out", str(home)]) == 2
    assert "without the pictures themselves" in capsys.readouterr().err
    assert (home / "a.jpg").exists()


@pytest.mark.parametrize("earlier", [False, True])
def test_ctrl_c_leaves_nothing_half_written(run, shots, out, monkeypatch, capsys, earlier):
    arguments = [str(shots), "--run", str(run), "--out", str(out)]
    if earlier:
        assert main(arguments) == 0
        arguments.append("--overwrite")
    before = {p: p.read_bytes() for p in out.rglob("*.*")}
    original, calls = model.Model._prediction, []

    def interrupted(*args):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(model.Model, "_prediction", interrupted)
    assert main(arguments) == 130
    assert "nothing was written" in capsys.readouterr().err
    assert leftovers(out) == (["out"] if earlier else [])
    assert {p: p.read_bytes() for p in out.rglob("*.*")} == before


def test_whoever_reads_the_summary_may_leave(run, shots, out, monkeypatch):
    """``... | head -1``: the predictions are there before anything is said."""
    closed = []

    def gone(*arguments, file=None, **options):
        if file is None:
            assert (out / "predictions.json").is_file()
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("builtins.print", gone)
    monkeypatch.setattr(os, "dup2", lambda *descriptors: closed.append(descriptors))
    monkeypatch.setattr(sys.stdout, "fileno", lambda: 1, raising=False)
    assert main([str(shots), "--run", str(run), "--out", str(out), "--no-pictures"]) == 0
    assert closed
    assert (out / "predictions.json").is_file()


def test_a_full_disk_leaves_nothing(run, shots, out, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("corrlight.predict.output._save", full)
    assert main([str(shots), "--run", str(run), "--out", str(out)]) == 2
    assert "No space left" in capsys.readouterr().err
    assert leftovers(out) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (["--score-threshold", "1.5"], "score_threshold"),
        (["--batch", "0"], "batch"),
        (["--device", "cuda:99"], "cuda:99"),
        (["--run", "nowhere"], "nowhere"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_wrong_options_are_one_line(run, shots, out, capsys, changed, said):
    assert main([str(shots), "--run", str(run), "--out", str(out), *changed]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert line.startswith("error: ")
    assert said in line
    assert not out.exists()


def test_nothing_is_loaded_for_a_source_that_is_not_there(run, out, capsys):
    assert main(["gone.jpg", "--run", str(run), "--out", str(out)]) == 2
    assert "there is no 'gone.jpg'" in capsys.readouterr().err


def test_a_threshold_holds_for_files_and_pictures(run, shots, out):
    arguments = [str(shots), "--run", str(run), "--out", str(out), "--score-threshold", "0.5"]
    assert main(arguments) == 0
    detections = json.loads((out / "predictions.json").read_text())
    assert min(d["score"] for d in detections) >= 0.5


def test_the_help_is_whole(capsys):
    assert main(["--help"]) == 0
    assert "SOURCE" in capsys.readouterr().out
    assert command.main(["--version"]) == 2


@pytest.mark.parametrize(("batch", "way"), [("4", "--batch 2"), ("1", "smaller pictures")])
def test_out_of_memory_is_one_line(run, shots, out, capsys, monkeypatch, batch, way):
    def full(self, group):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(model.Model, "_batch", full)
    assert main([str(shots), "--run", str(run), "--out", str(out), "--batch", batch]) == 2
    error = capsys.readouterr().err
    assert error.splitlines()[-1].startswith("error: Out of memory on cpu with ")
    assert f"try {way}, or another --device." in error
    assert "Traceback" not in error
    assert leftovers(out) == []
