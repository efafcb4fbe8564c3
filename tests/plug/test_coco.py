"""Detections of any detector to all measures."""

import json

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from corrlight.plug import correlate, evaluate
from corrlight.plug.coco import Measures, category_ids_of
from tests.helpers.plug.torchvision_zoo import NUM_CLASSES, TORCHVISION_ZOO

CATEGORIES = {3: "cat", 8: "dog"}


def write(folder, num_images=4, seed=0):
    """An annotation file, and detections near its objects: label 0 is no category."""
    rng = np.random.default_rng(seed)
    annotations, found = [], {}
    for image_id in range(1, num_images + 1):
        boxes, labels = [], []
        for label, category in ((1, 3), (2, 8), (1, 3)):
            x, y = rng.uniform(0, 60, 2)
            w, h = rng.uniform(15, 40, 2)
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": image_id, "category_id": category,
                    "bbox": [x, y, w, h], "area": w * h, "iscrowd": 0,
                }
            )  # fmt: skip
            boxes.append(np.array([x, y, x + w, y + h]) + rng.normal(0, 4, 4))
            labels.append(label)
        boxes.append([0, 0, 50, 50])
        labels.append(0)
        found[image_id] = {
            "boxes": torch.tensor(np.array(boxes)),
            "scores": torch.tensor(rng.uniform(0.1, 1, 4)),
            "labels": torch.tensor(labels),
        }
    content = {
        "images": [{"id": k, "width": 100, "height": 100, "file_name": f"{k}.png"} for k in found],
        "annotations": annotations,
        "categories": [{"id": k, "name": v} for k, v in CATEGORIES.items()],
    }
    file = folder / "annotations.json"
    file.write_text(json.dumps(content))
    return file, found


def test_measures_are_those_of_pycocotools(tmp_path, capsys):
    file, found = write(tmp_path)
    results = tmp_path / "results.json"
    measures = evaluate(found.items(), file, [None, 3, 8], results=results)
    reference = COCO(str(file))
    evaluation = COCOeval(reference, reference.loadRes(str(results)), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert measures["AP"] == pytest.approx(evaluation.stats[0], abs=1e-9)
    assert measures["AP50"] == pytest.approx(evaluation.stats[1], abs=1e-9)
    assert 0 < measures["AP"] < 1
    written = json.loads(results.read_text())
    assert {r["category_id"] for r in written} == {3, 8}
    assert len(written) == 12
    assert "oLRP" in measures


def test_images_that_are_missing_are_said(tmp_path, caplog):
    file, found = write(tmp_path)
    evaluate([(1, found[1])], file, [None, 3, 8])
    assert "3 of 4 images" in caplog.text


def test_repeated_images_count_once(tmp_path):
    file, found = write(tmp_path)
    once = evaluate(found.items(), file, [None, 3, 8])
    twice = evaluate([*found.items(), (1, found[1])], file, [None, 3, 8])
    assert once == twice


def test_an_evaluation_forgets_the_one_before(tmp_path):
    file, found = write(tmp_path)
    measures = Measures(file, [None, 3, 8])
    for image_id, detections in found.items():
        measures.add(image_id, detections)
    first = measures.compute()
    assert len(measures) == 0
    for image_id, detections in found.items():
        measures.add(image_id, detections)
    assert measures.compute() == first


def test_labels_without_a_category_are_refused(tmp_path):
    file, found = write(tmp_path)
    with pytest.raises(ValueError, match=r"got 2 of them and label 2 in image 1\.$"):
        evaluate(found.items(), file, [3, 8])


def test_categories_are_found_by_name(tmp_path):
    file, _ = write(tmp_path)
    names = {0: "background", 1: "dog", 2: "cat", 3: "N/A"}
    assert category_ids_of(names, file) == [None, 8, 3, None]
    with pytest.raises(ValueError, match=r"`id2label` of the model has none called 'cat'"):
        category_ids_of({0: "dog"}, file)


def test_positives_of_the_handle_give_beta(tmp_path):
    file, _ = write(tmp_path, num_images=2)
    torch.manual_seed(0)
    model = TORCHVISION_ZOO["retinanet"]().eval()
    handle = correlate(model)
    targets = [
        {
            "boxes": torch.tensor([[5.0, 5, 60, 50], [30, 10, 90, 60]]),
            "labels": torch.tensor([1, 2]),
            "image_id": torch.tensor(k),
        }
        for k in (1, 2)
    ]
    with torch.no_grad():
        detections = model([torch.rand(3, 64, 96)] * 2, targets)
    ids = [None, 3, 8, *[None] * (NUM_CLASSES - 3)]
    measures = evaluate(zip((1, 2), detections, strict=True), file, ids, handle=handle)
    assert measures["beta_img"] == pytest.approx(handle.validation.measures()["beta_img"])
    handle.validation.clear()
    handle.validation.add(handle._last, [1])
    with pytest.raises(ValueError, match=r"^Expected the positives of image 2"):
        evaluate(zip((1, 2), detections, strict=True), file, ids, handle=handle)
