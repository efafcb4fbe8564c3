import json

import numpy as np
import pytest

from corrlight.analysis import figures
from corrlight.analysis.command import main
from tests.metrics.coco_oracle import random_dataset

NAMES = ["5$ to 10$ notes", "\U0010fffd", "a class name of far too many letters", r"\frac{$x^2$"]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The figures of classes with odd names, as matplotlib's objects."""
    folder = tmp_path_factory.mktemp("figures")
    gt, dt = random_dataset(np.random.default_rng(4), 40, 4, ties=False, crowds=False)
    for category, name in zip(gt["categories"], NAMES, strict=True):
        category["name"] = name
    files = [folder / "gt.json", folder / "$a$.json", folder / "$b$.json"]
    for file, content in zip(files, (gt, dt, dt[::2]), strict=True):
        file.write_text(json.dumps(content))
    kept = {}
    patch = pytest.MonkeyPatch()
    save = figures.save_figure

    def keep(figure, into, name):
        save(figure, into, name)
        kept[name] = figure

    patch.setattr("corrlight.analysis.output.save_figure", keep)
    arguments = ["--gt", str(files[0]), "--dt", *map(str, files[1:]), "--out", str(folder / "out")]
    with patch.context():
        assert main(arguments) == 0
    patch.undo()
    kept["report"] = (folder / "out" / "report.html").read_text()
    kept["ids"] = [c["id"] for c in gt["categories"]]
    return kept


def test_class_names_are_letters_or_ids(drawn):
    (axis,) = drawn["beta_per_class"].axes
    shown = {label.get_text() for label in axis.get_yticklabels()}
    assert shown <= {
        r"5\$ to 10\$ notes",
        f"#{drawn['ids'][1]}",
        "a class name of far ..",
        r"\frac{\$x^2\$",
    }
    assert f"#{drawn['ids'][1]}" in shown
    assert "1 class names need a font that is not installed" in drawn["report"]


def test_labels_are_inside_of_the_picture(drawn):
    figure = drawn["beta_per_class"]
    width = figure.bbox.width
    for label in figure.axes[0].get_yticklabels():
        box = label.get_window_extent(figure.canvas.get_renderer())
        assert box.x0 >= 0
        assert box.x1 <= width


@pytest.mark.parametrize(("name", "axis"), [("ap_bounds", "x"), ("size_errors", "y")])
def test_ticks_are_times_100_as_the_labels_are(drawn, name, axis):
    axes = drawn[name].axes[0]
    ticks = getattr(axes, f"get_{axis}ticks")()
    formatter = getattr(axes, f"{axis}axis").get_major_formatter()
    assert [float(formatter(t, 0)) for t in ticks] == pytest.approx([100 * t for t in ticks])
    assert "times 100" in getattr(axes, f"get_{axis}label")()
