"""A dump, post-processed again, gives what the detector itself gives."""

import json

import numpy as np
import pytest
import torch

from corrlight.metrics import GroundTruth
from corrlight.metrics.image_bounds import ImageBounds
from corrlight.metrics.raw.bounds import raw_bounds
from corrlight.metrics.raw.images import (
    restored_images,
    restored_postprocessor,
)
from tests.metrics.raw.random_output import CATEGORIES, POSTPROCESSORS, dumped, random_output


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
@pytest.mark.parametrize("postprocessor", POSTPROCESSORS, ids=lambda p: json.dumps(vars(p))[:40])
@pytest.mark.parametrize("seed", range(3))
def test_the_dump_gives_the_same_detections_and_bounds(tmp_path, seed, postprocessor, activation):
    batch, output = random_output(seed, postprocessor, activation)
    dump = dumped(tmp_path / "raw.npz", batch, output, postprocessor)
    assert len(dump.candidates.candidate_logit) < output.predictions[0].logits.numel()
    again = restored_postprocessor(dump.candidates.postprocess)
    assert vars(again) == vars(postprocessor)
    restored = list(restored_images(dump, dump.candidates, np.array(CATEGORIES)))
    assert [image.image_id for image in restored] == [10, 9, 8]
    for image, expected in zip(restored, output.detections, strict=True):
        (found,) = again(image.predictions, [image.size])
        real = found.scores > 0
        assert torch.equal(found.labels[real], expected.labels)
        torch.testing.assert_close(found.boxes[real], expected.boxes)
        torch.testing.assert_close(found.scores[real], expected.scores, atol=1e-6, rtol=1e-5)
    objects = [
        {
            "id": 1 + len(t.boxes) * i + k,
            "image_id": t.image_id,
            "category_id": CATEGORIES[k],
            "bbox": [*(b[:2] * scale).tolist(), *((b[2:] - b[:2]) * scale).tolist()],
        }
        for i, t in enumerate(batch.targets)
        for scale in [torch.tensor([120 / 80, 160 / 80])]
        for k, b in enumerate(t.boxes)
    ]
    content = {
        "images": [{"id": i} for i in (8, 9, 10)],
        "categories": [{"id": c} for c in CATEGORIES],
        "annotations": objects,
    }
    file = tmp_path / "instances.json"
    file.write_text(json.dumps(content))
    bounds = ImageBounds(file, CATEGORIES)
    bounds.update(batch, output, postprocessor)
    expected = bounds.compute()
    found = raw_bounds(dump, GroundTruth.load(file))
    assert found.pop("AP_raw") > 0
    assert found.pop("AP50_raw") >= found.pop("AP75_raw")
    assert found == pytest.approx(expected, abs=1e-9)
    assert found["AP_lower_img"] < found["AP_upper_img"]
