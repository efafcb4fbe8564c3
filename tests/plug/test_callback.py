"""All measures at every evaluation of a Trainer of transformers."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest
import torch

from corrlight.plug import correlate

pytestmark = pytest.mark.hf

if importlib.util.find_spec("transformers") is not None:
    from transformers import TrainingArguments

    from corrlight.plug.callback import CocoCallback
    from tests.helpers.plug.hf_zoo import HF_ZOO, NUM_CLASSES, SIDE


class Processor:
    """As processors of DETR post-process: the best class of every query."""

    do_pad = False

    def post_process_object_detection(self, output, threshold, target_sizes):
        found = []
        for logits, boxes, (height, width) in zip(
            output.logits, output.pred_boxes, target_sizes, strict=True
        ):
            scores, labels = logits.sigmoid().max(-1)
            centre, half = boxes[:, :2], boxes[:, 2:] / 2
            corners = torch.cat([centre - half, centre + half], 1)
            scale = torch.stack([width, height, width, height])
            found.append({"boxes": corners * scale, "scores": scores, "labels": labels})
        return found


class State:
    global_step = 7

    def __init__(self):
        self.log_history = []


def images_of(count):
    generator = torch.Generator().manual_seed(2)
    boxes = torch.tensor([[0.3, 0.3, 0.3, 0.4], [0.6, 0.7, 0.3, 0.2]])
    labels = [
        {
            "class_labels": torch.tensor([0, 2]),
            "boxes": boxes,
            "image_id": torch.tensor([k]),
            "orig_size": torch.tensor([50, 80]),
        }
        for k in range(count)
    ]
    return torch.rand(count, 3, SIDE, SIDE, generator=generator), labels


def annotations_of(folder, labels):
    annotations = []
    for label in labels:
        for kind, (x, y, w, h) in zip(label["class_labels"], label["boxes"].tolist(), strict=True):
            box = [(x - w / 2) * 80, (y - h / 2) * 50, w * 80, h * 50]
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": int(label["image_id"]), "iscrowd": 0,
                    "category_id": int(kind) + 1, "bbox": box, "area": box[2] * box[3],
                }
            )  # fmt: skip
    content = {
        "images": [
            {"id": int(v["image_id"]), "height": 50, "width": 80, "file_name": "x"} for v in labels
        ],
        "annotations": annotations,
        "categories": [{"id": k + 1, "name": f"LABEL_{k}"} for k in range(NUM_CLASSES)],
    }
    file = folder / "annotations.json"
    file.write_text(json.dumps(content))
    return file


def arguments(folder):
    return TrainingArguments(output_dir=str(folder), report_to=[])


def test_an_evaluation_has_all_measures(tmp_path):
    torch.manual_seed(0)
    model = HF_ZOO["RTDetrV2"]().eval()
    handle = correlate(model)
    images, labels = images_of(3)
    file = annotations_of(tmp_path, labels)
    callback = CocoCallback(model, Processor(), file, handle=handle, folder=tmp_path)
    state, metrics = State(), {"eval_loss": 1.0}
    with torch.no_grad():
        for k in range(3):
            model(pixel_values=images[k : k + 1], labels=labels[k : k + 1])
    callback.on_evaluate(arguments(tmp_path), state, None, metrics)
    assert metrics["eval_num_images"] == 3
    assert 0 <= metrics["eval_AP"] <= 1
    assert metrics["eval_beta_img"] == pytest.approx(handle.validation.measures()["beta_img"])
    assert state.log_history[0]["step"] == 7
    written = json.loads((tmp_path / "results_7.json").read_text())
    assert {r["image_id"] for r in written} == {0, 1, 2}
    widths = np.array([r["bbox"] for r in written])[:, 2]
    assert widths.max() > 1  # pixels of the file, no fractions
    # What was broken off is forgotten, and training is not looked at.
    with torch.no_grad():
        model(pixel_values=images[:1], labels=labels[:1])
    callback.on_step_begin(None, None, None)
    with pytest.raises(ValueError, match=r"^Expected the model to be evaluated with `labels`"):
        callback.on_evaluate(arguments(tmp_path), state, None, metrics)


def test_a_prediction_without_labels_is_left_alone(tmp_path):
    torch.manual_seed(0)
    model = HF_ZOO["RTDetrV2"]().eval()
    images, labels = images_of(1)
    callback = CocoCallback(model, Processor(), annotations_of(tmp_path, labels))
    with torch.no_grad():
        model(pixel_values=images)
    metrics = {}
    callback.on_predict(arguments(tmp_path), State(), None, metrics)
    assert metrics == {}
    callback.remove()
    with torch.no_grad():
        model(pixel_values=images, labels=labels)
    callback.on_predict(arguments(tmp_path), State(), None, metrics)
    assert metrics == {}


def test_labels_have_to_say_which_image_they_are_of(tmp_path):
    model = HF_ZOO["RTDetrV2"]().eval()
    images, labels = images_of(1)
    CocoCallback(model, Processor(), annotations_of(tmp_path, labels))
    bare = [{key: labels[0][key] for key in ("class_labels", "boxes")}]
    with pytest.raises(ValueError, match=r"labels with `image_id`"), torch.no_grad():
        model(pixel_values=images, labels=bare)
