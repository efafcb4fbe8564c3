"""Fixed shapes find what the run's own post-processors find."""

import pytest
import torch

from corrlight.export.detections import fixed_postprocessor
from corrlight.postprocess import FastNMSPostprocessor, NMSPostprocessor, TopKPostprocessor
from corrlight.structures import Predictions

LEVELS, SIZE, CLASSES = (60, 20, 5), (64, 96), 4


def predictions(activation="sigmoid", quality=True, bias=0.0, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    count = sum(LEVELS)
    centre = torch.rand(2, count, 2, generator=generator) * torch.tensor([96.0, 64.0])
    half = torch.rand(2, count, 2, generator=generator) * 20 + 1
    columns = CLASSES + (activation == "softmax")
    return Predictions(
        logits=normal(2, count, columns) * 2 + bias,
        boxes=torch.cat([centre - half, centre + half], -1),
        level_idx=torch.repeat_interleave(torch.arange(3), torch.tensor(LEVELS)),
        activation=activation,
        valid=torch.ones(2, count, dtype=torch.bool),
        quality=normal(2, count) if quality else None,
    )


def assert_same(postprocessor, given):
    expected = postprocessor(given, [SIZE, SIZE])
    fixed = fixed_postprocessor(postprocessor)
    boxes, scores, labels, pred_idx = fixed(given, LEVELS, torch.tensor(SIZE))
    assert boxes.shape[:2] == scores.shape == labels.shape == pred_idx.shape
    for k, own in enumerate(expected):
        kept = labels[k] >= 0
        assert int(kept.sum()) == len(own)
        assert (scores[k][~kept] == 0).all()
        assert (boxes[k][~kept] == 0).all()
        torch.testing.assert_close(scores[k][kept], own.scores, atol=1e-6, rtol=0)
        torch.testing.assert_close(boxes[k][kept], own.boxes, atol=1e-4, rtol=0)
        assert labels[k][kept].tolist() == own.labels.tolist()
        assert pred_idx[k][kept].tolist() == own.pred_idx.tolist()
    return expected


@pytest.mark.parametrize("quality", [None, "product", "sqrt"])
@pytest.mark.parametrize("select_on", ["class_scores", "ranking_scores"])
@pytest.mark.parametrize("topk_candidates", [7, 1000])
def test_nms(quality, select_on, topk_candidates):
    postprocessor = NMSPostprocessor(
        0.4, topk_candidates, 0.5, 20, quality=quality, select_on=select_on
    )
    found = assert_same(postprocessor, predictions())
    assert all(0 < len(f) <= 20 for f in found)


@pytest.mark.parametrize("preselect", ["class_scores", "product"])
def test_whole_hypotheses_and_voting(preselect):
    postprocessor = NMSPostprocessor(
        0.3, 12, 0.6, 15, quality="sqrt", select_on="ranking_scores",
        preselect=preselect, voting_sigma=0.025,
    )  # fmt: skip
    # Few enough pairs above the threshold that none is cut.
    assert_same(postprocessor, predictions(bias=-2.5))


def test_a_border_and_a_softmax():
    assert_same(NMSPostprocessor(0.3, 10, 0.5, 30, border=1), predictions("softmax", quality=False))


@pytest.mark.parametrize("topk_per_class", [3, 200])
def test_fast_nms(topk_per_class):
    postprocessor = FastNMSPostprocessor(0.2, 15, 0.5, topk_per_class, 25)
    assert_same(postprocessor, predictions("softmax", quality=False))


@pytest.mark.parametrize("select", ["pairs", "argmax"])
@pytest.mark.parametrize("clip", [True, False])
def test_sets(select, clip):
    for activation in ("sigmoid", "softmax"):
        postprocessor = TopKPostprocessor(30, select, clip)
        assert_same(postprocessor, predictions(activation, quality=False))


@pytest.mark.parametrize(
    "postprocessor",
    [NMSPostprocessor(1.0), FastNMSPostprocessor(1.0), NMSPostprocessor(1.0, voting_sigma=0.1)],
)
def test_no_survivor(postprocessor):
    found = assert_same(postprocessor, predictions())
    assert all(len(f) == 0 for f in found)


def test_what_is_unknown_is_named():
    class Own(NMSPostprocessor):
        pass

    with pytest.raises(ValueError, match="a Own: --raw"):
        fixed_postprocessor(Own())
