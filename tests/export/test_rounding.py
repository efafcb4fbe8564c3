"""What a detector's own rounding allows a file."""

import torch

from corrlight.export.check import Agreement, Tolerances, compare_file
from corrlight.export.network import ExportNetwork
from corrlight.export.rounding import own_rounding, widened

IMAGES = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 255


def test_rounding_is_that_of_float32_and_leaves_the_detector_alone(model):
    own = model("atss_small")
    before = {name: value.clone() for name, value in own.detector.state_dict().items()}

    found = own_rounding(own, [IMAGES, IMAGES])

    assert 1e-7 < found.boxes < 1e-3
    assert 1e-9 < found.scores < 1e-5
    assert found.pictures == 2
    after = own.detector.state_dict()
    assert all(after[k].dtype == v.dtype and after[k].equal(v) for k, v in before.items())


def test_tolerances_widen_with_it_up_to_a_limit():
    assert widened(Agreement(boxes=1e-5, scores=1e-7)) == Tolerances()
    assert widened(Agreement(boxes=1e-3, scores=1e-4)) == Tolerances(boxes=4e-3, scores=4e-4)
    assert widened(Agreement(boxes=70.0, scores=0.5)) == Tolerances(boxes=0.1, scores=1e-3)


def test_what_is_allowed_decides(model):
    own = model("atss_small")
    network = ExportNetwork(own, raw=True).eval()

    def shifted(images):
        logits, boxes, *others = network(images)
        return [logits, boxes + 0.01, *others]

    assert not compare_file(shifted, network, own, [IMAGES]).holds
    allowed = compare_file(shifted, network, own, [IMAGES], Tolerances(boxes=0.02))
    assert allowed.holds
    assert 0.009 < allowed.boxes < 0.011
