import numpy as np
import pytest
import torch
from PIL import Image

from corrlight.predict.model import Unreadable
from tests.helpers.run_folder import NAMES


def same(a, b):
    return torch.equal(a.boxes, b.boxes) and torch.equal(a.scores, b.scores) and a.size == b.size


def test_every_kind_of_picture_gives_the_same(model, shots):
    path = shots / "b.png"
    pixels = np.asarray(Image.open(path))
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    kinds = [str(path), path, Image.open(path), pixels, tensor, tensor.float() / 255]
    first, *others = model.predict(kinds, batch_size=1)
    assert len(first) > 0
    assert all(same(first, other) for other in others)
    assert same(model.predict(tensor[None])[0], first)
    assert same(model.predict(path)[0], first)


def test_what_is_found_is_in_pixels_of_the_picture(model, shots):
    found = model.predict([shots / "a.jpg", shots / "b.png"])
    assert [f.size for f in found] == [(64, 64), (64, 96)]
    for one in found:
        height, width = one.size
        assert one.boxes.shape == (len(one), 4)
        assert one.boxes.min() >= 0
        assert (one.boxes.amax(0) <= torch.tensor([width, height, width, height])).all()
        assert one.scores.diff().max() <= 0
        assert one.class_names == tuple(NAMES[k] for k in one.labels.tolist())


def test_masks_are_of_the_size_of_the_picture(mask_run, shots):
    from corrlight.predict.load import load

    (found,) = load(mask_run, "cpu").predict(shots / "b.png")
    assert found.masks.shape == (len(found), 64, 96)
    assert found.masks.any()


def test_a_picture_does_not_depend_on_the_others(model, monkeypatch):
    """Padded to a larger neighbour, its normalisations would see more zeros."""
    generator = np.random.default_rng(0)
    sizes = [(64, 64), (50, 60), (128, 96), (64, 64), (40, 130)]
    pictures = [generator.integers(0, 255, (*size, 3), dtype=np.uint8) for size in sizes]
    alone = model.predict(pictures, batch_size=1)
    counts, original = [], model._batch
    monkeypatch.setattr(model, "_batch", lambda g: counts.append(len(g)) or original(g))
    together = model.predict(pictures, batch_size=5)
    assert [count for count in counts if count] == [2, 1, 1, 1]
    for a, b in zip(alone, together, strict=True):
        torch.testing.assert_close(a.boxes, b.boxes, rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(a.scores, b.scores, rtol=1e-4, atol=1e-5)


def test_batches_of_equal_pictures_change_nothing(model, shots):
    picture = np.asarray(Image.open(shots / "b.png"))
    pictures = [picture, picture[::-1].copy(), picture[:, ::-1].copy()]
    alone = model.predict(pictures, batch_size=1)
    for a, b in zip(alone, model.predict(pictures, batch_size=3), strict=True):
        assert len(a) == len(b)
        torch.testing.assert_close(a.scores, b.scores, atol=1e-5, rtol=0)


def test_low_scores_are_left_out_on_request(model, shots):
    (everything,) = model.predict(shots / "b.png")
    threshold = float(everything.scores.median())
    (some,) = model.predict(shots / "b.png", score_threshold=threshold)
    assert len(some) == int((everything.scores >= threshold).sum()) < len(everything)


def test_a_stream_goes_on_after_an_unreadable_picture(model, shots):
    pictures = [shots / "b.png", shots / "notes.txt", shots / "gone.png", shots / "a.jpg"]
    found = list(model.stream(pictures))
    assert [f.index for f in found] == [0, 1, 2, 3]
    assert [isinstance(f, Unreadable) for f in found] == [False, True, True, False]
    assert "notes.txt to be a complete image, but it is no image" in found[1].reason
    assert "no such file" in found[2].reason
    with pytest.raises(ValueError, match=r"notes\.txt"):
        model.predict(pictures)


def test_a_stream_reads_only_a_few_pictures_ahead(model, shots):
    asked = []

    def endless():
        while True:
            asked.append(1)
            yield shots / "a.jpg"

    stream = model.stream(endless(), batch_size=2)
    next(stream)
    assert len(asked) <= 10
    stream.close()


def test_wrong_arguments_are_named(model):
    with pytest.raises(ValueError, match="`batch_size`"):
        model.predict([], batch_size=0)
    assert model.predict([]) == []
