"""What a test takes besides: bounds as ImageBounds gives them, dumps of every image once."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from corrlight.engine import bounds_and_dump
from corrlight.engine.bounds_and_dump import BoundsAtTest, RawDumper
from corrlight.metrics.image_bounds import ImageBounds
from corrlight.metrics.raw.dump import RawDump
from corrlight.metrics.raw.images import raw_images
from tests.metrics.raw.random_output import CATEGORIES, POSTPROCESSORS, random_output

POSTPROCESSOR = POSTPROCESSORS[0]
MAIN, OTHER = (SimpleNamespace(is_global_zero=zero) for zero in (True, False))


class Module:
    """Keeps what is logged."""

    postprocessor = POSTPROCESSOR

    def __init__(self):
        self.logged = {}

    def log_dict(self, values, **_):
        self.logged |= values


@pytest.fixture(scope="module")
def batches():
    """Three images, and again the middle one alone, as a sampler of several ranks repeats it."""
    batch, output = random_output(3, POSTPROCESSOR)
    again, repeated = random_output(4, POSTPROCESSOR, num_images=1)
    assert [t.image_id for t in batch.targets] == [10, 9, 8]
    assert [t.image_id for t in again.targets] == [10]
    return [(batch, output), (again, repeated)]


@pytest.fixture
def annotations(tmp_path, batches):
    objects = [
        {"image_id": t.image_id, "category_id": CATEGORIES[k % 3], "bbox": [10 * k, 5, 60, 50]}
        for t in batches[0][0].targets
        for k in range(2)
    ]
    content = {
        "images": [{"id": t.image_id} for t in batches[0][0].targets],
        "annotations": [{"id": k, **o} for k, o in enumerate(objects)],
        "categories": [{"id": c} for c in CATEGORIES],
    }
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(content))
    return path


def feed(callback, batches, trainer=MAIN, module=None):
    module = module or Module()
    callback.on_test_epoch_start(trainer, module)
    for k, (batch, output) in enumerate(batches):
        callback.on_test_batch_end(trainer, module, output, batch, k)
    return module


def test_bounds_are_those_of_the_images_and_are_logged(annotations, batches):
    callback = BoundsAtTest(ImageBounds(annotations, CATEGORIES))
    feed(callback, batches)  # an earlier test, which is forgotten
    module = feed(callback, batches[:1])
    callback.on_test_epoch_end(MAIN, module)
    alone = ImageBounds(annotations, CATEGORIES)
    alone.update(*batches[0], POSTPROCESSOR)
    assert callback.values == alone.compute()
    assert module.logged == {f"test/{name}": value for name, value in callback.values.items()}
    assert callback.seconds > 0


def test_an_undefined_bound_is_none_and_logged_as_nan(annotations):
    callback = BoundsAtTest(ImageBounds(annotations, CATEGORIES))
    module = feed(callback, [])
    callback.on_test_epoch_end(MAIN, module)
    assert callback.values["AP_upper_img"] is None
    assert math.isnan(module.logged["test/AP_upper_img"])


def same_images(dump, images):
    assert dump.candidates.image_id.tolist() == [int(i["image_id"][0]) for i in images]
    scores = np.concatenate([image["positive_score"] for image in images])
    np.testing.assert_array_equal(dump.positive_score, scores)
    logits = np.concatenate([image["candidate_logit"] for image in images])
    np.testing.assert_array_equal(dump.candidates.candidate_logit, logits)


def images_of(batch, output):
    return list(raw_images(batch, output, POSTPROCESSOR, np.array(CATEGORIES)))


def test_a_dump_holds_every_image_once_by_its_id(tmp_path, batches):
    dumper = RawDumper(tmp_path / "raw.npz", CATEGORIES)
    feed(dumper, batches[1:])
    module = feed(dumper, batches)
    dumper.on_test_end(MAIN, module)
    # Of image 10, the first of its batches.
    same_images(RawDump.load(tmp_path / "raw.npz"), images_of(*batches[0])[::-1])
    assert RawDump.load(tmp_path / "raw.npz").candidates.postprocess["name"] == "NMSPostprocessor"


def test_images_of_all_ranks_are_written_by_the_first(tmp_path, batches, monkeypatch):
    """Where two have an image, that of the lower rank counts, as in the evaluation."""
    sent = []
    dumpers = [RawDumper(tmp_path / "raw.npz", CATEGORIES) for _ in range(2)]
    module = feed(dumpers[0], batches[1:])
    feed(dumpers[1], batches[:1])

    def gather(own, parts, dst):
        sent.append(own)
        if parts is not None:
            parts[:] = [own, sent[0]]

    ranks = SimpleNamespace(
        is_available=lambda: True,
        is_initialized=lambda: True,
        get_world_size=lambda: 2,
        gather_object=gather,
        get_rank=lambda: 1,
    )
    monkeypatch.setattr(bounds_and_dump, "dist", ranks)
    dumpers[1].on_test_end(OTHER, module)
    assert not (tmp_path / "raw.npz").exists()
    ranks.get_rank = lambda: 0
    dumpers[0].on_test_end(MAIN, module)
    (first,) = images_of(*batches[1])
    same_images(RawDump.load(tmp_path / "raw.npz"), [*images_of(*batches[0])[:0:-1], first])
