"""Columns of typed records against those of plain objects: the same, or the same message."""

import json
from dataclasses import fields

import numpy as np
import pytest

from corrlight.coco import detections
from corrlight.coco.annotation_file.annotations import AnnotationList
from corrlight.coco.annotation_file.table import annotation_table, read_annotations
from corrlight.coco.results import Results
from corrlight.coco.typed_columns import ints_of
from corrlight.coco.values import found_at
from corrlight.metrics import GroundTruth
from tests.metrics.coco_oracle import random_dataset, with_masks

GT, DT = random_dataset(np.random.default_rng(1), 6, 3, ties=True, crowds=True)
TRUTH = GroundTruth.from_coco(GT)
BOX = [1, 2.5, 3, 4]

ODD = [
    *({"score": 1}, {"score": 10**30}, {"score": "1"}, {"score": None}, {"score": 10**400}),
    *({"image_id": 3.0}, {"image_id": True}, {"image_id": 10**30}, {"image_id": -7}),
    *({"category_id": 10**6}, {"category_id": 1.5}, {"category_id": None}),
    *({"bbox": [1, 2, 3]}, {"bbox": BOX * 2}, {"bbox": [0, 0, -1, 1]}, {"bbox": [0, 0, 0, 0]}),
    *({"bbox": BOX, "x": [{"y": 1}, {"y": 2}]}, {"bbox": None}, {"bbox": [0, 0, "1", 1]}),
    *({"segmentation": None}, {"segmentation": []}, {"segmentation": [[1, 1, 9, 1, 9, 9]]}),
    *({"id": 3, "area": 4, "iscrowd": 0}, {}),
]


def columns(table):
    """Every field of a dataclass, as text that tells 1, 1.0 and NaN apart."""
    with np.printoptions(threshold=10**6, precision=17):
        return {f.name: repr(getattr(table, f.name)) for f in fields(table)}


def outcome(read):
    try:
        return columns(read())
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("size", [1, 100, 1 << 18])
@pytest.mark.parametrize("odd", ODD, ids=str)
def test_detections(tmp_path, monkeypatch, odd, size):
    monkeypatch.setattr("corrlight.coco.json_pieces._SIZE", size)
    content = [d | (odd if i == len(DT) // 2 else {}) for i, d in enumerate(DT)]
    file = tmp_path / "dt.json"
    file.write_text(json.dumps(content))
    for masks in (False, None):
        plain = outcome(lambda masks=masks: Results.from_coco(content, TRUTH, masks))
        assert outcome(lambda masks=masks: Results.load(file, TRUTH, masks)) == plain


def test_good_detections_need_no_plain_objects(tmp_path, monkeypatch):
    file = tmp_path / "dt.json"
    file.write_text(json.dumps(DT))
    monkeypatch.setattr(detections, "Records", None)
    assert len(Results.load(file, TRUTH)) == len(DT)


@pytest.mark.parametrize("size", [1, 1 << 18])
@pytest.mark.parametrize(
    "odd",
    [
        *ODD,
        *({"iscrowd": v} for v in (1, 0.0, True, 2, -1, None)),
        *({"area": v} for v in (0, -3, "4", None, 10**400)),
        *({"id": v} for v in (10**30, "4", None)),
    ],
    ids=str,
)
def test_annotations(tmp_path, monkeypatch, odd, size):
    monkeypatch.setattr("corrlight.coco.json_pieces._SIZE", size)
    number = len(GT["annotations"]) // 2
    rows = [a | (odd if i == number else {}) for i, a in enumerate(GT["annotations"])]
    content = {**GT, "annotations": rows}
    file = tmp_path / "gt.json"
    file.write_text(json.dumps(content))
    ours, plain = columns(read_annotations(file)), columns(annotation_table(content))
    # Findings are equal but for their order, which is that of the pieces.
    assert (
        sorted(ours.pop("findings").split("Finding("))
        == sorted(plain.pop("findings").split("Finding("))
        or size == 1
    )
    assert ours == plain


RUNS = {"size": [480, 640], "counts": [480 * 640 - 9, 9]}
SHAPES = [
    *(None, [], {}, "", "text", 3, [[]], [[1, 1, 9, 1]], [[1, 1, 9, 1, 9, 9, 4]], [[1, 2, 3] * 2]),
    *(
        [[1, 1, 9, 1, 9, 9], [0.5] * 8],
        [[1, 1, 9, 1, 9, "9"]],
        [[1, 1, 9, 1, 9, 1e9]],
        [[True] * 6],
    ),
    *([[1, 1, 9, 1, 9, 9], None], RUNS, {**RUNS, "size": [480]}, {**RUNS, "counts": [1, 2]}),
    *({**RUNS, "counts": "00"}, {**RUNS, "counts": None}, {"size": [480, 640]}, {"counts": [9]}),
]


@pytest.mark.parametrize("size", [1, 1 << 18])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_masks(tmp_path, monkeypatch, shape, size):
    monkeypatch.setattr("corrlight.coco.json_pieces._SIZE", size)
    content = with_masks(GT, [], np.random.default_rng(0))[0]
    number = len(content["annotations"]) // 2
    content["annotations"][number]["segmentation"] = shape
    del content["annotations"][number - 1]["segmentation"]
    file = tmp_path / "gt.json"
    file.write_text(json.dumps(content))
    plain = annotation_table(content, keep_masks=True)
    ours = read_annotations(file, keep_masks=True)
    assert ours.segmentations == plain.segmentations
    np.testing.assert_array_equal(ours.masked, plain.masked)
    assert {f.kind: f for f in ours.findings} == {f.kind: f for f in plain.findings}


def test_sound_and_missing_masks_need_no_plain_objects(tmp_path, monkeypatch):
    content = with_masks(GT, [], np.random.default_rng(0))[0]
    content["annotations"][0]["segmentation"] = []
    file = tmp_path / "gt.json"
    file.write_text(json.dumps(content))
    monkeypatch.setattr(AnnotationList, "add", None)
    table = read_annotations(file, masks=True, sample_masks=3)
    assert table.masked.sum() == len(table) - 1
    assert 1 < sum(shape is not None for shape in table.segmentations) <= 3
    assert table.findings.count("no_mask") == 1


def test_too_large_ints_are_no_column():
    class Record:
        n = 1 << 63

    assert ints_of([Record()], "n") is None


@pytest.mark.parametrize("span", [20, 10_000])
def test_a_table_finds_what_a_search_finds(span):
    rng = np.random.default_rng(span)
    known = np.sort(rng.integers(-span, span, 30))  # some of them twice
    wanted = np.concatenate([known, rng.integers(-2 * span, 2 * span, 200), [2**62, -(2**62)]])
    first = {v: k for k, v in reversed(list(enumerate(known.tolist())))}
    expected = [first.get(v, -1) for v in wanted.tolist()]
    np.testing.assert_array_equal(found_at(known, wanted), expected)
