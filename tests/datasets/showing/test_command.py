import pytest

from tests.datasets.checking.small_set import run, write_set


@pytest.fixture
def root(tmp_path):
    return write_set(tmp_path / "set")


def test_a_page_is_written(root, tmp_path, capsys):
    out = tmp_path / "new" / "page.html"
    assert run("show", root, "--out", out, "--limit", 2) == 0
    assert f"written  {out}" in capsys.readouterr().out
    page = out.read_text("utf-8")
    assert "train: 4 pictures, 12 objects" in page
    assert "http" not in page
    assert run("show", root, "--out", out, "--split", "val") == 0
    assert "train:" not in out.read_text("utf-8")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--limit", "0"], "`limit`"),
        (["--size", "5"], "`size`"),
        (["--seed", "-1"], "`seed`"),
        (["--split", "test"], "train, val"),
    ],
)
def test_wrong_usage_is_2_in_one_line(root, tmp_path, options, said, capsys):
    assert run("show", root, "--out", tmp_path / "x.html", *options) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert not (tmp_path / "x.html").exists()


def test_files_that_are_no_set_are_one_line(root, tmp_path, capsys):
    (root / "annotations" / "train.json").write_text("[]")
    assert run("show", root, "--out", tmp_path / "x.html") == 2
    assert run("show", root, "--out", tmp_path) == 2
    assert capsys.readouterr().err.count("\n") == 2


def test_stopped_leaves_an_older_page(root, tmp_path, monkeypatch):
    out = tmp_path / "page.html"
    out.write_text("older")

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("corrlight.datasets.showing.page.draw_view", stop)
    assert run("show", root, "--out", out) == 130
    assert out.read_text() == "older"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["page.html", "set"]
