#!/bin/sh
# tidecv 1.0.1, get_main_errors() and get_special_errors().
# Guess: correcting the errors of a type takes false positives or missed objects away, so AP does not
#        fall; a type that has errors before the last true positive costs more than 0, and dAP is at
#        least 0, of the special types too.
# Seen:  with equal scores a correction lowers AP: the duplicate and the background detection below cost
#        8.25 each with distinct scores, and 0 with equal ones, at the same AP of 75.25; "FalseNeg" is
#        -25.25. Before a correction equal scores stand image by image in the order of the results, after
#        it all wrong detections come before all right ones; main types are limited at 0, so it is silent.
# Source: tidecv/quantify.py, TIDERun.fix_errors: errors are pushed first, then "all the correct ones".
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check tidecv==1.0.1 numpy==2.4.6 pycocotools==2.0.11
"$folder/env/bin/python" - <<'PY'
from tidecv import TIDE, Data

def costs(scores):
    gt, dt = Data("gt"), Data("dt")
    gt.add_image(1, "1")
    gt.add_class(1, "a")
    gt.add_ground_truth(1, 1, [0, 0, 100, 100])
    gt.add_ground_truth(1, 1, [300, 0, 100, 100])
    boxes = [[0, 0, 100, 100], [0, 0, 90, 100], [0, 300, 50, 50], [300, 0, 100, 100]]
    for box, score in zip(boxes, scores):
        dt.add_detection(1, 1, score, box)
    tide = TIDE()
    run = tide.evaluate(gt, dt)
    errors = tide.get_all_errors()
    return run.ap, errors["main"]["dt"], errors["special"]["dt"]

for name, scores in (("distinct", [0.9, 0.8, 0.7, 0.6]), ("equal", [0.5] * 4)):
    ap, main, special = costs(scores)
    print(f"{name}: AP {ap:.2f}", {k: round(v, 2) for k, v in {**main, **special}.items()})
    if name == "distinct":
        assert main["Dupe"] > 1 and main["Bkg"] > 1 and special["FalseNeg"] >= 0
    else:
        assert main["Dupe"] == main["Bkg"] == 0, "the behaviour has changed"
        assert special["FalseNeg"] < -1, "the behaviour has changed"
PY
