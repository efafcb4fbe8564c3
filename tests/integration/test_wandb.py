"""Whole runs with ``logger=wandb``, offline: what lands in the files that ``wandb sync`` takes."""

import pytest
import yaml

from corrlight.config.compose import config_dir
from tests.callbacks.wandb_file import keys, records
from tests.helpers.ranks.process_group import run_warm
from tests.integration.conftest import run_folder

FAULT = [
    "allow_targets=[tests.integration.faults]",
    "+callbacks.fault._target_=tests.integration.faults.Fault",
    "+callbacks.fault.seed=1",
]
METRIC = yaml.safe_load((config_dir() / "wandb_sweep.yaml").read_text())["metric"]["name"]

pytestmark = pytest.mark.slow


@pytest.fixture
def train(options, monkeypatch):
    """Return a function that trains for two epochs; it returns the exit code and the output."""
    for name in ("API_KEY", "RUN_ID", "SWEEP_ID", "MODE"):
        monkeypatch.delenv(f"WANDB_{name}", raising=False)
    small = [*options, "data.num_train=8", "~callbacks.pictures", *FAULT, "logger=wandb"]
    named = ["logger.wandb.group=table_5_4", "logger.wandb.name=atss-concordance"]

    def run(*overrides, **variables):
        return run_warm(*small, *named, *overrides, **variables)

    return run


class Offline:
    """An offline run of W&B, read from its file."""

    def __init__(self, folder):
        (file,) = folder.glob("*.wandb")
        found = list(records(file))
        (self.run, *_) = (content for kind, content in found if kind == "run")
        self.exits = [content.exit_code for kind, content in found if kind == "exit"]
        self.history = [
            {("/".join(i.nested_key) or i.key): i.value_json for i in content.item}
            for kind, content in found
            if kind == "history"
        ]
        summaries = (content for kind, content in found if kind == "summary")
        self.summary = set().union(*(keys(content.update) for content in summaries))

    def epochs(self, name):
        return [int(line["epoch"]) for line in self.history if name in line]


def offline_runs(folder):
    return [Offline(path) for path in sorted((folder / "wandb").glob("offline-run-*"))]


def test_jobs_of_a_run_are_one_run_in_wandb_until_it_is_made_again(train, tmp_path):
    code, output = train(CORRLIGHT_FAULTS="1")
    assert code == 1, output
    folder = run_folder(tmp_path / "runs")
    (failed,) = offline_runs(folder)
    assert (failed.run.run_group, failed.run.display_name) == ("table_5_4", "atss-concordance")
    assert failed.run.project == "corrlight"
    assert failed.exits == [1]
    assert failed.epochs(METRIC) == [0]
    assert "final/AP" not in failed.summary

    code, output = train()
    assert code == 0, output
    failed, finished = offline_runs(folder)
    # `wandb sync` appends what has the same id and may be resumed.
    assert finished.run.run_id == failed.run.run_id
    assert finished.run.resume
    assert finished.exits == [0]
    assert finished.epochs(METRIC) == [1]
    assert "final/AP" in finished.summary

    # Asked for once more by the agent of a W&B sweep: the run that it waits for gets all measures.
    agent = {"WANDB_SWEEP_ID": "a1b2c3d4", "WANDB_RUN_ID": "0agent01", "WANDB_MODE": "offline"}
    code, output = train(**agent)
    assert code == 0, output
    assert "This run is finished" in output
    (reused,) = (run for run in offline_runs(folder) if run.run.run_id == "0agent01")
    assert reused.run.sweep_id == "a1b2c3d4"
    assert reused.epochs(METRIC) == [0, 1]
    assert "final/AP" in reused.summary
    assert reused.exits == [0]

    # Made again, it is a new run.
    code, output = train("rerun=true")
    assert code == 0, output
    (new,) = offline_runs(folder)
    assert new.run.run_id not in (finished.run.run_id, reused.run.run_id)
    assert new.epochs(METRIC) == [0, 1]
    assert len(offline_runs(folder.with_name(f"{folder.name}.old1"))) == 3
