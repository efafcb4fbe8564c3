from itertools import groupby

import numpy as np
import pytest
from PIL import Image

from corrlight.datasets.checking.mending import (
    mend_annotations,
    mend_categories,
    mend_images,
    whole_id,
)
from corrlight.datasets.records import Ledger
from tests.datasets.checking.small_set import BOXES, HEIGHT, WIDTH, content, polygon, write_set


@pytest.mark.parametrize(
    ("value", "identity"),
    [
        (7, 7),
        ("007", 7),
        (7.0, 7),
        (1 << 63, None),
        ("9" * 5000, None),
        (True, None),
        ("x", None),
        (None, None),
        (1.5, None),
        ("", None),
    ],
)
def test_ids(value, identity):
    assert whole_id(value) == identity


def test_categories_of_one_name_are_one():
    ledger = Ledger()
    given = [{"id": "1", "name": "cat"}, {"id": 5, "name": "cat"}, {"id": 7}, {"name": "x"}, 3]
    found = mend_categories(given, "train", ledger)
    assert {k: (r["id"], r["name"]) for k, r in found.items()} == {
        1: (1, "cat"),
        5: (1, "cat"),
        7: (7, "class 7"),
    }
    assert {k: t.count for k, t in ledger.left_out.items()} == {"categories without an id": 2}


def test_images_take_size_and_letters_from_the_files(tmp_path):
    root = write_set(tmp_path)
    Image.new("RGB", (20, 40)).save(root / "train" / "turned.png")
    images = content(1, 4)["images"]
    images[0]["file_name"] = "1.PNG"
    images[1] |= {"width": None}
    images[2] |= {"width": 10, "height": 10}
    images[3] |= {"file_name": "turned.png", "width": 40, "height": 20}
    ledger = Ledger()
    found, paths = mend_images(images, root / "train", "train", ledger)
    assert {k: (r["file_name"], r["width"], r["height"]) for k, r in found.items()} == {
        1: ("1.png", WIDTH, HEIGHT),
        2: ("2.png", WIDTH, HEIGHT),
        4: ("turned.png", 20, 40),
    }
    assert paths[1] == root / "train" / "1.png"
    assert list(ledger.left_out) == ["images whose picture has another size"]
    assert len(ledger.changed) == 3


def mended(change):
    data = content(1, 4)
    change(data["annotations"])
    ledger = Ledger()
    images = {record["id"]: record for record in data["images"]}
    categories = {record["id"]: record for record in data["categories"]}
    found = mend_annotations(data["annotations"], images, categories, "train", ledger)
    return found, ledger


@pytest.mark.parametrize(
    "write",
    [
        lambda x, y, w, h: [x / WIDTH, y / HEIGHT, w / WIDTH, h / HEIGHT],
        lambda x, y, w, h: [x, y, x + w, y + h],
        lambda x, y, w, h: [x + w / 2, y + h / 2, w, h],
    ],
    ids=["fractions", "corners", "centres"],
)
def test_boxes_in_another_notation_become_those_they_were(write):
    def change(records):
        for record in records:
            record["bbox"] = write(*record["bbox"])

    found, ledger = mended(change)
    assert np.allclose([r["bbox"] for r in found], BOXES * 4)
    assert np.allclose([r["area"] for r in found], [w * h for _, _, w, h in BOXES] * 4)
    assert not ledger.left_out


def test_some_odd_boxes_do_not_turn_the_others():
    found, ledger = mended(lambda records: records[0].update(bbox=[50, 6, 30, 12]))
    assert found[0]["bbox"] == [50, 6, WIDTH - 50, 12]
    assert [r["bbox"] for r in found[1:4]] == [list(b) for b in (*BOXES[1:], BOXES[0])]
    assert list(ledger.changed) == ["boxes cut at the border of the picture"]


def test_a_missing_box_is_that_of_the_mask_and_an_area_its_pixels():
    def change(records):
        records[0]["segmentation"] = polygon(records[0].pop("bbox"))
        del records[2]["bbox"], records[3]["bbox"]
        records[3]["segmentation"] = [[5.25, 6.5, 15.75, 6.5, 15.75, 14.75]]
        rows = [0] * (HEIGHT * WIDTH)
        for column in range(7, 12):
            rows[column * HEIGHT + 5 : column * HEIGHT + 9] = [1] * 4
        lengths = [len(list(run)) for _, run in groupby(rows)]
        records[2]["segmentation"] = {"size": [HEIGHT, WIDTH], "counts": lengths}
        records[1].update(segmentation=[[30, 20, 58, 20, 30, 42]], area=None)

    found, ledger = mended(change)
    assert found[0]["bbox"] == list(BOXES[0])
    assert found[2]["bbox"] == [7, 5, 5, 4]
    assert found[3]["bbox"] == [5.25, 6.5, 10.5, 8.25]  # not in whole pixels
    assert ledger.changed["missing boxes taken from the mask"].count == 3
    assert found[1]["area"] == pytest.approx(28 * 22 / 2, rel=0.1)


def test_what_is_sound_stays_as_it_is():
    found, ledger = mended(lambda records: None)
    assert found == content(1, 4)["annotations"]
    assert not ledger.left_out
    assert not ledger.changed
