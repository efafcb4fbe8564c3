import dataclasses

import pytest
import torch
from torchvision.ops import box_iou

from corrlight.postprocess import NMSPostprocessor
from corrlight.structures import Predictions, ScoreOverride

LEVELS = [40, 20, 6]
NUM_CLASSES = 4
SIZES = [(60, 80), (50, 70)]


def predictions(activation="sigmoid", quality=True, seed=0):
    generator = torch.Generator().manual_seed(seed)
    num = sum(LEVELS)
    outputs = NUM_CLASSES + (activation == "softmax")
    corner = torch.rand(2, num, 2, generator=generator) * 60 - 5
    size = torch.rand(2, num, 2, generator=generator) * 30
    return Predictions(
        logits=torch.randn(2, num, outputs, generator=generator) * 2,
        boxes=torch.cat([corner, corner + size], -1),
        level_idx=torch.arange(len(LEVELS)).repeat_interleave(torch.tensor(LEVELS)),
        activation=activation,
        valid=torch.ones(2, num, dtype=torch.bool),
        quality=torch.randn(2, num, generator=generator) if quality else None,
    )


def reference(stage, image, size, options, override=None):
    """The definition, one pair and one box at a time."""
    logits = stage.logits[image]
    scores = logits.sigmoid() if stage.activation == "sigmoid" else logits.softmax(1)[:, :-1]
    scores = scores.clone()
    if override is not None:
        for b, i, c, s in zip(*override, strict=True):
            if b == image:
                scores[i, c] = s
    ranking = scores
    if stage.quality is not None and options.get("quality"):
        ranking = scores * stage.quality[image].sigmoid()[:, None]
        if options["quality"] == "sqrt":
            ranking = ranking.sqrt()
    selected = ranking if options.get("select_on") == "ranking_scores" else scores
    pairs = []
    for level in range(len(LEVELS)):
        mine = [
            (float(selected[i, c]), int(i), c)
            for i in (stage.level_idx == level).nonzero()
            for c in range(NUM_CLASSES)
            if selected[i, c] > options["score_thresh"]
        ]
        pairs += sorted(mine, reverse=True)[: options["topk_candidates"]]
    limit = torch.tensor([size[1], size[0], size[1], size[0]], dtype=torch.float32)
    kept = []
    for _, i, c in sorted(pairs, key=lambda p: -float(ranking[p[1], p[2]])):
        box = stage.boxes[image, i].clamp(min=0).minimum(limit)
        same = [other for _, _, label, other in kept if label == c]
        # Boxes clipped to nothing have an IoU of 0 / 0 with each other and suppress nothing.
        ious = box_iou(box[None], torch.stack(same)).nan_to_num() if same else torch.zeros(1)
        if ious.max() <= options["nms_thresh"]:
            kept.append((float(ranking[i, c]), i, c, box))
    return kept[: options["max_detections"]]


OPTIONS = {"score_thresh": 0.3, "topk_candidates": 30, "nms_thresh": 0.4, "max_detections": 25}


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
@pytest.mark.parametrize("quality", [None, "product", "sqrt"])
@pytest.mark.parametrize("select_on", ["class_scores", "ranking_scores"])
def test_equals_the_definition_written_out(activation, quality, select_on):
    stage = predictions(activation)
    options = {**OPTIONS, "quality": quality, "select_on": select_on}
    if activation == "softmax":
        options["score_thresh"] = 0.15
    for image, actual in enumerate(NMSPostprocessor(**options)(stage, SIZES)):
        expected = reference(stage, image, SIZES[image], options)
        assert len(expected) > 5
        assert actual.pred_idx.tolist() == [i for _, i, _, _ in expected]
        assert actual.labels.tolist() == [c for _, _, c, _ in expected]
        torch.testing.assert_close(actual.scores, torch.tensor([s for s, *_ in expected]))
        torch.testing.assert_close(actual.boxes, torch.stack([b for *_, b in expected]))


def test_replaced_scores_come_before_threshold_and_quality():
    stage = predictions()
    options = {**OPTIONS, "quality": "product"}
    generator = torch.Generator().manual_seed(1)
    image_idx = torch.tensor([0, 0, 1, 0])
    pred_idx = torch.tensor([3, 50, 7, 65])
    label = torch.tensor([0, 3, 2, 1])
    score = 0.9 + torch.rand(4, generator=generator) * 0.1
    score[3] = 0.01  # falls below the threshold
    override = ScoreOverride(image_idx=image_idx, pred_idx=pred_idx, label=label, score=score)
    plain = NMSPostprocessor(**options)(stage, SIZES)
    replaced = NMSPostprocessor(**options)(stage, SIZES, override)
    for image, actual in enumerate(replaced):
        tuples = (image_idx.tolist(), pred_idx.tolist(), label.tolist(), score.tolist())
        expected = reference(stage, image, SIZES[image], options, tuples)
        assert actual.pred_idx.tolist() == [i for _, i, _, _ in expected]
        torch.testing.assert_close(actual.scores, torch.tensor([s for s, *_ in expected]))
        assert not torch.equal(actual.scores, plain[image].scores)


def test_replacing_scores_by_themselves_changes_nothing():
    stage = predictions()
    image_idx = torch.tensor([0, 1])
    index = torch.tensor([1, 2])
    override = ScoreOverride(
        image_idx=image_idx,
        pred_idx=index,
        label=index,
        score=stage.scores_of(image_idx, index, index),
    )
    postprocessor = NMSPostprocessor(quality="product")
    pairs = zip(postprocessor(stage, SIZES), postprocessor(stage, SIZES, override), strict=True)
    for plain, replaced in pairs:
        assert torch.equal(plain.scores, replaced.scores)
        assert torch.equal(plain.pred_idx, replaced.pred_idx)


def test_predictions_without_a_quality_branch_rank_by_class_score():
    stage = predictions(quality=False)
    one, other = (NMSPostprocessor(quality=q)(stage, SIZES) for q in ("product", None))
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a.scores, b.scores)
        assert len(a)


def test_nothing_above_the_threshold():
    stage = predictions()
    for detections in NMSPostprocessor(score_thresh=1.0)(stage, SIZES):
        assert len(detections) == 0
        assert detections.boxes.shape == (0, 4)


def test_a_threshold_of_zero_keeps_everything():
    stage = predictions()
    options = {"score_thresh": 0, "nms_thresh": 1, "max_detections": 10_000}
    for detections in NMSPostprocessor(**options)(stage, SIZES):
        assert len(detections) == sum(LEVELS) * NUM_CLASSES


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
@pytest.mark.parametrize("preselect", ["class_scores", "product"])
def test_whole_hypotheses_may_be_preselected(activation, preselect):
    """As if the hypotheses that are cut had no scores at all."""
    stage = predictions(activation)
    options = {**OPTIONS, "quality": None, "score_thresh": 0.1, "max_detections": 500}
    found = NMSPostprocessor(**options | {"topk_candidates": 7}, preselect=preselect)(stage, SIZES)
    for image, actual in enumerate(found):
        logits = stage.logits[image]
        scores = logits.sigmoid() if activation == "sigmoid" else logits.softmax(1)[:, :-1]
        best = scores.amax(1)
        if preselect == "product":
            best = best * stage.quality[image].sigmoid()
        kept = []
        for level in range(len(LEVELS)):
            mine = (stage.level_idx == level).nonzero().flatten().tolist()
            kept += sorted(mine, key=lambda i: -float(best[i]))[:7]
        expected = reference(only(stage, image, kept), image, SIZES[image], options)
        assert len(expected) > 5
        assert actual.pred_idx.tolist() == [i for _, i, _, _ in expected]
        torch.testing.assert_close(actual.scores, torch.tensor([s for s, *_ in expected]))


def only(stage, image, kept):
    """Return predictions whose other hypotheses in an image score nothing."""
    logits = stage.logits.clone()
    cut = [i for i in range(logits.shape[1]) if i not in kept]
    logits[image, cut] = -100.0
    if stage.activation == "softmax":
        logits[image, cut, -1] = 100.0
    return dataclasses.replace(stage, logits=logits)


def test_score_voting_written_out():
    stage = predictions()
    options = {**OPTIONS, "quality": "sqrt", "select_on": "ranking_scores"}
    everything = {**options, "nms_thresh": 1.0, "max_detections": 1000}
    pairs = zip(
        NMSPostprocessor(**options)(stage, SIZES),
        NMSPostprocessor(**options, voting_sigma=0.025)(stage, SIZES),
        NMSPostprocessor(**everything)(stage, SIZES),
        strict=True,
    )
    moved = 0
    for plain, voted, candidates in pairs:
        for name in ("scores", "labels", "pred_idx"):
            assert torch.equal(getattr(plain, name), getattr(voted, name))
        for box, label, result in zip(plain.boxes, plain.labels, voted.boxes, strict=True):
            ious = box_iou(box[None], candidates.boxes)[0]
            near = (candidates.labels == label) & (ious > 0.01)
            if not near.any():  # clipped to nothing
                assert torch.equal(result, box)
                continue
            weight = candidates.scores[near] * torch.exp(-((1 - ious[near]) ** 2) / 0.025)
            mean = (weight[:, None] * candidates.boxes[near]).sum(0) / weight.sum()
            torch.testing.assert_close(result, mean)
            moved += not torch.equal(result, box)
    assert moved > 5


def test_score_voting_keeps_boxes_without_area():
    stage = predictions()
    flat = torch.tensor([10.0, 10, 10, 30])
    stage = dataclasses.replace(stage, boxes=flat.expand_as(stage.boxes))
    for detections in NMSPostprocessor(**OPTIONS, voting_sigma=0.025)(stage, SIZES):
        assert len(detections)
        assert (detections.boxes == flat).all()


def test_boxes_may_reach_beyond_the_image():
    stage = predictions()
    stage = dataclasses.replace(stage, boxes=stage.boxes * 100)
    for b, detections in enumerate(NMSPostprocessor(clip=False)(stage, SIZES)):
        assert torch.equal(detections.boxes, stage.boxes[b, detections.pred_idx])
        assert detections.boxes.max() > max(SIZES[b])


def test_boxes_may_stay_off_the_border():
    stage = predictions()
    stage = dataclasses.replace(stage, boxes=stage.boxes * 100)
    for detections, (height, width) in zip(
        NMSPostprocessor(border=1)(stage, SIZES), SIZES, strict=True
    ):
        assert detections.boxes[:, 2].max() == width - 1
        assert detections.boxes[:, 3].max() == height - 1


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"score_thresh": -0.1}, r"`score_thresh` to be in \[0, 1\], but got -0\.1"),
        ({"nms_thresh": 2}, "`nms_thresh`.*got 2"),
        ({"topk_candidates": 0}, "`topk_candidates`.*got 0"),
        ({"max_detections": 0}, "`max_detections`.*got 0"),
        ({"quality": "mean"}, "`quality`.*got 'mean'"),
        ({"select_on": "logits"}, "`select_on`.*got 'logits'"),
        ({"preselect": "sqrt"}, "`preselect`.*got 'sqrt'"),
        ({"voting_sigma": 0.0}, r"`voting_sigma`.*got 0\.0"),
        ({"border": -1}, "`border`.*got -1"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        NMSPostprocessor(**kwargs)
