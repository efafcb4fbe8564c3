"""What a run prints at its end, and its figure."""

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
    print_metrics({"AP": 0.5})
    assert "run folder" not in capsys.readouterr().out


def test_figure_of_a_run_folder(tmp_path):
    folder = make_run(tmp_path, "demo", "0a", metrics={"AP": 0.5}, dots=50)
    path = write_figures(folder)
    assert path == folder / "figures" / "score_iou.png"
    with Image.open(path) as image:
        assert image.width > 500
