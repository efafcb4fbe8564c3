import json
import logging

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from corrlight.data import CocoDataset, RandomHorizontalFlip, load_annotations
from corrlight.data.decoded import DECODED_FOLDER
from corrlight.data.images import BadImageError
from tests.data.conftest import content, write_images

BOXES = [
    # box, area, crowd -> a target?
    ([2, 3, 10, 8], 80, 0, True),
    ([-4, 3, 10, 8], 80, 0, True),
    ([30, 3, 20, 8], 80, 0, True),
    ([2, 3, 0.5, 8], 4, 0, False),
    ([2, 3, 8, 8], 0, 0, False),
    ([5, 5, 10, 10], 60, 1, False),
]


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    images = [
        {"id": 4, "file_name": "a.png", "width": 40, "height": 24},
        {"id": 2, "file_name": "b.png", "width": 16, "height": 30},
    ]
    for image in images:
        pixels = rng.integers(0, 256, (image["height"], image["width"], 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / image["file_name"])
    data = {
        "images": images,
        "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}],
        "annotations": [
            {
                "id": k + 1,
                "image_id": 4,
                "category_id": 3 if k % 2 else 7,
                "bbox": box,
                "area": area,
                "iscrowd": crowd,
                "segmentation": [[2, 3, 12, 3, 12, 11, 2, 11]],
            }
            for k, (box, area, crowd, _) in enumerate(BOXES)
        ],
    }
    (tmp_path / "a.json").write_text(json.dumps(data))
    return tmp_path


def dataset(folder, **options):
    masks = options.get("load_masks", False)
    return CocoDataset(load_annotations(folder / "a.json", load_masks=masks), folder, **options)


def test_targets(folder):
    sample = dataset(folder)[0]
    assert sample.boxes.tolist() == [[2, 3, 12, 11], [0, 3, 6, 11], [30, 3, 40, 11]]
    assert sample.labels.tolist() == [1, 0, 1]
    assert sample.crowd_boxes.tolist() == [[5, 5, 15, 15]]
    assert sample.original_size == sample.size == (24, 40)
    assert sample.image_id == 4
    assert sample.masks is None
    expected = np.asarray(Image.open(folder / "a.png")).transpose(2, 0, 1)
    assert np.array_equal(sample.image.numpy(), expected)


def test_image_without_annotations(folder):
    sample = dataset(folder, load_masks=True)[1]
    assert sample.boxes.shape == (0, 4)
    assert sample.boxes.dtype == torch.float32
    assert sample.labels.dtype == torch.int64
    assert sample.masks.shape == (0, 30, 16)


def test_masks(folder):
    sample = dataset(folder, load_masks=True)[0]
    assert sample.masks.shape == (3, 24, 40)
    assert sample.masks[:, 3:11, 2:12].all()
    assert sample.masks.sum() == 3 * 80


def test_cache_holds_the_same_images(folder):
    plain, cached = dataset(folder), dataset(folder, cache="ram")
    (folder / "a.png").unlink()
    (folder / "b.png").rename(folder / "a.png")
    for index in (0, 1):
        with pytest.raises(ValueError, match=r"a\.png|b\.png"):
            plain[index]
    assert cached[0].image.shape == (3, 24, 40)
    assert cached[1].image.shape == (3, 30, 16)
    assert cached[0].image.float().std() > 60


def test_jobs_of_a_sweep_decode_once(folder, tmp_path, monkeypatch):
    alone = dataset(folder, cache="ram")
    monkeypatch.setenv(DECODED_FOLDER, str(tmp_path / "decoded"))
    first = dataset(folder, cache="ram")

    def refuse(*arguments):
        raise AssertionError("decoded again")

    monkeypatch.setattr("corrlight.data.dataset.decode_image", refuse)
    second = dataset(folder, cache="ram")
    for index in (0, 1):
        assert torch.equal(first[index].image, alone[index].image)
        assert torch.equal(second[index].image, alone[index].image)
    with pytest.raises(AssertionError, match="decoded again"):
        dataset(folder, cache="ram", indices=[1])


def test_subset(folder):
    subset = dataset(folder, indices=[1])
    assert len(subset) == 1
    assert subset.sizes == [(30, 16)]
    assert subset.image_ids == [2]
    assert subset[0].image_id == 2


def test_augmentation_depends_on_the_seed_of_the_key(folder):
    data = dataset(folder, transforms=[RandomHorizontalFlip()])
    by_seed = [data[0, seed].image for seed in range(12)]
    assert len({image.numpy().tobytes() for image in by_seed}) == 2
    assert all(torch.equal(data[0, seed].image, by_seed[seed]) for seed in range(12))


def test_unknown_cache(folder):
    with pytest.raises(ValueError, match=r"`cache` to be 'none' or 'ram', but got 'disk'\."):
        dataset(folder, cache="disk")


def test_images_that_memory_has_no_room_for(folder, monkeypatch):
    annotations = load_annotations(folder / "a.json")

    def full(*arguments):
        raise MemoryError

    monkeypatch.setattr("corrlight.data.dataset.np.empty", full)
    with pytest.raises(ValueError, match=r"decoded images .* GiB: data\.cache=none decodes"):
        CocoDataset(annotations, folder, cache="ram")


def damaged(folder, count, broken):
    """A data set of `count` pictures, of which those numbered `broken` cannot be decoded."""
    made = content(count)
    write_images(folder, made["images"])
    (folder / "a.json").write_text(json.dumps(made))
    for k in broken:
        path = folder / f"{k}.png"
        path.write_bytes(path.read_bytes()[:60] + b"IEND\xaeB`\x82")
    return load_annotations(folder / "a.json")


@pytest.mark.parametrize("cache", ["none", "ram"])
def test_a_damaged_image_is_skipped_and_said_once(tmp_path, caplog, cache):
    data = CocoDataset(damaged(tmp_path, 3, [1]), tmp_path, on_bad_image="skip", cache=cache)
    with caplog.at_level(logging.WARNING):
        seen = [data[(k, 5)].image_id for k in (0, 1, 2, 1)]
    assert seen == [10, 12, 12, 12]
    assert data.num_skipped == 1
    assert sum("1.png" in record.message for record in caplog.records) == 1


def test_without_the_option_a_damaged_image_ends_it(tmp_path):
    data = CocoDataset(damaged(tmp_path, 3, [1]), tmp_path)
    with pytest.raises(BadImageError, match=r"1\.png to be a complete image.*on_bad_image=skip"):
        data[1]
    assert data.num_skipped == 0


def test_too_many_damaged_images_are_not_skipped(tmp_path):
    data = CocoDataset(damaged(tmp_path, 4, [1, 2]), tmp_path, on_bad_image="skip")
    with pytest.raises(BadImageError, match=r"2\.png .* number 2 of 4 images.* at most 1 %"):
        data[1]


def test_worker_processes_count_together(tmp_path):
    data = CocoDataset(damaged(tmp_path, 3, [1]), tmp_path, on_bad_image="skip")
    loader = DataLoader(data, batch_size=None, num_workers=2)
    assert sorted(sample.image_id for sample in loader) == [10, 12, 12]
    assert data.num_skipped == 1


def test_unknown_choice_for_damaged_images(tmp_path):
    with pytest.raises(ValueError, match="`on_bad_image` to be 'raise' or 'skip', but got 'no'"):
        CocoDataset(damaged(tmp_path, 1, []), tmp_path, on_bad_image="no")
