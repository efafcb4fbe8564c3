"""Criteria: the detector's own loss, L_OD."""
