"""Measures of anybody's results files: the command ``corrlight analyze``."""
