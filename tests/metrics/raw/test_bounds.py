"""A dump, post-processed again, gives what the detector itself gives."""

import json

import numpy as np
import pytest
import torch

from corrlight.metrics import GroundTruth
from corrlight.metrics.image_bounds import ImageBounds
from corrlight.metrics.raw.bounds import raw_bounds
from corrlight.metrics.raw.dump import RawDump, write_raw
from corrlight.metrics.raw.images import (
    postprocess_options,
    raw_images,
    restored_images,
    restored_postprocessor,
)
from corrlight.postprocess import FastNMSPostprocessor, NMSPostprocessor, TopKPostprocessor
from corrlight.structures import (
    BACKGROUND,
    Batch,
    Match,
    Positives,
    Predictions,
    StepOutput,
    Targets,
)

CATEGORIES = (2, 5, 90)
POSTPROCESSORS = [
    NMSPostprocessor(score_thresh=0.3, topk_candidates=12, quality="product", max_detections=15),
    NMSPostprocessor(score_thresh=0.3, quality="sqrt", select_on="ranking_scores"),
    NMSPostprocessor(
        score_thresh=0.3,
        topk_candidates=9,
        quality="product",
        preselect="product",
        select_on="ranking_scores",
        voting_sigma=0.025,
        border=1,
    ),
    FastNMSPostprocessor(score_thresh=0.3, topk_candidates=9, topk_per_class=8),
    TopKPostprocessor(max_detections=20),
    TopKPostprocessor(max_detections=20, select="argmax", clip_boxes=False),
]


def random_output(seed, postprocessor, activation="sigmoid", num_images=3, num=60):
    """Hypotheses around three objects an image, on two levels; the last image has no positives."""
    rng = torch.Generator().manual_seed(seed)

    def uniform(*shape):
        return torch.rand(*shape, generator=rng)

    corner = uniform(num_images, 3, 2) * 50
    gt = torch.cat([corner, corner + 15 + 25 * uniform(num_images, 3, 2)], -1)
    of = torch.randint(3, (num_images, num), generator=rng)
    boxes = gt.gather(1, of[..., None].expand(-1, -1, 4)) + 4 * torch.randn(
        num_images, num, 4, generator=rng
    )
    quality = None
    if getattr(postprocessor, "quality", None) is not None:
        quality = torch.randn(num_images, num, generator=rng)
    predictions = Predictions(
        logits=torch.randn(num_images, num, 3 + (activation == "softmax"), generator=rng),
        boxes=boxes,
        level_idx=torch.arange(num) // 40,
        activation=activation,
        valid=torch.arange(num)[None].expand(num_images, -1) < 57,
        quality=quality,
    )
    targets = tuple(
        Targets(
            boxes=gt[i],
            labels=torch.arange(3),
            valid_size=(80, 80),
            padded_size=(96, 96),
            original_size=(160, 120),
            image_id=10 - i,
        )
        for i in range(num_images)
    )
    gt_idx = torch.where(uniform(num_images, num) < 0.3, of, BACKGROUND)
    gt_idx[-1] = BACKGROUND
    gt_idx[:, 57:] = BACKGROUND  # not valid
    positives = Positives.gather(predictions, targets, Match(gt_idx=gt_idx))
    output = StepOutput(
        loss=torch.zeros(()),
        terms={},
        counts={},
        predictions=[predictions],
        positives=[positives],
        detections=postprocessor(predictions, [(80, 80)] * num_images),
    )
    return Batch(images=torch.zeros(num_images, 3, 96, 96), targets=targets), output


def dumped(path, batch, output, postprocessor):
    images = list(raw_images(batch, output, postprocessor, np.array(CATEGORIES)))
    write_raw(path, images, postprocess_options(postprocessor))
    return RawDump.load(path)


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


def test_an_unknown_postprocessor_leaves_the_positives_alone(tmp_path):
    class Other(TopKPostprocessor):
        pass

    batch, output = random_output(0, Other())
    dump = dumped(tmp_path / "raw.npz", batch, output, Other())
    assert dump.candidates is None
    assert len(dump.positive_score) == len(output.positives[0])
    with pytest.raises(ValueError, match="a dump with candidates"):
        raw_bounds(dump, GroundTruth.from_coco({"images": [], "annotations": [], "categories": []}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "os.system"}, "`postprocess` to be one of"),
        ({"name": "NMSPostprocessor", "thresh": 1}, "options of NMSPostprocessor"),
        ({"name": "NMSPostprocessor", "nms_thresh": 3}, "`nms_thresh`"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        restored_postprocessor(options)
