"""What tidecv 1.0.1 says of the data sets of ``tests/metrics/errors/cases.py``.

    pip install tidecv==1.0.1          # in an environment of its own; corrlight is not needed
    python benchmarks/tidecv/errors.py                    # compare with the kept numbers
    python benchmarks/tidecv/errors.py --write            # write them anew
    python benchmarks/tidecv/errors.py --files G D [--masks]   # any two files

The numbers are kept in ``tests/metrics/errors/tidecv.json``: AP times 100 at IoU 0.5, what each
type of error costs, and how many there are.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tidecv import TIDE, Data, functions

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "tests" / "metrics" / "errors" / "tidecv.json"


def tide_numbers(
    truth: dict[str, Any], results: list[dict[str, Any]], masks: bool
) -> dict[str, Any]:
    """Return tidecv's AP, costs and counts; None where it divides by zero."""
    # As its reader of COCO files does, which asks for a mask of every object.
    gt, dt = Data("gt", max_dets=100), Data("dt")
    size = {i["id"]: (i["width"], i["height"]) for i in truth["images"]}
    for image in truth["images"]:
        gt.add_image(image["id"], image.get("file_name", ""))
    for category in truth["categories"]:
        gt.add_class(category["id"], category["name"])
    for a in truth["annotations"]:
        mask = functions.toRLE(a["segmentation"], *size[a["image_id"]]) if masks else None
        add = gt.add_ignore_region if a["iscrowd"] else gt.add_ground_truth
        add(a["image_id"], a["category_id"], a["bbox"], mask)
    for d in results:
        mask = d["segmentation"] if masks else None
        dt.add_detection(d["image_id"], d["category_id"], d["score"], d.get("bbox"), mask)
    tide = TIDE()
    run = tide.evaluate(gt, dt, mode=TIDE.MASK if masks else TIDE.BOX)
    return {
        "ap": run.ap,
        "costs": {**tide.get_main_errors()["dt"], **tide.get_special_errors()["dt"]},
        "counts": {error.short_name: n for error, n in run.count_errors().items()},
    }


def main() -> None:
    """Measure, and compare or write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--files", nargs=2, type=Path, metavar=("G", "D"))
    parser.add_argument("--masks", action="store_true")
    options = parser.parse_args()
    if options.files:
        truth, results = (json.loads(path.read_text()) for path in options.files)
        print(json.dumps(tide_numbers(truth, results, options.masks), indent=1))
        return
    sys.path.insert(0, str(ROOT))
    from tests.metrics.errors.cases import CASES, case

    found = {}
    for name, (_, kind) in CASES.items():
        truth, results = case(name)
        found[name] = tide_numbers(truth, results, bool(kind.get("masks")))
        print(name, len(results), json.dumps(found[name]))
    if options.write:
        KEPT.write_text(json.dumps(found, indent=1) + "\n")
    elif json.loads(KEPT.read_text()) != found:
        raise SystemExit(f"{KEPT} holds other numbers.")


if __name__ == "__main__":
    main()
