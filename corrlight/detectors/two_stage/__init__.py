"""Detectors that propose boxes first, then look into each."""

from corrlight.detectors.two_stage.faster_rcnn import FasterRCNN
from corrlight.detectors.two_stage.mask_rcnn import MaskRCNN
from corrlight.detectors.two_stage.proposals import ProposalSelection

__all__ = ["FasterRCNN", "MaskRCNN", "ProposalSelection"]
