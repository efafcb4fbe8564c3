"""Assigners: which hypotheses are positive."""

from corrlight.assigners.atss import ATSSAssigner
from corrlight.assigners.hungarian import HungarianAssigner

__all__ = ["ATSSAssigner", "HungarianAssigner"]
