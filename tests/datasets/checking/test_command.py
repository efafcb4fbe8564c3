import errno
import json
import shutil
from pathlib import Path

import pytest

from tests.datasets.checking.small_set import read_split, run, write_set, write_split


@pytest.fixture
def root(tmp_path):
    return write_set(tmp_path / "set")


def broken(root):
    data = read_split(root)
    data["annotations"][0]["bbox"] = [1, 2, -3, 4]
    write_split(root, "train", data)
    return root


def test_exit_codes(root, tmp_path, capsys):
    assert run("check", root) == 0
    assert "0 warnings" not in capsys.readouterr().err
    assert run("check", broken(root)) == 1
    assert "1 annotation with a bbox of negative size" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--detector", "atts_small"], "atss_small"),
        (["--examples", "-1"], "`examples`"),
        (["--size", "0"], "`size`"),
        (["--images", "none"], "`--images`"),
        (["--link"], "--fix"),
        (["--what"], "--what"),
    ],
)
def test_wrong_usage_is_2_in_one_line(root, options, said, capsys):
    assert run("check", root, *options) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1


def test_no_set_is_2(tmp_path, capsys):
    assert run("check", tmp_path / "none") == 2
    assert run("check", tmp_path) == 2
    assert capsys.readouterr().err.count("\n") == 2


def test_fix_writes_a_copy_that_has_no_error_and_leaves_the_source(root, tmp_path, capsys):
    broken(root)
    before = {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
    assert run("check", root, "--fix", tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert "left out 1 annotations without a box in their image (train: annotation 10)" in said
    assert run("check", tmp_path / "out") == 0
    assert len(read_split(tmp_path / "out")["annotations"]) == 11
    assert before == {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
    assert run("check", root, "--fix", tmp_path / "out") == 2


def test_what_fix_cannot_mend_is_said(root, tmp_path, capsys):
    (root / "annotations" / "val.json").unlink()
    assert run("check", root, "--fix", tmp_path / "out", "--link") == 1
    assert "no annotation file of the val pictures" in capsys.readouterr().out.split("written")[1]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_a_copy_that_stops_leaves_nothing(root, tmp_path, error, monkeypatch, capsys):
    copy, done = shutil.copyfile, []

    def some(source, target):
        if len(done) == 3:
            raise error
        done.append(copy(source, target))

    monkeypatch.setattr(shutil, "copyfile", some)
    code = 130 if isinstance(error, KeyboardInterrupt) else 2
    assert run("check", root, "--fix", tmp_path / "out") == code
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def test_a_report_is_one_page_or_nothing(root, tmp_path, monkeypatch, capsys):
    page = tmp_path / "report.html"
    assert run("check", root, "--report", page) == 0
    assert page.read_text("utf-8").startswith("<!DOCTYPE html>")
    assert run("check", root, "--report", tmp_path) == 2
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    assert run("check", root, "--report", tmp_path / "other.html") == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "set"]


def test_files_of_one_name_are_not_fixed(root, tmp_path, capsys):
    file = root / "annotations" / "train.json"
    other = tmp_path / "b" / "train.json"
    other.parent.mkdir()
    other.write_text(json.dumps(read_split(root)))
    assert run("check", file, other, "--fix", tmp_path / "out", "--images", root / "train") == 2
    assert "different names" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
