"""The launcher that options describe: where the jobs of a sweep run, and how many at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from corrlight.config.compose import compose_full
from corrlight.sweeps.local import SweepOptions

if TYPE_CHECKING:
    from corrlight.sweeps.slurm import SlurmOptions

__all__ = ["compose_launcher", "launcher_of"]


def launcher_of(section: DictConfig) -> SweepOptions | SlurmOptions:
    """Return the launcher that a composed section ``launcher`` describes.

    Raises:
        ValueError: An unknown kind or option, or a value out of range.
    """
    options: dict[str, Any] = OmegaConf.to_container(section, resolve=True)  # type: ignore[assignment]
    kind = options.pop("kind", None)
    made: type[SweepOptions] | type[SlurmOptions] = SweepOptions
    if kind == "slurm":
        from corrlight.sweeps.slurm import SlurmOptions

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
        overrides: Those of the launcher (``split_overrides``) and, where its file is not among
            ours, ``hydra.searchpath``.

    Raises:
        ConfigError: An unknown launcher, option or value, with the nearest valid one.
    """
    section: DictConfig = compose_full(overrides).launcher
    return section
