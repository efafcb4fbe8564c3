import pytest
import torch
from torchvision.ops import box_iou

from corrlight.postprocess import FastNMSPostprocessor
from corrlight.postprocess.fast_nms import _overlap_with_better, fast_nms
from corrlight.structures import Predictions, ScoreOverride


def candidates(seed, count=60, num_classes=3):
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(count, 2, generator=generator) * 20
    boxes = torch.cat([low, low + 4 + torch.rand(count, 2, generator=generator) * 16], 1)
    scores = torch.rand(count, generator=generator)
    return boxes, scores, torch.randint(num_classes, (count,), generator=generator)


def definition(boxes, scores, labels, threshold, topk):
    """Kept unless any better candidate of the class among its best ``topk`` overlaps it."""
    kept = []
    for label in labels.unique():
        own = (labels == label).nonzero().squeeze(1)
        own = own[scores[own].argsort(descending=True)][:topk]
        ious = box_iou(boxes[own], boxes[own])
        kept += [int(n) for k, n in enumerate(own) if not (ious[:k, k] > threshold).any()]
    return sorted(kept, key=lambda n: -scores[n])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("threshold", "topk"), [(0.5, 200), (0.3, 200), (0.5, 4)])
def test_fast_nms_by_its_definition(seed, threshold, topk) -> None:
    given = candidates(seed)
    expected = definition(*given, threshold, topk)
    assert fast_nms(*given, threshold, topk).tolist() == expected


@pytest.mark.parametrize("count", [1, 2, 33, 200])
def test_overlaps_are_those_of_torchvision_bit_for_bit(count) -> None:
    boxes, _, _ = candidates(count, count)
    boxes[::7, 2:] = boxes[::7, :2]  # Empty ones, which overlap nothing: not a number.
    ious = box_iou(boxes, boxes).nan_to_num(0.0)
    expected = [float(ious[:k, k].max()) if k else 0.0 for k in range(count)]
    assert _overlap_with_better(boxes).tolist() == expected


def test_no_candidates() -> None:
    boxes, scores, labels = (t[:0] for t in candidates(0))
    assert fast_nms(boxes, scores, labels, 0.5, 200).shape == (0,)


def test_dropped_candidates_suppress_too() -> None:
    # The second overlaps the first, the third the second only: NMS would keep the third.
    boxes = torch.tensor([[0.0, 0, 10, 10], [3, 0, 13, 10], [6, 0, 16, 10]])
    scores = torch.tensor([0.9, 0.8, 0.7])
    assert fast_nms(boxes, scores, torch.zeros(3, dtype=torch.long), 0.5, 200).tolist() == [0]


def predictions() -> Predictions:
    generator = torch.Generator().manual_seed(0)
    boxes, _, _ = candidates(3, 40)
    return Predictions(
        logits=torch.randn(1, 40, 4, generator=generator) * 3,
        boxes=boxes[None],
        level_idx=(torch.arange(40) >= 25).long(),
        activation="softmax",
        valid=torch.ones(1, 40, dtype=torch.bool),
    )


def test_hypotheses_are_cut_per_level_by_their_best_class() -> None:
    stage = predictions()
    (found,) = FastNMSPostprocessor(0.05, topk_candidates=6, nms_thresh=1.0)(stage, [(40, 40)])
    scores = stage.logits[0].softmax(-1)[:, :-1]
    best = scores.amax(1)
    kept = torch.cat([best[:25].topk(6).indices, best[25:].topk(6).indices + 25])
    expected = sorted(float(s) for s in scores[kept].flatten() if s > 0.05)[::-1]
    assert found.scores.tolist() == pytest.approx(expected)
    assert found.masks is None


def test_scores_can_be_replaced() -> None:
    stage = predictions()
    one = torch.zeros(1, dtype=torch.long)
    override = ScoreOverride(image_idx=one, pred_idx=one + 7, label=one + 1, score=torch.ones(1))
    (found,) = FastNMSPostprocessor()(stage, [(40, 40)], override)
    assert (found.pred_idx[0], found.labels[0], found.scores[0]) == (7, 1, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"topk_per_class": 0}, "`topk_per_class` to be at least 1, but got 0"),
        ({"mask_thresh": 2.0}, r"`mask_thresh` to be in \[0, 1\], but got 2.0"),
    ],
)
def test_wrong_arguments_are_named(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        FastNMSPostprocessor(**options)
