import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as mask_utils

from corrlight.coco.run_lengths import broken_encodings


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
