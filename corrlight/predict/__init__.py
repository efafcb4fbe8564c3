"""A trained run on new pictures: ``corrlight predict`` and ``corrlight.load``."""

from corrlight.predict.load import load
from corrlight.predict.model import Model, Unreadable
from corrlight.predict.prediction import Prediction

__all__ = ["Model", "Prediction", "Unreadable", "load"]
