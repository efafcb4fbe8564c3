"""Wrong input of ``corrlight analyze``: one line, exit code 2, no folder."""

import copy
import json
import math

import numpy as np
import pytest

from corrlight.analysis.command import main

GT = {
    "images": [{"id": 3, "width": 40, "height": 30}, {"id": 7, "width": 40, "height": 30}],
    "categories": [{"id": 2, "name": "cat"}, {"id": 5, "name": "dog"}],
    "annotations": [
        {
            "id": k,
            "image_id": image,
            "category_id": category,
            "bbox": [4, 4, 10 + k, 9],
            "area": 90,
            "iscrowd": 0,
            "segmentation": [[4, 4, 14, 4, 14, 13, 4, 13]],
        }
        for k, (image, category) in enumerate([(3, 2), (3, 5), (7, 2)])
    ],
}
DT = [
    {"image_id": i, "category_id": c, "bbox": [4.0, 4.0, w, 9.0], "score": s}
    for i, c, w, s in [(3, 2, 9.0, 0.9), (3, 5, 8.0, 0.8), (7, 2, 11.0, 0.7), (7, 5, 5.0, 0.1)]
]
RLE = {"size": [30, 40], "counts": "4^O`0"}


def detection(**change):
    """A change of detection number 2."""

    def apply(gt, dt):
        for key, value in change.items():
            if value is ...:
                del dt[2][key]
            else:
                dt[2][key] = value

    return apply


def record(kind, **change):
    """A change of record number 1 of the ground truth."""

    def apply(gt, dt):
        for key, value in change.items():
            if value is ...:
                del gt[kind][1][key]
            else:
                gt[kind][1][key] = value

    return apply


def masks(**change):
    """Detections with masks, number 2 changed."""

    def apply(gt, dt):
        for d in dt:
            d["segmentation"] = {"size": [30, 40], "counts": [100, 50, 1050]}
        dt[2]["segmentation"] |= change

    return apply


def truth(**change):
    return lambda gt, dt: gt.update(change)


CASES = {
    "image id unknown": (detection(image_id=4), "image_id in detection number 2, but got 4"),
    "image id a string": (detection(image_id="3"), "image_id in detection number 2, but got '3'"),
    "image id true": (detection(image_id=True), "image_id in detection number 2, but got True"),
    "image id null": (detection(image_id=None), "image_id in detection number 2, but got None"),
    "image id a list": (detection(image_id=[3]), "image_id in detection number 2, but got [3]"),
    "image id missing": (detection(image_id=...), "`image_id` in detection number 2"),
    "image id huge": (detection(image_id=10**30), "image_id in detection number 2"),
    "category unknown": (detection(category_id=4), "category_id in detection number 2, but got 4"),
    "category missing": (detection(category_id=...), "`category_id` in detection number 2"),
    "score missing": (detection(score=...), "`score` in detection number 2"),
    "score a string": (detection(score="0.5"), "score of detection number 2, but got '0.5'"),
    "score null": (detection(score=None), "score of detection number 2, but got None"),
    "score true": (detection(score=True), "score of detection number 2, but got True"),
    "score nan": (detection(score=math.nan), "finite score in detection number 2, but got nan"),
    "score infinite": (detection(score=-math.inf), "finite score in detection number 2"),
    "score too large": (detection(score=10**400), "finite score in detection number 2"),
    "score a list": (detection(score=[0.5]), "score of detection number 2, but got [0.5]"),
    "box missing": (detection(bbox=...), "`bbox` in detection number 2"),
    "box null": (detection(bbox=None), "four numbers as bbox of detection number 2"),
    "box of three": (detection(bbox=[1, 2, 3]), "four numbers as bbox of detection number 2"),
    "box of five": (detection(bbox=[1, 2, 3, 4, 5]), "four numbers as bbox of detection number 2"),
    "box nan": (detection(bbox=[1, math.nan, 3, 4]), "finite bbox in detection number 2"),
    "box infinite": (detection(bbox=[1, 2, math.inf, 4]), "finite bbox in detection number 2"),
    "box of strings": (detection(bbox=["1", 2, 3, 4]), "bbox of detection number 2, but got '1'"),
    "box negative": (detection(bbox=[9, 9, -3, 4]), "without negative size in detection number 2"),
    "detection a list": (lambda gt, dt: dt.insert(2, [1]), "object as detection number 2"),
    "detection null": (lambda gt, dt: dt.insert(2, None), "object as detection number 2"),
    "mask of another size": (
        masks(size=[40, 30], counts=[100, 50, 1050]),
        "a mask of the size [30, 40] in detection number 2, but got [40, 30]",
    ),
    "mask without size": (masks(size=None), "size of the mask of detection number 2"),
    "mask without counts": (masks(counts=None), "encoding as segmentation of detection number 2"),
    "mask too short": (masks(counts=[100, 50]), "add up to 1200 in detection number 2"),
    "mask negative": (masks(counts=[100, -50, 1150]), "add up to 1200 in detection number 2"),
    "mask cut off": (masks(counts="T3b1n"), "valid run-length encoding in detection"),
    "mask of other pixels": (masks(counts="T3b12"), "valid run-length encoding in detection"),
    "mask no encoding": (masks(counts="\x01\x7f"), "valid run-length encoding in detection"),
    "mask a text": (
        lambda gt, dt: [d.update(segmentation="abc") for d in dt],
        "polygons or run lengths as segmentation of detection number 0, but got 'abc'",
    ),
    "mask empty": (masks(counts=""), "valid run-length encoding in detection"),
    "gt without images": (lambda gt, dt: gt.pop("images"), "a list `images`"),
    "gt without annotations": (lambda gt, dt: gt.pop("annotations"), "a list `annotations`"),
    "gt categories no list": (truth(categories={"2": "cat"}), "a list `categories`"),
    "gt image unknown": (record("annotations", image_id=9), "image_id in annotation number 1"),
    "gt category unknown": (record("annotations", category_id=9), "category_id in annotation"),
    "gt box missing": (
        record("annotations", bbox=..., segmentation=...), "`bbox` in annotation number 1",
    ),
    "gt box nan": (record("annotations", bbox=[1, 2, math.nan, 4]), "bbox in annotation number 1"),
    "gt box negative": (record("annotations", bbox=[9, 9, 3, -4]), "negative size in annotation"),
    "gt area a string": (record("annotations", area="9"), "area of annotation number 1"),
    "gt area infinite": (record("annotations", area=math.inf), "finite area in annotation"),
    "gt iscrowd 2": (record("annotations", iscrowd=2), "iscrowd of annotation number 1, but got 2"),
    "gt annotation twice": (record("annotations", id=0), "0 comes again in annotation number 1"),
    "gt image twice": (record("images", id=3), "3 comes again in image number 1"),
    "gt category twice": (record("categories", id=2), "2 comes again in category number 1"),
    "gt image id a string": (record("images", id="7"), "int as id of image number 1, but got '7'"),
    "gt image id missing": (record("images", id=...), "`id` in image number 1"),
    "gt image id huge": (record("images", id=1 << 70), "int as id of image number 1"),
    "gt category no object": (truth(categories=[2, 5]), "object as category number 0, but got 2"),
    "gt height negative": (record("images", height=-1), "height and width of image number 1"),
}  # fmt: skip


def files(tmp_path, gt=GT, dt=DT):
    paths = tmp_path / "gt.json", tmp_path / "dt.json"
    for path, content in zip(paths, (gt, dt), strict=True):
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return [str(p) for p in paths]


def fails(tmp_path, capsys, gt_file, dt_file, *more):
    """Run and return the error; it has one line and nothing was written."""
    before = sorted(p.name for p in tmp_path.iterdir())
    arguments = ["--gt", gt_file, "--dt", dt_file, "--out", str(tmp_path / "out"), *more]
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    return captured.err


@pytest.mark.parametrize("name", CASES)
def test_wrong_records(tmp_path, capsys, name):
    change, message = CASES[name]
    gt, dt = copy.deepcopy(GT), copy.deepcopy(DT)
    change(gt, dt)
    assert message in fails(tmp_path, capsys, *files(tmp_path, gt, dt))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"annotations": []}', "but got a dict. Write the list under its key 'annotations' alone"),
        ('{"images": [], "annotations": []}', "a list of detections, but got a dict."),
        ("null", "a list of detections, but got null"),
        ("3", "a list of detections, but got a int"),
        ("", "to be a JSON file"),
        (json.dumps(DT)[:-30], "detection number 3 is cut off or no JSON"),
        (json.dumps(DT)[:-1], "it ends after detection number 3"),
        (json.dumps(DT) + "]", "something follows the list"),
        (json.dumps(DT).replace("}, {", "} {", 1), "no comma after detection number 0"),
        (
            json.dumps(DT).replace('"score": 0.7', '"score": 0,7'),
            "detection number 2 is cut off or no JSON",
        ),
        ("[" * 100_000, "nested too deeply"),
        (f'[{{"image_id": {"1" * 9999}}}]', "in detection number 0"),
    ],
)
def test_results_that_are_no_list(tmp_path, capsys, text, message):
    assert message in fails(tmp_path, capsys, *files(tmp_path, GT, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "to hold a COCO dictionary, but got a list"),
        (json.dumps(GT)[:-5], "to be a JSON file, but"),
        ("{" * 100_000, "to be a JSON file, but"),
    ],
)
def test_ground_truth_that_is_none(tmp_path, capsys, text, message):
    assert message in fails(tmp_path, capsys, *files(tmp_path, text))


def test_files_that_cannot_be_read(tmp_path, capsys):
    gt, dt = files(tmp_path)
    missing = str(tmp_path / "none.json")
    assert "there is no such file" in fails(tmp_path, capsys, gt, missing)
    assert "there is no such file" in fails(tmp_path, capsys, missing, dt)
    assert "detections.json" in fails(tmp_path, capsys, gt, str(tmp_path))
    assert "it cannot be read" in fails(tmp_path, capsys, str(tmp_path), dt)
    (tmp_path / "dt.json").write_bytes(b"[\xff\xfe]")
    assert "no UTF-8" in fails(tmp_path, capsys, gt, dt)


def test_the_second_of_two_files_is_wrong(tmp_path, capsys):
    gt, dt = files(tmp_path)
    other = tmp_path / "other.json"
    other.write_text(json.dumps([{**DT[0], "image_id": 1}]))
    message = fails(tmp_path, capsys, gt, dt, "--dt", dt, str(other))
    assert "image_id in detection number 0" in message
    assert str(other) in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bootstrap", "-1"], "Expected a whole number"),
        (["--bootstrap", "many"], "Expected a whole number"),
        (["--names", "a", "b"], "Expected --names 1 times"),
        (["--botstrap", "3"], "unrecognized arguments"),
    ],
)
def test_wrong_options(tmp_path, capsys, arguments, message):
    assert message in fails(tmp_path, capsys, *files(tmp_path), *arguments)


def test_out_that_holds_something_else_is_left_alone(tmp_path, capsys):
    gt, dt = files(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    assert "something else" in fails(tmp_path, capsys, gt, dt)
    assert (tmp_path / "out" / "thesis.tex").read_text() == "years of work"
    assert "is a file" in fails(tmp_path, capsys, gt, dt, "--out", dt)


def test_records_are_numbered_through_the_pieces(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("corrlight.json_files._PIECE", 2)
    dt = [*DT, *DT, {**DT[0], "score": "1"}]
    assert "score of detection number 8" in fails(tmp_path, capsys, *files(tmp_path, GT, dt))


def test_no_detections_are_ap_0_with_a_warning(tmp_path, capsys):
    gt, dt = files(tmp_path, GT, [])
    assert main(["--gt", gt, "--dt", dt, "--out", str(tmp_path / "out"), "--bootstrap", "3"]) == 0
    assert "warning: " in (captured := capsys.readouterr()).err
    assert "no detections: AP is 0" in captured.err
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (metrics["AP"], metrics["oLRP"], metrics["beta_cls"]) == (0, 1, None)
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000


@pytest.fixture
def drafts(monkeypatch):
    """Figures are drawn and their files are empty: to render them takes seconds."""

    def save(figure, folder, name):
        for ending in ("png", "svg"):
            (folder / f"{name}.{ending}").write_bytes(b"")

    monkeypatch.setattr("corrlight.analysis.output.save_figure", save)


@pytest.mark.usefixtures("drafts")
def test_no_objects_are_no_measures(tmp_path, capsys):
    gt, dt = files(tmp_path, {**GT, "annotations": []})
    assert main(["--gt", gt, "--dt", dt, "--out", str(tmp_path / "out")]) == 0
    assert "holds no annotations" in capsys.readouterr().err
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["AP"] is None
    assert metrics["AP_upper_cls"] is None


def test_missing_area_and_crowd_are_filled_and_said(tmp_path, capsys):
    plain = copy.deepcopy(GT)
    for annotation in plain["annotations"][:2]:
        del annotation["area"]
    del plain["annotations"][2]["iscrowd"]
    gt, dt = files(tmp_path, plain)
    assert main(["--gt", gt, "--dt", dt]) == 0
    err = capsys.readouterr().err
    assert "2 annotations without area: width x height is used" in err
    assert "1 annotations without iscrowd: 0 is used" in err


def test_annotation_id_0_is_an_id(tmp_path, capsys):
    tables = []
    for first in (0, 50):
        gt = copy.deepcopy(GT)
        for k, annotation in enumerate(gt["annotations"]):
            annotation["id"] = first + k
        paths = files(tmp_path, gt)
        assert main(["--gt", paths[0], "--dt", paths[1]]) == 0
        tables.append(capsys.readouterr().out)
    assert tables[0] == tables[1]
    assert "AP50 " in tables[0]
    assert "100.00" in tables[0].split("AP50 ")[1].splitlines()[0]


@pytest.mark.usefixtures("drafts")
@pytest.mark.usefixtures("drafts")
def test_scores_outside_the_unit_interval_have_no_calibration(tmp_path, capsys):
    gt, dt = files(tmp_path, GT, [{**d, "score": 100 * d["score"]} for d in DT])
    assert main(["--gt", gt, "--dt", dt, "--out", str(tmp_path / "out")]) == 0
    assert "no calibration error" in capsys.readouterr().err
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["calibration_error"] is None
    assert metrics["AP50"] == pytest.approx(1)
    drawn = {file.name for file in (tmp_path / "out" / "figures").iterdir()}
    assert drawn
    assert "calibration.png" not in drawn


def test_dumps(tmp_path, capsys):
    gt, dt = files(tmp_path)
    raw = tmp_path / "raw.npz"
    assert "no such file" in fails(tmp_path, capsys, gt, dt, "--raw", str(raw))
    message = fails(tmp_path, capsys, gt, dt, "--raw", str(raw), str(raw))
    assert "Expected --raw 1 times" in message
    scores = {"positive_score": np.array([0.1, 0.5]), "positive_iou": np.array([0.4, 0.6])}
    np.savez(raw, positive_image_id=np.array([3, 8]), **scores)
    message = fails(tmp_path, capsys, gt, dt, "--raw", str(raw))
    assert "`positive_image_id` to be images of the annotations, but got 8 in row 1" in message
    np.savez(raw, positive_image_id=np.array([3, 3]), **scores)
    assert main(["--gt", gt, "--dt", dt, "--raw", str(raw)]) == 0
    captured = capsys.readouterr()
    assert "no candidates: no image-level bounds" in captured.err
    assert "100.00" in captured.out.split("beta_img ")[1].splitlines()[0]
