"""Pictures and annotation files for the tests, and how their outcome is read."""

import json

from PIL import Image

from corrlight.datasets.command import main
from corrlight.datasets.records import ReadOptions


def picture(path, width=40, height=30, orientation=None):
    """Write a picture; with orientation 6 it is looked at turned by 90 degrees."""
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    Image.new("RGB", (width, height), (90, 60, 30)).save(path, exif=exif)
    return path


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")
    return path


def run(command, *arguments):
    return main([command, *map(str, arguments)])


def read_split(root, split="train"):
    return json.loads((root / "annotations" / f"{split}.json").read_text("utf-8"))


def boxes(root, split="train"):
    """``{file name: [(class, x, y, w, h), ...]}`` of a written split."""
    data = read_split(root, split)
    names = {c["id"]: c["name"] for c in data["categories"]}
    found = {image["id"]: [] for image in data["images"]}
    for a in data["annotations"]:
        found[a["image_id"]].append((names[a["category_id"]], *a["bbox"]))
    return {image["file_name"]: found[image["id"]] for image in data["images"]}


OPTIONS = ReadOptions()
