"""Every tensor of the published full-size models, by the key lists of mmdetection 3.3.0."""

import json
from functools import cache
from pathlib import Path

import pytest

from corrlight.config.compose import config_dir
from corrlight.convert.expected import compose_detector, expected_detector
from corrlight.detectors.toolbox_names import from_toolbox_names, to_toolbox_names
from corrlight.engine.class_rows import class_rows
from tests.convert.checkpoints import declares_names
from tests.detectors.build import full_size

FOLDER = Path(__file__).parents[1] / "data" / "convert"
LISTS = sorted(p.stem for p in FOLDER.glob("*.json"))
# Files whose networks the toolbox does not have.
OURS = {"gflv2", "rs_rcnn", "rs_mask_rcnn"}


@cache
def read(name):
    content = json.loads((FOLDER / f"{name}.json").read_text())
    content["shapes"] = {k: tuple(v) for k, v in content["shapes"].items()}
    return content


@cache
def expected(name):
    published = read(name)
    config = compose_detector(published["detector"], published["overrides"])
    return expected_detector(config, 80)


def test_every_full_size_detector_has_a_list():
    files = {p.stem for p in (config_dir() / "detector").glob("*.yaml")}
    full = {n for n in files if not n.endswith("_small") and declares_names(n)}
    listed = {read(name)["detector"] for name in LISTS}
    # Variants of a detector with other losses share its network.
    assert all(any(name == f or name.startswith(f"{f}_") for f in listed) for name in full - OURS)
    assert listed <= full


@pytest.mark.parametrize("name", LISTS)
def test_every_tensor_has_its_place_and_shape(name):
    published, model = read(name)["shapes"], expected(name)
    ours = from_toolbox_names(published, model.rules)
    # Frozen normalisation does not count batches.
    counters = {k for k in ours if k.endswith("num_batches_tracked")} - model.shapes.keys()
    assert {k: v for k, v in ours.items() if k not in counters} == model.shapes
    assert to_toolbox_names(ours, model.rules) == published


@pytest.mark.parametrize("name", LISTS)
def test_as_many_parameters_as_published(name):
    published = read(name)
    model = full_size(published["detector"], *published["overrides"])
    assert sum(p.numel() for p in model.parameters()) == published["parameters"]


# Nine anchors a cell; three and background; background alone.
@pytest.mark.parametrize("name", ["retinanet", "yolact", "detr"])
def test_the_number_of_classes_is_read_from_the_shapes(name):
    config = compose_detector(name, [])
    rows = class_rows(*(expected_detector(config, n).shapes for n in (3, 4)))
    ours = from_toolbox_names(read(name)["shapes"], expected(name).rules)
    assert rows
    assert {rows[k].count(ours[k][0]) for k in rows} == {80}
