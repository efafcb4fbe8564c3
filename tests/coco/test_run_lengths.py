import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as mask_utils

from corrlight.coco import run_lengths
from corrlight.coco.run_lengths import broken_encodings, covered_pixels


def encodings(rng, count):
    """Noise, boxes, empty and full masks of all sizes, with their numbers of pixels."""
    counts, pixels = [], []
    for _ in range(count):
        height, width = rng.integers(1, 40, 2) if rng.random() < 0.8 else (900, 700)
        mask = np.zeros((height, width), np.uint8, order="F")
        if rng.random() < 0.5:
            mask[:] = rng.random((height, width)) < rng.random()
        else:
            top, left = rng.integers(0, height), rng.integers(0, width)
            mask[top : top + height // 2, left : left + width // 2] = 1
        counts.append(mask_utils.encode(mask)["counts"])
        pixels.append(height * width)
    return counts, np.array(pixels)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=8, deadline=None)
def test_encodings_of_pycocotools_are_whole_and_changed_ones_are_not(seed):
    rng = np.random.default_rng(seed)
    counts, pixels = encodings(rng, 12)
    assert not broken_encodings(counts, pixels).any()
    assert not broken_encodings([c.decode() for c in counts], pixels).any()
    row = rng.integers(12)
    wrong = np.arange(12) == row
    assert np.array_equal(broken_encodings(counts, pixels + wrong), wrong)
    shorter = [c[:-1] if i == row else c for i, c in enumerate(counts)]
    assert np.array_equal(broken_encodings(shorter, pixels), wrong)


@pytest.mark.parametrize("text", ["", "0n", "\x01", "\x7f", "ooooooooo0", "^"])
def test_what_is_no_encoding(text):
    good = mask_utils.encode(np.ones((2, 3), np.uint8, order="F"))["counts"]
    found = broken_encodings([good, text, good, text], np.array([6] * 4))
    assert found.tolist() == [False, True, False, True]


def test_none():
    assert broken_encodings([], np.zeros(0)).tolist() == []


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_what_is_said_at_once_is_what_is_said_of_each(seed):
    """Bytes changed and pixels miscounted: whole as a whole if and only if each one is."""
    rng = np.random.default_rng(seed)
    counts, pixels = encodings(rng, 6)
    damaged = [bytearray(c) for c in counts]
    for _ in range(rng.integers(0, 3)):
        row = rng.integers(6)
        if rng.random() < 0.7:
            damaged[row][rng.integers(len(damaged[row]))] = rng.integers(30, 130)
        else:
            pixels[row] += rng.integers(-1, 2)
    texts = [bytes(c) for c in damaged]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_lengths, "_all_whole", lambda *_: False)
        each = broken_encodings(texts, pixels)
    characters = np.frombuffer(b"".join(texts), np.uint8) - np.uint8(48)
    lengths = np.array([len(t) for t in texts])
    assert run_lengths._all_whole(characters, lengths, pixels) == (not each.any())


@pytest.mark.parametrize("count", [0, 1, 255, 256, 600])
def test_pixels_of_any_number_of_masks(count):
    rng = np.random.default_rng(count)
    grids = rng.random((count, 7, 5)) < rng.random((count, 1, 1))
    masks = [mask_utils.encode(np.asfortranarray(g, dtype=np.uint8)) for g in grids]
    assert np.array_equal(covered_pixels(masks), grids.sum((1, 2)))
