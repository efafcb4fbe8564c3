#!/bin/sh
# kornia 0.9.0, AugmentationSequential with data_keys ["input", "bbox_xyxy"]: a filled rectangle and its box.
# Guess: after a flip or a resize the box is still the one around the rectangle.
# Seen:  A flip puts the box one pixel beside it (69 to 89, the pixels 70 to 90). Resize scales pixels by 1/2 and the box
#        by 49/99, twice and 199/99: the box of an object at the far side of a 1000-pixel picture is off by a pixel
#        after doubling. Only whole-pixel corners ("bbox", the last pixel included) are flipped right.
# Source: the flips' matrix is that of pixel centres (x to W - 1 - x) and is applied to corners as well; resize's
#        matrix maps the centres of the corner pixels onto each other, while interpolate has align_corners=False.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check kornia==0.9.0 torch==2.11.0 numpy==2.4.6
"$folder/env/bin/python" -W ignore - <<'PY'
import kornia.augmentation as K
import torch

image = torch.zeros(1, 1, 100, 100)
image[..., 20:60, 10:30] = 1
box = torch.tensor([[[10.0, 20.0, 30.0, 60.0]]])
seen = {}
for name, step in {
    "horizontal flip": K.RandomHorizontalFlip(p=1.0),
    "vertical flip": K.RandomVerticalFlip(p=1.0),
    "half": K.Resize((50, 50)),
    "double": K.Resize((200, 200)),
}.items():
    pixels, moved = K.AugmentationSequential(step, data_keys=["input", "bbox_xyxy"])(image, box)
    rows, columns = torch.where(pixels[0, 0] > 0.5)
    around = [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]
    seen[name] = (around, [round(v, 1) for v in moved.flatten().tolist()])
    print(f"{name}: pixels {around}, box {seen[name][1]}")
assert seen == {
    "horizontal flip": ([70, 20, 90, 60], [69.0, 20.0, 89.0, 60.0]),
    "vertical flip": ([10, 40, 30, 80], [10.0, 39.0, 30.0, 79.0]),
    "half": ([5, 10, 15, 30], [4.9, 9.9, 14.8, 29.7]),
    "double": ([20, 40, 60, 120], [20.1, 40.2, 60.3, 120.6]),
}, "the behaviour has changed"
PY
