"""Options to one configuration, or to one line that says which of them is wrong."""

import pytest
from omegaconf import OmegaConf

from corrlight.config.compose import compose_config, split_overrides


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("corr=concordanc", r"`corr` .* but got 'concordanc'. Did you mean 'concordance'\?"),
        ("corr.weigth=0.3", r"Unknown option 'corr.weigth'. Did you mean 'corr.weight'\?"),
        ("detector=ats", r"Expected `detector` .* but got 'ats'. Did you mean 'atss'\?"),
        ("trainer.max_epoch=3", r"'trainer.max_epoch'. Did you mean 'trainer.max_epochs'\?"),
        ("sede=3", r"Unknown option 'sede'. Did you mean 'seed'\?"),
        ("dtaa=coco", r"Unknown option 'dtaa'. Did you mean 'data'\?"),
        ("seed=a=b=[", r"Cannot read the override seed=a=b=\[: .*quotes within quotes"),
        ("schedule.lrr=1", r"Unknown option 'schedule.lrr'. Did you mean 'schedule.lr'\?"),
    ],
)  # fmt: skip
def test_a_misspelt_override_is_one_line_with_the_nearest_valid_one(override, message):
    with pytest.raises(ValueError, match=message) as caught:
        compose_config([override])
    assert "\n" not in str(caught.value)


def test_no_options_under_a_choice_that_is_none():
    with pytest.raises(ValueError, match=r"Expected no options under `corr`.*'corr.weight'"):
        compose_config(["corr=none", "corr.weight=0.2"])


def test_spellings_of_one_run_resolve_to_one_configuration():
    first = compose_config(["corr=concordance", "corr.weight=0.3"]).config
    second = compose_config(["corr.weight=0.30"]).config
    assert OmegaConf.to_container(first, resolve=True) == OmegaConf.to_container(
        second, resolve=True
    )


def test_overrides_of_the_launcher_are_no_part_of_a_run():
    given = ["launcher=slurm", "seed=1", "+launcher.setup=[a]", "launcher.jobs=2"]
    assert split_overrides(given) == ([given[0], given[2], given[3]], ["seed=1"])


def test_a_sweep_is_told_from_a_run():
    assert not compose_config([]).multirun
    assert compose_config(["hydra.mode=MULTIRUN"]).multirun
