"""Schedules and augmentation are those of the published configurations."""

from functools import cache

import numpy as np
import pytest
import torch

from corrlight.config.allowlist import instantiate
from corrlight.config.compose import compose_config
from corrlight.data import Sample

# Optimiser, rate, momentum, weight decay, images, clip, warm-up steps and ratio, decays, epochs.
SGD, ADAMW = "torch.optim.SGD", "torch.optim.AdamW"
PUBLISHED = {
    "sgd_1x": (SGD, 0.01, 1e-4, 16, None, 500, 0.001, [8, 11], 12),
    "sgd_2x": (SGD, 0.01, 1e-4, 16, None, 500, 0.001, [16, 22], 24),
    "sgd_3x": (SGD, 0.01, 1e-4, 16, None, 500, 0.001, [27, 33], 36),
    "sparse_rcnn_1x": (ADAMW, 2.5e-5, 1e-4, 16, 1.0, 500, 0.001, [8, 11], 12),
    "sparse_rcnn_3x": (ADAMW, 2.5e-5, 1e-4, 16, 1.0, 500, 0.001, [27, 33], 36),
    "yolact_55": (SGD, 4e-3, 5e-4, 32, 35.0, 1000, 0.1, [20, 42, 49, 52], 55),
    "deformable_detr_50": (ADAMW, 2e-4, 1e-4, 32, 0.1, 0, 0.001, [40], 50),
    "detr_150": (ADAMW, 1e-4, 1e-4, 16, 0.1, 0, 0.001, [100], 150),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_schedules_are_the_published_ones(name):
    schedule = compose_config([f"schedule={name}"]).config.schedule
    assert (
        schedule.optimizer._target_,
        schedule.lr,
        schedule.optimizer.weight_decay,
        schedule.reference_batch_size,
        schedule.gradient_clip_val,
        schedule.scheduler.warmup_steps,
        schedule.scheduler.warmup_ratio,
        schedule.scheduler.milestones,
        schedule.max_epochs,
    ) == PUBLISHED[name]
    assert schedule.optimizer.get("momentum") == (0.9 if PUBLISHED[name][0] == SGD else None)
    multipliers = {"detector.backbone": 0.1} if "detr" in name else {}
    if name == "deformable_detr_50":
        multipliers["detector.*_points"] = 0.1
    assert schedule.lr_multipliers == multipliers


@cache
def _data(name):
    return compose_config([f"data={name}", "data.root=/somewhere"]).config.data


@cache
def _steps(name):
    return [instantiate(step) for step in _data(name).train_transforms.values()]


def _transformed(data, size, seed):
    generator = np.random.default_rng(seed)
    height, width = size
    sample = Sample(
        image=torch.zeros(3, *size, dtype=torch.uint8),
        boxes=torch.tensor([[width * 0.1, height * 0.1, width * 0.9, height * 0.9]]),
        labels=torch.zeros(1, dtype=torch.long),
        crowd_boxes=torch.zeros(0, 4),
        masks=None,
        original_size=size,
        image_id=1,
    )
    for step in _steps(data):
        sample = step(sample, generator)
    return sample


@pytest.mark.parametrize(
    ("data", "largest"),
    [("coco_multiscale", 800), ("coco_multiscale_resize", 800), ("coco_multiscale_960", 960),
     ("coco_detr", 800)],
)  # fmt: skip
def test_multi_scale_sizes(data, largest):
    sizes = [_transformed(data, (480, 480), seed).size for seed in range(30)]
    shorts = {min(size) for size in sizes}
    cropped = [size for size in sizes if size[0] != size[1]]
    assert all(s % 32 == 0 and 480 <= s <= largest for s in {min(s) for s in sizes if s[0] == s[1]})
    assert max(shorts) == largest
    assert (len(cropped) > 5) == (data != "coco_multiscale_resize")


def test_first_resize_before_a_crop():
    options = [
        _data(d).train_transforms.policy.options
        for d in ("coco_multiscale", "coco_multiscale_960", "coco_detr")
    ]
    assert [o.crop.first.long for o in options] == [1333, 1333, 4200]
    assert all(o.crop.final == o.resize.final for o in options)
    assert [max(o.crop.final.short) for o in options] == [800, 960, 800]


def test_yolact_sees_550_pixels():
    samples = [_transformed("coco_yolact", (60, 80), seed) for seed in range(10)]
    assert {s.size for s in samples} == {(550, 550)}
    data = _data("coco_yolact")
    resize = instantiate(data.eval_transforms.resize)
    assert resize.new_size((480, 640), 550) == (550, 550)
    assert [*data.train_transforms] == ["small", "colors", "expand", "crop", "resize", "flip"]
