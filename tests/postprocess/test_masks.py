import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pycocotools import mask as coco_mask

from corrlight.postprocess import FastNMSPostprocessor
from corrlight.postprocess.masks import encode_masks, paste_masks
from corrlight.structures import MaskPredictions, Predictions


def discs(input_size=(64, 64), original_size=(64, 64)) -> MaskPredictions:
    """Prototypes, a quarter of the input's size, that are high on a disc and on a half plane."""
    h, w = input_size[0] // 4, input_size[1] // 4
    y, x = torch.meshgrid(torch.arange(h) + 0.5, torch.arange(w) + 0.5, indexing="ij")
    disc = 3 - ((y - 6) ** 2 + (x - 6) ** 2).sqrt()
    return MaskPredictions(
        coefficients=torch.tensor([[[4.0, 0], [0, 4.0], [0, 0]]]),
        prototypes=torch.stack([disc, x - 8.0])[None],
        input_size=input_size,
        original_sizes=(original_size,),
    )


BOXES = torch.tensor([[8.0, 8, 40, 40], [16, 16, 60, 48], [0, 0, 64, 64]])


def decoded(rles) -> np.ndarray:
    return np.moveaxis(coco_mask.decode(rles), -1, 0)


def test_disc_and_half_plane() -> None:
    rles = encode_masks(discs(), 0, torch.tensor([0, 1, 2]), BOXES, (64, 64))
    assert all(r["size"] == [64, 64] and isinstance(r["counts"], str) for r in rles)
    disc, plane, nothing = decoded(rles)
    assert disc.sum() == pytest.approx(np.pi * 12**2, rel=0.05)
    y, x = np.nonzero(disc)
    assert (y.mean(), x.mean()) == pytest.approx((23.5, 23.5), abs=0.5)
    # Right of 32, cut to the box and a prototype pixel (4 pixels) around it.
    y, x = np.nonzero(plane)
    assert (y.min(), y.max()) == pytest.approx((12, 51), abs=2)
    assert x.min() == pytest.approx(32, abs=1)
    assert x.max() == 63
    assert not nothing.any()


@pytest.mark.parametrize("original", [(64, 64), (128, 96), (61, 203), (30, 31)])
def test_masks_have_the_size_of_the_file(original) -> None:
    mask = discs(original_size=original)
    (ours,) = decoded(encode_masks(mask, 0, torch.tensor([0]), BOXES[:1], (64, 64)))
    logits = mask.prototypes[0, 0] * 4
    inside = torch.zeros(16, 16)
    inside[1:11, 1:11] = 1
    expected = F.interpolate(
        (logits.sigmoid() * inside)[None, None], size=original, mode="bilinear"
    )
    assert (ours == (expected[0, 0] > 0.5).numpy()).all()


@pytest.mark.parametrize("valid", [(64, 48), (50, 64), (33, 47)])
@pytest.mark.parametrize("factor", [1, 2.5])
def test_padding_is_no_part_of_the_image(valid, factor) -> None:
    """The disc stays where it is when the content fills only a part of the batch image."""
    original = (round(valid[0] * factor), round(valid[1] * factor))
    mask = discs(original_size=original)
    (ours,) = decoded(encode_masks(mask, 0, torch.tensor([0]), BOXES[:1], valid))
    assert ours.shape == original
    scale = np.array(original) / valid
    y, x = np.indices(original)
    y, x = (y + 0.5) / scale[0], (x + 0.5) / scale[1]
    expected = (y - 24) ** 2 + (x - 24) ** 2 < 12**2
    assert (ours != expected).mean() < 0.03


def test_no_detections_have_no_masks() -> None:
    assert encode_masks(discs(), 0, torch.zeros(0, dtype=torch.long), BOXES[:0], (64, 64)) == []


def test_the_postprocessor_adds_the_masks_of_its_detections() -> None:
    predictions = Predictions(
        logits=torch.tensor([[[2.0, 0, 0], [0, 3, 0], [0, 0, 9]]]),
        boxes=BOXES[None],
        level_idx=torch.zeros(3, dtype=torch.long),
        activation="softmax",
        valid=torch.ones(1, 3, dtype=torch.bool),
        mask=discs(original_size=(32, 32)),
    )
    (found,) = FastNMSPostprocessor(score_thresh=0.5)(predictions, [(64, 64)])
    assert found.pred_idx.tolist() == [1, 0]
    own = encode_masks(predictions.mask, 0, found.pred_idx, found.boxes, (64, 64))
    assert found.masks == own
    assert decoded(found.masks).any((1, 2)).all()


def test_pasted_masks_fill_their_boxes_bilinearly():
    """Each pixel's middle is looked up in the small map, whose cells lie side by side."""
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(3, 4, 4, generator=generator)
    boxes = torch.tensor([[2.5, 3, 14.5, 11], [-4, -6, 7, 5], [5, 5, 5, 9]])
    found = paste_masks(small, boxes, (12, 16))
    assert found.shape == (3, 12, 16)
    padded = F.pad(small, (1, 1, 1, 1))
    for k in range(2):
        x1, y1, x2, y2 = boxes[k].tolist()
        for row, column in ((3, 3), (7, 10), (10, 14), (1, 4), (11, 15), (0, 0)):
            y = (row + 0.5 - y1) / (y2 - y1) * 4 + 0.5  # of the padded map, a cell's middle is i
            x = (column + 0.5 - x1) / (x2 - x1) * 4 + 0.5
            expected = sum(
                max(0.0, 1 - abs(y - i)) * max(0.0, 1 - abs(x - j)) * float(padded[k, i, j])
                for i in range(6)
                for j in range(6)
            )
            assert float(found[k, row, column]) == pytest.approx(expected, abs=1e-5)
    assert not found[2].any()  # nothing is inside a box without area
