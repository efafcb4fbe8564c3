import pytest
import torch

from corrlight.detectors import MaskRCNN
from tests.detectors.build import OBJECTS, batch_with
from tests.detectors.two_stage.small import tiny


def test_masks_of_any_boxes():
    batch = batch_with(OBJECTS, OBJECTS[:1])
    detector = tiny(MaskRCNN, mask_channels=8, num_mask_convs=2, mask_region_size=5).eval()
    first, last = detector(batch)
    assert first.region_masks is None
    labels = torch.tensor([0, 1, 2])
    boxes = last.priors[1, :3]
    found = last.region_masks.logits(torch.ones_like(labels), boxes, labels)
    assert found.shape == (3, 10, 10)
    every = torch.cat(
        [
            last.region_masks.logits(torch.tensor([1]), boxes[i : i + 1], labels[i : i + 1])
            for i in range(3)
        ]
    )
    torch.testing.assert_close(found, every, rtol=1e-4, atol=1e-5)
    assert set(detector.gives) == {"priors", "deltas", "class_boxes", "region_masks"}


@pytest.mark.parametrize("name", ["mask_channels", "num_mask_convs", "mask_region_size"])
def test_bad_arguments(name):
    with pytest.raises(ValueError, match=rf"`{name}`.*got -1"):
        tiny(MaskRCNN, **{name: -1})
