import torch
import torchvision
from torch import nn

from corrlight.detectors.two_stage.mask_head import HeadMasks, MaskHead
from corrlight.ops.roi_align import FeatureTable
from tests.detectors.build import batch_of

LABELS, IMAGES = torch.tensor([2, 0, 1]), torch.tensor([1, 0, 1])
BOXES = torch.tensor([[5.0, 6, 60, 50], [20, 10, 44, 38], [0, 0, 70, 50]])


def masks(sampling_ratio=0):
    torch.manual_seed(0)
    head = MaskHead(8, 6, 2, 3)
    levels = [torch.randn(2, 8, 12, 16), torch.randn(2, 8, 6, 8)]
    table = FeatureTable.from_levels(levels, [8, 16], adaptive=sampling_ratio == 0)
    return HeadMasks(head, table, batch_of(), 7, sampling_ratio, 24.0), levels


def test_masks_are_those_of_torchvisions_head():
    """The same layers, of regions that torchvision's operator reads."""
    own, levels = masks()
    predictor = torchvision.models.detection.mask_rcnn.MaskRCNNPredictor(6, 6, 3)
    predictor.conv5_mask.load_state_dict(own.head.upsample.state_dict())
    predictor.mask_fcn_logits.load_state_dict(own.head.output.state_dict())
    tower = nn.Sequential(*(m for conv in own.head.convs for m in (conv, nn.ReLU())))
    found = own.logits(IMAGES, BOXES, LABELS)
    assert found.shape == (3, 14, 14)
    for k, (box, image, label) in enumerate(zip(BOXES, IMAGES, LABELS, strict=True)):
        size = float((box[2:] - box[:2]).prod().sqrt())
        level = 0 if size < 48 else 1
        region = torchvision.ops.roi_align(
            levels[level][image][None], [box[None]], 7, 1 / (8, 16)[level], 0, aligned=True
        )
        expected = predictor(tower(region))[0, label]
        torch.testing.assert_close(found[k], expected, rtol=1e-4, atol=1e-5)


def test_without_boxes_there_are_no_masks_but_a_gradient():
    own, _ = masks(sampling_ratio=2)
    nothing = torch.zeros(0, dtype=torch.long)
    found = own.logits(nothing, torch.zeros(0, 4), nothing)
    assert found.shape == (0, 14, 14)
    found.sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in own.head.parameters())


def test_sizes_are_those_of_the_picture_and_its_file():
    own, _ = masks()
    assert own.sizes(1) == ((56, 78), (56, 78))
