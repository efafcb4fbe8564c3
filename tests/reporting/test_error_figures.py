import numpy as np
import pytest

from corrlight.reporting.error_figures import (
    confusion_figure,
    error_types_figure,
    pr_classes_figure,
)

COSTS = {
    **{f"dAP_{t}": 0.1 for t in ("classification", "localisation", "both", "duplicate")},
    "dAP_background": 0.25,
    "dAP_missed": None,
    "dAP_false_positive": 0.3,
    "dAP_false_negative": -0.01,
}


def texts(figure):
    figure.canvas.draw()
    return [t.get_text() for axis in figure.axes for t in axis.texts]


def test_bars_are_times_100_and_undefined_is_a_dash():
    figure = error_types_figure({"a": COSTS, "b": {**COSTS, "dAP_background": 0.5}})
    assert texts(figure).count("-") == 2
    assert "25.0" in texts(figure)
    assert "-1.0" in texts(figure)
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    assert heights[4] == pytest.approx(25)
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["a", "b"]
    assert error_types_figure({"a": {}}) is None
    assert error_types_figure({"a": {f"mask_{k}": v for k, v in COSTS.items()}}, "mask_")


def test_a_matrix_has_counts_and_names():
    counts = np.array([[5, 1, 2], [0, 3, 0], [4, 0, 0]])
    figure = confusion_figure(counts, ["a$b$", "c"], "$t$")
    axis = figure.axes[0]
    assert sorted(texts(figure)) == sorted(["5", "1", "2", "3", "4"])
    assert [t.get_text() for t in axis.get_xticklabels()] == [r"a\$b\$", "c", "missed"]
    assert [t.get_text() for t in axis.get_yticklabels()] == [r"a\$b\$", "c", "background"]
    np.testing.assert_allclose(axis.images[0].get_array()[0], [5 / 8, 1 / 8, 2 / 8])


def test_of_many_classes_those_that_are_confused_most():
    counts = np.diag(np.arange(61))
    counts[50, 55] = 7
    figure = confusion_figure(counts, [f"n{k}" for k in range(60)])
    axis = figure.axes[0]
    assert axis.images[0].get_array().shape == (41, 41)
    assert {"n50", "n55"} <= {t.get_text() for t in axis.get_yticklabels()}
    assert axis.get_title() == "the 40 of 60 classes that are confused most"


def test_curves_of_every_class_and_their_mean():
    recall = np.linspace(0, 1, 101)
    curve = np.stack([1 - recall, np.full(101, 0.5), np.full(101, np.nan)], 1)
    curves = {"0.5": curve, "0.75": curve / 2, "mean": curve / 4}
    figure = pr_classes_figure(recall, {"x": curves, "y": curves}, ["a", "b", "none"])
    assert len(figure.axes) == 6
    lines = figure.axes[0].get_lines()
    assert [line.get_label() for line in lines] == ["a", "b", "mean of the classes"]
    np.testing.assert_allclose(lines[2].get_ydata(), (1 - recall + 0.5) / 2)
    assert figure.axes[0].get_title().endswith("IoU 0.5: AP 50.0")
    assert pr_classes_figure(recall, {"x": {"0.5": curve[:, 2:]}}, ["none"]) is None
