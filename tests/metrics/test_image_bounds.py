import json

import pytest
import torch
from scipy import stats

from corrlight.metrics.image_bounds import ImageBounds, reranked_override
from corrlight.module import DetectionModule
from corrlight.postprocess import NMSPostprocessor
from corrlight.structures import Positives
from tests.helpers.toy import ToyAssigner, ToyCriterion, ToyDetector, toy_batch


def positives(seed=0, count=40):
    rng = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=rng) * 50
    gt = torch.cat([corner, corner + 20 + 30 * torch.rand(count, 2, generator=rng)], 1)
    index = torch.arange(count)
    return Positives(
        scores=torch.rand(count, generator=rng).requires_grad_(),
        pred_boxes=gt + torch.randn(count, 4, generator=rng) * 3,
        gt_boxes=gt,
        labels=index % 3,
        image_idx=index // 10,
        pred_idx=index * 7,
        level_idx=torch.zeros_like(index),
        gt_idx=torch.zeros_like(index),
    )


@pytest.mark.parametrize(("direction", "sign"), [("upper", 1), ("lower", -1)])
def test_override_makes_every_image_perfectly_correlated(direction, sign):
    found = positives()
    override = reranked_override(found, direction)
    assert not override.score.requires_grad
    for i in range(4):
        mine = found.image_idx == i
        new, old = override.score[mine], found.scores[mine].detach()
        assert new.sort().values.tolist() == old.sort().values.tolist()
        ious = found.ious()[mine]
        assert stats.spearmanr(new, ious).statistic == pytest.approx(sign, abs=1e-12)
    for name, same in (("image_idx", "image_idx"), ("pred_idx", "pred_idx"), ("label", "labels")):
        assert torch.equal(getattr(override, name), getattr(found, same))


def test_no_positives():
    empty = positives(count=0)
    assert len(reranked_override(empty, "upper").score) == 0


def test_nms_keeps_the_better_box_with_the_upper_bound(tmp_path):
    """Of two positives of one object, IoU 1 and 0.75, NMS keeps the one that scores higher."""
    file = tmp_path / "instances.json"
    objects = [
        {"id": i, "image_id": i, "category_id": 5, "bbox": [0, 0, 16, 16], "area": 256}
        for i in (1, 2)
    ]
    content = {"images": [{"id": 1}, {"id": 2}], "annotations": objects}
    file.write_text(json.dumps({**content, "categories": [{"id": 5}, {"id": 6}]}))
    postprocessor = NMSPostprocessor(nms_thresh=0.6)
    module = DetectionModule(ToyDetector(), ToyAssigner(), ToyCriterion(), postprocessor)
    with torch.no_grad():
        module.detector.logits[:] = -9.0
        module.detector.logits[0, :2, 0] = torch.tensor([0.3, 1.5])
    batch = toy_batch(1, 1)
    bounds = ImageBounds(file, [5, 6])
    bounds.update(batch, module.step(batch, detect=True), postprocessor)
    values = bounds.compute()
    assert values == {
        "AP_upper_img": pytest.approx(1.0),
        "AP50_upper_img": pytest.approx(1.0),
        "AP75_upper_img": pytest.approx(1.0),
        "AP_lower_img": pytest.approx(0.6),  # IoU 0.75 passes six of ten thresholds
        "AP50_lower_img": pytest.approx(1.0),
        "AP75_lower_img": pytest.approx(1.0),
        "num_classes_bounds_violated_img": 0,
    }
    bounds.reset()
    assert bounds.compute()["AP_upper_img"] is None
