"""Criteria: the detector's own loss, L_OD."""

from corrlight.criteria.set_prediction import SetPredictionCriterion

__all__ = ["SetPredictionCriterion"]
