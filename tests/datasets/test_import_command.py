"""Importing and splitting from the command line: options, summary, all or nothing."""

import errno
import os
import shutil
import subprocess
import sys

import pytest

from corrlight.data.coco import load_annotations
from corrlight.data.images import decode_image
from tests.datasets.pictures_on_disk import boxes, picture, read_split, run, write


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "in"
    for k in range(20):
        picture(folder / "images" / f"{k:02}.jpg", orientation=6 if k == 3 else None)
        line = f"{k % 2} .5 .5 .5 .5\n" if k < 18 else ""
        write(folder / "labels" / f"{k:02}.txt", line)
    write(folder / "classes.txt", "cat\ndog\n")
    return folder


def test_output_is_what_training_reads(source, tmp_path, capsys):
    assert run("import", "yolo", source, "--val", 0.2, "--out", tmp_path / "out") == 0
    text = capsys.readouterr().out
    assert "20 pictures, 18 objects" in text
    assert "drawn, stratified by class, seed 0" in text
    assert f"data=coco_custom data.root={tmp_path / 'out'}" in text
    sizes = {}
    for split, count in (("train", 16), ("val", 4)):
        data = load_annotations(tmp_path / "out" / "annotations" / f"{split}.json")
        assert data.class_names == ("cat", "dog")
        assert len(data) == count
        assert data.notes == ()
        for name, size in zip(data.file_names, data.sizes.tolist(), strict=True):
            decode_image(tmp_path / "out" / split / name, size)
            sizes[name] = size
    assert sizes["03.jpg"] == [40, 30]
    assert sizes["04.jpg"] == [30, 40]


def test_splitting_later_is_splitting_at_once(source, tmp_path, capsys):
    assert run("import", "yolo", source, "--out", tmp_path / "whole") == 0
    assert "corrlight data split" in capsys.readouterr().out
    options = ("--val", 0.2, "--test", 0.1, "--seed", 3)
    assert run("split", tmp_path / "whole", *options, "--out", tmp_path / "later") == 0
    assert run("import", "yolo", source, *options, "--out", tmp_path / "once") == 0
    for split, count in (("train", 14), ("val", 4), ("test", 2)):
        assert boxes(tmp_path / "later", split) == boxes(tmp_path / "once", split)
        assert len(boxes(tmp_path / "later", split)) == count
    capsys.readouterr()
    assert run("split", tmp_path / "later", "--val", 0.2, "--out", tmp_path / "x") == 2
    assert "--splits train=train+val" in capsys.readouterr().err
    again = ("--splits", "train=train+val+test", "--val", 0.5, "--out", tmp_path / "x")
    assert run("split", tmp_path / "later", *again) == 0
    assert len(boxes(tmp_path / "x", "val")) == 10


def test_chosen_classes_and_their_order(source, tmp_path, capsys):
    arguments = ("yolo", source, "--classes", write(tmp_path / "names.txt", "cat\ndog\n"))
    assert run("import", *arguments, "--out", tmp_path / "a") == 0
    write(source / "data.yaml", "names: [cat, dog]")
    assert run("import", "yolo", source, "--classes", "dog", "--out", tmp_path / "b") == 0
    assert "9 objects of other classes" in capsys.readouterr().out
    assert [c["name"] for c in read_split(tmp_path / "b")["categories"]] == ["dog"]


def test_links_instead_of_copies(source, tmp_path):
    assert run("import", "yolo", source, "--link", "--out", tmp_path / "out") == 0
    assert (tmp_path / "out" / "train" / "00.jpg").samefile(source / "images" / "00.jpg")


def test_full_disk(source, tmp_path, capsys, monkeypatch):
    copies = []

    copy = shutil.copyfile

    def copyfile(a, b):
        if len(copies) == 5:
            raise OSError(errno.ENOSPC, "No space left on device", str(b))
        copies.append(copy(a, b))

    monkeypatch.setattr("corrlight.datasets.writing.shutil.copyfile", copyfile)
    assert run("import", "yolo", source, "--out", tmp_path / "out") == 2
    assert capsys.readouterr().err.startswith("error: [Errno 28] No space left on device")
    assert len(copies) == 5
    assert os.listdir(tmp_path) == ["in"]


def test_ctrl_c(source, tmp_path, capsys, monkeypatch):
    def copyfile(a, b):
        raise KeyboardInterrupt

    monkeypatch.setattr("corrlight.datasets.writing.shutil.copyfile", copyfile)
    assert run("import", "yolo", source, "--out", tmp_path / "out") == 130
    assert capsys.readouterr().err == "Stopped; nothing was written.\n"
    assert os.listdir(tmp_path) == ["in"]


def test_an_existing_folder_is_refused_before_anything_is_read(tmp_path, capsys):
    write(tmp_path / "out" / "mine.txt", "x")
    assert run("import", "yolo", tmp_path, "--out", tmp_path / "out") == 2
    assert "Expected `--out` to be a new folder" in capsys.readouterr().err
    write(tmp_path / "file", "x")
    assert run("import", "yolo", tmp_path / "out", "--out", tmp_path / "file" / "x") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_many_broken_records_are_cut_short(tmp_path, capsys):
    picture(tmp_path / "in" / "a.jpg")
    write(tmp_path / "in" / "a.txt", "9 .5 .5 .5 .5\n" * 30)
    write(tmp_path / "in" / "classes.txt", "cat")
    assert run("import", "yolo", tmp_path / "in", "--out", tmp_path / "out") == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 22
    assert lines[20] == "and 10 more"
    assert "30 cannot (--skip-broken" in lines[21]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["import"], "required"),
        (["import", "voc", "SOURCE"], "--out"),
        (["import", "kitti", "SOURCE", "--out", "x"], "kitti"),
        (["import", "voc", "nowhere", "--out", "x"], "nowhere does not exist"),
        (["import", "yolo", "SOURCE", "--out", "x", "--val", "20"], "a share such as 0.2"),
        (["import", "yolo", "SOURCE", "--out", "x", "--val", ".5", "--test", ".5"], "leave"),
        (["import", "yolo", "SOURCE", "--out", "x", "--zero-based"], "voc alone"),
        (["import", "yolo", "SOURCE", "--out", "x", "--classes", "a,a"], "names that differ"),
        (["import", "yolo", "SOURCE", "--out", "x", "--splits", "fold=1"], "--splits"),
        (["import", "yolo", "SOURCE", "--out", "x", "--splits", "val=dev"], "has none"),
        (["import", "yolo", "SOURCE", "--out", "x", "--images", "nowhere"], "--images"),
        (["split", "SOURCE", "--out", "x"], "--val or --test"),
    ],
)
def test_unusable_options_are_one_line(source, arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*[str(source) if a == "SOURCE" else a for a in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert said in captured.err
    assert not (tmp_path / "x").exists()


def test_an_import_does_not_wait_for_torch(source, tmp_path):
    code = (
        "import sys\nfrom corrlight.cli import main\n"
        f"assert main(['data', 'import', 'yolo', {str(source)!r}, '--out', "
        f"{str(tmp_path / 'out')!r}]) == 0\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
