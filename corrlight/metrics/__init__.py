"""Measures: AP, correlation."""
