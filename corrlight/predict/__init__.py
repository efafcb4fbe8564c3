"""A trained run on new pictures: ``corrlight predict`` and ``corrlight.load``."""
