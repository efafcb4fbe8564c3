import shutil

import pytest

from corrlight.datasets.checking.splits import find_splits, folder_for
from tests.datasets.checking.small_set import write_set


def test_splits_of_our_layout(tmp_path):
    root = write_set(tmp_path / "set")
    splits, problems = find_splits([root])
    assert [(s.name, s.folder) for s in splits] == [
        ("train", root / "train"),
        ("val", root / "val"),
    ]
    assert problems == []
    shutil.copy(root / "annotations" / "val.json", root / "annotations" / "test.json")
    (root / "test").mkdir()
    assert [s.name for s in find_splits([root])[0]] == ["train", "val", "test"]


def test_roboflow_and_several_files(tmp_path):
    root = write_set(tmp_path / "set")
    for split, theirs in (("train", "train"), ("val", "valid")):
        (root / split).rename(root / theirs)
        file = root / "annotations" / f"{split}.json"
        file.rename(root / theirs / "_annotations.coco.json")
    splits, problems = find_splits([root])
    assert [(s.name, s.folder.name) for s in splits] == [("train", "train"), ("val", "valid")]
    assert problems == []
    files = [split.path for split in splits]
    assert [s.name for s in find_splits(files)[0]] == ["train", "valid"]
    same = find_splits([files[0], files[0]])[0]
    assert [s.name for s in same] == [str(files[0])] * 2


def test_two_files_that_may_be_meant_are_a_problem(tmp_path):
    root = write_set(tmp_path / "set")
    file = root / "annotations" / "train.json"
    shutil.copy(file, root / "annotations" / "instances_train.json")
    splits, problems = find_splits([root])
    assert [s.name for s in splits] == ["val"]
    assert [(p.kind, p.level, p.where) for p in problems] == [("layout", "error", "train")]


@pytest.mark.parametrize(
    ("file", "said"),
    [("Annotations/1.xml", "import voc"), ("data.yaml", "import yolo"), ("x.txt", "import makes")],
)
def test_other_formats_are_imported_first(tmp_path, file, said):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("")
    with pytest.raises(ValueError, match=said):
        find_splits([tmp_path])
    with pytest.raises(ValueError, match="a folder or an annotation file"):
        find_splits([tmp_path / "none"])


def test_the_folder_of_a_file_is_where_its_first_picture_is(tmp_path):
    root = write_set(tmp_path / "set")
    file = root / "annotations" / "train.json"
    assert folder_for(file, ["1.png"]) == root / "train"
    assert folder_for(file, ["none.png"]) is None
    assert folder_for(file, []) is None
    moved = root / "train" / "labels.json"
    file.rename(moved)
    assert folder_for(moved, ["1.png"]) == root / "train"
