import shutil

import pytest

from corrlight.datasets.checking.check import check_set
from corrlight.datasets.checking.mended_set import mend_set, write_mended
from corrlight.datasets.checking.splits import find_splits
from corrlight.datasets.records import Ledger
from tests.datasets.checking.broken.broken_sets import CASES
from tests.datasets.checking.small_set import read_split, write_set, write_split

# Nothing is there to be mended, or what is missing is a decision of the user.
BEYOND = {
    "file_is_a_list", "no_images", "no_annotations", "no_categories", "images_by_name",
    "no_classes", "cut_file", "no_objects", "no_pictures", "no_validation", "annotations_null",
    "empty_file", "utf_16", "images_twice", "crowds_alone",
}  # fmt: skip


def fixed(root, out):
    ledger = Ledger()
    splits = mend_set(find_splits([root])[0], ledger)
    write_mended(splits, out, False, lambda: None)
    return ledger


@pytest.mark.parametrize("case", [c for c in CASES if c.name not in BEYOND], ids=lambda c: c.name)
def test_a_mended_set_has_no_error_and_the_change_is_said(case, tmp_path):
    root = write_set(tmp_path / "set")
    if case.damage is not None:
        data = read_split(root)
        changed = case.damage(data)
        write_split(root, "train", data if changed is None else changed)
    if case.files is not None:
        case.files(root)
    ledger = fixed(root, tmp_path / "out")
    found = check_set([tmp_path / "out"])
    assert found.count("error") == 0, found.problems
    assert found.statistics["train"].num_objects > 0
    assert ledger.left_out or ledger.changed or case.kind == "no_mask"


def test_a_sound_set_stays_as_it_is(tmp_path):
    root = write_set(tmp_path / "set")
    data = read_split(root)
    data["info"] = {"year": 2020}
    data["images"][0]["license"] = 3
    write_split(root, "train", data)
    ledger = fixed(root, tmp_path / "out")
    assert not ledger.left_out
    assert not ledger.changed
    for split in ("train", "val"):
        assert read_split(tmp_path / "out", split) == read_split(root, split)
        for path in (root / split).iterdir():
            assert (tmp_path / "out" / split / path.name).read_bytes() == path.read_bytes()


def test_pictures_of_both_stay_where_they_are_measured(tmp_path):
    root = write_set(tmp_path / "set")
    shutil.copy(root / "val" / "101.png", root / "train" / "2.png")
    ledger = fixed(root, tmp_path / "out")
    assert [i["id"] for i in read_split(tmp_path / "out")["images"]] == [1, 3, 4]
    assert {a["image_id"] for a in read_split(tmp_path / "out")["annotations"]} == {1, 3, 4}
    assert len(read_split(tmp_path / "out", "val")["images"]) == 2
    assert list(ledger.left_out) == ["pictures of train that another split has as well"]


def test_classes_are_joined_by_name(tmp_path):
    root = write_set(tmp_path / "set")
    data = read_split(root, "val")
    data["categories"] = [{"id": 1, "name": "dog"}, {"id": 2, "name": "owl"}]
    write_split(root, "val", data)
    fixed(root, tmp_path / "out")
    train, val = (read_split(tmp_path / "out", split) for split in ("train", "val"))
    assert train["categories"] == val["categories"]
    assert [(c["id"], c["name"]) for c in val["categories"]] == [(1, "cat"), (2, "dog"), (3, "owl")]
    assert [a["category_id"] for a in val["annotations"]] == [2, 3, 2, 2, 3, 2]
