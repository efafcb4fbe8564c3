import pytest

from corrlight.runs.identity import changed_part, relevant_options, run_id

CONFIG = {
    "seed": 0,
    "paths": {"runs_dir": "a"},
    "logger": {},
    "trainer": {"devices": 1, "precision": "32-true"},
    "data": {"root": "x", "batch_size": 16},
}


def identity(config, **options):
    return run_id(config, **{"world_size": 1, "lr": 0.1, "fingerprint": {"a": "1"}, **options})


def test_run_id_ignores_what_changes_no_number():
    other = {
        **CONFIG,
        "paths": {"runs_dir": "b"},
        "logger": {"_target_": "w"},
        "name": "n",
        "fast_cpu": False,
        "trainer": {"devices": 4, "precision": "32-true"},
        "data": {"root": "x", "batch_size": 16, "num_workers": 3},
    }
    assert identity(other) == identity(CONFIG)


LIGHTNING = "lightning.pytorch.callbacks."


@pytest.mark.parametrize(
    ("callback", "other_run"),
    [
        ({"_target_": "corrlight.callbacks.DetectionPictures", "num_images": 3}, False),
        ({"_target_": "corrlight.callbacks.RunCheckpoint", "every_n_steps": 2}, False),
        ({"_target_": "corrlight.callbacks.NonFiniteGuard", "policy": "raise"}, False),
        ({"_target_": LIGHTNING + "LearningRateMonitor"}, False),
        (None, False),
        ({"_target_": "corrlight.callbacks.NonFiniteGuard", "policy": "skip"}, True),
        ({"_target_": LIGHTNING + "EMAWeightAveraging"}, True),
        ({"_target_": LIGHTNING + "EarlyStopping", "monitor": "val/AP"}, True),
        ({"_target_": "mine.Callback"}, True),
    ],
)
def test_a_callback_that_may_act_on_training_makes_another_run(callback, other_run):
    with_it = identity({**CONFIG, "callbacks": {"a": callback}})
    assert (with_it != identity({**CONFIG, "callbacks": {}})) == other_run
    assert identity({**CONFIG, "callbacks": {}}) == identity(CONFIG)


@pytest.mark.parametrize(
    ("config", "options"),
    [
        ({**CONFIG, "seed": 1}, {}),
        ({**CONFIG, "data": {"root": "x", "batch_size": 8}}, {}),
        ({**CONFIG, "trainer": {"devices": 1, "precision": "bf16-mixed"}}, {}),
        (CONFIG, {"world_size": 4}),
        (CONFIG, {"lr": 0.2}),
        (CONFIG, {"fingerprint": {"a": "2"}}),
    ],
)
def test_run_id_changes_with_what_changes_numbers(config, options):
    assert identity(config, **options) != identity(CONFIG)


def test_run_id_changes_with_the_results_version(monkeypatch):
    before = identity(CONFIG)
    monkeypatch.setattr("corrlight.runs.identity.RESULTS_VERSION", 10**6)
    assert identity(CONFIG) != before


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"corr": {"weight": 1}}, {"corr": {"weight": 1.0}}),
        ({"data": {"batch_size": 8.0}}, {"data": {"batch_size": 8}}),
        ({"schedule": {"milestones": [8, 11.0]}}, {"schedule": {"milestones": [8.0, 11]}}),
        ({"lr": 0.001}, {"lr": 1e-3}),
    ],
)
def test_numbers_count_by_value(one, other):
    assert identity({**CONFIG, **one}) == identity({**CONFIG, **other})


@pytest.mark.parametrize(
    ("one", "other"), [({"a": True}, {"a": 1}), ({"a": "1"}, {"a": 1}), ({"a": None}, {"a": 0})]
)
def test_what_only_looks_like_a_number_stays_apart(one, other):
    assert identity({**CONFIG, **one}) != identity({**CONFIG, **other})


def test_where_data_are_does_not_matter_what_is_done_with_them_does():
    moved = {**CONFIG["data"], "root": "/elsewhere", "train_annotations": "/elsewhere/a.json"}
    assert identity({**CONFIG, "data": moved}) == identity(CONFIG)
    filtered = {**CONFIG["data"], "filter_empty": False}
    assert identity({**CONFIG, "data": filtered}) != identity(CONFIG)


def test_a_loss_without_a_ramp_is_the_run_of_before_there_were_ramps():
    corr = {"_target_": "corrlight.losses.CorrelationLoss", "weight": 0.2}
    before = {**CONFIG, "corr": corr}
    assert identity({**CONFIG, "corr": {**corr, "ramp": 0.0}}) == identity(before)
    assert identity({**CONFIG, "corr": {**corr, "ramp": 0.5}}) != identity(before)
    assert identity({**CONFIG, "corr": {**corr, "ramp": 1}}) != identity(before)


def test_a_data_root_is_one_option_however_it_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    roots = ("x", "./x/", "y/../x", str(tmp_path / "x"))
    found = [relevant_options({"data": {"root": root}})["data"]["root"] for root in roots]
    assert set(found) == {str(tmp_path / "x")}


def test_the_followed_measure_makes_another_run_only_where_it_ends_one():
    masks = {**CONFIG, "optimized_metric": "val/mask_AP"}
    assert identity(masks) == identity(CONFIG)
    usual = {**CONFIG, "patience": 3, "optimized_metric": "val/AP"}
    assert identity(usual) == identity({**CONFIG, "patience": 3})
    assert identity({**masks, "patience": 3}) != identity(usual)


def test_what_makes_a_longer_training_another_one():
    old = {
        "detector": {"name": "a", "net": {"width": 8}},
        "corr": {"weight": 0.2},
        "loss_callbacks": {"corr": {"weight": 0.2}},
        "data": {"root": "/here", "num_train": 8, "num_workers": 0},
        "schedule": {"lr": 1},
        "seed": 0,
    }
    assert changed_part(old, old) is None
    same = {**old, "schedule": {"lr": 2}, "trainer": {"max_epochs": 9}, "backbone": None}
    same["data"] = {"root": "/there", "num_train": 8, "num_workers": 4, "newer": 1}
    assert changed_part(old, same) is None
    for part, name in (
        ({"detector": {"name": "a", "net": {"width": 9}}}, "detector.net.width"),
        ({"corr": None}, "corr"),
        ({"loss_callbacks": {"corr": {"weight": 0.3}}}, "loss_callbacks.corr.weight"),
        ({"data": {**old["data"], "num_train": 16}}, "data.num_train"),
        ({"seed": 1}, "seed"),
    ):
        changed = changed_part(old, {**old, **part})
        assert changed is not None
        assert changed[0] == name
