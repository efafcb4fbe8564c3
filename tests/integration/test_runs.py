"""Whole runs on the embedded data, through the command line's own function."""

import csv
import json
import runpy

import pytest

from corrlight.app import run as run_app
from corrlight.module import DetectionModule
from tests.integration.conftest import ROOT, run_folder


def assert_complete(folder, printed):
    """All files of a run of two epochs are there, and say the same."""
    names = {p.name for p in folder.iterdir()}
    assert {
        "config.yaml", "overrides.yaml", "environment.json", "metrics.json", "metrics.csv",
        "per_class.csv", "detections.json", "score_iou.npz", "checkpoints", "pictures", "figures",
        "errors.json", "confusion_matrix.csv",
    } <= names  # fmt: skip
    assert (folder / "checkpoints" / "last.ckpt").is_file()
    assert (folder / "checkpoints" / "best.ckpt").is_file()
    assert list((folder / "pictures").glob("*.png"))
    metrics = json.loads((folder / "metrics.json").read_text())
    assert 0 <= metrics["AP"] <= metrics["AP50"] <= 1
    assert metrics["num_images"] == 6
    assert {"beta_img", "beta_cls", "AR_100", "AP_small"} <= metrics.keys()
    rows = rows_of(folder)
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert float(rows[1]["val/AP"]) == pytest.approx(metrics["AP"], abs=1e-6)
    assert any(name.endswith("loss_corr") for name in rows[0])
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["status"] == "finished"
    assert environment["seconds_per_iteration"] > 0
    assert 0 < environment["data_share"] < 1
    assert "AP" in printed


def rows_of(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def results(folder):
    return [(folder / name).read_text() for name in ("metrics.json", "detections.json")]


def test_a_run_leaves_a_complete_folder(made_once):
    assert_complete(*made_once)


@pytest.mark.slow
def test_a_run_of_set_prediction_leaves_a_complete_folder(options, tmp_path, capsys):
    assert run_app(["detector=sparse_rcnn_small", *options, "data.num_train=8"]) == 0
    assert_complete(run_folder(tmp_path / "runs"), capsys.readouterr().out)


@pytest.mark.slow
def test_the_last_epoch_is_validated_and_the_others_have_no_stale_measures(
    made_once, options, tmp_path
):
    assert run_app([*options, "trainer.check_val_every_n_epoch=3"]) == 0
    folder = run_folder(tmp_path / "runs")
    # Validations in between change nothing.
    assert results(folder) == results(made_once[0])
    first, last = rows_of(folder)
    assert first["val/AP"] == ""
    assert first["train/loss"] != ""
    metrics = json.loads((folder / "metrics.json").read_text())
    assert float(last["val/AP"]) == pytest.approx(metrics["AP"], abs=1e-6)


def test_a_finished_run_is_not_made_again_unless_asked(finished, options, tmp_path):
    """Made again it is the same to the last digit."""
    before = (finished / "checkpoints" / "last.ckpt").stat().st_mtime_ns
    first = results(finished)
    assert run_app([*options, "name=another"]) == 0
    assert run_folder(tmp_path / "runs") == finished
    assert (finished / "checkpoints" / "last.ckpt").stat().st_mtime_ns == before
    assert run_app([*options, "rerun=true"]) == 0
    assert (finished / "checkpoints" / "last.ckpt").stat().st_mtime_ns != before
    assert results(finished) == first
    assert results(finished.parent / f"{finished.name}.old1") == first


@pytest.mark.slow
def test_another_seed_gives_another_result(made_once, options, tmp_path):
    assert run_app([*options, "seed=1"]) == 0
    assert results(run_folder(tmp_path / "runs")) != results(made_once[0])


@pytest.mark.slow
def test_a_run_stopped_between_epochs_ends_as_if_it_had_not_been(
    made_once, options, tmp_path, monkeypatch
):
    """Interrupted after the first epoch's checkpoint, resumed by the same command."""
    whole, _ = made_once

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
    for row, expected in zip(rows_of(broken), rows_of(whole), strict=True):
        assert {**row, "seconds": ""} == {**expected, "seconds": ""}


def test_a_checkpoint_is_tested_by_its_run_folder_alone(finished):
    assert run_app(["mode=test", f"ckpt={finished}"]) == 0
    tested = json.loads((finished / "test" / "metrics.json").read_text())
    trained = json.loads((finished / "metrics.json").read_text())
    for name in ("AP", "AP50", "beta_img", "beta_cls", "num_detections"):
        assert tested[name] == trained[name]


def test_the_command_line_ends_with_the_table(options, monkeypatch, capsys):
    given = [*options, "corr=none", "schedule.max_epochs=1", "~callbacks.pictures"]
    monkeypatch.setattr("sys.argv", ["run.py", *given])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / "run.py"), run_name="__main__")
    assert not end.value.code
    printed = capsys.readouterr()
    assert "AP50" in printed.out
    assert printed.out.splitlines()[-1].startswith("run folder")
    assert "Traceback" not in printed.err


@pytest.mark.slow
def test_a_finished_run_is_trained_longer_with_one_option(finished, capsys):
    """Its own folder stays; the longer one goes on with epoch 3 and keeps the best checkpoint."""
    first = finished
    before = {p: p.read_bytes() for p in first.rglob("*") if p.is_file()}
    capsys.readouterr()
    assert run_app([f"resume={first}", "schedule.max_epochs=2"]) == 2
    assert "`schedule.max_epochs` to be more than the 2 epochs of" in capsys.readouterr().err
    for other, name in (("corr=pearson", "corr.coefficient"), ("seed=7", "seed")):
        assert run_app([f"resume={first}", "schedule.max_epochs=3", other]) == 2
        assert f"Expected `{name}` to stay" in capsys.readouterr().err
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
