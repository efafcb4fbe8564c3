#!/bin/sh
# mapcalc 0.2.2, calculate_map with boxes as fractions of the picture, as many models give them.
# Guess: a detection that does not touch its small object is a mistake, AP 0.
# Seen:  AP 1. One pixel is added to every width and height, as Pascal VOC's own code did for whole pixels;
#        for fractions that is the size of the picture, and small boxes overlap by more than half wherever they
#        are near. With pixels a pair of IoU 0.50 passes a threshold of 0.52.
# Source: mapcalc/main.py, `+ 1` in the sides of intersection and union.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check mapcalc==0.2.2 numpy==2.4.6
"$folder/env/bin/python" - <<'PY'
from mapcalc import calculate_map
truth = {"boxes": [[0.0, 0.0, 0.05, 0.05]], "labels": [1]}
wrong = {"boxes": [[0.1, 0.1, 0.15, 0.15]], "labels": [1], "scores": [0.9]}
fractions = calculate_map(truth, wrong, 0.5)
pixels = calculate_map(
    {"boxes": [[0, 0, 10, 10]], "labels": [1]},
    {"boxes": [[0, 0, 10, 20]], "labels": [1], "scores": [0.9]},
    0.52,
)
print(f"boxes that do not touch, as fractions: AP50 {fractions}; IoU 0.50 at a threshold of 0.52: AP {pixels}")
assert fractions == 1.0 and pixels == 1.0, "the behaviour has changed"
PY
