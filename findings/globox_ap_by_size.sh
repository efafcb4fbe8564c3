#!/bin/sh
# globox 2.9.0, COCOEvaluator.ap_medium() and the like.
# Guess: pycocotools' numbers, as AP, AP50 and AR, which do agree to the last digit.
# Seen:  AP by size is too low wherever a picture holds objects of several sizes. A detection of an object
#        beyond the range is to be ignored. globox stops looking at such objects once it has seen any object
#        within the range, however far away (an IoU of 0 makes it the best so far), and counts the detection
#        as a mistake. Below, two perfect detections give AP_medium 0.5 where pycocotools gives 1.
# Source: globox/evaluation.py, COCOEvaluator.evaluate_boxes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check globox==2.9.0 pycocotools==2.0.11 numpy==2.4.6
cd "$folder"
"$folder/env/bin/python" - <<'PY'
import contextlib, io, json
from globox import AnnotationSet, COCOEvaluator
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
# A large object (97 x 97) found by a box of medium size, and a medium object far from it, found exactly.
large, medium = [0.0, 0.0, 97.0, 97.0], [300.0, 300.0, 50.0, 50.0]
truth = {
    "info": {},
    "images": [{"id": 1, "file_name": "a.jpg", "width": 640, "height": 480}],
    "categories": [{"id": 1, "name": "a"}],
    "annotations": [
        {"id": k, "image_id": 1, "category_id": 1, "bbox": b, "area": b[2] * b[3], "iscrowd": 0}
        for k, b in ((1, large), (2, medium))
    ],
}
results = [
    {"image_id": 1, "category_id": 1, "bbox": [0.0, 0.0, 95.9, 95.9], "score": 0.9},
    {"image_id": 1, "category_id": 1, "bbox": medium, "score": 0.8},
]
json.dump(truth, open("truth.json", "w"))
json.dump(results, open("results.json", "w"))
with contextlib.redirect_stdout(io.StringIO()):
    coco = COCO("truth.json")
    evaluation = COCOeval(coco, coco.loadRes("results.json"), "bbox")
    evaluation.evaluate(); evaluation.accumulate(); evaluation.summarize()
annotations = AnnotationSet.from_coco("truth.json")
peer = COCOEvaluator(ground_truths=annotations, predictions=annotations.from_results("results.json"))
print(f"AP        pycocotools {evaluation.stats[0]:.4f}  globox {peer.ap():.4f}")
print(f"AP_medium pycocotools {evaluation.stats[4]:.4f}  globox {peer.ap_medium():.4f}")
assert abs(evaluation.stats[0] - peer.ap()) < 1e-9
assert abs(evaluation.stats[4] - 1) < 1e-9
assert abs(peer.ap_medium() - 0.5) < 0.01, "the behaviour has changed"
PY
