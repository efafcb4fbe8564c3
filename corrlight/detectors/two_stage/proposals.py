"""The region proposal network (Ren et al., 2015, Section 3.1): where an object may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.ops import batched_nms

from corrlight.arguments import check_at_least, check_share
from corrlight.backbones import PyramidConv
from corrlight.boxes import BoxCoder, clip_boxes
from corrlight.detectors.anchors import AnchorGrid
from corrlight.detectors.dense_head import flatten_levels
from corrlight.structures import Batch, Predictions

__all__ = ["ProposalNetwork", "ProposalSelection"]


@dataclass(frozen=True)
class ProposalSelection:
    """How proposals are chosen.

    Attributes:
        topk_in_training: Best boxes kept of every level in training.
        topk: The same otherwise.
        nms_thresh: IoU above which the lower-scored box of the same level is dropped.
        max_proposals: Proposals of an image at most.

    Raises:
        ValueError: A value is out of range.
    """

    topk_in_training: int = 2000
    topk: int = 1000
    nms_thresh: float = 0.7
    max_proposals: int = 1000

    def __post_init__(self) -> None:
        check_at_least(
            1,
            topk_in_training=self.topk_in_training,
            topk=self.topk,
            max_proposals=self.max_proposals,
        )
        check_share(nms_thresh=self.nms_thresh)

    @torch.no_grad()
    def __call__(
        self, predictions: Predictions, image: int, size: tuple[int, int], *, training: bool
    ) -> Tensor:
        """Return the ``(R, 4)`` proposals of an image, by descending score, cut to the image.

        Args:
            predictions: Of the proposal network.
            image: Index within the batch.
            size: Height and width of the image's content.
            training: Which of the two limits holds.
        """
        assert predictions.level_sizes is not None
        logits = predictions.logits[image, :, 0].float()
        kept, start = [], 0
        for count in predictions.level_sizes:
            level = logits[start : start + count]
            best = level.topk(min(self.topk_in_training if training else self.topk, count)).indices
            kept.append(best + start)
            start += count
        pred_idx = torch.cat(kept)
        boxes = clip_boxes(predictions.boxes[image, pred_idx], size)
        whole = (boxes[:, 2:] > boxes[:, :2]).all(1)
        boxes, pred_idx = boxes[whole], pred_idx[whole]
        scores, levels = logits[pred_idx].sigmoid(), predictions.level_idx[pred_idx]
        return boxes[batched_nms(boxes, scores, levels, self.nms_thresh)[: self.max_proposals]]


class ProposalNetwork(nn.Module):
    """One convolution over all levels, then whether there is an object, and its box.

    Args:
        channels: Channels of the pyramid.
        anchors: The priors.
        coder: Encoding of the boxes.
    """

    def __init__(self, channels: int, anchors: AnchorGrid, coder: BoxCoder) -> None:
        super().__init__()
        self.anchors, self.coder = anchors, coder
        self.conv = PyramidConv(channels, channels)
        self.objectness = nn.Conv2d(channels, anchors.num_per_cell, 1)
        self.regressor = nn.Conv2d(channels, anchors.num_per_cell * 4, 1)
        for conv in (self.conv, self.objectness, self.regressor):
            nn.init.normal_(conv.weight, std=0.01)
            assert conv.bias is not None
            nn.init.zeros_(conv.bias)

    def forward(self, levels: Sequence[Tensor], batch: Batch) -> Predictions:
        """Return the predictions of the proposing stage; N is the number of anchors."""
        device = batch.images.device
        sizes = [(m.shape[2], m.shape[3]) for m in levels]
        priors, level_idx = self.anchors(sizes, device)
        features = [m.relu() for m in self.conv(levels)]
        deltas = flatten_levels([self.regressor(m) for m in features], 4)
        return Predictions(
            logits=flatten_levels([self.objectness(m) for m in features], 1),
            boxes=self.coder.decode(priors, deltas),
            level_idx=level_idx,
            activation="sigmoid",
            valid=self.anchors.valid(sizes, batch.padded_sizes, device),
            priors=priors,
            deltas=deltas,
            level_sizes=self.anchors.level_sizes(sizes),
            proposes=True,
        )
