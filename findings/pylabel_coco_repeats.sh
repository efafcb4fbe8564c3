#!/bin/sh
# pylabel 0.1.55, importer.ImportCoco and export.ExportToCoco.
# Guess: a COCO file that is read and written again has the annotations that it had.
# Seen:  every picture without an object brings the annotation before it a second time, with its id: three
#        annotations become six. A class without an object is gone. The list that is written is not emptied
#        before a row that has no annotation. Evaluators count such a repeated object as one that was missed.
# Source: pylabel/exporter.py, Export.ExportToCoco. `corrlight data import coco` leaves the repeated ones out.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install -q --disable-pip-version-check pylabel==0.1.55 pandas==2.1.4 numpy==1.26.4
cd "$folder"
"$folder/env/bin/python" - 2>/dev/null <<'PY'
import json
from pathlib import Path
from PIL import Image
from pylabel import importer
Path("pictures").mkdir()
names = ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"]
for name in names:
    Image.new("RGB", (100, 80)).save(Path("pictures", name))
owners = [1, 1, 3]  # the second, fourth and fifth picture have no object
truth = {
    "images": [
        {"id": k, "file_name": n, "width": 100, "height": 80} for k, n in enumerate(names, 1)
    ],
    "annotations": [
        {"id": k, "image_id": i, "category_id": 3, "bbox": [10.0 * k, 5.0, 20.0, 30.0], "area": 600.0,
         "iscrowd": 0, "segmentation": []}
        for k, i in enumerate(owners, 1)
    ],
    "categories": [
        {"id": 3, "name": "cat", "supercategory": ""}, {"id": 9, "name": "fox", "supercategory": ""},
    ],
}
json.dump(truth, open("truth.json", "w"))
data = importer.ImportCoco("truth.json", path_to_images="pictures", name="set")
data.export.ExportToCoco("written.json")
written = json.load(open("written.json"))
seen = [(a["id"], a["image_id"], a["bbox"][0]) for a in written["annotations"]]
print(f"annotations: {len(truth['annotations'])} became {len(seen)}: {seen}")
print(f"classes: {[c['name'] for c in written['categories']]}")
assert len(set(seen)) == 3 and len(seen) > 3, "the behaviour has changed"
assert [c["name"] for c in written["categories"]] == ["cat"]
PY
