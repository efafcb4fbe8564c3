"""Random files in the ways that tools write them: pycocotools' numbers, for boxes and for masks.

What pycocotools itself needs is given to it: ids from 1, areas and flags that are there, compressed
run lengths, and the extents of masks as boxes.
"""

import copy
import json

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from corrlight.analysis.command import main
from tests.metrics.coco_oracle import coco_numbers

FLAGS = {
    "int": int, "float": float, "bool": bool, "null": lambda crowd: 1 if crowd else None,
}  # fmt: skip
IDS = {"from 0": (0, int), "huge": (2**62, int), "negative": (-3, int), "float": (0, float)}
# Share of the annotations with a mask that have no box.
UNBOXED = {"none": 0.0, "some": 0.3, "all": 1.0}
# Share of records of an image or class that the annotations do not have.
UNKNOWN = {"none": 0.0, "some": 0.2}
AREAS = {"none": None, "box": 1.0, "mask": 0.6, "edge": 1024.0}
# Keys of a detection: of the first one, of the others.
RESULTS = {
    "boxes": ("b", "b"), "boxes and masks": ("bm", "bm"), "masks": ("m", "m"),
    "polygons": ("p", "p"), "boxes and polygons": ("bp", "bp"), "run lengths": ("br", "br"),
    "masks first": ("m", "bm"), "boxes first": ("bm", "m"), "empty masks": ("b0", "b0"),
}  # fmt: skip


def polygon(rng, box):
    x, y, w, h = box
    angles = np.sort(rng.uniform(0, 2 * np.pi, 7))
    points = [x + w / 2 * (1 + np.cos(angles)), y + h / 2 * (1 + np.sin(angles))]
    return np.stack(points, 1).reshape(-1).round(2).tolist()


def compressed(parts, height, width):
    rle = mask_utils.merge(mask_utils.frPyObjects(parts, height, width))
    return {"size": [height, width], "counts": rle["counts"].decode()}


def run_lengths(mask):
    pixels = mask_utils.decode(mask).reshape(-1, order="F")
    borders = np.flatnonzero(np.diff(pixels)) + 1
    runs = np.diff([0, *borders, len(pixels)]).tolist()
    return {"size": mask["size"], "counts": [0, *runs] if pixels[0] else runs}


def detection(rng, keys, image, category, box, ties):
    height, width = image["height"], image["width"]
    score = float(rng.choice([0.2, 0.5, 0.9]) if ties else rng.random())
    made = {"image_id": image["id"], "category_id": category, "score": score}
    if "b" in keys:
        made["bbox"] = box
    elif rng.random() < 0.2:
        made["bbox"] = [[], None][int(rng.integers(2))]
    parts = [polygon(rng, box)]
    forms = {
        "p": lambda: parts,
        "m": lambda: compressed(parts, height, width),
        "r": lambda: run_lengths(compressed(parts, height, width)),
        "0": lambda: [[], None][int(rng.integers(2))],
    }
    if keys[-1] in forms:
        made["segmentation"] = forms[keys[-1]]()
    return made


def drawn(rng):
    """Return a ground truth and results, and how they are written."""
    choices = {"flags": FLAGS, "ids": IDS, "areas": AREAS, "results": RESULTS}
    choices |= {"unboxed": UNBOXED, "unknown": UNKNOWN}
    how = {name: str(rng.choice(list(of))) for name, of in choices.items()}
    start, number = IDS[how["ids"]]
    masks, ties = rng.random() < 0.7, rng.random() < 0.4
    images = [
        {"id": number(start + int(k)), "height": int(h), "width": int(w)}
        for k, (h, w) in zip(rng.permutation(9)[:4], rng.integers(60, 400, (4, 2)), strict=True)
    ]
    categories = [{"id": int(k), "name": f"c{k}"} for k in rng.permutation(9)[:3]]
    objects, found = [], []
    for image in images:
        for _ in range(int(rng.integers(0, 8))):
            sides = np.exp(rng.uniform(1, np.log([image["width"], image["height"]])))
            low = rng.uniform(0, [image["width"], image["height"]] - sides)
            box, category = (
                [*low.tolist(), *sides.tolist()],
                int(rng.choice([c["id"] for c in categories])),
            )
            area, factor = box[2] * box[3], AREAS[how["areas"]]
            made = {"id": number(start + len(objects)), "image_id": image["id"], "bbox": box}
            made |= {"category_id": category, "iscrowd": FLAGS[how["flags"]](rng.random() < 0.15)}
            if factor is not None:
                made["area"] = factor if factor > 1 else area * factor
            if masks:
                parts = [polygon(rng, box)]
                whole = compressed(parts, image["height"], image["width"])
                made["segmentation"] = [parts, whole, run_lengths(whole)][int(rng.integers(3))]
                if rng.random() < UNBOXED[how["unboxed"]]:
                    del made["bbox"]
            if rng.random() < UNKNOWN[how["unknown"]]:
                key, other = [("image_id", -77), ("category_id", 77)][int(rng.integers(2))]
                objects.append(made | {"id": number(start + len(objects)), key: other})
                made["id"] = number(start + len(objects))
            objects.append(made)
            for _ in range(int(rng.integers(0, 4))):
                moved = np.array(box) + rng.normal(0, 0.1, 4) * [*sides, *sides]
                keys = RESULTS[how["results"]][bool(found)]
                moved[2:] = np.abs(moved[2:])
                found.append(detection(rng, keys, image, category, moved.tolist(), ties))
                if rng.random() < UNKNOWN[how["unknown"]]:
                    found.append(found[-1] | {"category_id": 77})
    rng.shuffle(images)
    return {"images": images, "annotations": objects, "categories": categories}, found, how


def completed(gt, dt):
    """Return both as pycocotools takes them, and whether masks are measured."""
    gt, dt = copy.deepcopy(gt), copy.deepcopy(dt)
    for k, made in enumerate(gt["annotations"]):
        made.update(id=k + 1, iscrowd=int(made["iscrowd"] or 0))
        if "bbox" not in made:
            # The size of an image that is not there: of a mask of the same object that is.
            image = next((i for i in gt["images"] if i["id"] == made["image_id"]), gt["images"][0])
            whole = made["segmentation"]
            if isinstance(whole, list):
                whole = compressed(whole, image["height"], image["width"])
            elif isinstance(whole["counts"], list):
                whole = mask_utils.frPyObjects(whole, *whole["size"])
            made["bbox"] = mask_utils.toBbox(whole).tolist()
        made.setdefault("area", made["bbox"][2] * made["bbox"][3])
    boxes_first = bool(dt and dt[0].get("bbox"))
    for made in dt:
        shape = made.pop("segmentation", None)
        image = next(i for i in gt["images"] if i["id"] == made["image_id"])
        if isinstance(shape, list) and shape:
            shape = compressed(shape, image["height"], image["width"])
        elif shape and isinstance(shape["counts"], list):
            shape = mask_utils.frPyObjects(shape, *shape["size"])
        if shape:
            made["segmentation"] = shape
        if not made.get("bbox"):
            made.pop("bbox", None)
            if boxes_first:
                made["bbox"] = mask_utils.toBbox(shape).tolist()
    masked = all(made.get("segmentation") for made in (*gt["annotations"], *dt))
    return gt, dt, masked


@pytest.mark.parametrize("seed", range(18))
def test_numbers_are_those_of_pycocotools(tmp_path, monkeypatch, capsys, seed):
    monkeypatch.setattr("corrlight.analysis.output.draw_figures", lambda *a: None)
    gt, dt, how = drawn(np.random.default_rng(seed))
    for name, content in (("gt", gt), ("dt", dt)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    files = ["--gt", str(tmp_path / "gt.json"), "--dt", str(tmp_path / "dt.json")]
    if how["unknown"] != "none":
        assert main(files) == 2, how
        assert "--skip-unknown leaves such records out." in capsys.readouterr().err
        files.append("--skip-unknown")
    assert main([*files, "--out", str(tmp_path / "out")]) == 0, (how, capsys.readouterr().err)
    said = capsys.readouterr().err
    masks_alone = [made for made in gt["annotations"] if "bbox" not in made]
    assert ("without a bbox: the extent of the mask is used" in said) == bool(masks_alone), how
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    gt, dt, masked = completed(gt, dt)
    assert dt
    for prefix, kind in (("", "bbox"), ("mask_", "segm"))[: 1 + masked]:
        for name, value in coco_numbers(gt, dt, kind).items():
            expected = None if value is None else pytest.approx(value, abs=1e-12)
            assert found[prefix + name] == expected, (how, prefix + name)
    assert masked or found.get("mask_AP") is None
