"""Configuration: composed by Hydra, with errors that name the nearest valid spelling."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from corrlight.config.foreign_names import our_name
from corrlight.config.overrides import ConfigError, override_key

__all__ = [
    "ComposedConfig",
    "EmptyChoiceError",
    "check_allowed",
    "check_logging",
    "check_logging_of",
    "compose_config",
    "compose_full",
    "config_dir",
    "explain",
    "split_overrides",
    "to_container",
]


class EmptyChoiceError(ConfigError):
    """An option of a group whose choice has none, such as ``corr=none corr.weight=0.2``.

    Attributes:
        option: The option's key.
    """

    def __init__(self, message: str, option: str) -> None:
        super().__init__(message)
        self.option = option


@dataclass(frozen=True, slots=True)
class ComposedConfig:
    """A composed configuration and how it came about.

    Attributes:
        config: The task's configuration, interpolations unresolved.
        choices: The chosen file of every group.
        overrides: The overrides as given, without those that say how a job is launched.
        multirun: Whether it describes a sweep rather than one run (``hydra.mode``).
    """

    config: DictConfig
    choices: dict[str, str]
    overrides: tuple[str, ...]
    multirun: bool = False


def config_dir() -> Path:
    """Return the folder of the YAML files: ``conf`` of the checkout, or the wheel's copy."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "train.yaml").is_file():
            return folder
    raise FileNotFoundError(f"Expected the configuration folder beside {package}, but found none.")


def compose_config(overrides: Sequence[str] = (), folder: Path | None = None) -> ComposedConfig:
    """Return the configuration ``train`` with ``overrides`` applied.

    Args:
        overrides: In Hydra's syntax, such as ``corr.weight=0.2``.
        folder: Where the YAML files are; by default :func:`config_dir`.

    Raises:
        ConfigError: An unknown group, option or value, with the nearest valid one; or a file that
            sets ``allow_targets``, which only an override may.
    """
    full = compose_full(overrides, folder)
    choices = {
        group: str(choice)
        for group, choice in full.hydra.runtime.choices.items()
        if not group.startswith("hydra/")
    }
    mode = full.hydra.mode
    with open_dict(full):
        del full["hydra"]
        full.pop("launcher", None)  # How jobs are started is no part of a run.
    try:
        OmegaConf.to_container(full, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigError(_one_line(error)) from error
    check_allowed(full, overrides)
    own = tuple(o for o in split_overrides(overrides)[1] if not o.startswith("hydra.mode="))
    return ComposedConfig(full, choices, own, multirun=mode == RunMode.MULTIRUN)


def compose_full(overrides: Sequence[str], folder: Path | None = None) -> DictConfig:
    """Return everything that ``overrides`` compose: the task, its launcher and Hydra's own part.

    Raises:
        ConfigError: As :func:`compose_config`.
    """
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(folder or config_dir()), version_base="1.3"):
        try:
            return compose("train", overrides=list(overrides), return_hydra_config=True)
        except (HydraException, OmegaConfBaseException) as error:
            raise explain(error, overrides) from error


def split_overrides(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the overrides of the launcher, which change no run, and those of the runs."""
    of_launcher = [override for override in overrides if _group(override) == "launcher"]
    return of_launcher, [override for override in overrides if override not in of_launcher]


def _group(override: str) -> str:
    return override.lstrip("+~").partition("=")[0].partition(".")[0]


def to_container(config: DictConfig) -> dict[str, Any]:
    """Return ``config`` as plain containers with every interpolation resolved."""
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def check_allowed(config: DictConfig, overrides: Sequence[str]) -> None:
    """Raise :class:`ConfigError` if a file sets ``allow_targets``: no file may allow code."""
    if not isinstance(config.allow_targets, ListConfig | None):
        raise ConfigError(
            f"Expected `allow_targets` to be a list such as [mypackage], but got "
            f"{config.allow_targets!r}."
        )
    if config.allow_targets and "allow_targets" not in map(override_key, overrides):
        raise ConfigError(
            f"Expected `allow_targets` on the command line only, but got {config.allow_targets} "
            "from a configuration file."
        )


def check_logging(overrides: Sequence[str]) -> None:
    """Raise :class:`ConfigError` if a file has Hydra log, which opens whatever file it names."""
    try:
        full = compose_full(overrides)
    except ConfigError:
        return  # Hydra says what is wrong, and shows nothing.
    check_logging_of(full)


def check_logging_of(full: DictConfig) -> None:
    """Raise :class:`ConfigError` if a composed configuration has Hydra log."""
    for name in ("hydra_logging", "job_logging"):
        unwanted = set(full.hydra.get(name) or {}) & {"handlers", "formatters", "filters"}
        if unwanted:
            raise ConfigError(
                f"Expected no `hydra.{name}`, but got {', '.join(sorted(unwanted))}: what a run "
                "prints is for its callbacks."
            )


def explain(error: Exception, overrides: Sequence[str]) -> ConfigError:
    """Return an error of one line for ``overrides`` that do not compose.

    It names the override and the nearest valid one. Hydra has to be initialised.
    """
    try:
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    except HydraException:
        try:
            for text in overrides:
                override_key(text)
        except ConfigError as syntax:
            return syntax
        return ConfigError(_one_line(error))
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    loader = hydra.config_loader
    groups = set(_groups(loader))
    for override in parsed:
        message = _group_problem(override, loader, groups)
        if message is not None:
            return ConfigError(message)
    # Groups are fine: look for the key, in the configuration that the groups alone compose.
    choices = [o for o in parsed if o.key_or_group in groups]
    try:
        base = compose("train", overrides=[o.input_line or "" for o in choices])
    except (HydraException, OmegaConfBaseException):
        return ConfigError(_one_line(error))
    keys = list(_keys(base))
    for override in parsed:
        key = override.key_or_group
        if key in groups or override.is_add() or override.is_hydra_override():
            continue
        if key not in keys:
            return _key_problem(key, base, keys, sorted(groups))
    return ConfigError(_one_line(error))


def _group_problem(override: Override, loader: ConfigLoader, groups: set[str]) -> str | None:
    key = override.key_or_group
    if key not in groups or override.is_delete():
        return None
    value: Any = override.value()
    if isinstance(value, ChoiceSweep):
        value = value.list
    options = sorted(loader.get_group_options(key))
    for one in value if isinstance(value, list) else [value]:
        if one is not None and one not in options:
            return (
                f"Expected `{key}` to be one of {', '.join(options)}, but got '{one}'."
                f"{_nearest(str(one), options)}"
            )
    return None


def _key_problem(key: str, base: DictConfig, keys: list[str], groups: list[str]) -> ConfigError:
    head = key.split(".", 1)[0]
    empty = head in base and (base[head] is None or base[head] == {})
    if empty and "." in key:
        return EmptyChoiceError(
            f"Expected no options under `{head}`, whose choice has none, but got '{key}'.", key
        )
    ours = our_name(key)
    if ours is not None:
        return ConfigError(f"Unknown option '{key}': here it is {ours}.")
    return ConfigError(f"Unknown option '{key}'.{_nearest(key, [*keys, *groups])}")


def _nearest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if not close:  # A key given without its path: compare the last parts.
        last = {k.rsplit(".", 1)[-1]: k for k in reversed(known)}
        tail = difflib.get_close_matches(name.rsplit(".", 1)[-1], list(last), n=1, cutoff=0.5)
        close = [last[t] for t in tail]
    return f" Did you mean '{close[0]}'?" if close else ""


def _groups(loader: ConfigLoader, parent: str = "") -> Iterator[str]:
    for name in loader.get_group_options(parent, ObjectType.GROUP):
        group = f"{parent}/{name}" if parent else name
        if not group.startswith("hydra"):
            yield group
            yield from _groups(loader, group)


def _keys(node: DictConfig, prefix: str = "") -> Iterator[str]:
    for name in node:
        key = f"{prefix}{name!s}"
        yield key
        child = node._get_node(name)
        # Interpolated sections belong to the group that they point to.
        if isinstance(child, DictConfig) and not child._is_interpolation() and not child._is_none():
            yield from _keys(child, f"{key}.")


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(line for line in lines if not line.startswith(("full_key:", "object_type=")))
