"""Pictures draw what was measured, and the thesis' numbers only where they can be compared."""

import json

import pytest

from corrlight.runs.folder import RunFolder
from experiments import table_2_1, table_5_5
from experiments.harness.bounds import bounds_picture
from experiments.harness.collection import Collected, read_results
from experiments.harness.picture import THESIS, standard_picture
from experiments.harness.thesis_numbers import records
from experiments.table_3_2 import TABLE as BOUNDS
from tests.experiments.harness.test_collection import TABLE, collected
from tests.reporting.folders import make_run


def marks(axis, thesis):
    """What is drawn on an axis in the colour of the thesis, or in ours: x and y of every line."""
    lines = [line for line in axis.lines if (line.get_color() == THESIS) == thesis]
    return [line.get_xydata().tolist() for line in lines if line.get_color() != "grey"]


def labels(figure):
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


@pytest.mark.parametrize("toy", [False, True])
def test_values_and_gains_of_the_rows(tmp_path, toy):
    figure = standard_picture(TABLE, collected(tmp_path, [0.4], [0.45], toy=toy))
    values, gains = figure.axes
    assert [point for line in marks(values, False) for point in line] == [[40, 0], [45, 1]]
    assert marks(gains, False) == [[[pytest.approx(5), 1]]]
    assert marks(gains, True) == [[[pytest.approx(1.1), 1]]]
    assert marks(values, True) == ([] if toy else [[[38.7, 0]], [[39.8, 1]]])
    assert labels(figure) == ["ours", "thesis (COCO)"]


def test_nothing_is_drawn_before_a_row_has_run(tmp_path):
    nothing = collected(tmp_path, [None], [None])
    assert standard_picture(TABLE, nothing) is None
    assert bounds_picture(TABLE, nothing) is None


@pytest.mark.parametrize("toy", [False, True])
def test_ap_lies_between_its_bounds(tmp_path, toy):
    first, second = BOUNDS.rows[:2]
    numbers = {"AP": 0.3, "AP50": 0.5, "beta_cls": 0.4}
    run = make_run(tmp_path, "first", "0", metrics=numbers)
    (run / "test").mkdir()
    tested = {**numbers, "AP_lower_cls": 0.2, "AP_upper_cls": 0.45}
    (run / "test" / "metrics.json").write_text(json.dumps(tested))
    results = {
        first.key: read_results(first, [RunFolder(run)]),
        second.key: read_results(second, [None]),
    }
    figure = bounds_picture(BOUNDS, Collected(results=results, toy=toy))
    bounds, betas = figure.axes
    assert marks(bounds, False) == [[[20, 0], [45, 0]], [[30, 0]]]
    assert marks(betas, False) == [[[40, 0]]]
    thesis = [[first.thesis["beta_cls"], 0.3], [second.thesis["beta_cls"], 1.3]]
    assert [point for line in marks(betas, True) for point in line] == ([] if toy else thesis)
    assert labels(figure) == (["ours"] if toy else ["ours", "thesis (COCO)"])


@pytest.mark.parametrize("server", [{}, {"sparse_rcnn_x101_dcn-spearman": {"AP": 0.45}}])
def test_the_published_methods_are_drawn_without_any_ap_of_other_data(tmp_path, server):
    row = table_5_5.TABLE.row("sparse_rcnn_x101_dcn-spearman")
    run = RunFolder(make_run(tmp_path, "run", "0", metrics={"AP": 0.123}))
    collected = Collected(results={row.key: read_results(row, [run])}, toy=True)
    figure = table_5_5.TABLE.draw.func(table_5_5.TABLE, collected, server=server)
    (axis,) = figure.axes
    published = [float(line["ap"]) for line in records("table_5_5")]
    assert [point[0] for (point,) in marks(axis, True)] == published
    assert [point[0] for (point,) in marks(axis, False)] == [45] * len(server)
    assert "constants from the thesis" in axis.get_xlabel()
    assert ("none of ours yet" in axis.get_xlabel()) == (not server)


def test_added_parameters_are_bars_with_their_counts(monkeypatch):
    counts = {"Using Aux Head": 2305}
    monkeypatch.setattr(table_2_1, "added_parameters", lambda method: counts.get(method, 0))
    figure = table_2_1.TABLE.draw(table_2_1.TABLE, Collected(results={}, toy=False))
    (axis,) = figure.axes
    assert [bar.get_width() for bar in axis.patches] == [2305, 0, 0, 0, 0]
    assert [text.get_text().strip() for text in axis.texts] == ["2,305", "0", "0", "0", "0"]
