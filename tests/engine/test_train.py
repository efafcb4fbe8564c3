"""One training, without the command line: folders, locks, how it ended, where it goes on."""

import json
import logging
from dataclasses import replace
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from corrlight.config.compose import compose_config
from corrlight.engine.checkpoint import AtomicCheckpointIO
from corrlight.engine.prepare import prepare
from corrlight.engine.train import RunFolderError, _open_folder, _start_environment, run_train
from corrlight.runs.folder import RunFolder


@pytest.fixture(scope="module")
def composed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    return compose_config(
        [
            f"paths.runs_dir={folder / 'runs'}", f"paths.data_dir={folder / 'data'}",
            "trainer=cpu", "data.num_train=4", "data.num_val=2", "data.image_size=64",
            "data.batch_size=2", "data.num_workers=0", "schedule.max_epochs=1",
            "callbacks.checkpoint.every_n_steps=1", "~callbacks.pictures", "~callbacks.panels",
        ]
    )  # fmt: skip


@pytest.fixture(scope="module")
def prepared(composed):
    return prepare(composed)


@pytest.fixture
def run(prepared, tmp_path):
    """Return a run that is not trained, with a folder of its own."""
    return replace(prepared, folder=RunFolder(tmp_path / "runs" / "name" / "id"), finished=False)


def with_options(run, **options):
    return replace(run, config=OmegaConf.merge(run.config, options))


def test_a_run_that_fails_goes_on_from_its_checkpoint_and_is_made_once(
    composed, monkeypatch, caplog
):
    caplog.set_level(logging.INFO, "corrlight")
    run = prepare(composed)
    step = run.module.training_step

    def failing(batch, batch_idx):
        if batch_idx:
            raise RuntimeError("pulled the plug")
        return step(batch, batch_idx)

    monkeypatch.setattr(run.module, "training_step", failing)
    with pytest.raises(RuntimeError, match="pulled the plug"):
        run_train(run, composed)
    folder = run.folder
    said = folder.read_json("environment.json")
    assert said["status"] == "failed"
    assert not folder.finished
    assert not folder.held
    # The time of a run is that of all its parts.
    folder.write_json("environment.json", {**said, "wall_seconds": 5000.0})

    again = prepare(composed)
    metrics = run_train(again, composed)
    assert f"Resuming from {folder.last_checkpoint}" in caplog.text
    assert again.trainer.global_step == 2
    assert {**metrics, "num_epochs": 1} == folder.read_json("metrics.json")
    said = folder.read_json("environment.json")
    assert said["status"] == "finished"
    assert said["wall_seconds"] > 5000
    assert said["seconds_per_iteration"] > 0
    assert (said["world_size"], said["init"]) == (1, None)
    assert said["choices"]["detector"] == "atss_small"
    assert said["measure_seconds"]["total"] > 0
    assert folder.read_yaml("overrides.yaml") == list(composed.overrides)
    assert folder.read_yaml("config.yaml")["schedule"]["max_epochs"] == 1
    assert not folder.held

    saved = folder.last_checkpoint.stat().st_mtime_ns
    done = replace(again, finished=folder.finished)
    assert run_train(done, composed) == folder.read_json("metrics.json")
    assert "This run is finished" in caplog.text
    assert folder.last_checkpoint.stat().st_mtime_ns == saved


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, 0), ("", 0), ("[]", 0), ("{}", 0), ('{"wall_seconds": "long"}', 0),
        ('{"wall_seconds": 12.5}', 12.5),
    ],
)  # fmt: skip
def test_a_damaged_record_of_the_time_starts_anew(run, text, seconds):
    run.folder.create()
    if text is not None:
        (run.folder.path / "environment.json").write_text(text)
    said = _start_environment(run)
    assert (said["status"], said["wall_seconds"]) == ("running", seconds)
    json.dumps(said)


def test_a_new_folder_is_made_and_held(run):
    assert _open_folder(run) is None
    assert run.folder.held
    run.folder.unlock()


def test_leftovers_of_a_killed_writer_are_removed(run):
    run.folder.create()
    left = [run.folder.path / ".metrics.json.tmp1", run.folder.path / "checkpoints" / ".a.tmp2"]
    for path in left:
        path.touch()
    _open_folder(run)
    assert not any(path.exists() for path in left)
    run.folder.unlock()


def refused(run, composed, message):
    """Fail to train with one line; nothing is written and the folder is free."""
    with pytest.raises(RunFolderError, match=message):
        run_train(run, composed)
    assert not (run.folder.path / "config.yaml").exists()


def test_a_half_made_run_is_left_alone_if_it_is_not_to_go_on(run, composed):
    run.folder.create()
    checkpoint = saved_checkpoint(run)
    refused(with_options(run, resume=False), composed, "half-made and resume=false: resume=true")
    assert not run.folder.held
    assert _open_folder(run) == str(checkpoint)
    run.folder.unlock()


def saved_checkpoint(run):
    """Write a checkpoint that the module can go on from."""
    content = {"state_dict": run.module.state_dict()}
    run.module.on_save_checkpoint(content)
    AtomicCheckpointIO().save_checkpoint(content, run.folder.last_checkpoint)
    return run.folder.last_checkpoint


def test_an_unreadable_checkpoint_is_set_aside_and_the_one_before_goes_on(run, caplog):
    run.folder.create()
    for _ in range(2):
        saved_checkpoint(run)
    run.folder.last_checkpoint.write_bytes(b"cut off")
    folder = run.folder.last_checkpoint.parent
    assert _open_folder(run) == str(folder / "previous.ckpt")
    assert "going on from the one before it" in caplog.text
    assert (folder / "unreadable.ckpt").read_bytes() == b"cut off"
    run.folder.unlock()


def test_no_readable_checkpoint_is_said(run, composed):
    run.folder.create()
    run.folder.last_checkpoint.write_bytes(b"cut off")
    refused(run, composed, "rerun=true starts the run anew")
    assert not run.folder.held


def test_a_run_made_anew_keeps_the_earlier_one_aside(run):
    run.folder.create()
    run.folder.last_checkpoint.write_bytes(b"cut off")
    run.folder.write_json("metrics.json", {"AP": 0.5})
    assert _open_folder(with_options(run, rerun=True)) is None
    aside = RunFolder(run.folder.path.with_name("id.old1"))
    assert aside.read_json("metrics.json") == {"AP": 0.5}
    assert run.folder.held
    assert not run.folder.last_checkpoint.exists()
    run.folder.unlock()


@pytest.mark.parametrize("rerun", [False, True])
def test_a_run_that_another_process_makes_is_left_alone(run, composed, rerun):
    run.folder.create()
    other = RunFolder(run.folder.path)
    other.lock()
    refused(with_options(run, rerun=rerun), composed, "is being made by process")
    assert other.held
    other.unlock()


def test_a_trial_removes_no_folder_that_another_process_makes(run, composed):
    run.folder.create()
    other = RunFolder(run.folder.path)
    other.lock()
    trial = replace(run, trainer=SimpleNamespace(fast_dev_run=True))
    refused(trial, composed, "is being made by process")
    assert run.folder.path.is_dir()
    other.unlock()


@pytest.mark.parametrize("rerun", [False, True])
def test_a_longer_run_begins_with_the_finished_one_also_when_it_is_made_anew(run, tmp_path, rerun):
    first = replace(run, folder=RunFolder(tmp_path / "runs" / "name" / "first"))
    first.folder.create()
    checkpoint = saved_checkpoint(first)
    run.folder.create()
    longer = with_options(run, extend=str(first.folder.path), rerun=rerun)
    assert _open_folder(longer) == str(checkpoint)
    run.folder.unlock()


def test_a_folder_that_cannot_be_written_is_named(run, composed, tmp_path):
    (tmp_path / "runs").write_text("a file")
    refused(run, composed, f"Cannot write the run folder {run.folder}")
