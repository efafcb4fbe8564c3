"""pycocotools as an oracle, and random COCO data sets."""

import contextlib
import copy
import io
import warnings

import numpy as np
from hypothesis import strategies as st
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

NAMES = [
    *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
    *("AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large"),
]


def coco_eval(gt: dict, dt: list[dict], iou_type: str = "bbox") -> COCOeval:
    """Run pycocotools on copies (it writes into its inputs)."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = copy.deepcopy(gt)
        truth.createIndex()
        run = COCOeval(truth, truth.loadRes(copy.deepcopy(dt)), iou_type)
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run


def coco_numbers(gt: dict, dt: list[dict], iou_type: str = "bbox") -> dict[str, float | None]:
    """Return the 12 numbers by name, None for pycocotools' -1."""
    stats = coco_eval(gt, dt, iou_type).stats
    return {n: None if v == -1 else float(v) for n, v in zip(NAMES, stats, strict=True)}


def random_dataset(
    rng: np.random.Generator, num_images: int, num_classes: int, *, ties: bool, crowds: bool
) -> tuple[dict, list[dict]]:
    """Draw objects of all sizes and detections that are jittered copies, duplicates and noise."""
    images = rng.permutation(rng.choice(1000, num_images, replace=False)).tolist()
    categories = rng.choice(np.arange(1, 91), num_classes, replace=False).tolist()
    annotations: list[dict] = []
    detections: list[dict] = []
    for image in images:
        for _ in range(rng.integers(0, 8)):
            size = np.exp(rng.uniform(np.log(4), np.log(200), 2))
            box = [*rng.uniform(0, 200, 2), *size]
            category = int(rng.choice(categories))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": category,
                    "bbox": [float(v) for v in box],
                    "area": float(size.prod() * rng.choice([1.0, 0.6])),
                    "iscrowd": int(crowds and rng.random() < 0.15),
                }
            )
            for _ in range(rng.integers(0, 4)):
                jitter = rng.normal(0, rng.choice([0, 0.02, 0.15]), 4) * [*size, *size]
                moved = np.array(box) + jitter
                moved[2:] = np.maximum(moved[2:], 1)
                detections.append({"bbox": moved, "image_id": image, "category_id": category})
        for _ in range(rng.integers(0, 5)):
            noise = [*rng.uniform(0, 200, 2), *rng.uniform(2, 150, 2)]
            category = int(rng.choice(categories))
            detections.append({"bbox": noise, "image_id": image, "category_id": category})
    for d in detections:
        d["bbox"] = [float(v) for v in d["bbox"]]
        d["score"] = float(rng.integers(1, 6) / 5 if ties else rng.random())
    gt = {
        "images": [{"id": i, "width": 400, "height": 400} for i in images],
        "annotations": annotations,
        "categories": [{"id": c, "name": f"class {c}"} for c in categories],
    }
    return gt, [detections[i] for i in rng.permutation(len(detections))]


def with_masks(gt: dict, dt: list[dict], rng: np.random.Generator) -> tuple[dict, list[dict]]:
    """Replace boxes by masks: polygons and run lengths as objects, run lengths as detections.

    Like the files that mask detectors write, the detections have no box: with one, pycocotools
    would take its area for the mask's.
    """

    def corners(box: list[float]) -> list[float]:
        x, y, w, h = (max(0.0, v) for v in box)
        cut = 0.3 * float(rng.random())
        return [x + cut * w, y, x + w, y + cut * h, x + w * (1 - cut), y + h, x, y + h * (1 - cut)]

    def encode(box: list[float], compressed: bool) -> dict:
        rle = mask_utils.merge(mask_utils.frPyObjects([corners(box)], 400, 400))
        if compressed:
            return {"size": [400, 400], "counts": rle["counts"].decode()}
        with warnings.catch_warnings():  # pycocotools 2.0.11 with numpy 2
            warnings.simplefilter("ignore", DeprecationWarning)
            flat = mask_utils.decode(rle).flatten(order="F")
        edges = np.flatnonzero(np.diff(np.r_[0, flat, 1 - flat[-1]])).tolist()
        return {"size": [400, 400], "counts": np.diff([0, *edges]).tolist()}

    annotations = [
        {**a, "segmentation": [corners(a["bbox"])] if i % 2 else encode(a["bbox"], bool(i % 4))}
        for i, a in enumerate(gt["annotations"])
    ]
    results = [
        {
            **{k: v for k, v in d.items() if k != "bbox"},
            "segmentation": encode(d["bbox"], compressed=True),
        }
        for d in dt
    ]
    return {**gt, "annotations": annotations}, results


@st.composite
def datasets(draw: st.DrawFn) -> tuple[dict, list[dict]]:
    """Random data sets with at least one detection (pycocotools fails without)."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    gt, dt = random_dataset(
        rng,
        draw(st.integers(1, 6)),
        draw(st.integers(1, 4)),
        ties=draw(st.booleans()),
        crowds=draw(st.booleans()),
    )
    if not dt:
        first = gt["images"][0]["id"], gt["categories"][0]["id"]
        dt = [{"image_id": first[0], "category_id": first[1], "bbox": [1.0] * 4, "score": 0.5}]
    return gt, dt


def example() -> tuple[dict, list[dict]]:
    """Return ten images of three classes without ties, with crowds."""
    return random_dataset(np.random.default_rng(2), 10, 3, ties=False, crowds=True)


def by_hand() -> tuple[dict, list[dict]]:
    """Two objects of one class and three detections, by descending score.

    The first covers an object with an IoU of 0.8, the second nothing, the third the other object
    with an IoU of 0.6. A second class has no object.
    """
    boxes = [[0, 0, 100, 100], [200, 200, 100, 100]]
    gt = {
        "images": [{"id": 1, "width": 400, "height": 400}],
        "categories": [{"id": 3, "name": "a"}, {"id": 7, "name": "b"}],
        "annotations": [
            {"id": k, "image_id": 1, "category_id": 3, "bbox": b, "area": 10_000, "iscrowd": 0}
            for k, b in enumerate(boxes, 1)
        ],
    }
    found = [([0, 0, 100, 80], 0.9), ([300, 0, 50, 50], 0.5), ([200, 200, 60, 100], 0.25)]
    dt = [{"image_id": 1, "category_id": 3, "bbox": b, "score": s} for b, s in found]
    return gt, dt
