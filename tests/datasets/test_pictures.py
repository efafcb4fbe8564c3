"""Pictures are found by the names that other machines gave them."""

import pytest

from corrlight.datasets.pictures import PictureIndex, picture_frame, split_name, split_of_path, walk
from corrlight.datasets.records import Ledger, RecordError
from tests.datasets.pictures_on_disk import picture, write


def test_names_of_splits():
    names = ["train2017", "Valid", "validation", "TEST", "obj_train_data", "default", "trainval"]
    found = [split_name(n) for n in names]
    assert found == ["train", "val", "val", "test", "train", None, None]


def test_folders_name_splits(tmp_path):
    assert split_of_path(tmp_path / "images" / "val" / "a.jpg", tmp_path) == {"val"}
    assert split_of_path(tmp_path / "train.jpg", tmp_path) == set()


def test_the_longest_agreement_wins(tmp_path):
    for name in ("x/one/a.jpg", "y/one/a.jpg", "train/b.jpg", "val/b.jpg", "c.JPG"):
        picture(tmp_path / name)
    index = PictureIndex(tmp_path)
    assert index.find(r"C:\data\Y\one\A.jpg") == tmp_path / "y/one/a.jpg"
    assert index.find("b.jpg", split="val") == tmp_path / "val/b.jpg"
    assert index.find("b.jpg", near=tmp_path / "train" / "b.xml") == tmp_path / "train/b.jpg"
    assert index.find("c.jpg") == tmp_path / "c.JPG"
    with pytest.raises(RecordError, match="may be"):
        index.find("b.jpg")
    with pytest.raises(RecordError, match=r"no picture 'd\.jpg'"):
        index.find("d.jpg")


def test_walking_leaves_hidden_files_and_loops_out(tmp_path):
    for name in ("b/a.jpg", ".hidden/a.jpg", "b/._a.jpg", "__MACOSX/a.jpg"):
        picture(tmp_path / name)
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    picture(tmp_path.parent / f"{tmp_path.name}_other" / "c.jpg")
    (tmp_path / "linked").symlink_to(tmp_path.parent / f"{tmp_path.name}_other")
    names = [p.relative_to(tmp_path).as_posix() for p in walk(tmp_path)]
    assert names == ["b/a.jpg", "linked/c.jpg"]


def test_files_that_are_no_pictures(tmp_path):
    for path in (write(tmp_path / "a.jpg", "text"), tmp_path / "no.jpg"):
        with pytest.raises(RecordError, match=r"cannot be read \((it is no picture|no such file)"):
            picture_frame(path, None, Ledger())
