import pytest

from corrlight.data.fitting.layout import Layout, complete_layout, find_layout


def touch(root, *files):
    for file in files:
        path = root / file
        if file.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{}")


@pytest.mark.parametrize(
    ("files", "train", "val"),
    [
        (
            ("annotations/train.json", "annotations/val.json", "train/", "val/"),
            Layout("train", "annotations/train.json"),
            Layout("val", "annotations/val.json"),
        ),
        (
            ("train/_annotations.coco.json", "valid/_annotations.coco.json"),
            Layout("train", "train/_annotations.coco.json"),
            Layout("valid", "valid/_annotations.coco.json"),
        ),
        (
            ("annotations/train.json", "annotations/val.json", "images/train/", "images/val/"),
            Layout("images/train", "annotations/train.json"),
            Layout("images/val", "annotations/val.json"),
        ),
        (
            (
                "annotations/instances_train2017.json", "annotations/instances_val2017.json",
                "train2017/", "val2017/",
            ),
            Layout("train2017", "annotations/instances_train2017.json"),
            Layout("val2017", "annotations/instances_val2017.json"),
        ),
        (
            ("train.json", "val.json", "images/"),
            Layout("images", "train.json"),
            Layout("images", "val.json"),
        ),
    ],
)  # fmt: skip
def test_layouts_of_other_tools_are_found(tmp_path, files, train, val):
    touch(tmp_path, *files)
    assert find_layout(tmp_path, "train") == train
    assert find_layout(tmp_path, "val") == val


def test_nothing_found_is_our_layout(tmp_path):
    assert find_layout(tmp_path, "val") == Layout("val", "annotations/val.json")


def test_two_candidates_are_refused(tmp_path):
    touch(tmp_path, "annotations/train.json", "train/_annotations.coco.json")
    with pytest.raises(ValueError, match=r"one annotation file of the train pictures.*data\.train"):
        find_layout(tmp_path, "train")


def test_what_is_given_wins(tmp_path):
    touch(tmp_path, "annotations/train.json", "mine.json", "train/", "images/train/")
    assert complete_layout(tmp_path, "train", annotations="mine.json") == Layout(
        "train", "mine.json"
    )
    assert complete_layout(tmp_path, "train", images="photos") == Layout(
        "photos", "annotations/train.json"
    )
    assert complete_layout(tmp_path, "train", "a", "b") == Layout("a", "b")
