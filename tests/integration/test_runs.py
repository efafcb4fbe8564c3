"""Whole runs on the embedded data, through the command line's own function."""

import csv
import json

import pytest

from corrlight.app import run as run_app
from tests.integration.conftest import run_folder, run_py

DETECTORS = ["atss_small", "sparse_rcnn_small"]


@pytest.mark.parametrize("detector", DETECTORS)
def test_a_run_leaves_a_complete_folder(options, tmp_path, detector, capsys):
    assert run_app([f"detector={detector}", *options]) == 0
    folder = run_folder(tmp_path / "runs")
    names = {p.name for p in folder.iterdir()}
    assert {
        "config.yaml", "overrides.yaml", "environment.json", "metrics.json", "metrics.csv",
        "per_class.csv", "detections.json", "score_iou.npz", "checkpoints", "pictures", "figures",
    } <= names  # fmt: skip
    assert (folder / "checkpoints" / "last.ckpt").is_file()
    assert (folder / "checkpoints" / "best.ckpt").is_file()
    assert list((folder / "pictures").glob("*.png"))
    metrics = json.loads((folder / "metrics.json").read_text())
    assert 0 <= metrics["AP"] <= metrics["AP50"] <= 1
    assert metrics["num_images"] == 6
    assert {"beta_img", "beta_cls", "AR_100", "AP_small"} <= metrics.keys()
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert float(rows[1]["val/AP"]) == pytest.approx(metrics["AP"], abs=1e-6)
    assert any(name.endswith("loss_corr") for name in rows[0])
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["status"] == "finished"
    assert environment["seconds_per_iteration"] > 0
    assert 0 < environment["data_share"] < 1
    assert "AP" in capsys.readouterr().out


def test_the_last_epoch_is_validated_and_the_others_have_no_stale_measures(options, tmp_path):
    seldom, always = tmp_path / "seldom", tmp_path / "always"
    for runs, every in ((seldom, 2), (always, 1)):
        own = [f"paths.runs_dir={runs}", f"trainer.check_val_every_n_epoch={every}"]
        assert run_app([*options, *own, "schedule.max_epochs=3"]) == 0
    results = [(run_folder(runs) / "metrics.json").read_text() for runs in (seldom, always)]
    assert results[0] == results[1]
    with (run_folder(seldom) / "metrics.csv").open() as file:
        first, second, last = csv.DictReader(file)
    assert first["val/AP"] == ""
    assert first["train/loss"] != ""
    assert float(last["val/AP"]) == pytest.approx(json.loads(results[0])["AP"], abs=1e-6)
    assert second["val/AP"] != ""


def test_the_same_seed_gives_the_same_metrics_and_another_seed_does_not(options, tmp_path):
    texts = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        runs = tmp_path / name
        assert run_app([*options, f"paths.runs_dir={runs}", f"seed={seed}"]) == 0
        folder = run_folder(runs)
        metrics = (folder / "metrics.json").read_text()
        texts.append(metrics + (folder / "detections.json").read_text())
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


def test_a_finished_run_is_not_made_again_unless_asked(options, tmp_path):
    assert run_app(options) == 0
    folder = run_folder(tmp_path / "runs")
    before = (folder / "checkpoints" / "last.ckpt").stat().st_mtime_ns
    assert run_app([*options, "name=another"]) == 0
    assert run_folder(tmp_path / "runs") == folder
    assert (folder / "checkpoints" / "last.ckpt").stat().st_mtime_ns == before
    metrics = (folder / "metrics.json").read_text()
    assert run_app([*options, "rerun=true"]) == 0
    assert (folder / "checkpoints" / "last.ckpt").stat().st_mtime_ns != before
    assert (folder / "metrics.json").read_text() == metrics
    assert (folder.parent / f"{folder.name}.old1" / "metrics.json").read_text() == metrics


@pytest.mark.slow
def test_a_run_stopped_between_epochs_ends_as_if_it_had_not_been(options, tmp_path, monkeypatch):
    """Interrupted after the first epoch's checkpoint, resumed by the same command."""
    assert run_app([*options, f"paths.runs_dir={tmp_path / 'whole'}"]) == 0
    whole = run_folder(tmp_path / "whole")

    from corrlight.module import DetectionModule

    step = DetectionModule.training_step

    def stop_in_the_second_epoch(self, batch, batch_idx):
        if self.current_epoch == 1 and batch_idx == 2:
            raise RuntimeError("pulled the plug")
        return step(self, batch, batch_idx)

    monkeypatch.setattr(DetectionModule, "training_step", stop_in_the_second_epoch)
    with pytest.raises(RuntimeError, match="pulled the plug"):
        run_app(options)
    broken = run_folder(tmp_path / "runs")
    assert not (broken / "metrics.json").exists()
    assert json.loads((broken / "environment.json").read_text())["status"] == "failed"
    monkeypatch.setattr(DetectionModule, "training_step", step)
    assert run_app([f"resume={broken}"]) == 0
    for name in ("metrics.json", "detections.json", "per_class.csv"):
        assert (broken / name).read_text() == (whole / name).read_text()
    with (broken / "metrics.csv").open() as a, (whole / "metrics.csv").open() as b:
        for row, expected in zip(csv.DictReader(a), csv.DictReader(b), strict=True):
            assert {**row, "seconds": ""} == {**expected, "seconds": ""}


def test_a_checkpoint_is_tested_by_its_run_folder_alone(options, tmp_path):
    assert run_app(options) == 0
    folder = run_folder(tmp_path / "runs")
    assert run_app(["mode=test", f"ckpt={folder}"]) == 0
    tested = json.loads((folder / "test" / "metrics.json").read_text())
    trained = json.loads((folder / "metrics.json").read_text())
    for name in ("AP", "AP50", "beta_img", "beta_cls", "num_detections"):
        assert tested[name] == trained[name]


def test_the_command_line_ends_with_the_table(options):
    done = run_py(*options, "corr=none")
    assert done.returncode == 0, done.stderr
    assert "AP50" in done.stdout
    assert "run folder" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_finished_run_is_trained_longer_with_one_option(options, tmp_path, capsys):
    """Its own folder stays; the longer one goes on with epoch 3 and keeps the best checkpoint."""
    assert run_app(options) == 0
    first = run_folder(tmp_path / "runs")
    before = {p: p.read_bytes() for p in first.rglob("*") if p.is_file()}
    capsys.readouterr()
    assert run_app([f"resume={first}", "schedule.max_epochs=2"]) == 2
    assert "`schedule.max_epochs` to be more than the 2 epochs of" in capsys.readouterr().err
    assert run_app([f"resume={first}", "schedule.max_epochs=3"]) == 0
    assert {p: p.read_bytes() for p in first.rglob("*") if p.is_file()} == before
    (longer,) = [p for p in first.parent.iterdir() if p != first]
    assert json.loads((longer / "metrics.json").read_text())["num_epochs"] == 3
    rows = (longer / "metrics.csv").read_text().splitlines()
    column = rows[0].split(",").index("epoch")
    assert {row.split(",")[column] for row in rows[1:]} == {"2"}
    assert (longer / "checkpoints" / "best.ckpt").is_file()
    # It is a run like any other: not made twice, tested by its folder.
    capsys.readouterr()
    assert run_app([f"resume={longer}"]) == 0
    assert run_app(["mode=test", f"ckpt={longer}"]) == 0
