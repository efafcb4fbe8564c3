#!/bin/sh
# ensemble-boxes 1.0.9, soft_nms (linear and Gaussian) on one model's detections.
# Guess: a box that overlaps a better one by IoU 0.6 comes back with its score lowered, as Soft-NMS does.
# Seen:  Every score comes back as it went in; only the order of the boxes and what falls below `thresh` follow the
#        lowered scores. Whoever sorts by score, as an evaluation of COCO does, measures no suppression at all.
# Source: ensemble_boxes/ensemble_boxes_nms.py: the lowered scores are those of a copy, and the kept rows are
#        read from the original.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check ensemble-boxes==1.0.9 numpy==2.4.6
"$folder/env/bin/python" - <<'PY'
from ensemble_boxes import soft_nms
boxes = [[[0.0, 0.0, 0.4, 0.4], [0.1, 0.0, 0.5, 0.4], [0.6, 0.6, 0.9, 0.9]]]
scores, labels = [[0.9, 0.8, 0.5]], [[0, 0, 0]]
found = {}
for name, options in {
    "linear": {"method": 1, "thresh": 0.001},
    "linear, thresh 0.33": {"method": 1, "thresh": 0.33},
    "Gaussian": {"method": 2, "sigma": 0.5, "thresh": 0.001},
}.items():
    found[name] = [round(float(s), 2) for s in soft_nms(boxes, scores, labels, iou_thr=0.5, **options)[1]]
print(f"scores (lowered linearly the second would be 0.32): {found}")
assert found == {
    "linear": [0.9, 0.5, 0.8],
    "linear, thresh 0.33": [0.9, 0.5],
    "Gaussian": [0.9, 0.5, 0.8],
}, "the behaviour has changed"
PY
