import numpy as np
import pytest

from corrlight.coco.annotation_file.table import annotation_table
from corrlight.config.allowlist import instantiate
from corrlight.config.compose import compose_config
from corrlight.data.fitting.anchor_fit import anchor_shapes
from corrlight.datasets.checking.anchors import anchor_problem, detector_anchors
from tests.datasets.checking.small_set import content


@pytest.mark.parametrize("name", ["atss_small", "retinanet_small", "yolact_small"])
def test_anchors_are_those_of_the_built_detector(name):
    shapes, strides = detector_anchors(name)
    config = compose_config([f"detector={name}", "data=shapes"]).config
    config.data.num_classes = 2
    grid = instantiate(config.detector.net, ()).anchors
    expected = anchor_shapes(grid.strides, grid.sizes, grid.scales, grid.ratios)
    assert np.allclose(shapes, expected[0])
    assert np.allclose(strides, expected[1])


def test_what_the_options_leave_out_are_the_defaults_of_the_class():
    shapes, strides = detector_anchors("atss")
    assert strides.tolist() == [8, 16, 32, 64, 128]
    assert shapes[:, 0].tolist() == [64, 128, 256, 512, 1024]


def test_a_detector_without_anchors_has_no_problem():
    assert detector_anchors("detr") is None
    assert anchor_problem(annotation_table(content(1, 2)), "detr", None, "train") is None


def test_small_objects_are_a_warning_and_large_ones_are_not():
    data = content(1, 4)
    for record in data["annotations"]:
        record["bbox"] = [4, 6, 16, 16]
    table = annotation_table(data)
    small = anchor_problem(table, "atss_small", None, "train")
    assert (small.level, small.count) == ("warning", 12)
    assert "leaves 0%" in small.way_out
    assert anchor_problem(table, "atss_small", 128, "train").level == "note"


def test_where_anchors_do_not_help_larger_pictures_are_named():
    data = content(1, 4)
    for record in data["annotations"]:
        record["bbox"] = [4, 6, 5, 5]
    tiny = anchor_problem(annotation_table(data), "atss_small", None, "train")
    assert "leaves 100%. With data.size=128 as well it is 0%." in tiny.way_out
    given = anchor_problem(annotation_table(data), "atss_small", 32, "train")
    assert "data.size=64 as well it is 100%." in given.way_out
