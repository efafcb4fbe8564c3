"""``mode=test``: every measure, bounds, dumps, and the archive for the COCO server."""

import json
import logging
import operator
import shutil
import zipfile

import pytest

from corrlight.analysis.command import main as analyze
from corrlight.app import run as run_app
from corrlight.data.drawn.shapes import ShapesOptions, write_shapes
from tests.integration.conftest import annotations_of, run_folder


def test_everything_is_measured_and_the_dump_says_the_same(made_once, finished, tmp_path, capsys):
    assert run_app(["mode=test", f"ckpt={finished}", "dump_raw=true"]) == 0
    folder = finished / "test"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert {
        *("AP", "oLRP", "beta_img", "beta_img_ranking", "beta_cls", "calibration_error"),
        *("beta_img_pearson", "beta_cls_concordance", "AP_upper_cls", "AP75_lower_cls"),
        *("AP_upper_img", "AP50_upper_img", "AP75_lower_img"),
    } <= metrics.keys()
    seconds = json.loads((folder / "environment.json").read_text())["measure_seconds"]
    assert {"matching", "CocoEvaluate", "ImageBounds", "total"} <= seconds.keys()
    assert seconds["total"] >= seconds["ImageBounds"] > 0
    environment = json.loads((finished / "environment.json").read_text())
    assert environment["measure_seconds"]["CocoEvaluate"] > 0
    out = tmp_path / "out"
    raw, gt = str(folder / "raw.npz"), str(annotations_of(made_once))
    capsys.readouterr()
    assert analyze(["--gt", gt, "--dt", str(folder), "--raw", raw, "--out", str(out)]) == 0
    assert capsys.readouterr().err == ""
    analysed = json.loads((out / "metrics.json").read_text())
    for name, value in metrics.items():
        if name in analysed and value is not None:
            assert analysed[name] == pytest.approx(value, abs=1e-9), name
    assert {"beta_img", "beta_img_ranking", "AP_upper_img", "beta_cls"} <= analysed.keys()


@pytest.mark.slow
def test_another_test_of_a_run_replaces_nothing(finished):
    """Tables read ``test/``: only the run's own options and last checkpoint may write it."""
    trained = finished
    assert run_app(["mode=test", f"ckpt={trained}"]) == 0
    own = (trained / "test" / "metrics.json").read_bytes()
    few = "detector.postprocessor.max_detections=2"
    assert run_app(["mode=test", f"ckpt={trained}", few]) == 0
    assert run_app(["mode=test", f"ckpt={trained / 'checkpoints' / 'best.ckpt'}"]) == 0
    assert (trained / "test" / "metrics.json").read_bytes() == own
    folders = {path.name for path in trained.glob("test*")}
    assert {"test", "test-best"} < folders
    (other,) = folders - {"test", "test-best"}
    detections = json.loads((trained / other / "detections.json").read_text())
    assert len(detections) < len(json.loads((trained / "test" / "detections.json").read_text()))


def test_a_checkpoint_of_no_run_has_its_results_beside_it(made_once, options, tmp_path):
    folder = tmp_path / "checkpoints"  # The name alone makes no run of it.
    folder.mkdir()
    file = folder / "theirs.ckpt"
    file.write_bytes((made_once[0] / "checkpoints" / "last.ckpt").read_bytes())
    assert run_app([*options, "mode=test", f"ckpt={file}"]) == 0
    assert (folder / "theirs-test" / "metrics.json").is_file()
    assert not (tmp_path / "test").exists()
    assert not (made_once[0] / "test").exists()


def _with_other_ids(source, target, change):
    """Copy a COCO folder whose categories get new ids; return its root and new ids by old ones."""
    shutil.copytree(source, target)
    new = {}
    for file in (target / "annotations").glob("*.json"):
        content = json.loads(file.read_text())
        old = sorted(c["id"] for c in content["categories"])
        new = dict(zip(old, change(old), strict=True))
        for category in content["categories"]:
            category["id"] = new[category["id"]]
        for annotation in content["annotations"]:
            annotation["category_id"] = new[annotation["category_id"]]
        file.write_text(json.dumps(content))
    return target, new


CHANGES = {"another order": lambda ids: ids[::-1], "ids alone": lambda ids: [10 * i for i in ids]}


@pytest.mark.slow
def test_classes_of_a_checkpoint_are_found_by_name(options, tmp_path, capsys, caplog):
    source = write_shapes(tmp_path / "dev", ShapesOptions(num_train=8, num_val=4, image_size=64))
    coco = [
        "data=coco_custom", "data.num_workers=0", "data.batch_size=4", "data.train_images=train",
        "data.train_annotations=annotations/instances_train.json", "data.val_images=val",
        "data.val_annotations=annotations/instances_val.json", "schedule.max_epochs=2",
        "data.train_transforms={}", "data.eval_transforms={}",
        "detector.postprocessor.score_thresh=0.001",
    ]  # fmt: skip
    own = [o for o in options if not o.startswith(("data.", "schedule.max"))]
    assert run_app([*own, *coco, f"data.root={source}"]) == 0
    trained = run_folder(tmp_path / "runs")
    before = json.loads((trained / "detections.json").read_text())
    assert before
    for name, change in CHANGES.items():
        root, new = _with_other_ids(source, tmp_path / name.replace(" ", "_"), change)
        caplog.clear()
        with caplog.at_level(logging.INFO, "corrlight"):
            assert run_app(["mode=test", f"ckpt={trained}", f"data.root={root}"]) == 0
        assert ("mapped by name" in caplog.text) == (name == "another order")
        (results,) = trained.glob("test-*/detections.json")
        found = json.loads(results.read_text())
        shutil.rmtree(results.parent)
        expected = [{**d, "category_id": new[d["category_id"]]} for d in before]
        key = operator.itemgetter("image_id", "score", "category_id", "bbox")
        assert sorted(found, key=key) == sorted(expected, key=key)
    root, _ = _with_other_ids(source, tmp_path / "others", list)
    for file in (root / "annotations").glob("*.json"):
        content = json.loads(file.read_text())
        name, content["categories"][0]["name"] = content["categories"][0]["name"], "other"
        file.write_text(json.dumps(content))
    capsys.readouterr()
    assert run_app(["mode=test", f"ckpt={trained}", f"data.root={root}"]) == 2
    error = capsys.readouterr().err
    assert f"['other'] in the data alone and ['{name}'] in the checkpoint alone" in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_test_dev_needs_no_annotations_and_gives_the_archive(options, tmp_path, data_dir, capsys):
    source = write_shapes(data_dir / "dev", ShapesOptions(num_train=4, num_val=3, image_size=64))
    names = [f"data.{k}_{what}" for k in ("train", "val") for what in ("images", "annotations")]
    files = ["train", "annotations/instances_train.json", "val", "annotations/instances_val.json"]
    coco = ["data=coco_custom", "data.num_workers=0", "data.batch_size=2", "data.check_images=none"]
    coco += [f"data.{k}_transforms={{}}" for k in ("train", "eval")]
    coco += [f"{k}={v}" for k, v in zip(names, files, strict=True)]
    own = [o for o in options if not o.startswith("data.")]
    own += ["detector.postprocessor.score_thresh=0.001"]  # Two steps make no confident detector.
    assert run_app([*own, *coco, f"data.root={source}", "schedule.max_epochs=1"]) == 0
    trained = run_folder(tmp_path / "runs")
    root = tmp_path / "dev"
    (root / "annotations").mkdir(parents=True)
    (root / "test2017").symlink_to(source / "val")
    info = json.loads((source / "annotations" / "instances_val.json").read_text())
    del info["annotations"]
    (root / "annotations" / "image_info_test-dev2017.json").write_text(json.dumps(info))
    dev = ["mode=test", f"ckpt={trained}", f"data.root={root}", "data.split=test-dev"]
    assert run_app(dev) == 0
    folder = trained / "test-dev"
    stem = "detections_test-dev2017_atss-small-concordance-coco-custom_results"
    with zipfile.ZipFile(folder / f"{stem}.zip") as archive:
        assert archive.namelist() == [f"{stem}.json"]
        detections = json.loads(archive.read(f"{stem}.json"))
    assert detections == json.loads((folder / "detections.json").read_text())
    assert {d["image_id"] for d in detections} <= {i["id"] for i in info["images"]}
    assert set(detections[0]) == {"image_id", "category_id", "bbox", "score"}
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["num_images"] == 3
    assert "AP" not in metrics
    (root / "annotations" / "image_info_test-dev2017.json").unlink()
    capsys.readouterr()
    assert run_app(dev) == 2
    assert "image_info_test-dev2017.json" in capsys.readouterr().err
    assert run_app([*dev[:-1], "data.split=test_dev"]) == 2
    assert "Expected `split` to be one of 'test', 'test-dev'" in capsys.readouterr().err
