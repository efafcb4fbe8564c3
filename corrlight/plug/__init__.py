"""Correlation Loss and the measures in detectors of other libraries.

No library is imported before one of its detectors comes.
"""

from typing import TYPE_CHECKING, Any

from corrlight.plug.coco import evaluate
from corrlight.plug.correlate import correlate, correlation_of
from corrlight.plug.handle import Correlation

if TYPE_CHECKING:
    from corrlight.plug.callback import CocoCallback

__all__ = ["CocoCallback", "Correlation", "correlate", "correlation_of", "evaluate"]


def __getattr__(name: str) -> Any:
    if name == "CocoCallback":
        from corrlight.plug.callback import CocoCallback

        return CocoCallback
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
