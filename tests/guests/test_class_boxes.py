"""What torchvision does otherwise than our own post-processing."""

import torch
from torchvision.models.detection.roi_heads import paste_masks_in_image

from corrlight.guests import ClassBoxPostprocessor
from corrlight.postprocess.masks import run_lengths
from tests.postprocess.test_class_boxes import Halves, predictions


def test_masks_are_pasted_as_torchvision_does():
    postprocessor = ClassBoxPostprocessor(score_thresh=0.4)
    (found,) = postprocessor(predictions(region_masks=Halves()), [(60, 80)])
    small = Halves().logits(torch.zeros(2), found.boxes, found.labels).sigmoid()
    pasted = paste_masks_in_image(small[:, None], 2 * found.boxes, (120, 160))
    assert found.masks == run_lengths(pasted[:, 0] > 0.5)


def test_it_is_for_softmax_and_drops_the_smallest_boxes():
    assert ClassBoxPostprocessor.activation == "softmax"
    assert ClassBoxPostprocessor().min_size == 0.01
