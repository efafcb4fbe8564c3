import contextlib
import json

import numpy as np
import pytest

from corrlight.metrics import GroundTruth
from corrlight.metrics.raw.dump import RawDump, write_raw

OPTIONS = {"name": "NMSPostprocessor", "nms_thresh": 0.5}


def arrays():
    """A dump of two images by the names of the file."""
    return {
        "positive_image_id": np.array([7, 7, 3]),
        "positive_score": np.array([0.5, 0.25, 0.75], np.float32),
        "positive_iou": np.array([0.9, 0.5, 0.7], np.float32),
        "positive_box": np.array([0, 1, 2]),
        "positive_category_id": np.array([2, 2, 5]),
        "image_id": np.array([7, 3]),
        "image_size": np.array([[30, 40], [30, 40]]),
        "boxes": np.array([[0, 0, 9, 9], [1, 1, 9, 9], [4, 4, 20, 20]], np.float32),
        "box_image_id": np.array([7, 7, 3]),
        "candidate_box": np.array([0, 1, 2, 2]),
        "candidate_category_id": np.array([2, 2, 5, 2]),
        "candidate_score": np.array([0.5, 0.25, 0.75, 0.125], np.float32),
    }


def write(path, content, options=OPTIONS):
    text = {} if options is None else {"postprocess": np.array(json.dumps(options))}
    np.savez(path, **content, **text)
    return path


def test_a_foreign_dump(tmp_path):
    dump = RawDump.load(write(tmp_path / "raw.npz", arrays()))
    assert dump.positive_ranking_score is None
    assert dump.candidates.postprocess == OPTIONS
    assert dump.candidates.box_level.tolist() == [0, 0, 0]
    assert dump.candidates.file_size.tolist() == [[30, 40], [30, 40]]
    scores = 1 / (1 + np.exp(-dump.candidates.candidate_logit))
    np.testing.assert_allclose(scores, arrays()["candidate_score"])


@pytest.mark.parametrize("left_out", ["postprocess", "candidate_score", "boxes", "image_size"])
def test_without_candidates_there_are_still_positives(tmp_path, left_out):
    content = {k: v for k, v in arrays().items() if k != left_out}
    if left_out == "boxes":
        content = {k: v for k, v in content.items() if "box" not in k}
    options = None if left_out == "postprocess" else OPTIONS
    dump = RawDump.load(write(tmp_path / "raw.npz", content, options))
    assert dump.candidates is None
    images = [{"id": i} for i in (3, 7, 9)]
    truth = GroundTruth.from_coco({"images": images, "annotations": [], "categories": []})
    table = dump.positives(truth)
    assert table.image_idx.tolist() == [1, 1, 0]
    assert table.scores.tolist() == [0.5, 0.25, 0.75]
    other = GroundTruth.from_coco({"images": images[:1], "annotations": [], "categories": []})
    with pytest.raises(ValueError, match="images of the annotations, but got 7 in row 0"):
        dump.positives(other)


def test_images_are_joined_with_their_boxes(tmp_path):
    first, second = (
        {
            "positive_image_id": np.array([i]),
            "positive_score": np.array([0.5], np.float32),
            "positive_iou": np.array([0.5], np.float32),
            "positive_box": np.array([1]),
            "positive_category_id": np.array([2]),
            "image_id": np.array([i]),
            "image_size": np.array([[30, 40]]),
            "boxes": np.full((2, 4), i, np.float32),
            "box_image_id": np.array([i, i]),
            "candidate_box": np.array([0, 1]),
            "candidate_category_id": np.array([2, 5]),
            "candidate_logit": np.array([0.0, 1.0], np.float32),
        }
        for i in (4, 6)
    )
    write_raw(tmp_path / "raw.npz", [first, second], OPTIONS)
    dump = RawDump.load(tmp_path / "raw.npz")
    assert dump.candidates.candidate_box.tolist() == [0, 1, 2, 3]
    assert dump.candidates.positive_box.tolist() == [1, 3]
    write_raw(tmp_path / "raw.npz", [])
    assert len(RawDump.load(tmp_path / "raw.npz").positive_score) == 0


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("positive_iou", None, "an array `positive_iou`"),
        ("positive_iou", np.array([1, 2, 3]), "`positive_iou` .* floating point .* int64"),
        ("positive_iou", np.array([0.1, np.nan, 0.3]), "finite `positive_iou` .* row 1"),
        ("positive_iou", np.array([0.1, 0.3]), "to have one length, but got 2 and 3"),
        ("positive_iou", np.zeros((3, 1)), r"shape \(n,\), but got float64 of shape \(3, 1\)"),
        ("positive_image_id", np.array([7, 7, 4]), "`positive_image_id` .* `image_id`, but got 4"),
        ("positive_box", np.array([0, 1, 3]), "`positive_box` .* rows of the 3 boxes, .* 0 to 3"),
        ("candidate_box", np.array([0, -1, 2, 2]), "`candidate_box` .* rows .* -1 to 2"),
        ("candidate_score", np.array([0.5, 1.5, 0.1, 0.2]), r"`candidate_score` .* \[0, 1\]"),
        ("image_id", np.array([7, 7]), "every `image_id` .* once"),
        ("box_image_id", np.array([7, 7, 8]), "`box_image_id` .* but got 8"),
        ("boxes", np.zeros((3, 5)), r"shape \(n, 4\)"),
        ("positive_box", np.array([0, 2, 2]), "row 1 of image 7 names a box of image 3"),
        ("positive_ranking_score", np.array([0.5]), "to have one length, but got 1 and 3"),
        ("positive_score", np.array([0.5, 1.5, 0.1]), r"`positive_score` .* \[0, 1\], but got 1.5"),
        ("positive_iou", np.array([0.5, 0.5, -0.1]), r"`positive_iou` .* -0.1 in row 2"),
        ("image_size", np.array([[30, 40], [0, 40]]), r"`image_size` .* \[0, 40\] in row 1"),
        ("file_size", np.array([[30, -1], [30, 40]]), r"`file_size` .* \[30, -1\] in row 0"),
        ("box_level", np.array([0]), "to have one length, but got 1 and 3"),
        ("extra", np.zeros(3), "known arrays .* `extra`"),
    ],
)
def test_errors_name_the_array(tmp_path, name, value, message):
    content = arrays() | {name: value}
    if value is None:
        del content[name]
    with pytest.raises(ValueError, match=message):
        RawDump.load(write(tmp_path / "raw.npz", content))


def test_files_that_are_no_dump(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        RawDump.load(tmp_path / "none.npz")
    for content in (b"", b"no archive", b"PK\x03\x04 cut off"):
        (tmp_path / "raw.npz").write_bytes(content)
        with pytest.raises(ValueError, match=r"an \.npz file"):
            RawDump.load(tmp_path / "raw.npz")
    np.save(tmp_path / "raw.npy", arrays()["boxes"])
    with pytest.raises(ValueError, match=r"an \.npz file"):
        RawDump.load(tmp_path / "raw.npy")
    np.savez(tmp_path / "raw.npz", **arrays(), postprocess=np.array("[1]"))
    with pytest.raises(ValueError, match='JSON with a "name"'):
        RawDump.load(tmp_path / "raw.npz")


def equal(a, b):
    """Whether two dumps hold the same numbers."""
    return all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for name in ("positive_image_id", "positive_score", "positive_iou")
    ) and all(
        np.array_equal(getattr(a.candidates, name), getattr(b.candidates, name))
        for name in ("boxes", "candidate_box", "candidate_logit", "image_size")
    )


@pytest.mark.parametrize("compressed", [False, True])
def test_a_flipped_bit_is_named_or_changes_nothing(tmp_path, compressed):
    save = np.savez_compressed if compressed else np.savez
    save(tmp_path / "good.npz", **arrays(), postprocess=np.array(json.dumps(OPTIONS)))
    good = RawDump.load(tmp_path / "good.npz")
    content = (tmp_path / "good.npz").read_bytes()
    random, named = np.random.default_rng(0), 0
    for _ in range(150):
        damaged = bytearray(content)
        damaged[random.integers(len(content))] ^= 1 << int(random.integers(8))
        (tmp_path / "raw.npz").write_bytes(damaged)
        with contextlib.suppress(ValueError):
            # Times and attributes of the archive are not data; without one array there are no
            # candidates.
            found = RawDump.load(tmp_path / "raw.npz")
            assert found.candidates is None or equal(found, good)
            continue
        named += 1
    assert named > 75
