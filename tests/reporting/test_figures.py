"""Figure 2.2 from stored arrays."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from corrlight.reporting import ScoreIoU, plot_score_iou, read_score_iou, score_iou_figure


def _panel(count=50, name="run", **values):
    rng = np.random.default_rng(count)
    return ScoreIoU(
        scores=rng.random(count),
        best_ious=rng.random(count),
        labels=np.zeros(count, int),
        name=name,
        values=values,
    )


def _dots(axis):
    return axis.collections[0].get_offsets().data


def test_every_detection_is_a_dot_and_the_line_is_there():
    panel = _panel(200, beta_cls=0.4217, beta_img=None)
    axis = score_iou_figure([panel]).axes[0]
    expected = np.stack([panel.scores, panel.best_ious], 1)
    assert sorted(map(tuple, _dots(axis))) == sorted(map(tuple, expected))
    x, y = axis.lines[0].get_data()
    assert list(x) == list(y) == [0, 1]
    assert axis.get_title() == "run\nbeta_cls 42.2   beta_img -"


def test_panels_lie_side_by_side_without_overlap(tmp_path):
    panels = [_panel(50 + k, name=f"run {k}", beta_cls=0.4, beta_img=0.3, AP=0.5) for k in range(5)]
    figure = score_iou_figure(panels)
    figure.canvas.draw()
    shown = [axis for axis in figure.axes[:6] if axis.get_visible()]
    assert len(shown) == 5
    boxes = [axis.get_tightbbox() for axis in figure.axes if axis.get_visible()]
    overlaps = [a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[:k]]
    assert len(overlaps) == 15
    assert not any(overlaps)


def test_file_is_about_as_wide_as_a_readme(tmp_path):
    path = plot_score_iou([_panel(), _panel(60)], tmp_path / "figures" / "f.png", dpi=100)
    with Image.open(path) as image:
        assert 700 <= image.width <= 900
        assert len(image.convert("RGB").getcolors(1 << 20)) > 50


def test_nothing_detected():
    figure = score_iou_figure([_panel(0, name="empty", beta_cls=None)])
    assert [text.get_text() for text in figure.axes[0].texts] == ["no detections"]


def test_scores_of_one_and_constant_scores():
    panel = ScoreIoU(scores=np.ones(3), best_ious=np.zeros(3), labels=np.zeros(3), name="x")
    assert len(_dots(score_iou_figure([panel]).axes[0])) == 3


def test_long_names_are_cut():
    figure = score_iou_figure([_panel(name="many words " * 30, AP=0.1)] * 2)
    assert figure.axes[0].get_title().count("\n") == 2


def test_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = plot_score_iou([_panel()], tmp_path / "f.png")
    before = path.read_bytes()
    from matplotlib.figure import Figure

    def broken(self, path, **_):
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(Figure, "savefig", broken)
    with pytest.raises(OSError, match="No space"):
        plot_score_iou([_panel(70)], path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["f.png"]


def test_reads_what_the_run_folder_holds(tmp_path):
    panel = _panel(20)
    arrays = {"scores": panel.scores, "best_ious": panel.best_ious, "labels": panel.labels}
    np.savez_compressed(tmp_path / "score_iou.npz", **arrays)
    found = read_score_iou(tmp_path / "score_iou.npz", "a", {"AP": 0.5})
    np.testing.assert_array_equal(found.best_ious, panel.best_ious)
    assert (found.name, found.values) == ("a", {"AP": 0.5})
    np.savez(tmp_path / "part.npz", scores=panel.scores)
    with pytest.raises(ValueError, match="`best_ious`, `labels`"):
        read_score_iou(tmp_path / "part.npz")


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="`panels`"):
        score_iou_figure([])
    with pytest.raises(ValueError, match="but got 2, 1 and 2"):
        ScoreIoU(scores=np.zeros(2), best_ious=np.zeros(1), labels=np.zeros(2))


def test_reporting_imports_neither_torch_nor_matplotlib():
    code = (
        "import sys, corrlight.reporting, corrlight.reporting.compare;"
        "print(sorted({'torch', 'matplotlib', 'lightning', 'wandb'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
