"""Launchers from options, and the options that belong to them."""

import re

import pytest
from omegaconf import OmegaConf

from corrlight.config.compose import split_overrides
from corrlight.config.overrides import ConfigError
from corrlight.sweeps.launcher import compose_launcher, launcher_of
from corrlight.sweeps.local import SweepOptions
from corrlight.sweeps.slurm import SlurmOptions


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], SweepOptions()),
        (["launcher.jobs=3", "launcher.threads=2"], SweepOptions(jobs=3, threads=2)),
        (["launcher.jobs_per_gpu=2"], SweepOptions(jobs_per_gpu=2)),
        (
            ["launcher=slurm", "launcher.partition=gpu", "+launcher.additional.mail-type=END"],
            SlurmOptions(partition="gpu", setup=[], additional={"mail-type": "END"}),
        ),
    ],
)
def test_options_make_the_launcher_that_they_name(given, expected):
    assert launcher_of(compose_launcher(given)) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["launcher=slrum"], "Did you mean 'slurm'?"),
        (["launcher.job=3"], "Did you mean 'launcher.jobs'?"),
        (["launcher=slurm", "launcher.threads=2"], "Unknown option 'launcher.threads'"),
        (["launcher=slurm", "launcher.minutes=0"], "Expected `launcher.minutes`"),
        (["+launcher.colour=red"], "but got 'colour'"),
    ],
)
def test_wrong_options_name_what_was_expected(given, message):
    with pytest.raises(ValueError, match=re.escape(message)) as raised:
        launcher_of(compose_launcher(given))
    assert "\n" not in str(raised.value)


def test_a_launcher_of_another_kind_is_refused():
    with pytest.raises(ValueError, match=r"Expected `launcher\.kind` to be local or slurm"):
        launcher_of(OmegaConf.create({"kind": "moon"}))
    with pytest.raises(ConfigError):
        compose_launcher(["launcher=moon"])


def test_only_overrides_of_the_launcher_are_taken_out():
    own = ["seed=1", "hydra/launcher=corrlight", "name=launcher.jobs", "++corr.weight=0.3"]
    of_launcher = ["launcher=slurm", "launcher.jobs=2", "++launcher.cpus=1", "~launcher.qos"]
    mixed = [x for pair in zip(own, of_launcher, strict=True) for x in pair]
    assert split_overrides(mixed) == (of_launcher, own)
