import json

import numpy as np

from corrlight.metrics import Evaluation
from corrlight.metrics.errors.view import error_view, matrix_rows
from tests.metrics.errors.cases import case


def test_content_is_json_and_undefined_is_null():
    truth, results = case("odd")
    view = error_view(Evaluation.from_coco(truth, results), 0.5, 0.4)
    found = json.loads(json.dumps(view.content(), allow_nan=False))
    matrix = found["confusion_matrix"]
    assert matrix["counts"] == view.confusion.counts.tolist()
    assert (matrix["min_score"], matrix["min_iou"]) == (0.5, 0.4)
    curves = found["pr_curves"]["precision"]["0.75"]
    undefined = [column[0] is None for column in curves["by_class"]]
    with_objects = {a["category_id"] for a in truth["annotations"] if not a["iscrowd"]}
    assert undefined.count(False) == len(with_objects)
    assert None not in curves["mean"]


def test_columns_of_equal_names_are_told_apart():
    rows = matrix_rows(np.arange(16).reshape(4, 4), ["a", "missed", "a"])
    assert list(rows[0]) == ["object", "a", "missed (1)", "a (2)", "missed"]
    assert [row["object"] for row in rows] == ["a", "missed (1)", "a (2)", "background"]
    assert list(rows[3].values()) == ["background", 12, 13, 14, 15]
