from types import SimpleNamespace

import numpy as np
import pytest
from omegaconf import OmegaConf

from corrlight.detectors.anchors import AnchorGrid
from corrlight.reporting.start_notes import anchor_note, size_note, start_notes, warmup_note


def config(warmup, epochs=8, batch=8, accumulate=1):
    return OmegaConf.create(
        {
            "schedule": {"scheduler": {"warmup_steps": warmup}},
            "trainer": {"max_epochs": epochs, "accumulate_grad_batches": accumulate},
            "data": {"batch_size": batch},
        }
    )


@pytest.mark.parametrize(
    ("warmup", "images", "expected"),
    [
        (100, 160, "100 steps in a run of 160. WARNING: it takes more than half"),
        (200, 160, "200 steps in a run of 160. WARNING: it never ends"),
        (80, 160, None),
        (0.08, 160, None),
        (0.6, 160, "96 steps in a run of 160. WARNING: it takes more than half"),
        (0, 160, None),
    ],
)
def test_a_warm_up_that_does_not_fit_the_run(warmup, images, expected):
    note = warmup_note(config(warmup), images)
    assert note is None if expected is None else note.startswith(expected)


def test_a_schedule_without_a_scheduler():
    made = config(5)
    made.schedule.scheduler = None
    assert warmup_note(made, 100) is None


def data(objects=((10.0, 10.0),), before=((24, 32),), after=((24, 32),)):
    return SimpleNamespace(
        train_object_sizes=lambda: np.array(objects, float).reshape(-1, 2),
        picture_sizes=lambda: (np.array(before), np.array(after)),
        num_workers=4,
        usable_workers=2,
        num_train_images=160,
    )


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (((24, 32),), ((24, 32),), "32 pixels, longer side, as they are"),
        (((24, 32), (48, 64)), ((48, 64),) * 2, "64 pixels, longer side; 50%"),
        (((90, 99), (9, 9)), ((45, 50), (9, 9)), "9 to 50 pixels, longer side; 50%"),
    ],
)  # fmt: skip
def test_picture_sizes(before, after, expected):
    assert size_note(data(before=before, after=after)).startswith(expected)


def test_anchors_that_fit_and_anchors_that_do_not():
    detector = SimpleNamespace(anchors=AnchorGrid([8, 16], [32, 64]))
    good = anchor_note(data(objects=((32, 32), (60, 60))), detector)
    assert good == "32 to 64 pixels, none fits 0% of objects"
    bad = anchor_note(data(objects=((8, 8), (7, 9), (32, 32))), detector)
    assert "none fits 67% of objects, 67% are smaller than any. WARNING: " in bad
    assert "anchor_scale=auto" in bad
    assert anchor_note(data(), SimpleNamespace()) is None
    assert anchor_note(data(objects=()), detector) is None


def test_the_lines_of_a_start():
    run = SimpleNamespace(
        data=data(), config=config(200), module=SimpleNamespace(detector=SimpleNamespace())
    )
    lines = dict(start_notes(run))
    assert list(lines) == ["picture size", "loader", "warm-up"]
    assert lines["loader"] == "2 processes of 4, as many as there are CPUs"
