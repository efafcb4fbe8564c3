import pytest
import torch

from corrlight.postprocess import TopKPostprocessor
from corrlight.structures import Predictions, ScoreOverride
from tests.helpers.detr_fixture import load_detr

SIZES = [(20, 30), (40, 40)]


def predictions_of(scores, activation="sigmoid", valid=None) -> Predictions:
    scores = torch.tensor(scores)
    batch, num_preds = scores.shape[:2]
    boxes = torch.arange(batch * num_preds * 4).reshape(batch, num_preds, 4).float() * 3 - 6
    return Predictions(
        logits=scores.logit() if activation == "sigmoid" else scores.log(),
        boxes=boxes,
        level_idx=torch.zeros(num_preds, dtype=torch.long),
        activation=activation,
        valid=torch.ones(batch, num_preds, dtype=torch.bool) if valid is None else valid,
    )


SCORES = [[[0.9, 0.8], [0.1, 0.7], [0.2, 0.3]], [[0.15, 0.1], [0.6, 0.5], [0.05, 0.4]]]


def test_pairs_report_a_box_with_several_classes() -> None:
    predictions = predictions_of(SCORES)
    first, second = TopKPostprocessor(3, clip_boxes=False)(predictions, SIZES)
    torch.testing.assert_close(first.scores, torch.tensor([0.9, 0.8, 0.7]))
    assert first.labels.tolist() == [0, 1, 1]
    assert first.pred_idx.tolist() == [0, 0, 1]
    assert (first.boxes == predictions.boxes[0, [0, 0, 1]]).all()
    assert second.pred_idx.tolist() == [1, 1, 2]


def test_argmax_reports_a_box_once() -> None:
    first, second = TopKPostprocessor(2, "argmax")(predictions_of(SCORES), SIZES)
    torch.testing.assert_close(first.scores, torch.tensor([0.9, 0.7]))
    assert first.labels.tolist() == [0, 1]
    assert first.pred_idx.tolist() == [0, 1]
    assert second.pred_idx.tolist() == [1, 2]
    assert second.labels.tolist() == [0, 1]


@pytest.mark.parametrize("select", ["pairs", "argmax"])
def test_background_of_softmax_is_no_class(select) -> None:
    scores = [[[0.2, 0.1, 0.7], [0.3, 0.6, 0.1]]]
    (found,) = TopKPostprocessor(10, select)(predictions_of(scores, "softmax"), SIZES[:1])
    assert found.labels.max() <= 1
    torch.testing.assert_close(found.scores[0], torch.tensor(0.6))
    assert len(found) == (4 if select == "pairs" else 2)


def test_boxes_are_clipped_to_the_content_of_their_image() -> None:
    found = TopKPostprocessor(6)(predictions_of(SCORES), SIZES)
    for detections, (height, width) in zip(found, SIZES, strict=True):
        assert detections.boxes.min() >= 0
        assert detections.boxes[:, 0::2].max() <= width
        assert detections.boxes[:, 1::2].max() <= height


@pytest.mark.parametrize("select", ["pairs", "argmax"])
def test_hypotheses_that_are_not_valid_are_left_out(select) -> None:
    valid = torch.tensor([[False, True, True], [False, False, False]])
    first, second = TopKPostprocessor(6, select)(predictions_of(SCORES, valid=valid), SIZES)
    assert set(first.pred_idx.tolist()) == {1, 2}
    assert len(second) == 0
    assert second.boxes.shape == (0, 4)


def test_overridden_scores_are_ranked() -> None:
    predictions = predictions_of(SCORES)
    override = ScoreOverride(
        image_idx=torch.tensor([0, 1]),
        pred_idx=torch.tensor([0, 2]),
        label=torch.tensor([0, 1]),
        score=torch.tensor([0.0, 0.99]),
    )
    first, second = TopKPostprocessor(2)(predictions, SIZES, override)
    torch.testing.assert_close(first.scores, torch.tensor([0.8, 0.7]))
    torch.testing.assert_close(second.scores, torch.tensor([0.99, 0.6]))
    assert second.pred_idx[0] == 2
    plain = TopKPostprocessor(2)(predictions, SIZES)[0]
    torch.testing.assert_close(plain.scores, torch.tensor([0.9, 0.8]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_detections": 0}, "`max_detections` to be at least 1, but got 0"),
        ({"select": "all"}, "'pairs', 'argmax', but got 'all'"),
    ],
)
def test_wrong_arguments_are_named(arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        TopKPostprocessor(**arguments)


@pytest.mark.fixtures
def test_detections_of_the_published_detr() -> None:
    fixture = load_detr()
    postprocessor = TopKPostprocessor(fixture.config["test"]["max_per_img"], "argmax")
    detections = postprocessor(fixture.stages[-1], [t.valid_size for t in fixture.targets])
    assert len(fixture.detections) > 0
    for name, expected in fixture.detections.items():
        quantity, image = name.rsplit("_", 1)
        ours = getattr(detections[int(image)], quantity)
        torch.testing.assert_close(ours, expected.to(ours.dtype), rtol=1e-5, atol=1e-4, msg=name)
