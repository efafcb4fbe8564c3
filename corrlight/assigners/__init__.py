"""Assigners: which hypotheses are positive."""

from corrlight.assigners.hungarian import HungarianAssigner

__all__ = ["HungarianAssigner"]
