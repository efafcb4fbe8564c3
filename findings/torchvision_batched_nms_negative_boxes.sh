#!/bin/sh
# torchvision 0.26.0, ops.batched_nms on boxes that leave the picture to the left or the top.
# Guess: boxes of two classes never suppress each other, that is what batched_nms is for.
# Seen:  they do. For up to 1,000 boxes on a CPU (25,000 on a GPU) classes are moved apart by the largest coordinate
#        plus one, which is enough only where no coordinate is negative. Decoded boxes that were not cut to the
#        picture lose detections of other classes, far away from them. Cutting first, as corrlight does, is safe.
# Source: torchvision/ops/boxes.py, _batched_nms_coordinate_trick.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check torch==2.11.0 torchvision==0.26.0 numpy==2.4.6
"$folder/env/bin/python" - <<'PY'
import torch
from torchvision.ops import batched_nms
boxes = torch.tensor([[90.0, 90, 100, 100], [-11, -11, -1, -1]])
scores, classes = torch.tensor([0.9, 0.8]), torch.tensor([0, 1])
kept = batched_nms(boxes, scores, classes, 0.5).tolist()
cut = batched_nms(boxes.clamp(min=0), scores, classes, 0.5).tolist()
# More boxes, far away, and another code path that goes class by class.
far = torch.arange(4000.0)[:, None] * 20 + torch.tensor([200.0, 200, 210, 210])
many = batched_nms(
    torch.cat([boxes, far]), torch.cat([scores, torch.full((4000,), 0.1)]),
    torch.cat([classes, torch.zeros(4000, dtype=torch.long)]), 0.5,
).tolist()
print(f"kept of two boxes of two classes: {kept}; cut to the picture first: {cut}; beside 4,000 others: {many[:2]}")
assert cut == [0, 1] and many[:2] == [0, 1]
assert kept == [0], "the behaviour has changed"
PY
