import functools
import hashlib
import json
import multiprocessing
from collections import Counter

import numpy as np
import pytest
import yaml
from PIL import Image
from pycocotools import mask as coco_mask

from corrlight.config.compose import config_dir
from corrlight.data import SHAPE_CLASSES, ShapesOptions, load_annotations, write_shapes
from corrlight.data.drawn.scene import draw_scene
from corrlight.data.drawn.silhouettes import shape_layer
from corrlight.data.images import image_problems

SMALL = ShapesOptions(num_train=12, num_val=5, image_size=64, seed=3)


def digest(folder):
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        total.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return total.hexdigest()


def scenes(count, size=128):
    return [scene(seed, size) for seed in range(count)]


@functools.cache
def scene(seed, size):
    return draw_scene(np.random.default_rng(seed), size, size)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_shapes(tmp_path_factory.mktemp("shapes"), SMALL, num_workers=1)


def test_same_bytes_with_any_number_of_processes(folder, tmp_path):
    assert digest(write_shapes(tmp_path, SMALL, num_workers=2)) == digest(folder)


def test_another_seed_gives_other_pictures(folder, tmp_path):
    other = write_shapes(tmp_path, ShapesOptions(num_train=12, num_val=5, image_size=64, seed=4), 1)
    assert other.name != folder.name
    names = ["train/000001.png", "val/000001.png"]
    hashes = {(root / name).read_bytes() for root in (folder, other) for name in names}
    assert len(hashes) == 4


def test_more_images_begin_with_the_same(folder, tmp_path):
    more = write_shapes(tmp_path, ShapesOptions(num_train=13, num_val=5, image_size=64, seed=3), 1)
    for k in range(1, 13):
        name = f"train/{k:06d}.png"
        assert (more / name).read_bytes() == (folder / name).read_bytes()


def test_folder_is_reused(folder):
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    assert write_shapes(folder.parent, SMALL) == folder
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before


def test_processes_that_ask_at_once_share_one_folder(folder, tmp_path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_shapes, args=(tmp_path, SMALL, 1)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [w.exitcode for w in writers] == [0, 0, 0]
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == [SMALL.folder_name]
    assert digest(tmp_path / SMALL.folder_name) == digest(folder)


def test_a_killed_writer_leaves_nothing_behind(folder, tmp_path):
    stale = tmp_path / f".{SMALL.folder_name}.tmpabc"
    stale.mkdir()
    (stale / "half.png").write_bytes(b"x")
    assert digest(write_shapes(tmp_path, SMALL, 1)) == digest(folder)
    assert not stale.exists()


def test_a_folder_that_is_not_ours_is_left_alone(tmp_path):
    foreign = tmp_path / SMALL.folder_name
    foreign.mkdir()
    (foreign / "diary.txt").write_text("mine")
    with pytest.raises(ValueError) as caught:
        write_shapes(tmp_path, SMALL)
    assert str(caught.value) == (
        f"Expected {foreign} to hold the shapes of its name, but its manifest.json is missing or "
        "differs; delete the folder to have it drawn again."
    )
    assert (foreign / "diary.txt").read_text() == "mine"


@pytest.mark.parametrize("split", ["train", "val"])
def test_annotations_are_valid_and_fit_the_masks(folder, split):
    data = load_annotations(folder / f"annotations/instances_{split}.json", load_masks=True)
    assert data.notes == ()
    assert data.class_names == SHAPE_CLASSES
    names, sizes = data.file_names, [tuple(s) for s in data.sizes.tolist()]
    assert image_problems(folder / split, names, sizes, "decode") == []
    for k, size in enumerate(sizes):
        rows = np.arange(data.rows(k).start, data.rows(k).stop)
        masks = data.masks(rows, size)
        assert masks.sum(0).max() <= 1, "visible pixels belong to one object"
        for row, mask in zip(rows, masks, strict=True):
            ys, xs = mask.nonzero()
            box = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
            assert data.boxes[row].tolist() == box
            assert data.areas[row] == mask.sum() >= 24


def test_pycocotools_reads_the_run_lengths(folder):
    content = json.loads((folder / "annotations/instances_val.json").read_text())
    for annotation in content["annotations"]:
        assert int(coco_mask.area(annotation["segmentation"])) == annotation["area"]


def test_pictures_have_two_shapes_of_frame(folder):
    sizes = {Image.open(p).size for p in folder.glob("*/*.png")}
    assert sizes == {(64, 64), (64, 56), (56, 64)}


def test_statistics():
    found = scenes(180)
    objects = [(scene, o) for scene in found for o in scene.objects]
    plain = [o for _, o in objects if not o.crowd]
    crowds = [o for _, o in objects if o.crowd]
    assert 3.5 < len(plain) / len(found) < 5.5
    assert 0.03 < len(crowds) / len(found) < 0.13
    counts = Counter(o.label for o in plain)
    assert set(counts) == set(range(len(SHAPE_CLASSES)))
    assert max(counts.values()) < 1.5 * min(counts.values())
    sides = np.array([np.sqrt(o.mask.sum()) for o in plain])
    assert np.quantile(sides, 0.1) < 14
    assert np.quantile(sides, 0.9) > 42
    assert sides.max() > 80
    axes = [np.linalg.eigvalsh(np.cov(o.mask.nonzero())) for o in plain]
    elongations = np.array([np.sqrt(high / max(low, 0.1)) for low, high in axes])
    assert (elongations > 2).mean() > 0.15
    assert (elongations < 1.3).mean() > 0.25
    # Occlusion: objects inside the picture of which a part is hidden by another.
    touching = sum(
        bool((np.roll(o.mask, 1, 0) & other.mask).any())
        for scene in found for o in scene.objects for other in scene.objects if other is not o
    )  # fmt: skip
    assert touching > len(plain) / 4


def test_colour_hints_at_the_class_but_does_not_settle_it():
    hues = np.radians([0, 30, 56, 120, 182, 222, 272, 322])
    hits = []
    for scene in scenes(120):
        for o in scene.objects:
            rgb = np.uint8([[scene.image[o.mask].mean(0)]])
            hue = Image.fromarray(rgb).convert("HSV").getpixel((0, 0))[0] / 255 * 2 * np.pi
            hits.append(np.cos(hues - hue).argmax() == o.label)
    assert 0.6 < np.mean(hits) < 0.95


@pytest.mark.parametrize("label", range(len(SHAPE_CLASSES)), ids=SHAPE_CLASSES)
def test_silhouettes_have_their_size(label):
    rng = np.random.default_rng(0)
    for size in (15.0, 60.0):
        for _ in range(10):
            solid = shape_layer(rng, label, size, (70.0, 70.0)).alpha >= 128
            assert 0.5 * size - 1 < np.sqrt(solid.sum()) < size + 1
            low, high = np.linalg.eigvalsh(np.cov(solid.nonzero()))
            assert np.sqrt(high / low) < 5.5


def test_configured_number_of_classes():
    config = yaml.safe_load((config_dir() / "data/shapes.yaml").read_text())
    assert config["num_classes"] == len(SHAPE_CLASSES) == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_train": 0}, "Expected `num_train` to be an int from 1 to 1000000, but got 0."),
        ({"num_val": 2.5}, "Expected `num_val` to be an int from 1 to 1000000, but got 2.5."),
        ({"image_size": 32}, "Expected `image_size` to be an int from 64 to 2048, but got 32."),
        ({"seed": -1}, f"Expected `seed` to be an int from 0 to {2**63}, but got -1."),
        ({"seed": True}, f"Expected `seed` to be an int from 0 to {2**63}, but got True."),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError) as caught:
        ShapesOptions(**options)
    assert str(caught.value) == message
