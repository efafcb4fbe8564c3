"""Checkpoints of the toolbox (mmdetection 2.x and 3.x) and of torchvision to ours, and back.

What needs torch is imported when it is first asked for: ``corrlight convert --help`` is not.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from corrlight.convert.conversion import Conversion, convert_checkpoint
    from corrlight.convert.source import Source, read_source

__all__ = ["Conversion", "Source", "convert_checkpoint", "read_source"]

_LATER = {
    "Conversion": "conversion",
    "Source": "source",
    "convert_checkpoint": "conversion",
    "read_source": "source",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
