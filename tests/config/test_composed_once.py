"""The memory of compositions that all tests share (tests/helpers) gives what Hydra gives."""

import pytest
from hydra import compose as hydras
from hydra import initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf

from corrlight.config import compose
from corrlight.config.compose import config_dir

GIVEN = [
    ["detector=tood_small", "data.num_classes=3", "seed=4", "corr.weight=0.3"],
    [
        "trainer=cpu", "paths.runs_dir=/a b", "data.train_transforms={}", "hydra.mode=RUN",
        "schedule.scheduler.milestones=[1,2]", "name='x,y'", "~callbacks.pictures",
        "corr.weight=${schedule.lr}", "+trainer.fast_dev_run=true", "data=coco",
    ],
]  # fmt: skip


@pytest.mark.parametrize("overrides", GIVEN, ids=len)
def test_a_remembered_composition_is_hydras(overrides):
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        expected = hydras("train", overrides, return_hydra_config=True)
        for _ in range(2):
            found = compose.compose("train", overrides, return_hydra_config=True)
            assert OmegaConf.to_container(found) == OmegaConf.to_container(expected)
            assert OmegaConf.is_struct(found)
            found.corr.weight = 7  # A copy: the next is as it was.


@pytest.mark.parametrize(
    "wrong", [["corr.weigth=1"], ["corr.weight=1,2"], ["corr=nothing", "seed=1"], ["data.x.y=1"]]
)
def test_hydra_says_what_is_wrong(wrong):
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        with pytest.raises(HydraException) as expected:
            hydras("train", wrong, return_hydra_config=True)
        with pytest.raises(HydraException) as found:
            compose.compose("train", wrong, return_hydra_config=True)
    assert str(found.value) == str(expected.value)
