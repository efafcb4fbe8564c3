"""The one-stage detectors that the thesis compares with."""

from corrlight.detectors.one_stage.fcos import FCOS
from corrlight.detectors.one_stage.gfl import GFL
from corrlight.detectors.one_stage.gflv2 import GFLv2
from corrlight.detectors.one_stage.tood import TOOD
from corrlight.detectors.one_stage.vfnet import VFNet

__all__ = ["FCOS", "GFL", "TOOD", "GFLv2", "VFNet"]
