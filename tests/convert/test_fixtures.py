"""Weights of the published 2.18 models are converted there and back."""

import json

import pytest
import torch
from safetensors.torch import load_file

from corrlight.config.compose import config_dir
from corrlight.convert import convert_checkpoint
from tests.helpers.paths import fixtures_root
from tests.helpers.published_model import detector_of

pytestmark = pytest.mark.fixtures

FOLDERS = sorted(p.parent.name for p in fixtures_root().glob("*/weights.safetensors"))
# One of a kind: dense, of sets, with masks, in two stages.
QUICK = ("atss", "detr", "yolact", "faster_rcnn")


def test_every_folder_is_of_a_detector():
    files = {p.stem for p in (config_dir() / "detector").glob("*.yaml")}
    assert FOLDERS
    configs = (json.loads((fixtures_root() / f / "config.json").read_text()) for f in FOLDERS)
    assert {detector_of(config)[0] for config in configs} <= files


@pytest.mark.parametrize(
    "folder", [pytest.param(f, marks=[pytest.mark.slow] * (f not in QUICK)) for f in FOLDERS]
)
def test_weights_go_there_and_back(tmp_path, folder):
    config = json.loads((fixtures_root() / folder / "config.json").read_text())
    detector, overrides = detector_of(config)
    theirs = fixtures_root() / folder / "weights.safetensors"
    ours, back = tmp_path / "ours.ckpt", tmp_path / "back.safetensors"
    options = {"detector": detector, "overrides": overrides}
    for report in (
        convert_checkpoint(theirs, ours, **options),
        convert_checkpoint(ours, back, **options, to="mmdetection", version="2.x"),
    ):
        assert report.complete, [*report.lines()]
        assert not report.unmatched
    state, found = load_file(theirs), load_file(back)
    # The files leave out how many batches the normalisation has seen.
    found = {k: v for k, v in found.items() if not k.endswith("num_batches_tracked")}
    assert found.keys() == state.keys()
    assert all(torch.equal(found[k], state[k]) for k in state)
