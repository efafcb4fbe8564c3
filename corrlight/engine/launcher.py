"""The launcher that options describe: where the jobs of a sweep run, and how many at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from corrlight.engine.config import config_dir, explain
from corrlight.engine.sweep import SweepOptions

if TYPE_CHECKING:
    from corrlight.engine.slurm import SlurmOptions

__all__ = ["compose_launcher", "launcher_of", "split_overrides"]


def launcher_of(section: DictConfig) -> SweepOptions | SlurmOptions:
    """Return the launcher that a composed section ``launcher`` describes.

    Raises:
        ValueError: An unknown kind or option, or a value out of range.
    """
    options: dict[str, Any] = OmegaConf.to_container(section, resolve=True)  # type: ignore[assignment]
    kind = options.pop("kind", None)
    made: type[SweepOptions] | type[SlurmOptions] = SweepOptions
    if kind == "slurm":
        from corrlight.engine.slurm import SlurmOptions

        made = SlurmOptions
    elif kind != "local":
        raise ValueError(f"Expected `launcher.kind` to be local or slurm, but got {kind!r}.")
    known = [field.name for field in fields(made)]
    for name in options:
        if name not in known:
            raise ValueError(
                f"Expected options of launcher={kind} among {', '.join(known)}, but got '{name}'."
            )
    return made(**options)


def compose_launcher(overrides: Sequence[str]) -> DictConfig:
    """Return the section ``launcher`` that ``overrides`` compose.

    Args:
        overrides: Those of the launcher (:func:`split_overrides`) and, where its file is not among
            ours, ``hydra.searchpath``.

    Raises:
        ConfigError: An unknown launcher, option or value, with the nearest valid one.
    """
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        try:
            section: DictConfig = compose("train", overrides=list(overrides)).launcher
        except (HydraException, OmegaConfBaseException) as error:
            raise explain(error, overrides) from error
    return section


def split_overrides(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the overrides of the launcher, which change no run, and those of the runs."""
    of_launcher = [override for override in overrides if _group(override) == "launcher"]
    return of_launcher, [override for override in overrides if override not in of_launcher]


def _group(override: str) -> str:
    return override.lstrip("+~").partition("=")[0].partition(".")[0]
