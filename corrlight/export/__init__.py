"""Trained runs as files for other programs (``corrlight export``)."""
