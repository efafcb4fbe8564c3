"""A run's predictions on its own validation pictures are the results of ``mode=test``."""

import json

import pytest

from corrlight.app import run as run_app
from corrlight.predict.command import main as predict
from tests.integration.conftest import run_folder


@pytest.mark.parametrize("detector", ["atss_small", "yolact_small"])
def test_predictions_are_those_of_a_test(detector, options, tmp_path):
    own_data = [o for o in options if not o.startswith(("paths.data_dir=", "schedule.max_epochs"))]
    own_data += [f"paths.data_dir={tmp_path / 'data'}", "schedule.max_epochs=1"]
    few = ["detector.postprocessor.score_thresh=0.01"]
    assert run_app([f"detector={detector}", *own_data, *few]) == 0
    run = run_folder(tmp_path / "runs")
    last = run / "checkpoints" / "last.ckpt"
    assert run_app(["mode=test", f"ckpt={run}"]) == 0
    tested = json.loads((run / "test" / "detections.json").read_text())
    assert tested

    (file,) = (tmp_path / "data").rglob("instances_val.json")
    annotated = {i["file_name"]: i["id"] for i in json.loads(file.read_text())["images"]}
    (pictures,) = {p.parent for p in file.parents[1].rglob("*.png") if p.parent.name == "val"}
    out = tmp_path / "out"
    named = [str(pictures / name) for name in annotated]  # in the order of the test
    assert predict([*named, "--run", str(last), "--out", str(out), "--no-pictures"]) == 0
    images = json.loads((out / "images.json").read_text())["images"]
    to_theirs = {i["id"]: annotated[i["file_name"]] for i in images}
    found = json.loads((out / "predictions.json").read_text())
    found = [{**d, "image_id": to_theirs[d["image_id"]]} for d in found]
    assert sorted(found, key=lambda d: d["image_id"]) == tested
