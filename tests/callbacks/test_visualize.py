"""Pictures in the run folder and boxes for W&B."""

import json
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as mask_utils

from corrlight.callbacks.visualize import (
    DetectionPictures,
    _equally_large,
    _masks,
    _scene,
    spread_over_batches,
)
from corrlight.reporting.pictures import iou_color
from corrlight.structures import Detections, Targets
from tests.callbacks.small import PIXEL, Batches, PerfectDetector, make_trainer


def _names(folder):
    return sorted(path.name for path in (folder / "pictures").glob("*"))


def _run(trainer, verb, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        getattr(trainer, verb)(PerfectDetector(), datamodule=Batches(), **options)


def test_images_are_spread_over_the_batches():
    for num_images, num_batches in ((3, 10), (9, 4), (1, 1), (8, 8), (5, 1)):
        counts = [spread_over_batches(num_images, num_batches, k) for k in range(num_batches)]
        assert sum(counts) == num_images
        assert max(counts) - min(counts) <= 1


def test_draws_every_n_epochs_and_the_last(tmp_path):
    trainer = make_trainer(
        tmp_path,
        DetectionPictures(num_images=2, every_n_epochs=2),
        epochs=5,
        num_sanity_val_steps=1,
    )
    _run(trainer, "fit")
    assert _names(tmp_path) == [f"val_epoch_00{k}.png" for k in (2, 4, 5)]


def test_test_and_validation_alone_are_drawn(tmp_path):
    trainer = make_trainer(tmp_path, DetectionPictures(num_images=3, every_n_epochs=7))
    _run(trainer, "test", verbose=False)
    _run(trainer, "validate", verbose=False)
    assert _names(tmp_path) == ["test.png", "val.png"]


def test_picture_shows_the_denormalised_image_and_the_box(tmp_path):
    trainer = make_trainer(tmp_path, DetectionPictures(num_images=1, size=192))
    _run(trainer, "test", verbose=False)
    sheet = np.asarray(Image.open(tmp_path / "pictures" / "test.png").convert("RGB"))
    # One image of 48 x 40 pixels (padding cut off), four times larger, below a title of 20 pixels.
    picture = sheet[26 : 26 + 160, 6 : 6 + 192]
    np.testing.assert_array_equal(picture[150, 180], PIXEL)
    np.testing.assert_array_equal(picture[80, 31], iou_color(1.0))  # beside the object's dashes
    assert (sheet[26:186, 6 + 192 :] == 255).all()


def test_without_constants_the_range_is_stretched(tmp_path):
    class Plain(Batches):
        mean = std = None

    trainer = make_trainer(tmp_path, DetectionPictures(num_images=1))
    trainer.test(PerfectDetector(), datamodule=Plain(), verbose=False)
    sheet = np.asarray(Image.open(tmp_path / "pictures" / "test.png").convert("RGB"))
    corner = sheet[26 + 250, 6 + 300]
    assert corner.min() == 0  # smallest channel
    assert corner.max() == 255


def test_wandb_logger_gets_images_with_boxes(tmp_path):
    from lightning.pytorch.loggers.logger import DummyLogger

    class WandbLogger(DummyLogger):
        def __init__(self):
            super().__init__()
            self.logged = []

        def log_image(self, key, images, **kwargs):
            self.logged.append((key, images, kwargs))

    logger = WandbLogger()
    trainer = make_trainer(tmp_path, DetectionPictures(num_images=3), epochs=1, logger=logger)
    _run(trainer, "fit")
    ((key, images, kwargs),) = logger.logged
    assert key == "val/detections"
    assert [image.shape for image in images] == [(40, 48, 3)] * 3
    assert kwargs["caption"] == ["image 100", "image 104", "image 106"]
    boxes = kwargs["boxes"][0]
    assert boxes["predictions"]["class_labels"] == {1: "star"}
    (found,) = boxes["predictions"]["box_data"]
    assert found["position"] == {"minX": 8.0, "maxX": 28.0, "minY": 10.0, "maxY": 30.0}
    assert found["box_caption"] == "star 0.90"
    assert found["scores"] == {"score": pytest.approx(0.9), "iou": 1.0}
    assert [b["class_id"] for b in boxes["ground_truth"]["box_data"]] == [1]


def test_images_for_wandb_are_padded_to_one_size():
    images = [np.ones((4, 6, 3), np.uint8), np.ones((5, 3, 3), np.uint8)]
    padded = _equally_large(images)
    assert [p.shape for p in padded] == [(5, 6, 3)] * 2
    assert padded[1][:, :3].all()
    assert not padded[1][:, 3:].any()


@pytest.mark.slow
def test_real_wandb_logger_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.chdir(tmp_path)
    from corrlight.callbacks.loggers.wandb import wandb_logger

    logger = wandb_logger(save_dir=str(tmp_path), offline=True)
    trainer = make_trainer(tmp_path, DetectionPictures(num_images=2), epochs=1, logger=logger)
    _run(trainer, "fit")
    logger.experiment.finish()
    media = next(tmp_path.glob("wandb/offline-run-*/files/media"))
    assert list(media.glob("images/val/detections_*.png"))  # equal images are stored once
    boxes = [json.loads(path.read_text()) for path in media.glob("metadata/boxes2D/**/*.json")]
    assert boxes
    assert {entry["box_caption"] for table in boxes for entry in table["box_data"]} == {
        "star 0.90",
        "star",
    }


@pytest.mark.parametrize(
    ("argument", "value"),
    [("num_images", 0), ("every_n_epochs", 0), ("columns", -1), ("size", 0), ("score_thresh", 1.5)],
)
def test_bad_arguments_are_named(argument, value):
    with pytest.raises(ValueError, match=f"`{argument}` .* but got {value}"):
        DetectionPictures(**{argument: value})


def test_masks_of_the_file_are_shown_at_the_size_of_the_input():
    full = np.random.default_rng(0).random((3, 10, 15)) > 0.5
    rles = [mask_utils.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in full]
    none = torch.zeros(3)
    found = Detections(
        boxes=torch.zeros(3, 4), scores=none, labels=none.long(), pred_idx=none.long(), masks=rles
    )
    np.testing.assert_array_equal(_masks(found, [2, 0], (10, 15)), full[[2, 0]])
    twice = _masks(found, [1], (20, 30))
    np.testing.assert_array_equal(twice[0], full[1].repeat(2, 0).repeat(2, 1))
    half = _masks(found, [1], (5, 5))
    np.testing.assert_array_equal(half[0], full[1][1::2, 1::3])
    assert _masks(found, [], (5, 5)).shape == (0, 5, 5)


@pytest.mark.parametrize(("found", "title"), [(3, "image 7"), (4, "image 7, 3 best of 4")])
def test_the_best_are_drawn_where_many_reach_the_threshold(found, title):
    scores = torch.tensor([0.4, 0.2, 0.9, 0.5, 0.6][: found + 1])
    detections = Detections(
        boxes=torch.arange(4.0).repeat(len(scores), 1) + 5,
        scores=scores,
        labels=torch.arange(len(scores)),
        pred_idx=torch.arange(len(scores)),
    )
    targets = Targets(
        boxes=torch.zeros(0, 4),
        labels=torch.zeros(0, dtype=torch.int64),
        image_id=7,
        valid_size=(20, 30),
        padded_size=(32, 32),
        original_size=(20, 30),
    )
    scene = _scene(torch.zeros(3, 32, 32), targets, detections, None, None, (0.3, 3))
    assert scene.title == title
    assert scene.scores == pytest.approx(sorted(scores[scores >= 0.3].tolist(), reverse=True)[:3])
    assert scene.image.shape == (20, 30, 3)
