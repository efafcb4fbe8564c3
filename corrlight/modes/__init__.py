"""Modes that a network may be run in: mixed precision, and being recorded for an export."""
