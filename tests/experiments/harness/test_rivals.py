"""Detectors of others: the backbone and the epochs that the thesis' table prints for them."""

import pytest

from corrlight.config.compose import compose_config
from experiments.harness.rivals import RIVALS
from experiments.harness.thesis_numbers import records
from experiments.table_5_5 import TABLE

# Not in the thesis' table; its settings are those of the other dense detectors.
_NOT_PRINTED = {"FCOS"}
_DEPTHS = {"ResNet-101-DCN": (101, 1), "ResNeXt-101-DCN": (101, 64)}


@pytest.mark.parametrize("setting", RIVALS, ids=lambda setting: setting.key)
def test_backbone_and_epochs_are_those_of_the_table(setting):
    method, backbone = setting.name.split(", ")
    config = compose_config([*setting.full, "backbone.weights=null"]).config
    depth, groups = _DEPTHS[backbone]
    assert (config.backbone.depth, config.backbone.get("groups", 1)) == (depth, groups)
    assert config.backbone.deformable_groups > 0
    if method in _NOT_PRINTED:
        return
    # With a plus the authors' own extensions of RS-Mask R-CNN, which are not ours.
    (line,) = (r for r in records("table_5_5") if r["method"].rstrip("+") == method)
    assert line["backbone"] == backbone
    assert str(config.schedule.max_epochs) == line["epochs"]


def test_every_rival_has_a_row_without_and_one_with_the_loss():
    rows = {row.key: row for row in TABLE.rows}
    for setting in RIVALS:
        base, other = rows[f"{setting.key}-none"], rows[f"{setting.key}-concordance"]
        assert other.baseline == base.key
        assert other.weight == 0.2
        assert not other.published
