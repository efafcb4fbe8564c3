import pytest

from corrlight.runs.folder import RunFolder
from corrlight.sweeps.plan import plan_jobs


@pytest.fixture
def small(tmp_path):
    return [
        f"paths.data_dir={tmp_path}", f"paths.runs_dir={tmp_path / 'runs'}", "trainer=cpu",
        "data.num_train=4", "data.num_val=2", "data.image_size=64",
    ]  # fmt: skip


def test_equal_runs_are_one_job(small, tmp_path):
    given = [[*small, "seed=1"], [*small, "seed=2"], [*small, "seed=1", "corr.weight=0.20"]]
    jobs, indices, runs_dir = plan_jobs(given)
    assert [job.name for job in jobs] == ["seed=1", "seed=2"]
    assert indices == [0, 1, 0]
    assert runs_dir == tmp_path / "runs"
    assert len({job.folder for job in jobs}) == 2
    assert not any(job.finished for job in jobs)


def test_what_has_results_is_finished(small):
    jobs, _, _ = plan_jobs([small])
    folder = RunFolder(jobs[0].folder)
    folder.create()
    folder.write_json("metrics.json", {"AP": 0.25})
    again, _, _ = plan_jobs([small])
    assert again[0].finished
    assert again[0].ap == 0.25
    anew, _, _ = plan_jobs([[*small, "rerun=true"]])
    assert not anew[0].finished


def test_an_option_of_a_group_that_the_sweep_switches_off_is_left_out(small):
    given = [[*small, f"corr={c}", "corr.weight=0.1"] for c in ("none", "concordance")]
    jobs, _, _ = plan_jobs(given, ["without", "with"])
    assert jobs[0].note == "without corr.weight=0.1"
    assert "corr.weight=0.1" not in jobs[0].overrides
    assert "corr.weight=0.1" in jobs[1].overrides


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("mode=test", "Job 'second': Expected `mode` to be train in a sweep"),
        ("sede=1", "Job 'second': Unknown option 'sede'"),
        ("trainer.num_nodes=2", "Job 'second': Expected `trainer.num_nodes` to be 1"),
    ],
)
def test_a_job_that_describes_no_run_is_named(small, override, message):
    with pytest.raises(ValueError, match=message):
        plan_jobs([small, [*small, override]], ["first", "second"])


def test_no_jobs_are_no_sweep():
    with pytest.raises(ValueError, match="at least one job"):
        plan_jobs([])


def test_where_jobs_run_elsewhere_devices_are_a_number(small):
    with pytest.raises(ValueError, match=r"`trainer\.devices` to be a number"):
        plan_jobs([[*small, "trainer.devices=auto"]], remote=True)
