import shutil

from PIL import Image

from corrlight.coco.annotation_file.table import read_annotations
from corrlight.datasets.checking.pictures import look_at_pictures, shared_pictures
from corrlight.datasets.checking.splits import find_splits
from tests.datasets.checking.small_set import read_split, write_set, write_split


def looked(root, decode=False):
    files, folders, problems = {}, {}, {}
    for split in find_splits([root])[0]:
        table = read_annotations(split.path)
        files[split.name], found = look_at_pictures(split, table, decode)
        folders[split.name] = split.folder
        problems |= {(split.name, p.kind): p for p in found}
    return files, folders, problems


def test_sound_pictures(tmp_path):
    files, folders, problems = looked(write_set(tmp_path))
    assert problems == {}
    assert files["train"].good() == [0, 1, 2, 3]
    assert shared_pictures(files, folders) == []


def test_the_way_out_of_missing_pictures(tmp_path):
    root = write_set(tmp_path)
    (root / "train" / "1.png").rename(root / "train" / "1.PNG")
    problem = looked(root)[2]["train", "missing_picture"]
    assert "there is 1.PNG" in problem.examples[0]
    assert "Capital" in problem.way_out
    shutil.move(root / "train", root / "elsewhere")
    (root / "train").mkdir()
    problem = looked(root)[2]["train", "missing_picture"]
    assert problem.count == 4
    assert "data.train_images=" in problem.way_out


def test_damage_in_the_middle_needs_decoding(tmp_path):
    root = write_set(tmp_path)
    path = root / "train" / "2.png"
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    path.write_bytes(data)
    assert ("train", "damaged_picture") not in looked(root)[2]
    assert looked(root, decode=True)[2]["train", "damaged_picture"].count == 1


def test_a_turned_picture_may_be_annotated_either_way(tmp_path):
    root = write_set(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (48, 64)).save(root / "train" / "1.png", exif=exif)
    assert ("train", "picture_size") not in looked(root)[2]


def test_pictures_in_both_splits_and_twice_in_one(tmp_path):
    root = write_set(tmp_path)
    shutil.copy(root / "train" / "2.png", root / "val" / "101.png")
    shutil.copy(root / "train" / "3.png", root / "train" / "4.png")
    files, folders, _ = looked(root)
    found = {(p.kind, p.where): p for p in shared_pictures(files, folders)}
    assert set(found) == {("shared_picture", "train and val"), ("repeated_picture", "train")}
    shared = found["shared_picture", "train and val"]
    assert shared.examples == ("train: 2.png = val: 101.png",)
    assert {p.level for p in found.values()} == {"warning"}


def test_pictures_that_no_file_lists_are_a_note(tmp_path):
    root = write_set(tmp_path)
    shutil.copy(root / "train" / "2.png", root / "train" / "new.png")
    problem = looked(root)[2]["train", "unlisted_picture"]
    assert (problem.level, problem.examples) == ("note", ("new.png",))


def test_names_outside_of_the_folder_are_not_opened(tmp_path):
    root = write_set(tmp_path)
    data = read_split(root)
    data["images"][0]["file_name"] = "../val/101.png"
    write_split(root, "train", data)
    files, _, problems = looked(root)
    assert files["train"].names == ["2.png", "3.png", "4.png"]
    assert set(problems) == {("train", "unlisted_picture")}
