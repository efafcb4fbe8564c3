"""Single overrides in Hydra's syntax: their keys and values, and paths that need no quotes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

__all__ = ["ConfigError", "literal_paths", "override_key", "override_value", "quoted"]

# Options that are paths; their values are taken as they are where that is possible.
_PATHS = re.compile(
    r"\+{0,2}(ckpt|resume|init|paths\.\w+|[\w.]+\.(root|\w+_images|\w+_annotations|weights))="
)
# What Hydra's grammar gives a meaning to.
_SPECIAL = set(",=:[]{}()'\"\\$")


class ConfigError(ValueError):
    """A configuration that cannot be composed; the message is one line."""


def literal_paths(overrides: Sequence[str]) -> list[str]:
    """Return overrides in which paths are quoted for Hydra where they must be.

    ``ckpt=run/epoch=1-step=20.ckpt`` and ``data.root=/data/cells[1],old`` name files: the value of
    an option that is a path is one if such a file exists, or if Hydra cannot read it otherwise.
    """
    return [_literal(override) for override in overrides]


def _literal(override: str) -> str:
    match = _PATHS.match(override)
    if match is None:
        return override
    value = override[match.end() :]
    if not _SPECIAL & set(value) or value.startswith(("'", '"')):
        return override
    if "${" in value or not (Path(value).exists() or not _readable(override)):
        return override
    return f"{match.group()}{quoted(value)}"


def _readable(override: str) -> bool:
    try:
        _parse(override)
    except ConfigError:
        return False
    return True


def _parse(override: str) -> Override:
    try:
        return OverridesParser.create().parse_override(override)
    except HydraException as error:
        key = override.partition("=")[0]
        raise ConfigError(
            f"Cannot read the override {override}: a value with one of , = : [ ] {{ }} ( ) needs "
            f"quotes within quotes, as in \"{key}='...'\"."
        ) from error


def override_key(override: str) -> str:
    """Return what an override sets: ``corr`` of ``corr=none`` and of ``++corr=none``.

    Raises:
        ConfigError: It cannot be read; the message says how to quote it.
    """
    return str(_parse(override).key_or_group)


def override_value(override: str) -> str:
    """Return the value of an override as a text, without the quotes that it was given in.

    Raises:
        ConfigError: As of :func:`override_key`.
    """
    value = _parse(override).value()
    return value if isinstance(value, str) else override.partition("=")[2]


def quoted(text: str) -> str:
    """Return a text as an override's value that Hydra reads back as it is, spaces and all."""
    # Hydra takes a backslash for an escape only before a quote, the closing one among them.
    escaped = re.sub(r"(\\+)(?='|$)", r"\1\1", text).replace("'", "\\'")
    return f"'{escaped}'"
