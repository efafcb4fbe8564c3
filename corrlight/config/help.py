"""What ``run.py --help`` shows, in Hydra's template.

Hydra copies all that it knows for every group that it lists, which takes twice as long as
everything else together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from corrlight.config.compose import check_logging_of, compose_full

__all__ = ["help_text"]


def help_text(overrides: Sequence[str], *, resolve: bool = False) -> str:
    """Return header, groups with their choices, the composed configuration and footer.

    Args:
        overrides: What the configuration is composed with.
        resolve: Show values instead of interpolations.

    Raises:
        ConfigError: They do not compose, or a file configures Hydra's logging.
    """
    full = compose_full(overrides)
    check_logging_of(full)
    HydraConfig.instance().set_config(full)
    shown = full.copy()
    with open_dict(shown):
        del shown["hydra"]
    groups = "".join(f"{name}: {', '.join(choices)}\n" for name, choices in _groups(full))
    return Template(full.hydra.help.template).safe_substitute(
        APP_CONFIG_GROUPS=groups, CONFIG=OmegaConf.to_yaml(shown, resolve=resolve)
    )


def _groups(full: DictConfig) -> list[tuple[str, list[str]]]:
    """Return the groups of all folders of the search path, Hydra's own left out."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for source in full.hydra.runtime.config_sources:
        if source.provider != "hydra" and source.path:
            package = source.schema == "pkg"
            folder = files(source.path) if package else Path(source.path)
            for group, choice in _choices(folder, ""):
                found[group].add(choice)
    return sorted((group, sorted(choices)) for group, choices in found.items())


def _choices(folder: Traversable, group: str) -> Iterator[tuple[str, str]]:
    if not folder.is_dir():
        return
    for entry in folder.iterdir():
        if entry.is_dir() and (group or entry.name != "hydra"):
            yield from _choices(entry, f"{group}/{entry.name}".lstrip("/"))
        elif group and entry.name.endswith(".yaml"):
            yield group, entry.name.removesuffix(".yaml")
