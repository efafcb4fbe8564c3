"""Detections as the archives that the COCO server takes."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from corrlight.atomic import atomic_path

__all__ = ["write_submission"]


def write_submission(
    folder: Path, detections: list[dict[str, Any]], algorithm: str, test_set: str = "test-dev2017"
) -> list[Path]:
    """Write the archives for the COCO server and return their paths.

    The server takes ``detections_<test set>_<algorithm>_results.zip``, which holds one JSON file of
    the same name. Boxes and masks are two submissions; one of masks has no boxes, so the server
    takes the areas of the masks.

    Args:
        folder: Where.
        detections: COCO results list.
        algorithm: Name of the detector; letters, digits, "-" and "." stay, others become "-".
        test_set: Name of the images.
    """
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-.") else "-" for c in algorithm)
    boxes = [{k: v for k, v in d.items() if k != "segmentation"} for d in detections]
    kinds = {plain: boxes}
    if any("segmentation" in d for d in detections):
        masks = [{k: v for k, v in d.items() if k != "bbox"} for d in detections]
        kinds[f"{plain}-masks"] = masks
    written = []
    for name, content in kinds.items():
        stem = f"detections_{test_set}_{name}_results"
        path = folder / f"{stem}.zip"
        # A fixed date: equal detections give equal bytes.
        entry = zipfile.ZipInfo(f"{stem}.json", date_time=(1980, 1, 1, 0, 0, 0))
        entry.compress_type = zipfile.ZIP_DEFLATED
        with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
            archive.writestr(entry, json.dumps(content))
        written.append(path)
    return written
