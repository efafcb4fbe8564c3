#!/bin/sh
# mean-average-precision 2024.1.5.0, MetricBuilder's map_2d with objects marked as difficult (its own column).
# Guess: a difficult object does not count, as in Pascal VOC: neither it nor the detection that finds it.
# Seen:  The detection is left out, but the object stays in the number of objects: one of two objects difficult and
#        both found gives AP 0.5 instead of 1. A class without any object is AP 0 in the mean, too.
# Source: mean_average_precision/mean_average_precision_2d.py: class_counter counts every row of the ground truth.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check mean-average-precision==2024.1.5.0 numpy==2.4.6 pandas==3.1.1
"$folder/env/bin/python" - <<'PY'
import numpy as np
from mean_average_precision import MetricBuilder

def ap(truth, found, num_classes=1):
    metric = MetricBuilder.build_evaluation_metric("map_2d", async_mode=False, num_classes=num_classes)
    metric.add(np.array(found), np.array(truth))
    return round(float(metric.value(iou_thresholds=0.5)["mAP"]), 3)

# Columns: corners, class, difficult, crowd; corners, class, score.
plain, difficult = [20, 20, 30, 30, 0, 0, 0], [0, 0, 10, 10, 0, 1, 0]
crowd = [0, 0, 10, 10, 0, 0, 1]
found = [[20, 20, 30, 30, 0, 0.9], [0, 0, 10, 10, 0, 0.8]]
values = {
    "difficult": ap([plain, difficult], found),
    "crowd": ap([plain, crowd], found),
    "an absent class": ap([plain], found[:1], num_classes=2),
}
print(f"AP50 where everything was found: {values}")
assert values == {"difficult": 0.5, "crowd": 1.0, "an absent class": 0.5}, "the behaviour has changed"
PY
