#!/bin/sh
# pybboxes 0.2.0, convert_bbox.
# Guess: boxes keep their fractions of a pixel, as all of these formats can hold them.
# Seen:  every box is rounded to whole pixels on its way, also where neither side needs it: fractions of the
#        picture (YOLO) that become fractions again, and corners (VOC) that become COCO. A box of 9.25 x 18.25
#        becomes 9 x 18; its IoU with itself is 0.88 then, less than the strictest thresholds of AP ask of a detection.
# Source: pybboxes/boxes/bbox.py and yolo_bounding_box.py, to_voc; voc_bounding_box.py, from_voc.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check pybboxes==0.2.0
cd "$folder"
"$folder/env/bin/python" - <<'PY'
import pybboxes
corners, size = (1.5, 2.25, 10.75, 20.5), (100, 100)
coco = pybboxes.convert_bbox(corners, from_type="voc", to_type="coco")
yolo = pybboxes.convert_bbox((0.06125, 0.11375, 0.0925, 0.1825), from_type="yolo", to_type="albumentations", image_size=size)
print(f"VOC {corners} is COCO {coco}, not (1.5, 2.25, 9.25, 18.25)")
print(f"YOLO (0.06125, 0.11375, 0.0925, 0.1825) is {yolo}, not (0.015, 0.0225, 0.1075, 0.205)")
x, y, w, h = coco
left, top, right, bottom = max(x, 1.5), max(y, 2.25), min(x + w, 10.75), min(y + h, 20.5)
overlap = (right - left) * (bottom - top)
print(f"IoU with the box itself: {overlap / (w * h + 9.25 * 18.25 - overlap):.2f}")
assert tuple(coco) == (2, 2, 9, 18), "the behaviour has changed"
assert tuple(yolo) != (0.015, 0.0225, 0.1075, 0.205)
PY
