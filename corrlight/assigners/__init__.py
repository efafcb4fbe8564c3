"""Assigners: which hypotheses are positive."""
