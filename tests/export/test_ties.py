"""What near ties explain, and what they do not."""

import pytest
import torch

from corrlight.export.ties import near_ties
from corrlight.postprocess.fast_nms import FastNMSPostprocessor
from corrlight.postprocess.nms import NMSPostprocessor
from corrlight.structures import Detections

# Three of one class in a chain: the second overlaps the first and the third. Another far away.
BOXES = torch.tensor([[0.0, 0, 10, 10], [2.0, 0, 12, 10], [4.0, 0, 14, 10], [50.0, 50, 60, 60]])
TOLERANCES = (1e-3, 1e-5)


def detections(scores, rows, labels=(0, 0, 0, 0)):
    rows = sorted(rows, key=lambda k: -scores[k])
    return Detections(
        boxes=BOXES[rows],
        scores=torch.tensor(scores)[rows],
        labels=torch.tensor(labels)[rows],
        pred_idx=torch.tensor(rows, dtype=torch.int64),
    )


def tied(scores, own, other, labels=(0, 0, 0, 0), postprocessor=None, voted=None):
    """Return the rows of ``own`` that may be missing in ``other``, by their candidates."""
    candidates = detections(scores, range(4), labels)
    sides = [detections(scores, rows, labels) for rows in (own, other)]
    if voted is not None:
        sides = [
            Detections(boxes=s.boxes + voted, scores=s.scores, labels=s.labels, pred_idx=s.pred_idx)
            for s in sides
        ]
    only = tuple(
        torch.tensor([k not in away for k in s.pred_idx.tolist()])
        for s, away in zip(sides, (other, own), strict=True)
    )
    postprocessor = postprocessor or NMSPostprocessor(nms_thresh=0.5)
    found = near_ties(postprocessor, candidates, *sides, only, TOLERANCES)
    return sides[0].pred_idx[found].tolist()


def test_either_of_two_equal_ones_may_be_kept_and_what_follows_differs():
    scores = (0.800001, 0.8, 0.7, 0.6)
    # The first drops the second and leaves the third; the second drops both.
    assert tied(scores, (0, 2, 3), (1, 3)) == [0, 2]
    assert tied(scores, (1, 3), (0, 2, 3)) == [1]


def test_what_nms_does_is_within_these_rules():
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(300, 2, generator=generator) * 20
    boxes = torch.cat([corners, corners + 8 + torch.rand(300, 2, generator=generator) * 8], 1)
    scores = (torch.rand(300, generator=generator) * 8).round() / 8  # many are equal
    labels = torch.arange(300) % 3
    of = NMSPostprocessor(max_detections=300)
    lists = []
    for _ in range(2):
        noisy = scores + 1e-7 * torch.randn(300, generator=generator)
        kept = of._suppress(boxes, noisy, labels)
        lists.append(Detections(boxes=boxes[kept], scores=noisy[kept], labels=labels[kept],
                                pred_idx=kept))  # fmt: skip
    every = Detections(boxes=boxes, scores=scores, labels=labels, pred_idx=torch.arange(300))
    only = tuple(~torch.isin(a.pred_idx, b.pred_idx) for a, b in (lists, reversed(lists)))
    assert only[0].sum() > 5
    for own, other, alone in ((*lists, only), (*reversed(lists), tuple(reversed(only)))):
        assert near_ties(of, every, own, other, alone, TOLERANCES).equal(alone[0])


@pytest.mark.parametrize(
    ("own", "other", "what"),
    [
        ((0, 3), (3,), "a detection is lost"),
        ((0, 1, 3), (0, 3), "nothing was suppressed"),
        ((0, 2, 3), (2, 3), "the better of two is lost"),
        ((3,), (0, 3), "there is nothing on one side only"),
    ],
)
def test_errors_are_no_ties(own, other, what):
    assert tied((0.800001, 0.8, 0.7, 0.6), own, other) == [], what


def test_scores_that_are_apart_and_other_classes_are_no_ties():
    assert tied((0.8, 0.7999, 0.2, 0.6), (0, 3), (1, 3)) == []
    assert tied((0.8, 0.8, 0.2, 0.6), (0, 3), (1, 3), labels=(0, 1, 0, 0)) == []


def test_a_detection_that_is_no_candidate_is_no_tie():
    assert tied((0.8, 0.8, 0.2, 0.6), (0, 3), (1, 3), voted=0.01) == []


def test_an_overlap_by_the_threshold_exactly_is_a_tie():
    # Of the first and the third 60 of 140 pixels.
    exact = NMSPostprocessor(nms_thresh=60 / 140)
    assert tied((0.8, 0.1, 0.7, 0.6), (0, 2, 3), (0, 3), postprocessor=exact) == [2]
    apart = NMSPostprocessor(nms_thresh=0.42)
    assert tied((0.8, 0.1, 0.7, 0.6), (0, 2, 3), (0, 3), postprocessor=apart) == []


def test_in_fast_nms_dropped_candidates_tie_too():
    # The second is dropped by the first, and drops the third or not.
    scores, fast = (0.8, 0.700001, 0.7, 0.6), FastNMSPostprocessor(nms_thresh=0.5)
    assert tied(scores, (0, 2, 3), (0, 3), postprocessor=fast) == [2]
    assert tied(scores, (0, 2, 3), (0, 3)) == []
    assert tied((0.8, 0.71, 0.7, 0.6), (0, 2, 3), (0, 3), postprocessor=fast) == []
