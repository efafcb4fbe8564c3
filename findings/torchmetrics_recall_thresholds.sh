#!/bin/sh
# torchmetrics 1.9.0, MeanAveragePrecision with backend="pycocotools".
# Guess: the AP of pycocotools to rounding, which is what the backend computes it with.
# Seen:  another AP (0.500000 becomes 0.495050 below, some 0.0007 lower on drawn data). The 101 recall
#        thresholds come from torch.linspace in float32; most of them are a little above the number that
#        they stand for, and a recall of exactly 0.5 no longer reaches "0.5". Handing them over in
#        double precision gives pycocotools' AP.
# Source: torchmetrics/detection/mean_ap.py, the default of `rec_thresholds`.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check torchmetrics==1.9.0 torch==2.11.0 torchvision==0.26.0 pycocotools==2.0.11 numpy==2.4.6
"$folder/env/bin/python" - <<'PY'
import contextlib, io, warnings
import numpy as np, torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torchmetrics.detection import MeanAveragePrecision
warnings.filterwarnings("ignore")
# Ten objects, the best-scored seven of which are found without a mistake: recall 0.1, 0.2 ... 0.7.
boxes = [[60.0 * k, 10.0, 50.0, 50.0] for k in range(10)]
found = boxes[:7]
scores = [0.9 - 0.1 * k for k in range(7)]

truth = COCO()
truth.dataset = {
    "info": {},
    "images": [{"id": 1, "width": 640, "height": 480}],
    "categories": [{"id": 1, "name": "a"}],
    "annotations": [
        {"id": k + 1, "image_id": 1, "category_id": 1, "bbox": b, "area": 2500.0, "iscrowd": 0}
        for k, b in enumerate(boxes)
    ],
}
with contextlib.redirect_stdout(io.StringIO()):
    truth.createIndex()
    results = truth.loadRes([
        {"image_id": 1, "category_id": 1, "bbox": b, "score": s} for b, s in zip(found, scores)
    ])
    evaluation = COCOeval(truth, results, "bbox")
    evaluation.evaluate(); evaluation.accumulate(); evaluation.summarize()
theirs = float(evaluation.stats[0])

def torchmetrics_ap(**options):
    metric = MeanAveragePrecision(box_format="xywh", backend="pycocotools", **options)
    labels = torch.ones(7, dtype=torch.long), torch.ones(10, dtype=torch.long)
    metric.update(
        [{"boxes": torch.tensor(found, dtype=torch.float64), "labels": labels[0],
          "scores": torch.tensor(scores, dtype=torch.float64)}],
        [{"boxes": torch.tensor(boxes, dtype=torch.float64), "labels": labels[1]}],
    )
    return float(metric.compute()["map"])

default = torchmetrics_ap()
double = torchmetrics_ap(rec_thresholds=np.linspace(0, 1, 101).tolist())
print(f"pycocotools {theirs:.6f}, torchmetrics {default:.6f}, with thresholds in double {double:.6f}")
assert abs(double - theirs) < 1e-6
assert theirs - default > 1e-3, "the behaviour has changed"
PY
