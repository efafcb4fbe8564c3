import numpy as np
import pytest

from corrlight.coco.annotation_file.table import annotation_table
from corrlight.datasets.checking.masks import decoded_masks
from tests.datasets.checking.small_set import content, polygon


def table(change=lambda record: None, count=4):
    data = content(1, count)
    for record in data["annotations"]:
        record["segmentation"] = polygon(record["bbox"])
    change(data["annotations"][1])
    return annotation_table(data, keep_masks=True)


def test_sound_masks_have_no_problem():
    assert decoded_masks(table(), "train") == (12, [])


def test_more_than_a_byte_of_them():
    assert decoded_masks(table(count=100), "train") == (300, [])


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ([[0.1, 0.1, 0.4, 0.1, 0.4, 0.4]], "empty_mask"),
        (polygon([0, 40, 8, 8]), "mask_elsewhere"),
        ({"size": [48, 64], "counts": [48 * 64]}, "empty_mask"),
    ],
)
def test_masks_that_are_not_where_the_box_is(shape, kind):
    count, problems = decoded_masks(table(lambda r: r.update(segmentation=shape)), "train")
    assert count == 12
    assert [(p.kind, p.count) for p in problems] == [(kind, 1)]
    assert problems[0].examples[0].startswith("annotation 11: ")


def test_a_sample_is_said_to_be_one(tmp_path):
    import json

    from corrlight.coco.annotation_file.table import read_annotations

    data = content(1, 100)
    for record in data["annotations"]:
        record["segmentation"] = [[0.1, 0.1, 0.2, 0.1, 0.2, 0.2]]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(data))
    sampled = read_annotations(path, masks=True, sample_masks=100)
    assert int(np.sum([s is not None for s in sampled.segmentations])) == 75  # every fourth
    count, problems = decoded_masks(sampled, "train")
    assert count == 75
    assert "(of 75 decoded)" in problems[0].text


def test_without_masks_nothing_is_decoded():
    assert decoded_masks(annotation_table(content(1, 2), masks=True), "train") == (0, [])
