from types import SimpleNamespace

import numpy as np
import pytest

from corrlight.metrics.errors.metric import ErrorTypes
from corrlight.metrics.errors.view import error_view
from corrlight.metrics.evaluation import Evaluation
from corrlight.runs.folder import RunFolder
from corrlight.runs.results import rounded_seconds, write_results
from tests.metrics.coco_oracle import by_hand


@pytest.fixture
def result():
    points = SimpleNamespace(
        scores=np.array([0.5, 0.25]), ious=np.array([0.75, 0.0]), labels=np.array([1, 0])
    )
    return SimpleNamespace(
        metrics={"AP": 0.5, "beta_cls": None},
        per_class=[{"category_id": 3, "AP": None}],
        detections=[{"image_id": 1, "score": 0.5}],
        score_iou=points,
        errors=None,
    )


def test_files_hold_what_was_measured(tmp_path, result):
    folder = RunFolder(tmp_path)
    write_results(folder, result, {"num_epochs": 3})
    assert folder.read_json("metrics.json") == {"AP": 0.5, "beta_cls": None, "num_epochs": 3}
    assert folder.read_json("detections.json") == result.detections
    assert folder.read_csv("per_class.csv") == [{"category_id": "3", "AP": ""}]
    with np.load(tmp_path / "score_iou.npz") as points:
        assert points["best_ious"].tolist() == [0.75, 0.0]
        assert set(points.files) == {"scores", "best_ious", "labels"}


def test_errors_of_boxes_and_masks(tmp_path, result):
    boxes, masks = (Evaluation.from_coco(*by_hand()) for _ in range(2))
    views = {"boxes": error_view(boxes), "masks": error_view(masks)}
    result.errors = lambda: (ErrorTypes()(boxes).values, views)
    folder = RunFolder(tmp_path)
    write_results(folder, result)
    content = folder.read_json("errors.json")
    assert content["costs"]["num_errors_background"] == 1
    assert content["masks"]["confusion_matrix"]["counts"] == [[2, 0, 0], [0, 0, 0], [1, 0, 0]]
    rows = folder.read_csv("confusion_matrix.csv")
    assert [(row["measured"], row["object"], row["a"]) for row in rows] == [
        (what, name, count)
        for what in ("boxes", "masks")
        for name, count in (("a", "2"), ("b", "0"), ("background", "1"))
    ]


def test_without_objects_there_are_no_errors(tmp_path, result):
    write_results(RunFolder(tmp_path), result)
    assert not (tmp_path / "errors.json").exists()


def test_a_failure_on_the_way_leaves_no_finished_run(tmp_path, result):
    result.score_iou.scores = "not an array", object()
    result.per_class = [{"category_id": 3}, 7]
    with pytest.raises((TypeError, AttributeError)):
        write_results(RunFolder(tmp_path), result)
    assert not RunFolder(tmp_path).finished


def test_seconds_have_a_total():
    assert rounded_seconds({"a": 1.00004, "b": 2.0}) == {"a": 1.0, "b": 2.0, "total": 3.0}
