"""A run on Weights & Biases, offline: what lands in the file that ``wandb sync`` takes."""

import atexit
import json
import os
from types import SimpleNamespace

import pytest
import wandb
from lightning.pytorch.loggers import WandbLogger

from corrlight.callbacks.loggers.wandb import close_wandb, wandb_logger
from corrlight.runs.status import STATUS_FILE
from tests.callbacks.wandb_file import keys, records


@pytest.fixture
def logged(tmp_path, monkeypatch):
    """Log two epochs of a run in a table, end its job with a status, return the records."""
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setattr(atexit, "register", lambda *args: None)  # The test closes the run itself.

    def make(status, with_metrics, fails=False):
        folder = tmp_path / "atss-concordance-coco" / "0123456789ab"
        (folder / "figures").mkdir(parents=True)
        (folder / "environment.json").write_text(json.dumps({"status": status}))
        if with_metrics:
            (folder / "metrics.json").write_text(json.dumps({"AP": 0.25, "beta_cls": None}))
        logger = wandb_logger(
            name="atss-concordance", group="table_5_4", tags=["table_5_4"], save_dir=str(folder)
        )
        logger.log_hyperparams({"corr": {"weight": 0.3}})
        for epoch in range(2):
            logger.log_metrics({"val/AP": 0.1 * epoch}, step=epoch)
        if fails:
            logger.finalize("failed")
        close_wandb(logger.experiment, folder, failed=logger.failed)
        wandb.teardown()  # Ends W&B's own process, which writes the file.
        files = list((folder / "wandb").glob("offline-run-*/*.wandb"))
        assert len(files) == 1  # One W&B run a job.
        return list(records(files[0]))

    return make


@pytest.mark.slow
def test_a_finished_run_has_its_row_its_epochs_and_its_results(logged):
    found = logged("finished", with_metrics=True)
    run = next(content for kind, content in found if kind == "run")
    assert (run.run_group, run.display_name) == ("table_5_4", "atss-concordance")
    assert list(run.tags) == ["table_5_4"]
    configured = set()
    for kind, content in found:
        if kind == "run":
            configured |= keys(content.config.update)
        elif kind == "config":
            configured |= keys(content.update)
    assert any(key.startswith("corr") for key in configured)
    history = [keys(content.item) for kind, content in found if kind == "history"]
    assert sum("val/AP" in line for line in history) == 2
    assert any(key.startswith("final/measures") for line in history for key in line)
    summary = set().union(*(keys(c.update) for kind, c in found if kind == "summary"))
    assert "final/AP" in summary
    assert "final/beta_cls" not in summary  # Undefined is left out, not 0.
    assert [c.exit_code for kind, c in found if kind == "exit"] == [0]


@pytest.mark.slow
@pytest.mark.parametrize(("status", "code"), [("failed", 1), ("running", 1), ("stopped", 130)])
def test_the_run_is_closed_with_the_state_of_the_job(logged, status, code):
    """A job that was killed in an epoch left "running" behind."""
    found = logged(status, with_metrics=False)
    assert [c.exit_code for kind, c in found if kind == "exit"] == [code]


@pytest.mark.slow
def test_a_failed_test_does_not_report_the_results_of_an_earlier_one(logged):
    found = logged("finished", with_metrics=True, fails=True)
    assert [c.exit_code for kind, c in found if kind == "exit"] == [1]
    summary = set().union(*(keys(c.update) for kind, c in found if kind == "summary"))
    assert "final/AP" not in summary


def test_name_and_group_come_from_the_folder_and_the_sweep(tmp_path, monkeypatch):
    monkeypatch.setenv(STATUS_FILE, str(tmp_path / "sweep-0a1b" / "3.status.json"))
    logger = wandb_logger(save_dir=str(tmp_path / "atss-none-coco" / "0123456789ab"))
    assert logger._wandb_init["group"] == "sweep-0a1b"
    assert logger._wandb_init["name"] == "atss-none-coco"
    monkeypatch.delenv(STATUS_FILE)
    assert wandb_logger(save_dir=str(tmp_path))._wandb_init["group"] is None


@pytest.mark.parametrize(
    ("variables", "offline"),
    [({}, True), ({"WANDB_API_KEY": "0" * 40}, False), ({"WANDB_SWEEP_ID": "a1b2c3d4"}, False)],
)
def test_offline_unless_there_is_a_key_or_an_agent(tmp_path, monkeypatch, variables, offline):
    for name in ("WANDB_API_KEY", "WANDB_SWEEP_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert wandb_logger(save_dir=str(tmp_path))._offline is offline


@pytest.fixture
def started(monkeypatch):
    """Return a function that starts a job's W&B run without W&B: its id, and the one asked for."""
    monkeypatch.setattr(atexit, "register", lambda *args: None)
    for name in ("WANDB_RUN_ID", "WANDB_SWEEP_ID"):
        monkeypatch.delenv(name, raising=False)
    new = iter(("first", "second", "third"))
    shown = []

    def start(folder, mode="train", name=None):
        logger = wandb_logger(name=name, save_dir=str(folder))
        run = SimpleNamespace(id=None, config={})

        def experiment(logger):
            asked = logger._wandb_init["id"]
            # As wandb.init chooses it.
            run.id = run.id or asked or os.environ.get("WANDB_RUN_ID") or next(new)
            return run

        monkeypatch.setattr(WandbLogger, "experiment", property(experiment))
        logger.log_hyperparams({"mode": mode})
        shown.append(logger._wandb_init["name"])
        return run.id, logger._wandb_init["id"]

    start.names = shown
    return start


def test_a_job_that_goes_on_has_the_run_of_the_one_before(tmp_path, started):
    folder = tmp_path / "atss-none-coco" / "0123456789ab"
    assert started(folder) == ("first", None)
    assert started(folder) == ("first", "first")
    folder.rename(folder.with_name("0123456789ab.old1"))  # As rerun=true does.
    assert started(folder) == ("second", None)


def test_an_agent_chooses_the_run(tmp_path, started, monkeypatch):
    assert started(tmp_path) == ("first", None)
    monkeypatch.setenv("WANDB_RUN_ID", "chosen")
    assert started(tmp_path) == ("chosen", None)
    monkeypatch.delenv("WANDB_RUN_ID")
    assert started(tmp_path) == ("chosen", "chosen")
    # W&B ignores an id within a sweep, with a warning.
    monkeypatch.setenv("WANDB_SWEEP_ID", "a1b2c3d4")
    assert started(tmp_path) == ("second", None)


@pytest.mark.parametrize(("name", "shown"), [(None, "atss-none-coco"), ("row", "row")])
def test_every_test_is_a_run_of_its_own(tmp_path, started, name, shown):
    folder = tmp_path / "atss-none-coco" / "0123456789ab"
    assert started(folder, name=name) == ("first", None)
    assert started(folder / "test-best", "test", name) == ("second", None)
    assert started(folder / "test-best", "test", name) == ("third", None)
    assert started.names == [shown, f"{shown} (test-best)", f"{shown} (test-best)"]


def test_an_id_that_cannot_be_read_is_none(tmp_path, started):
    for k, broken in enumerate(('{"id": ', "[]", '{"id": 3}')):
        (tmp_path / "wandb.json").write_text(broken)
        assert started(tmp_path) == (("first", "second", "third")[k], None)
