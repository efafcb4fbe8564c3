import json
import zipfile

from corrlight.runs.submission import write_submission

DETECTION = {"image_id": 3, "category_id": 1, "bbox": [0.0, 1.0, 2.0, 3.0], "score": 0.5}


def test_masks_are_a_submission_of_their_own(tmp_path):
    mask = {"segmentation": {"size": [4, 4], "counts": "0`0"}}
    paths = write_submission(tmp_path, [DETECTION | mask], "my run_2/b", "test-dev2017")
    names = ["my-run-2-b", "my-run-2-b-masks"]
    assert [p.name for p in paths] == [f"detections_test-dev2017_{n}_results.zip" for n in names]
    content = []
    for path in paths:
        with zipfile.ZipFile(path) as archive:
            assert archive.namelist() == [path.name.replace(".zip", ".json")]
            content.append(json.loads(archive.read(archive.namelist()[0])))
    without_box = {k: v for k, v in DETECTION.items() if k != "bbox"}
    assert content == [[DETECTION], [without_box | mask]]


def test_equal_detections_give_equal_bytes(tmp_path):
    first, second = (write_submission(tmp_path / n, [DETECTION], "a")[0] for n in ("x", "y"))
    assert first.read_bytes() == second.read_bytes()
    assert first.name == "detections_test-dev2017_a_results.zip"
