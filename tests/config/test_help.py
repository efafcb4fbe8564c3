"""What `run.py --help` shows."""

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from corrlight.config.compose import compose_config, config_dir
from corrlight.config.help import help_text
from corrlight.config.overrides import ConfigError


def test_groups_choices_and_values_are_those_that_hydra_knows(tmp_path):
    (tmp_path / "corr").mkdir()
    (tmp_path / "corr" / "mine.yaml").write_text("{}")
    (tmp_path / "notes.yaml").write_text("{}")
    overrides = [f"hydra.searchpath=[file://{tmp_path}]"]
    text = help_text([*overrides, "corr=concordance", "seed=7"])
    lines = text.partition("(group=option)\n\n")[2].partition("\n\n")[0].splitlines()
    listed = {name: choices.split(", ") for name, choices in (line.split(": ") for line in lines)}
    assert {"detector/two_stage", "corr"} <= set(listed)
    assert "mine" in listed["corr"]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        loader = GlobalHydra.instance().hydra.config_loader
        names = set(loader.list_groups(""))
        for name, choices in listed.items():
            known = loader.get_group_options(name, config_name="train", overrides=overrides)
            assert choices == sorted(known)
    assert {name.partition("/")[0] for name in listed} == names - {"hydra"}
    shown = OmegaConf.create(text.partition("(foo.bar=value)\n\n")[2].partition("\nEvery value")[0])
    config = compose_config(["corr=concordance", "seed=7"]).config
    assert OmegaConf.to_container(shown.corr) == OmegaConf.to_container(config.corr)
    assert shown.seed == 7


def test_interpolations_are_shown_or_resolved():
    assert "corr: ${corr}" in help_text([])
    assert "corr: ${corr}" not in help_text([], resolve=True)


def test_what_does_not_compose_is_told():
    with pytest.raises(ConfigError, match="concordance"):
        help_text(["corr=concordanc"])
