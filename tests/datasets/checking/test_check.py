import json
import shutil

from corrlight.datasets.checking import check
from corrlight.datasets.checking.check import check_set
from tests.datasets.checking.small_set import polygon, read_split, write_set, write_split


def kinds(found):
    return {(p.kind, p.where) for p in found.problems}


def test_problems_of_all_splits_come_in_one_pass(tmp_path):
    root = write_set(tmp_path / "set")
    for split in ("train", "val"):
        data = read_split(root, split)
        data["annotations"][0]["bbox"] = [1, 2, -3, 4]
        data["annotations"][1]["image_id"] = 999
        write_split(root, split, data)
    (root / "val" / "101.png").unlink()
    found = check_set([root])
    assert kinds(found) >= {
        ("negative_box", "train"), ("negative_box", "val"), ("unknown_image_id", "train"),
        ("unknown_image_id", "val"), ("missing_picture", "val"),
    }  # fmt: skip
    assert found.count("error") == 5
    levels = [p.level for p in found.problems]
    assert levels == sorted(levels, key=("error", "warning", "note").index)


def test_a_file_alone_finds_its_pictures_or_says_it_did_not(tmp_path):
    root = write_set(tmp_path / "set")
    file = root / "annotations" / "train.json"
    assert check_set([file]).files["train"].names == ["1.png", "2.png", "3.png", "4.png"]
    alone = tmp_path / "alone.json"
    shutil.copy(file, alone)
    assert ("pictures_unseen", "alone") in kinds(check_set([alone]))
    assert check_set([alone], images=root / "train").files["alone"].faults == []


def test_masks_of_large_sets_are_decoded_in_part(tmp_path, monkeypatch):
    monkeypatch.setattr(check, "_SAMPLED_MASKS", 5)
    root = write_set(tmp_path / "set")
    data = read_split(root)
    for record in data["annotations"]:
        record["segmentation"] = polygon(record["bbox"])
    write_split(root, "train", data)
    assert check_set([root]).decoded == {"train": 3, "val": 0}
    assert check_set([root], decode=True).decoded == {"train": 12, "val": 0}


def test_a_split_that_cannot_be_read_leaves_the_others(tmp_path):
    root = write_set(tmp_path / "set")
    (root / "annotations" / "train.json").write_text(json.dumps([1, 2]))
    found = check_set([root])
    assert set(found.tables) == {"val"}
    assert ("no_coco", "train") in kinds(found)
