import pytest
import torch
from torchvision.ops import batched_nms, nms

from corrlight.postprocess import class_nms as module
from corrlight.postprocess.class_nms import class_nms


def candidates(seed, count, num_classes):
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(count, 2, generator=generator) * 100
    boxes = torch.cat([low, low + 5 + torch.rand(count, 2, generator=generator) * 40], 1)
    # Of a hundred values, so that many are tied.
    scores = torch.randint(100, (count,), generator=generator) / 100
    return boxes, scores, torch.randint(num_classes, (count,), generator=generator) * 3


@pytest.mark.parametrize("count", [0, 1, 300, 1000, 1001, 4000])
@pytest.mark.parametrize("num_classes", [1, 20])
def test_it_keeps_what_torchvision_keeps_in_its_order(count, num_classes):
    given = candidates(count + num_classes, count, num_classes)
    assert class_nms(*given, 0.5).tolist() == batched_nms(*given, 0.5).tolist()


def test_by_its_definition(monkeypatch):
    monkeypatch.setattr(module, "_MANY", 10)
    boxes, _, labels = candidates(5, 400, 7)
    scores = torch.rand(400, generator=torch.Generator().manual_seed(1))
    expected = []
    for label in labels.unique():
        own = (labels == label).nonzero().squeeze(1)
        expected += own[nms(boxes[own], scores[own], 0.4)].tolist()
    expected.sort(key=lambda k: -float(scores[k]))
    assert class_nms(boxes, scores, labels, 0.4).tolist() == expected


def test_every_box_is_looked_at_once_and_not_once_a_class(monkeypatch):
    seen = []
    monkeypatch.setattr(module, "nms", lambda b, s, t: seen.append(len(b)) or nms(b, s, t))
    class_nms(*candidates(0, 2000, 30), 0.5)
    assert sum(seen) == 2000
    assert len(seen) == 30


@pytest.mark.parametrize("threads", [1, 2, 64])
def test_any_number_of_threads(monkeypatch, threads):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    given = candidates(3, 3000, 12)
    with torch.inference_mode():
        assert class_nms(*given, 0.5).tolist() == batched_nms(*given, 0.5).tolist()


def test_scores_of_half_precision_under_autocast():
    boxes, scores, labels = candidates(4, 3000, 12)
    with torch.autocast("cpu", torch.bfloat16):
        ours = class_nms(boxes, scores.bfloat16(), labels, 0.5)
    expected = batched_nms(boxes, scores.bfloat16().float(), labels, 0.5)
    assert sorted(ours.tolist()) == sorted(expected.tolist())
