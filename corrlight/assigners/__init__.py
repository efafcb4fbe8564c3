"""Assigners: which hypotheses are positive."""

from corrlight.assigners.atss import ATSSAssigner
from corrlight.assigners.crowds import ignore_crowds
from corrlight.assigners.hungarian import HungarianAssigner

__all__ = ["ATSSAssigner", "HungarianAssigner", "ignore_crowds"]
