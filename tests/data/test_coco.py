import json
import logging
import math
import time

import numpy as np
import pytest

from corrlight.data import CocoFormatError, load_annotations, read_coco_json

CATEGORIES = [{"id": 1000, "name": "owl"}, {"id": 0, "name": "cat"}, {"id": 7, "name": "dog"}]


def content():
    return {
        "images": [
            {"id": 5, "file_name": "b.png", "width": 40, "height": 30},
            {"id": 3, "file_name": "sub/a.png", "width": 20, "height": 10},
            {"id": 9, "file_name": "c.png", "width": 20, "height": 10},
        ],
        "annotations": [
            {"id": 12, "image_id": 3, "category_id": 7, "bbox": [1, 2, 3, 4]},
            {"id": 11, "image_id": 5, "category_id": 1000, "bbox": [0, 0, 40, 30]},
            {"id": 17, "image_id": 5, "category_id": 0, "bbox": [2.5, 3, 4, 5.5]},
        ],
        "categories": [dict(c) for c in CATEGORIES],
    }


def write(tmp_path, data, name="instances.json"):
    path = tmp_path / name
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def annotated(**changes):
    data = content()
    for key, value in changes.items():
        if value is ...:
            data["annotations"][2].pop(key, None)
        else:
            data["annotations"][2][key] = value
    return data


def changed(section, index, **changes):
    data = content()
    for key, value in changes.items():
        if value is ...:
            del data[section][index][key]
        else:
            data[section][index][key] = value
    return data


def without(key):
    data = content()
    del data[key]
    return data


BOX = "annotation 17: bbox"
NO_SIZE = "has no positive width and height"
NOT_FINITE = "has a value that is no finite number"
NO_BOX = "is not [x, y, width, height]"

BAD = {
    "a list": ([], "no COCO file: an object with images, annotations and categories is expected, "
               "but it is a list"),
    "no images": (without("images"), "no COCO file: the key 'images' is missing"),
    "no annotations": (without("annotations"), "no COCO file: the key 'annotations' is missing"),
    "no categories": (without("categories"), "no COCO file: the key 'categories' is missing"),
    "images a dict": ({**content(), "images": {}}, "no COCO file: 'images' is a dict"),
    "images empty": ({**content(), "images": []}, "'images' is empty"),
    "categories empty": ({**content(), "categories": []}, "'categories' is empty"),
    "image a text": ({**content(), "images": [*content()["images"], "x"]},
                     "images[3]: a str instead of an object"),
    "image id missing": (changed("images", 2, id=...), "images[2]: id is None, not an int"),
    "image id text": (changed("images", 2, id="9"), "images[2]: id is '9', a string, not an int"),
    "image id twice": (changed("images", 2, id=5), "image 5: duplicate id"),
    "no file name": (changed("images", 2, file_name=...),
                     "image 9: file_name is None, not a name"),
    "file name twice": (changed("images", 2, file_name="b.png"),
                        "image 9: same file_name 'b.png' as image 5"),
    "absolute path": (changed("images", 2, file_name="/etc/passwd"),
                      "image 9: file_name '/etc/passwd' leaves the image folder"),
    "parent path": (changed("images", 2, file_name="x/../../y.png"),
                    "image 9: file_name 'x/../../y.png' leaves the image folder"),
    "Windows path": (changed("images", 2, file_name="..\\y.png"),
                     "image 9: file_name '..\\\\y.png' leaves the image folder"),
    "width zero": (changed("images", 2, width=0),
                   "image 9: height 10 and width 0 are not positive ints"),
    "height missing": (changed("images", 2, height=...),
                       "image 9: height None and width 20 are not positive ints"),
    "category id twice": ({**content(), "categories": [*CATEGORIES, {"id": 0, "name": "emu"}]},
                          "category 0: duplicate id"),
    "category name twice": (changed("categories", 2, name="owl"),
                            "category 7: same name 'owl' as category 1000"),
    "category without name": (changed("categories", 2, name=...),
                              "category 7: name is None, not a name"),
    "annotation a number": ({**content(), "annotations": [4]},
                            "annotations[0]: a int instead of an object"),
    "annotation id text": (annotated(id="1"), "annotations[2]: id is '1', a string, not an int"),
    "annotation id true": (annotated(id=True), "annotations[2]: id is True, not an int"),
    "annotation id 1.5": (annotated(id=1.5), "annotations[2]: id is 1.5, not an int"),
    "annotation id twice": (annotated(id=12), "annotation 12: duplicate id"),
    "unknown image": (annotated(image_id=99), "annotation 17: unknown image_id 99"),
    "unhashable image": (annotated(image_id=[3]), "annotation 17: unknown image_id [3]"),
    "unknown category": (annotated(category_id=8), "annotation 17: unknown category_id 8"),
    "crowd text": (annotated(iscrowd="no"), "annotation 17: iscrowd is 'no', not 0 or 1"),
    "crowd 2": (annotated(iscrowd=2), "annotation 17: iscrowd is 2, not 0 or 1"),
    "area NaN": (annotated(area=math.nan), "annotation 17: area is nan, not a finite number >= 0"),
    "area negative": (annotated(area=-3), "annotation 17: area is -3, not a finite number >= 0"),
    "no box": (annotated(bbox=...), f"{BOX} None {NO_BOX}"),
    "3 numbers": (annotated(bbox=[1, 2, 3]), f"{BOX} [1, 2, 3] {NO_BOX}"),
    "5 numbers": (annotated(bbox=[1, 2, 3, 4, 5]), f"{BOX} [1, 2, 3, 4, 5] {NO_BOX}"),
    "texts": (annotated(bbox=[1, 2, "3", 4]), f"{BOX} [1, 2, '3', 4] {NOT_FINITE}"),
    "NaN": (annotated(bbox=[1, math.nan, 3, 4]), f"{BOX} [1, nan, 3, 4] {NOT_FINITE}"),
    "infinity": (annotated(bbox=[1, 2, math.inf, 4]),
                 f"{BOX} [1, 2, inf, 4] {NOT_FINITE}"),
    "1e308": (annotated(bbox=[1, 2, 1e308, 4]), f"{BOX} [1, 2, 1e+308, 4] {NOT_FINITE}"),
    "negative width": (annotated(bbox=[5, 2, -3, 4]), f"{BOX} [5, 2, -3, 4] {NO_SIZE}"),
    "zero height": (annotated(bbox=[5, 2, 3, 0]), f"{BOX} [5, 2, 3, 0] {NO_SIZE}"),
    "outside": (annotated(bbox=[40, 2, 3, 4]),
                "annotation 17: bbox [40, 2, 3, 4] lies outside its image of 40x30"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_file_is_one_line_that_names_the_fault(tmp_path, case):
    data, problem = BAD[case]
    path = write(tmp_path, data)
    with pytest.raises(CocoFormatError) as caught:
        load_annotations(path)
    expected = (
        f"Expected {path} to be a valid COCO annotation file, but found 1 problem: {problem}."
    )
    assert str(caught.value).startswith(expected)
    assert "\n" not in str(caught.value)
    way_out = {"annotation 17: bbox": "data.invalid_boxes=drop", "a string": "without quotes"}
    assert all(way in str(caught.value) for key, way in way_out.items() if key in problem)
    assert caught.value.problems == (problem,)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value in line 1, column 1"),
        ('{"images": [', "Expecting value in line 1, column 13"),
        ("[" * 100_000, "it is nested too deeply"),
    ],
)
def test_text_that_is_no_json(tmp_path, text, reason):
    path = write(tmp_path, text)
    with pytest.raises(ValueError) as caught:
        load_annotations(path)
    assert str(caught.value) == f"Expected {path} to be a JSON file, but {reason}."


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "x.json"
    path.write_bytes(b"\xff\xfe\x00{")
    with pytest.raises(ValueError, match="but it is no UTF-8 text"):
        load_annotations(path)


def test_byte_order_mark_is_skipped(tmp_path):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(content()), encoding="utf-8-sig")
    assert len(load_annotations(path)) == 3


def test_missing_file(tmp_path):
    path = tmp_path / "none.json"
    with pytest.raises(ValueError) as caught:
        load_annotations(path)
    expected = f"Expected a COCO annotation file at {path}, but there is no such file."
    assert str(caught.value) == expected


def test_all_problems_are_counted_and_the_first_shown(tmp_path):
    data = content()
    data["annotations"] = [{**data["annotations"][0], "id": k, "image_id": 99} for k in range(1, 9)]
    with pytest.raises(CocoFormatError) as caught:
        load_annotations(write(tmp_path, data))
    shown = "; ".join(f"annotation {k}: unknown image_id 99" for k in range(1, 6))
    way_out = "`corrlight data check ROOT --fix OUT` leaves them out."
    assert str(caught.value).endswith(f"but found 8 problems: {shown}; and 3 more. {way_out}")
    assert len(caught.value.problems) == 8
    assert "\n" not in str(caught.value)


def test_content_by_image_with_sorted_category_ids(tmp_path):
    data = load_annotations(write(tmp_path, content()))
    assert data.category_ids == (0, 7, 1000)
    assert data.class_names == ("cat", "dog", "owl")
    assert data.image_ids.tolist() == [5, 3, 9]
    assert data.sizes.tolist() == [[30, 40], [10, 20], [10, 20]]
    assert data.annotation_ids[data.rows(0)].tolist() == [11, 17]
    assert data.labels[data.rows(0)].tolist() == [2, 0]
    assert data.boxes[data.rows(0)].tolist() == [[0, 0, 40, 30], [2.5, 3, 6.5, 8.5]]
    assert data.labels[data.rows(1)].tolist() == [1]
    assert data.rows(2) == slice(3, 3)


def test_missing_area_and_iscrowd_are_filled_and_said(tmp_path, caplog):
    data = content()
    data["annotations"][0]["area"] = 6.5
    data["annotations"][1]["iscrowd"] = 1
    with caplog.at_level(logging.WARNING):
        read = load_annotations(write(tmp_path, data))
    assert read.areas.tolist() == [1200, 22, 6.5]
    assert read.crowd.tolist() == [True, False, False]
    assert caplog.messages == [
        "instances.json: filled 2 missing areas with width x height",
        "instances.json: filled 2 missing iscrowd flags with 0",
    ]


@pytest.mark.parametrize("box", [[5, 2, 0, 4], [5, 2, -1, 4], [5, 2, math.nan, 4], [99, 2, 3, 4]])
def test_invalid_boxes_can_be_dropped(tmp_path, caplog, box):
    with caplog.at_level(logging.WARNING):
        read = load_annotations(write(tmp_path, annotated(bbox=box)), invalid_boxes="drop")
    assert read.annotation_ids.tolist() == [11, 12]
    assert "dropped 1 invalid boxes (annotation 17: bbox" in caplog.text


def test_dropping_boxes_hides_no_other_problem(tmp_path):
    path = write(tmp_path, annotated(bbox=[5, 2, 0, 4], category_id=8))
    with pytest.raises(
        CocoFormatError, match="found 1 problem: annotation 17: unknown category_id 8"
    ):
        load_annotations(path, invalid_boxes="drop")


def test_unknown_treatment_of_invalid_boxes(tmp_path):
    with pytest.raises(
        ValueError, match=r"`invalid_boxes` to be 'error', 'drop' or 'cut', but got 'fix'\."
    ):
        load_annotations(write(tmp_path, content()), invalid_boxes="fix")


SEGMENTATIONS = {
    "polygon": [[2, 2, 6, 2, 6, 5, 2, 5]],
    "runs": {"size": [10, 20], "counts": [22, 3, 7, 3, 7, 3, 7, 3, 145]},
}


@pytest.mark.parametrize("kind", SEGMENTATIONS)
def test_masks(tmp_path, kind):
    data = content()
    data["annotations"] = [{**data["annotations"][0], "segmentation": SEGMENTATIONS[kind]}]
    read = load_annotations(write(tmp_path, data), load_masks=True)
    expected = np.zeros((1, 10, 20), np.uint8)
    expected[0, 2:5, 2:6] = 1
    assert np.array_equal(read.masks(np.array([0]), (10, 20)), expected)


@pytest.mark.parametrize(
    ("segmentation", "fault"),
    [
        (None, "is None, neither polygons nor run lengths"),
        ([], "is empty"),
        ([[1, 2, 3, 4]], "has a polygon that is not 3 or more pairs of numbers"),
        ([[1, 2, 3, 4, 5, math.inf]], "has a polygon with a value that is no finite number"),
        ({"size": [9, 9], "counts": [81]}, "has the size [9, 9], not [10, 20]"),
        ({"size": [10, 20], "counts": [3, 4]}, "has run lengths that do not add up to its image"),
        ({"size": [10, 20]}, "has no run lengths"),
    ],
)
def test_bad_masks(tmp_path, segmentation, fault):
    data = content()
    data["annotations"] = [{**data["annotations"][0], "segmentation": segmentation}]
    path = write(tmp_path, data)
    assert len(load_annotations(path).boxes) == 1
    with pytest.raises(CocoFormatError) as caught:
        load_annotations(path, load_masks=True)
    assert caught.value.problems == (f"annotation 12: segmentation {fault}",)


def test_masks_have_to_be_loaded(tmp_path):
    read = load_annotations(write(tmp_path, content()))
    with pytest.raises(ValueError, match="`load_masks` to be True"):
        read.masks(np.array([0]), (10, 20))


def test_checked_json_is_what_pycocotools_needs(tmp_path):
    data, notes = read_coco_json(write(tmp_path, content()))
    assert all({"area", "iscrowd"} <= set(a) for a in data["annotations"])
    assert len(notes) == 2


def test_checking_is_fast_enough_for_coco(tmp_path):
    data = content()
    template = {**data["annotations"][2], "area": 22.0, "iscrowd": 0}
    data["annotations"] = [{**template, "id": k} for k in range(1, 50_001)]
    path = write(tmp_path, data)
    start = time.process_time()
    assert len(load_annotations(path).boxes) == 50_000
    # COCO has 17 times as many; measured 0.2 s.
    assert time.process_time() - start < 3


def test_a_valid_file_of_other_tools_is_read(tmp_path, caplog):
    """Ids from 0, flags in other spellings, a category twice, and LVIS's names of images."""
    data = content()
    data["categories"].append(dict(CATEGORIES[0]))
    for record, number in zip(data["annotations"], (0, 1, 2), strict=True):
        record["id"] = number
    for record, flag in zip(data["annotations"], (0.0, 1.0, True), strict=True):
        record["iscrowd"] = flag
    image = data["images"][2]
    image["coco_url"] = f"http://images.example/val2017/{image.pop('file_name')}"
    with caplog.at_level(logging.INFO):
        read = load_annotations(write(tmp_path, data))
    assert read.category_ids == (0, 7, 1000)
    assert read.annotation_ids.tolist() == [1, 2, 0]
    assert read.crowd.tolist() == [True, True, False]
    assert read.file_names[2].endswith("c.png")
    assert "1000" in caplog.text
    assert "coco_url" in caplog.text


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (lambda x, y, w, h, iw, ih: [x / iw, y / ih, w / iw, h / ih], "fraction"),
        (lambda x, y, w, h, iw, ih: [x, y, x + w, y + h], "corners"),
        (lambda x, y, w, h, iw, ih: [x + w / 2, y + h / 2, w, h], "centre"),
    ],
)
def test_boxes_of_another_format_are_refused_with_the_likely_cause(tmp_path, spoil, cause):
    rng = np.random.default_rng(0)
    data = content()
    width, height = 640, 480
    data["images"] = [{"id": 1, "file_name": "a.png", "width": width, "height": height}]
    data["annotations"] = []
    for k in range(60):
        w, h = rng.uniform(60, 300, 2)
        x, y = rng.uniform(0, [width - w, height - h])
        box = spoil(x, y, w, h, width, height)
        data["annotations"].append({"id": k, "image_id": 1, "category_id": 7, "bbox": box})
    with pytest.raises(CocoFormatError, match=cause) as caught:
        load_annotations(write(tmp_path, data))
    assert "\n" not in str(caught.value)


def test_no_area_at_all_is_refused(tmp_path):
    data = content()
    for record in data["annotations"]:
        record["area"] = 0
    with pytest.raises(CocoFormatError, match="area"):
        load_annotations(write(tmp_path, data))


def test_a_few_boxes_that_leave_their_picture_are_counted_and_said(tmp_path, caplog):
    data = content()
    data["annotations"] = [
        {"id": k, "image_id": 5, "category_id": 7, "bbox": [1, 1, 9, 9]} for k in range(60)
    ]
    data["annotations"][7]["bbox"] = [35, 1, 9, 9]
    with caplog.at_level(logging.WARNING):
        load_annotations(write(tmp_path, data))
    assert "1 " in caplog.text
    assert "annotation 7" in caplog.text
