import xml.etree.ElementTree as ET

from corrlight.datasets.checking.check import check_set
from corrlight.datasets.checking.plots import draw_plots
from tests.datasets.checking.small_set import read_split, write_set, write_split


def test_plots_are_whole_drawings_and_the_same_again(tmp_path):
    root = write_set(tmp_path)
    data = read_split(root)
    data["categories"][0]["name"] = "$a_{<b>"
    write_split(root, "train", data)
    found = check_set([root])
    plots = draw_plots(found)
    assert list(plots) == ["classes", "sizes", "counts", "places"]
    for caption, svg in plots.values():
        assert caption.endswith(".")
        assert ET.fromstring(svg).tag.endswith("svg")
    assert draw_plots(found) == plots


def test_without_objects_there_are_none(tmp_path):
    root = write_set(tmp_path)
    for split in ("train", "val"):
        write_split(root, split, {**read_split(root, split), "annotations": []})
    assert draw_plots(check_set([root])) == {}
