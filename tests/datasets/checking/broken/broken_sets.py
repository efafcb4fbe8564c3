"""Ways in which sets are broken: what is done to a valid one, and the kind that names it."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass

from tests.datasets.checking.small_set import HEIGHT, WIDTH, polygon

__all__ = ["CASES", "Case"]


@dataclass(frozen=True)
class Case:
    """A way to break a set.

    Attributes:
        name: Of the test.
        kind: Of the problem that names it.
        damage: Changes the training file's content.
        files: Changes files after that.
        word: Is in the text of the problem.
        masks: Whether it is a detector with masks that must not train on it.
        level: Of the problem.
    """

    name: str
    kind: str
    damage: Callable | None = None
    files: Callable | None = None
    word: str = ""
    masks: bool = False
    level: str = "error"


def put(key, value, rows=slice(0, 1), records="annotations"):
    """Return a damage that sets a key of some records."""

    def damage(data):
        for record in data[records][rows]:
            record[key] = value(record) if callable(value) else value

    return damage


def without(key, rows=slice(0, 1), records="annotations"):
    def damage(data):
        for record in data[records][rows]:
            del record[key]

    return damage


def whole(value):
    def damage(data):
        return value(data) if callable(value) else value

    return damage


def no_list(key):
    def damage(data):
        del data[key]

    return damage


def boxes(change):
    def damage(data):
        for record in data["annotations"]:
            record["bbox"] = list(change(*record["bbox"]))

    return damage


def halved(data):
    for record in data["annotations"][::2]:
        record["bbox"] = [v / WIDTH for v in record["bbox"]]


def strings(data):
    for image in data["images"]:
        image["id"] = str(image["id"])
    for record in data["annotations"]:
        record["image_id"] = str(record["image_id"])


def twice(data):
    top = max(record["id"] for record in data["annotations"])
    again = [{**record, "id": top + 1 + k} for k, record in enumerate(data["annotations"])]
    data["annotations"] += again


def polygons(change):
    def damage(data):
        for record in data["annotations"]:
            record["segmentation"] = polygon(record["bbox"])
        change(data["annotations"][0])

    return damage


def swapped(root):
    path = root / "annotations" / "val.json"
    data = json.loads(path.read_text())
    data["categories"] = [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]
    path.write_text(json.dumps(data))


def other_classes(root):
    path = root / "annotations" / "val.json"
    data = json.loads(path.read_text())
    data["categories"][1]["name"] = "bird"
    path.write_text(json.dumps(data))


def cut_json(root):
    path = root / "annotations" / "train.json"
    path.write_text(path.read_text()[:-200])


def cut_picture(root):
    path = root / "train" / "1.png"
    path.write_bytes(path.read_bytes()[:2000])


def removed(name):
    def files(root):
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return files


def text_as_picture(root):
    (root / "train" / "1.png").write_text("<html>404</html>")


def rewritten(change):
    """Return what changes the bytes of the training file."""

    def files(root):
        path = root / "annotations" / "train.json"
        path.write_bytes(change(path.read_bytes()))

    return files


def empty_picture(root):
    (root / "train" / "1.png").write_bytes(b"")


def capitals(root):
    (root / "train" / "1.png").rename(root / "train" / "1.PNG")


ALL = slice(None)
CASES = [
    # The file.
    Case("file_is_a_list", "no_coco", whole(lambda data: data["annotations"])),
    Case("no_images", "no_coco", no_list("images")),
    Case("no_annotations", "no_coco", no_list("annotations")),
    Case("no_categories", "no_coco", no_list("categories")),
    Case("images_by_name", "no_coco", whole(lambda data: {**data, "images": {}})),
    Case("no_classes", "empty_list", whole(lambda data: {**data, "categories": []})),
    Case("cut_file", "no_json", files=cut_json),
    Case("no_record", "no_object", whole(lambda d: {**d, "annotations": [3, *d["annotations"]]})),
    Case("annotations_null", "no_coco", whole(lambda data: {**data, "annotations": None})),
    Case("empty_file", "no_json", files=rewritten(lambda text: b"")),
    Case("utf_16", "no_json", files=rewritten(lambda text: text.decode().encode("utf-16"))),
    Case("images_twice", "no_json", files=rewritten(lambda text: text[:-1] + b', "images": []}')),
    # Ids.
    Case("image_without_id", "id", without("id", records="images")),
    Case("ids_as_text", "string_id", strings),
    Case("image_twice", "repeated_id", put("id", 2, records="images")),
    Case("annotation_twice", "repeated_id", put("id", 11)),
    Case("category_twice", "repeated_id", put("id", 2, records="categories")),
    Case("unknown_image", "unknown_image_id", put("image_id", 999)),
    Case("unknown_category", "unknown_category_id", put("category_id", 0)),
    Case("huge_image_id", "id", put("id", 10**30, records="images")),
    Case("categories_as_text", "unknown_category_id",
         put("category_id", lambda record: str(record["category_id"]), ALL)),
    Case("no_image_id", "missing", without("image_id")),
    Case("no_category_id", "missing", without("category_id")),
    Case("no_annotation_ids", "no_id", without("id", ALL), level="warning"),
    # Classes.
    Case("class_without_name", "category_name", without("name", records="categories")),
    Case("class_named_twice", "repeated_name", put("name", "dog", records="categories")),
    Case("class_lists_differ", "class_lists", files=other_classes),
    Case("classes_swapped", "class_order", files=swapped, level="warning"),
    # Boxes.
    Case("no_box", "no_box", without("bbox")),
    Case("box_of_three", "no_box", put("bbox", [1, 2, 3])),
    Case("box_by_name", "no_box", put("bbox", {"x": 1, "y": 2, "w": 3, "h": 4})),
    Case("box_of_text", "box_number", put("bbox", ["1", "2", "3", "4"])),
    Case("box_not_finite", "box_number", put("bbox", [1, 2, float("nan"), 4])),
    Case("box_of_huge_numbers", "huge_box", put("bbox", [1, 2, 3e12, 4])),
    Case("negative_box", "negative_box", put("bbox", [20, 20, -5, 4])),
    Case("box_of_no_width", "empty_box", put("bbox", [20, 20, 0, 4])),
    Case("box_outside", "outside_box", put("bbox", [200, 20, 5, 4])),
    Case(
        "boxes_as_fractions",
        "narrow_box",
        boxes(lambda x, y, w, h: (x / WIDTH, y / HEIGHT, w / WIDTH, h / HEIGHT)),
        word="look like fractions",
    ),
    Case(
        "boxes_as_corners",
        "leaving_box",
        boxes(lambda x, y, w, h: (x, y, x + w, y + h)),
        word="look like corners",
    ),
    Case(
        "boxes_as_centres",
        "leaving_box",
        boxes(lambda x, y, w, h: (x + w / 2, y + h / 2, w, h)),
        word="look like centres",
    ),
    Case(
        "boxes_as_centres_in_fractions",
        "narrow_box",
        boxes(
            lambda x, y, w, h: (x / WIDTH + w / 128, y / HEIGHT + h / 96, w / WIDTH, h / HEIGHT)
        ),
        word="look like fractions",
    ),
    Case("boxes_of_larger_pictures", "leaving_box", boxes(lambda *box: [2 * v for v in box])),
    Case("boxes_exchanged", "leaving_box", boxes(lambda x, y, w, h: (y, x, h, w)),
         word="width and height exchanged"),
    Case("half_of_the_boxes_as_fractions", "narrow_box", halved, level="warning"),
    Case("every_box_twice", "repeated_box", twice, level="warning"),
    # Areas and flags.
    Case("areas_0", "area_0", put("area", 0, ALL)),
    Case("area_as_text", "area", put("area", "12")),
    Case("area_negative", "negative_area", put("area", -3)),
    Case("no_areas", "no_area", without("area", ALL), level="warning"),
    Case("crowd_of_2", "iscrowd", put("iscrowd", 2)),
    Case("areas_as_shares", "odd_area", put("area", 0.01, ALL), level="warning"),
    Case("areas_of_whole_pictures", "odd_area", put("area", 1e6, ALL), level="warning"),
    Case("crowds_alone", "no_objects", put("iscrowd", 1, ALL), word="all annotations are crowds"),
    Case("no_objects", "no_objects", whole(lambda data: {**data, "annotations": []})),
    # Pictures.
    Case("no_size", "no_size", without("width", ALL, "images")),
    Case("size_as_text", "size", put("width", "64", records="images")),
    Case("width_for_height", "picture_size", put("width", 48, records="images")),
    Case("no_file_name", "file_name", without("file_name", records="images")),
    Case("name_leaves_folder", "outside_folder", put("file_name", "../1.png", records="images")),
    Case("picture_twice", "repeated_file_name", put("file_name", "2.png", records="images")),
    Case("picture_missing", "missing_picture", files=removed("train/1.png")),
    Case("picture_in_capitals", "missing_picture", files=capitals),
    Case("picture_cut", "damaged_picture", files=cut_picture),
    Case("picture_of_no_bytes", "damaged_picture", files=empty_picture),
    Case("name_of_windows", "missing_picture", put("file_name", "sub\\1.png", records="images")),
    Case("picture_is_text", "damaged_picture", files=text_as_picture),
    Case("no_pictures", "no_folder", files=removed("train")),
    Case("no_validation", "no_split", files=removed("annotations/val.json")),
    # Masks.
    Case("mask_without_box", "no_mask", polygons(lambda a: a.pop("segmentation")), masks=True,
         level="warning"),
    Case("polygon_of_text", "broken_mask",
         polygons(lambda a: a.update(segmentation=[["a"] * 6])), masks=True),
    Case("polygon_not_in_a_list", "broken_mask",
         polygons(lambda a: a.update(segmentation=a["segmentation"][0])), masks=True),
    Case("polygon_of_points", "broken_mask",
         polygons(lambda a: a.update(segmentation=[[[1, 2], [3, 4], [5, 6]]])), masks=True),
    Case("run_lengths_cut", "broken_mask",
         polygons(lambda a: a.update(segmentation={"size": [HEIGHT, WIDTH], "counts": "zz"})),
         masks=True),
    Case("mask_of_other_size", "mask_size",
         polygons(lambda a: a.update(segmentation={"size": [2, 3], "counts": [6]})), masks=True),
]  # fmt: skip
