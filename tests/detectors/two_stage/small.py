"""Small two-stage detectors for their tests."""

import functools

import torch

from corrlight.backbones import FPN, ResNet
from corrlight.detectors import FasterRCNN, ProposalSelection


def tiny(kind=FasterRCNN, **changes):
    """Three levels, three classes; weights are drawn anew so that each of them matters."""
    torch.manual_seed(0)
    backbone = ResNet(18, base_width=4, frozen_stages=0)
    neck = functools.partial(FPN, out_channels=16, num_levels=4, extra_levels="subsampled")
    options = {"strides": [8, 16, 32, 64], "anchor_scale": 4, "region_levels": 3}
    options |= {"sampling_ratio": 2, "hidden_channels": 32}
    selection = ProposalSelection(topk_in_training=60, topk=30, max_proposals=40)
    detector = kind(backbone, neck, 3, selection, **(options | changes))
    for name, parameter in detector.named_parameters():
        if parameter.ndim > 1 and not name.startswith(("backbone", "neck")):
            torch.nn.init.normal_(parameter, std=1 / parameter[0].numel() ** 0.5)
    return detector
