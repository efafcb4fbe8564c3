"""Correlation Loss and the measures in detectors of other libraries.

No library is imported before one of its detectors comes.
"""

from corrlight.plug.correlate import correlate
from corrlight.plug.handle import Correlation

__all__ = ["Correlation", "correlate"]
