"""One test of a checkpoint, without the command line: what it measures and where it writes."""

import json
import re
from pathlib import Path

import pytest
import torch

from corrlight.config.compose import compose_config, to_container
from corrlight.engine.checkpoint import AtomicCheckpointIO, load_checkpoint
from corrlight.engine.prepare import prepare
from corrlight.engine.test import _test_folder, run_test
from corrlight.metrics.raw.dump import RawDump
from tests.metrics.coco_oracle import coco_numbers


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    return [
        f"paths.runs_dir={folder / 'runs'}", f"paths.data_dir={folder / 'data'}", "trainer=cpu",
        "data.num_train=4", "data.num_val=3", "data.image_size=64", "data.batch_size=2",
        "data.num_workers=0", "~callbacks.pictures", "~callbacks.panels",
        "detector.postprocessor.score_thresh=0.001",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def trained(own):
    """Return a run folder whose checkpoints are of random weights."""
    run = prepare(compose_config(own))
    run.folder.create()
    run.folder.write_yaml("config.yaml", to_container(run.config))
    content = {"state_dict": run.module.state_dict(), "class_names": list(run.data.class_names)}
    for name in ("last", "best"):
        path = run.folder.path / "checkpoints" / f"{name}.ckpt"
        AtomicCheckpointIO().save_checkpoint(content, path)
    return run.folder


def test_measures_are_pycocotools_and_everything_is_written(own, trained):
    run = prepare(compose_config([*own, "mode=test", f"ckpt={trained}", "dump_raw=true"]))
    torch.nn.init.normal_(run.module.detector.classifier.weight)  # it is loaded, not kept
    metrics = run_test(run, trained.last_checkpoint)
    saved = load_checkpoint(trained.last_checkpoint)["state_dict"]
    assert all(torch.equal(saved[k], v) for k, v in run.module.state_dict().items())
    folder = trained.path / "test"
    written = json.loads((folder / "metrics.json").read_text())
    assert {**metrics, "checkpoint": "last.ckpt"} == written
    detections = json.loads((folder / "detections.json").read_text())
    assert len(detections) > 10
    truth = json.loads(Path(run.data.test_annotation_file).read_text())
    for name, value in coco_numbers(truth, detections).items():
        assert metrics[name] == (None if value is None else pytest.approx(value, abs=1e-12)), name
    assert metrics["AP_lower_img"] <= metrics["AP_upper_img"]
    said = json.loads((folder / "environment.json").read_text())
    assert said["status"] == "finished"
    assert said["measure_seconds"]["ImageBounds"] > 0
    assert set(RawDump.load(folder / "raw.npz").candidates.image_id) == {
        image["id"] for image in truth["images"]
    }
    # Nothing of the run itself is touched.
    assert not (trained.path / "metrics.json").exists()


@pytest.fixture
def config(trained):
    """Return the options of the run."""
    return trained.read_yaml("config.yaml")


@pytest.mark.parametrize(
    ("checkpoint", "split", "change", "name"),
    [
        ("last", "test", {}, "test"),
        ("previous", "test", {}, "test"),
        ("best", "test", {}, "test-best"),
        ("last", "test-dev", {}, "test-dev"),
        ("best", "test-dev", {}, "test-dev-best"),
        # Of the run's own options, what measures and what starts a process make no other test.
        ("last", "test", {"metric": {}, "name": "other", "mode": "test", "tags": ["a"]}, "test"),
        ("last", "test-dev", {"data": {}}, "test-dev"),
        ("last", "test", {"data": {}}, "test-[0-9a-f]{8}"),
        ("best", "test", {"seed": 7}, "test-best-[0-9a-f]{8}"),
    ],
)
def test_different_tests_never_share_a_folder(trained, config, checkpoint, split, change, name):
    path = trained.path / "checkpoints" / f"{checkpoint}.ckpt"
    found = _test_folder({**config, **change}, path, split).path
    assert found.parent == trained.path
    assert re.fullmatch(name, found.name)


def test_other_options_have_a_folder_of_their_own_again_and_again(trained, config):
    names = [
        _test_folder({**config, "seed": seed}, trained.last_checkpoint, "test").path
        for seed in (8, 9, 8)
    ]
    assert names[0] == names[2] != names[1]


@pytest.mark.parametrize("text", [None, "a: [", "", "[a]"])
def test_a_file_of_no_run_has_its_results_beside_it(config, tmp_path, text):
    folder = tmp_path / "somewhere" / "checkpoints"
    folder.mkdir(parents=True)
    if text is not None:
        (folder.parent / "config.yaml").write_text(text)
    found = _test_folder(config, folder / "theirs.ckpt", "test")
    assert found.path == folder / "theirs-test"


def test_a_second_test_dev_leaves_the_first_alone(trained, config):
    def asked(checkpoint=trained.last_checkpoint, **data):
        return {**config, "data": {**config["data"], "split": "test-dev", **data}}, checkpoint

    def folder(options, checkpoint):
        return _test_folder(options, checkpoint, "test-dev")

    first = asked(test_dev_annotations="a.json")
    plain = folder(*first)
    assert plain.path == trained.path / "test-dev"  # the first one, whatever its pictures
    plain.path.mkdir()
    try:
        plain.write_yaml("config.yaml", first[0])
        others = [
            asked(test_dev_annotations="b.json"),
            asked(test_dev_annotations="a.json", test_dev_images="b"),
            asked(test_dev_annotations="a.json", root="b"),
            asked(test_dev_annotations="a.json", max_val_images=1),
        ]
        paths = [folder(*other).path for other in others]
        assert len({plain.path, *paths}) == 5
        assert all(re.fullmatch("test-dev-[0-9a-f]{8}", path.name) for path in paths)
        assert paths == [folder(*other).path for other in others]
        # The same again, and another checkpoint, whose first one it is.
        assert folder(*first).path == plain.path
        best = trained.checkpoint("best.ckpt")
        assert folder(others[0][0], best).path.name == "test-dev-best"
        # With other options than the run's, too, the pictures tell two tests apart.
        seeds = [folder({**options, "seed": 7}, p).path for options, p in (first, others[0])]
        assert len({plain.path, *paths, *seeds}) == 7
    finally:
        (plain.path / "config.yaml").unlink()
        plain.path.rmdir()


@pytest.mark.parametrize("split", ["test", "test-dev"])
def test_a_second_test_of_a_file_of_no_run_leaves_the_first_alone(config, tmp_path, split):
    theirs = tmp_path / "theirs.ckpt"

    def asked(path=theirs, **data):
        return {**config, "ckpt": str(path), "data": {**config["data"], **data}}, path, split

    plain = _test_folder(*asked())
    plain.path.mkdir()
    plain.write_yaml("config.yaml", asked()[0])
    other = _test_folder(*asked(root="elsewhere"))
    twin = _test_folder(*asked(theirs.with_suffix(".pth")))
    assert re.fullmatch(f"theirs-{split}-[0-9a-f]{{8}}", other.path.name)
    assert len({plain.path, other.path, twin.path}) == 3
    assert _test_folder(*asked()).path == plain.path


def test_a_copy_of_a_checkpoint_in_another_folder_of_the_run_is_a_file_of_no_run(trained, config):
    copy = trained.path / "backup" / "last.ckpt"
    assert _test_folder(config, copy, "test").path == copy.with_name("last-test")
