"""Weights of the published 2.18 models go through the tables there and back."""

import pytest
import torch
from safetensors.torch import load_file

from corrlight import detectors
from corrlight.detectors.base import Detector
from corrlight.detectors.toolbox_names import from_toolbox_names, to_toolbox_names
from tests.helpers.paths import fixtures_root

pytestmark = pytest.mark.fixtures

TABLES = {
    name.lower(): getattr(detectors, name).toolbox_names
    for name in detectors.__all__
    if isinstance(getattr(detectors, name), type) and issubclass(getattr(detectors, name), Detector)
}
FOLDERS = sorted(p.parent.name for p in fixtures_root().glob("*/weights.safetensors"))


def test_there_is_a_folder_for_every_detector():
    assert {name.replace("_", "") for name in FOLDERS} == TABLES.keys()


@pytest.mark.parametrize("folder", FOLDERS)
def test_weights_go_there_and_back(folder):
    state = load_file(fixtures_root() / folder / "weights.safetensors")
    rules = TABLES[folder.replace("_", "")]
    ours = from_toolbox_names(state, rules)
    assert len(ours) == len(state)
    back = to_toolbox_names(ours, rules, "2.x")
    assert back.keys() == state.keys()
    assert all(torch.equal(back[k], state[k]) for k in state)
