import os

import pytest

from corrlight.runs.fingerprint import data_fingerprint, file_stamp, picture_list

# Of "abc", from FIPS 180-2.
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "data"
    (root / "train" / "deep").mkdir(parents=True)
    (root / "train" / "a.jpg").write_bytes(b"abc")
    (root / "train" / "deep" / "b.PNG").write_bytes(b"abcd")
    (root / "train.json").write_text("abc")
    return root


def fingerprint(root):
    return data_fingerprint([root / "train.json"], [root / "train"])


def test_annotations_are_the_hash_of_their_bytes(folder):
    assert fingerprint(folder)["annotations 0"] == ABC


def test_the_order_of_splits_matters(folder):
    (folder / "val.json").write_text("other")
    files = [folder / "train.json", folder / "val.json"]
    assert data_fingerprint(files) != data_fingerprint(files[::-1])


def test_a_folder_that_moved_is_the_same_data(folder, tmp_path):
    before = fingerprint(folder)
    folder.rename(tmp_path / "elsewhere")
    assert fingerprint(tmp_path / "elsewhere") == before


def test_notes_and_hidden_files_are_no_pictures(folder):
    before = picture_list(folder / "train")
    for name in ("Thumbs.db", ".hidden.jpg", "notes.txt", "_annotations.coco.json"):
        (folder / "train" / name).write_text("x")
    assert picture_list(folder / "train") == before


@pytest.mark.parametrize("change", ["add", "remove", "grow", "rename"])
def test_pictures_that_change_are_other_data(folder, change):
    before = fingerprint(folder)
    picture = folder / "train" / "deep" / "b.PNG"
    if change == "add":
        (folder / "train" / "c.tiff").write_bytes(b"")
    elif change == "remove":
        picture.unlink()
    elif change == "grow":
        picture.write_bytes(b"abcde")
    else:
        picture.rename(picture.with_name("c.PNG"))
    assert fingerprint(folder) != before


def test_a_link_to_nothing_is_listed(folder):
    before = picture_list(folder / "train")
    (folder / "train" / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    assert picture_list(folder / "train") != before


def test_another_content_of_the_same_size_and_time_is_seen(folder):
    file = folder / "train.json"
    before, stamp, stat = fingerprint(folder), file_stamp(file), file.stat()
    file.write_text("abd")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert file.stat().st_mtime_ns == stat.st_mtime_ns
    assert file_stamp(file) != stamp
    assert fingerprint(folder) != before
