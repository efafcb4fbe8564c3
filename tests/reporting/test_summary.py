"""What a run prints at its end, and its figure."""

import json

from PIL import Image

from corrlight.reporting.summary import print_metrics, write_figures
from tests.reporting.folders import make_run


def test_final_table_names_the_folder_as_it_is(tmp_path, capsys):
    folder = tmp_path / "runs" / "a[b]"
    print_metrics({"AP": 0.2061, "beta_cls": None, "num_images": 4}, folder)
    out = capsys.readouterr().out
    assert "20.6" in out
    assert "a[b]" in out


def test_final_table_without_folder(capsys):
    print_metrics({"AP": 0.5, "dAP_missed": 0.0316})
    out = capsys.readouterr().out
    assert "run folder" not in out
    assert "dAP_missed" in out
    assert "3.2" in out


def test_figure_of_a_run_folder(tmp_path):
    folder = make_run(tmp_path, "demo", "0a", metrics={"AP": 0.5}, dots=50)
    path = write_figures(folder)
    assert path == folder / "figures" / "score_iou.png"
    with Image.open(path) as image:
        assert image.width > 500


def test_figures_of_a_run_that_measures_types_of_errors(tmp_path):
    """Objects a and b; one is missed, one taken for the other; class c has no objects."""
    folder = make_run(tmp_path, "demo", "0a", metrics={"dAP_classification": 0.1}, dots=9)
    curve = [1.0] * 51 + [0.0] * 50
    content = {
        "confusion_matrix": {
            "rows": ["a", "b", "c", "background"],
            "columns": ["a", "b", "c", "missed"],
            "counts": [[2, 1, 0, 0], [0, 3, 0, 1], [0, 0, 0, 0], [0, 0, 1, 0]],
            "min_score": 0.25,
            "min_iou": 0.5,
            "num_ignored": 0,
        },
        "pr_curves": {
            "classes": ["a", "b", "c"],
            "recall": [k / 100 for k in range(101)],
            "precision": {"0.5": {"mean": curve, "by_class": [curve, curve, [None] * 101]}},
        },
    }
    errors = {"costs": {"dAP_missed": 0.2}, "boxes": content, "masks": content}
    (folder / "errors.json").write_text(json.dumps(errors))
    write_figures(folder)
    drawn = {path.stem for path in (folder / "figures").iterdir()}
    of_both = {"confusion_matrix", "pr_classes"}
    of_masks = {f"mask_{name}" for name in of_both}
    assert drawn == {"score_iou", "error_types"} | of_both | of_masks
    assert not {p.name for p in (folder / "figures").iterdir() if p.name.startswith(".")}
