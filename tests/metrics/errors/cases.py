"""Data sets with every type of error, drawn from a seed; needs NumPy and pycocotools alone.

Within tidecv's limit of 100 detections an image. ``benchmarks/tidecv/errors.py`` measures them with
tidecv and writes ``tidecv.json``, from which the tests take what is right.
"""

import numpy as np
from pycocotools import mask as mask_utils

SIZE = 320
# Name -> seed and kind. Ties: of scores, and of IoUs by coordinates on a grid. Crowds: regions.
# Odd: classes without objects or detections, objects of area 0, images without either.
CASES = {
    "plain": (0, {}),
    "many": (1, {"images": 60, "classes": 8}),
    "ties": (2, {"ties": True}),
    "crowds": (3, {"crowds": True}),
    "odd": (4, {"odd": True}),
    "masks": (5, {"masks": True}),
    "masks_ties": (6, {"masks": True, "ties": True, "crowds": True}),
    "everything": (7, {"ties": True, "crowds": True, "odd": True, "images": 40}),
    "full": (8, {"images": 6, "noise": 60, "crowds": True}),
    "one_class": (9, {"classes": 1, "ties": True, "crowds": True}),
    "many_classes": (10, {"classes": 40, "odd": True, "crowds": True}),
    "perfect": (11, {"noise": 0, "jitter": 0.0, "images": 5}),
}


def case(name: str) -> tuple[dict, list[dict]]:
    """Return the annotations and the results of a case."""
    seed, kind = CASES[name]
    return draw(np.random.default_rng(seed), **kind)


def draw(
    rng: np.random.Generator,
    images: int = 25,
    classes: int = 4,
    noise: int = 4,
    jitter: float = 0.3,
    *,
    ties: bool = False,
    crowds: bool = False,
    odd: bool = False,
    masks: bool = False,
) -> tuple[dict, list[dict]]:
    """Draw objects, and detections that are wrong in every way."""
    ids = rng.permutation(rng.choice(1000, images, replace=False)).tolist()
    categories = rng.choice(np.arange(1, 91), classes, replace=False).tolist()
    with_objects = categories[: max(1, classes - 2)] if odd else categories
    annotations: list[dict] = []
    results: list[dict] = []

    def rounded(box: np.ndarray) -> list[float]:
        box = np.array(box, dtype=float)
        if ties:
            box = np.round(box / 8) * 8
        box[2:] = np.maximum(box[2:], 2)
        return [float(v) for v in box.round(3)]

    def detect(image: int, category: int, box: np.ndarray) -> None:
        score = float(rng.integers(1, 8) / 8 if ties else rng.random())
        found = {"image_id": image, "category_id": category, "bbox": rounded(box), "score": score}
        results.append(found)

    for place, image in enumerate(ids):
        if odd and place % 5 == 0:
            if place % 10:
                continue  # neither objects nor detections
            for _ in range(3):
                detect(image, int(rng.choice(categories)), [10, 10, 50, 60])
            continue
        for k in range(int(rng.integers(1, 8))):
            category = int(rng.choice(with_objects))
            size = np.exp(rng.uniform(np.log(16), np.log(150), 2))
            corner = rng.uniform(0, 1, 2) * (SIZE - size - 40)
            box = rounded(np.array([*corner, *size]))
            if odd and k == 3:
                box[2] = 0.0
            crowd = int(crowds and rng.random() < 0.2)
            row = {
                "id": len(annotations) + 1,
                "image_id": image,
                "category_id": category,
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": crowd,
            }
            annotations.append(row)
            if ties and rng.random() < 0.2:  # the same object twice, of any class
                other = int(rng.choice(with_objects))
                twin = {**row, "id": len(annotations) + 1, "category_id": other, "iscrowd": 0}
                annotations.append(twin)
            for _ in range(int(rng.integers(0, 6)) if jitter else 1):
                moved = box + rng.normal(0, rng.choice([0.02, 0.1, jitter]), 4) * [*size, *size]
                moved = moved if jitter else np.array(box)
                right = rng.random() < 0.75 or not jitter
                detect(image, category if right else int(rng.choice(categories)), moved)
        for _ in range(noise):
            box = [*rng.uniform(0, 180, 2), *rng.uniform(4, 130, 2)]
            detect(image, int(rng.choice(categories)), np.array(box))
    results = [results[k] for k in rng.permutation(len(results))]
    # In any order of images, as some tools write them.
    annotations = [annotations[k] for k in rng.permutation(len(annotations))]
    truth = {
        "images": [{"id": i, "width": SIZE, "height": SIZE, "file_name": f"{i}.jpg"} for i in ids],
        "annotations": annotations,
        "categories": [{"id": c, "name": f"class {c}"} for c in categories],
    }
    if masks:
        for row in (*annotations, *results):
            row["segmentation"] = _mask(row["bbox"], rng)
    return truth, results


def _mask(box: list[float], rng: np.random.Generator) -> dict:
    """Return the run lengths of a box with two cut corners."""
    x, y, w, h = box
    cut = 0.3 * float(rng.random())
    corners = [
        x + cut * w,
        y,
        x + w,
        y,
        x + w,
        y + h * (1 - cut),
        x + w * (1 - cut),
        y + h,
        x,
        y + h,
    ]
    corners = [min(max(v, 0.0), float(SIZE)) for v in [*corners, x, y + cut * h]]
    encoded = mask_utils.merge(mask_utils.frPyObjects([corners], SIZE, SIZE))
    return {"size": [SIZE, SIZE], "counts": encoded["counts"].decode()}
