import pytest

pytest.importorskip("mlflow", reason="needs the extra mlflow")

from mlflow import MlflowClient

from corrlight.callbacks import mlflow_logger
from tests.callbacks.loggers.offline import check_history, offline, two_jobs  # noqa: F401

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _own_place(monkeypatch, tmp_path, offline):  # noqa: F811
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)


def test_a_resumed_run_is_one_in_mlflow(tmp_path):
    folder = tmp_path / "atss-none-coco" / "0123456789ab"
    logger = two_jobs(mlflow_logger, folder)
    client = MlflowClient(f"sqlite:///{folder / 'mlflow' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("corrlight")
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_id, run.info.status) == (logger.version, "FINISHED")
    assert run.info.run_name == "atss-none-coco"
    assert run.data.params["corr.coefficient"] == "concordance"
    assert run.data.tags["run_folder"] == str(folder)
    names = ("val/AP", "val/beta_cls", "train/loss_step")
    check_history(
        {
            name: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, name)]
            for name in names
        }
    )
    assert [path.name for path in tmp_path.iterdir()] == ["atss-none-coco"]  # no ./mlruns

    # A test is a run of its own, in its own folder; one that fails says so.
    test = mlflow_logger(save_dir=str(folder / "test"), tags=["night"])
    test.log_hyperparams({"mode": "test"})
    test.log_metrics({"test/AP@[.5]": 0.5}, step=0)
    test.finalize("failed")
    own = MlflowClient(f"sqlite:///{folder / 'test' / 'mlflow' / 'mlflow.db'}")
    found = own.get_run(test.version)
    assert (found.info.run_name, found.info.status) == ("atss-none-coco (test)", "FAILED")
    assert found.data.metrics == {"test/AP__.5_": 0.5}
    assert found.data.tags["night"] == "true"
    assert not (folder / "test" / "mlflow.json").exists()


def test_a_database_of_all_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'all.db'}")
    run = tmp_path / "atss" / "0123456789ab"
    run.mkdir(parents=True)
    logger = mlflow_logger(save_dir=str(run), name="row")
    assert not (tmp_path / "all.db").exists()  # before the run folder is locked
    logger.log_metrics({"a": 1.0}, step=1)
    assert MlflowClient(f"sqlite:///{tmp_path / 'all.db'}").get_run(logger.version)
    assert [path.name for path in run.iterdir()] == ["mlflow.json"]
