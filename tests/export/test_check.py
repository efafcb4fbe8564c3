import torch

from corrlight.export.check import Agreement, _one, compare_file
from corrlight.export.network import ExportNetwork
from corrlight.structures import Detections

BOXES = torch.tensor([[0.0, 0, 9, 9], [3.0, 3, 8, 8], [20.0, 5, 30, 9]])
SCORES, LABELS = torch.tensor([0.9, 0.5, 0.5]), torch.tensor([1, 0, 0])


def expected():
    return Detections(boxes=BOXES, scores=SCORES, labels=LABELS, pred_idx=torch.arange(3))


def test_order_of_equal_scores_does_not_matter():
    order = [0, 2, 1]
    found = _one(BOXES[order], SCORES[order], LABELS[order], expected=expected())
    assert found == Agreement(pictures=1, rows=3)
    assert found.holds


def test_differences_are_measured():
    boxes = BOXES.clone()
    boxes[0, 2] += 0.25
    found = _one(boxes, SCORES + 4e-5, LABELS, expected=expected())
    assert (round(found.boxes, 4), round(found.scores, 6)) == (0.25, 4e-5)
    assert not found.holds


def test_a_missing_and_a_wrong_detection_are_counted():
    labels = torch.tensor([2, 0, -1])
    scores = torch.tensor([0.9, 0.5, 0.0])
    found = _one(BOXES, scores, labels, expected=expected())
    assert found.unmatched == 3
    assert not found.holds


def test_the_last_of_equal_scores_may_be_another_one_where_both_lists_are_full():
    boxes = BOXES.clone()
    boxes[2] += 9
    assert _one(boxes, SCORES, LABELS, expected=expected()).holds
    # A file with room for one more has lost it.
    room = [torch.cat([t, t[:1] * 0 - 1]) for t in (SCORES, LABELS)]
    found = _one(torch.cat([boxes, boxes[:1]]), *room, expected=expected())
    assert found.unmatched == 2


def test_a_file_that_finds_nothing_is_found_out():
    first = Detections(
        boxes=BOXES[:1], scores=SCORES[:1], labels=LABELS[:1], pred_idx=torch.arange(1)
    )
    found = _one(torch.zeros(5, 4), torch.zeros(5), torch.full((5,), -1), expected=first)
    assert found.unmatched == 1


def test_no_detections_on_both_sides():
    nothing = Detections(
        boxes=torch.zeros(0, 4), scores=torch.zeros(0), labels=torch.zeros(0, dtype=torch.int64),
        pred_idx=torch.zeros(0, dtype=torch.int64),
    )  # fmt: skip
    found = _one(torch.zeros(5, 4), torch.zeros(5), torch.full((5,), -1), expected=nothing)
    assert found == Agreement(pictures=1)


def test_a_wrong_file_is_found_out(model):
    own = model("atss_small")
    network = ExportNetwork(own, raw=True).eval()
    images = torch.rand(1, 3, 64, 64) * 255

    def shifted(x):
        logits, boxes, *others = network(x)
        return [logits + 0.01, boxes, *others]

    agreement = compare_file(shifted, network, own, [images])
    assert 1e-4 < agreement.scores < 0.01
    assert not agreement.holds
