"""Objects from configuration, checked: data can name only what the allowlist holds."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf

__all__ = ["ALLOWED", "check_targets", "instantiate"]

# Modules whose classes and functions a configuration may name. corrlight's engine and reporting
# are left out on purpose: they write files.
ALLOWED = (
    "corrlight.assigners",
    "corrlight.backbones",
    "corrlight.boxes",
    "corrlight.callbacks",
    "corrlight.criteria",
    "corrlight.data",
    "corrlight.detectors",
    "corrlight.guests",
    "corrlight.losses",
    "corrlight.metrics",
    "corrlight.module",
    "corrlight.optim",
    "corrlight.postprocess",
    "lightning.pytorch.callbacks",
    "lightning.pytorch.loggers",
    "lightning.pytorch.strategies",
    "lightning.pytorch.trainer",
    "torch.nn",
    "torch.optim",
    "torchvision.ops",
    "torchvision.transforms",
)
# Where a class lives differs from where users import it; the short name is resolved, not trusted.
_SPELLINGS = {"lightning.pytorch.Trainer": "lightning.pytorch.trainer.trainer.Trainer"}


def instantiate(config: Any, allow_targets: Sequence[str] = (), **kwargs: Any) -> Any:
    """Return the object that ``config`` describes, every ``_target_`` inside checked first.

    Args:
        config: A node with ``_target_``; anything else is returned as plain containers.
        allow_targets: Further modules whose objects may be named, from the command line only.
        **kwargs: Further arguments of the outermost object.

    Raises:
        ValueError: A target outside the allowlist or not importable, or the object's constructor
            takes no such argument or refuses its value, or needs a library that is not there.
    """
    check_targets(config, allow_targets)
    try:
        return hydra.utils.instantiate(config, _convert_="all", **kwargs)
    except HydraException as error:
        # Here, since whatever makes an object has loaded Lightning and a plan of a sweep has not.
        from lightning.fabric.utilities.exceptions import MisconfigurationException

        cause = _raised(error)
        if isinstance(cause, (ValueError, OSError)):
            raise cause from error
        if isinstance(
            cause, (TypeError, AttributeError, ImportError, RuntimeError, MisconfigurationException)
        ):
            raise ValueError(f"`{_target_of(config)}`: {cause}") from error
        raise


def check_targets(config: Any, allow_targets: Sequence[str] = ()) -> None:
    """Raise ``ValueError`` for every ``_target_`` that does not resolve into the allowlist.

    The text is checked before anything is imported, and the object that it resolves to afterwards,
    so that an alias (``corrlight.data.os.system``) is refused as well.
    """
    allowed = (*ALLOWED, *_checked(allow_targets))
    for target in _targets(config):
        spelled = _SPELLINGS.get(target, target)
        if not _inside(spelled, allowed):
            raise ValueError(
                f"Expected `_target_` to name something of {', '.join(allowed)}, but got "
                f"'{target}'. Your own modules: allow_targets=[mypackage] on the command line."
            )
        found = _resolve(spelled)
        home = inspect.getmodule(found)
        module = str(getattr(found, "__module__", None) or getattr(home, "__name__", ""))
        if not callable(found) or not _inside(module, allowed):
            raise ValueError(
                f"Expected `_target_` '{target}' to be a class or function of an allowed module, "
                f"but it is defined in '{module or 'nowhere'}'."
            )


def _checked(names: Sequence[str]) -> Iterable[str]:
    for name in names:
        if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(f"Expected `allow_targets` to list module names, but got {name!r}.")
        yield name


def _inside(name: str, allowed: Iterable[str]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in allowed)


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, (DictConfig, ListConfig)):
        node = OmegaConf.to_container(node, resolve=True)
    if isinstance(node, dict):
        if "_target_" in node:
            target = node["_target_"]
            if not isinstance(target, str):
                raise ValueError(f"Expected `_target_` to be a text, but got {target!r}.")
            yield target
        for value in node.values():
            yield from _targets(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _targets(value)


def _resolve(target: str) -> Any:
    try:
        return hydra.utils.get_object(target)
    except HydraException as error:
        raise ValueError(f"Expected `_target_` '{target}' to be importable, but {error}.") from None
    except (ImportError, AttributeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"Expected `_target_` '{target}' to be importable, but: {reason}"
        ) from error


def _target_of(config: Any) -> str:
    return next(_targets(config), "configuration")


def _raised(error: BaseException) -> BaseException:
    """Return what the object itself raised, below Hydra's own exceptions."""
    while isinstance(error, HydraException) and error.__cause__ is not None:
        error = error.__cause__
    return error
