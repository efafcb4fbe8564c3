#!/bin/sh
# supervision 0.31.2, polygon_to_mask (also what reads the polygons of COCO files).
# Guess: the polygon (10, 5) (20, 5) (20, 15) (10, 15) covers 10 x 10 = 100 pixels, as in pycocotools.
# Seen:  121. Corners are taken for centres of pixels and the outline belongs to the mask, so that every object
#        grows by a pixel in each direction: a square of 10 pixels by a fifth of its area. The IoU of the mask with
#        pycocotools' own of the same polygon is 0.83. A mask that goes to a polygon and back is unchanged,
#        so a test of the library by itself does not see it.
# Source: supervision/detection/utils/converters.py, polygon_to_mask (cv2.fillPoly).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check supervision==0.31.2 pycocotools==2.0.11 numpy==2.4.6
"$folder/env/bin/python" - <<'PY'
import numpy as np
import supervision as sv
from pycocotools import mask as coco_mask
polygon = np.array([[10, 5], [20, 5], [20, 15], [10, 15]])
theirs = sv.polygon_to_mask(polygon, (30, 20)).astype(bool)
coco = coco_mask.decode(coco_mask.frPyObjects([polygon.ravel().tolist()], 20, 30))[:, :, 0].astype(bool)
back = sv.polygon_to_mask(sv.mask_to_polygons(coco)[0], (30, 20)).astype(bool)
iou = (theirs & coco).sum() / (theirs | coco).sum()
print(f"supervision {theirs.sum()}, pycocotools {coco.sum()}, IoU {iou:.3f}, mask to polygon and back {back.sum()}")
assert coco.sum() == back.sum() == 100
assert theirs.sum() == 121, "the behaviour has changed"
PY
