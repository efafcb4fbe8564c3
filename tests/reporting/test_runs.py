"""Run folders as objects."""

import json

import pytest
import yaml

from corrlight.reporting import group_seeds, read_run, run_names
from tests.reporting.folders import make_run


def test_reads_config_metrics_and_name(tmp_path):
    run = read_run(make_run(tmp_path, "demo", "0a1b", metrics={"AP": 0.5, "beta_cls": None}))
    assert run.name == "demo"
    assert run.value("AP") == 0.5
    assert run.value("beta_cls") is None
    assert run.value("absent") is None


def test_configured_name_wins_and_numbers_alone_are_values(tmp_path):
    metrics = {"AP": float("nan"), "AP50": "0.5", "AP75": True, "num": 3}
    run = read_run(make_run(tmp_path, "folder", "0a", config={"name": "mine"}, metrics=metrics))
    assert run.name == "mine"
    assert [run.value(k) for k in ("AP", "AP50", "AP75", "num")] == [None, None, None, 3.0]


@pytest.mark.parametrize(
    ("broken", "content", "message"),
    [
        ("metrics.json", None, r"metrics\.json is missing"),
        ("config.yaml", None, r"config\.yaml is missing"),
        ("metrics.json", '{"AP": 0.', r"metrics\.json to be readable"),
        ("metrics.json", "[1, 2]", r"to hold named values, but got \[1, 2\]"),
        ("config.yaml", "a: [", r"config\.yaml to be readable"),
        ("config.yaml", b"\xff\xfe\x00", r"config\.yaml to be readable"),
    ],
)
def test_broken_folders_are_one_line_errors(tmp_path, broken, content, message):
    folder = make_run(tmp_path, "demo", "0a")
    (folder / broken).unlink()
    if content is not None:
        (folder / broken).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message) as error:
        read_run(folder)
    assert "\n" not in str(error.value)


def test_no_folder(tmp_path):
    with pytest.raises(ValueError, match="nowhere is no folder"):
        read_run(tmp_path / "nowhere")


def test_config_cannot_execute_code(tmp_path):
    folder = make_run(tmp_path, "demo", "0a")
    canary = tmp_path / "canary"
    payload = f"a: !!python/object/apply:os.mkdir [{json.dumps(str(canary))}]"
    (folder / "config.yaml").write_text(payload)
    with pytest.raises(ValueError, match="readable"):
        read_run(folder)
    assert not canary.exists()


def _runs(tmp_path, *configs):
    return [
        read_run(make_run(tmp_path, c.pop("folder", "demo"), f"id{k}", config=c))
        for k, c in enumerate(configs)
    ]


def test_seeds_form_a_group_and_other_settings_do_not(tmp_path):
    runs = _runs(
        tmp_path,
        {"seed": 0, "corr": {"weight": 0.1}, "data": {"seed": 0}, "paths": {"runs_dir": "a"}},
        {"seed": 0, "corr": {"weight": 0.2}},
        {"seed": 1, "corr": {"weight": 0.1}, "data": {"seed": 1}, "paths": {"runs_dir": "b"}},
        {"seed": 1, "corr": {"weight": 0.1}, "data": {"seed": 1}},
        {"seed": 2, "corr": {"weight": 0.1}, "data": {"seed": 2, "data_seed": 5}},
    )
    groups = group_seeds(runs)
    assert [[r.path.name for r in g] for g in groups] == [["id0", "id2"], ["id1"], ["id3"], ["id4"]]


def test_names_tell_equal_folders_apart(tmp_path):
    runs = _runs(
        tmp_path,
        {"corr": {"weight": 0.1, "kind": "a"}},
        {"corr": {"weight": 0.2, "kind": "a"}},
        {"folder": "other"},
    )
    names = run_names([[run] for run in runs])
    assert names == ["demo corr.weight=0.1", "demo corr.weight=0.2", "other"]


def test_names_of_identical_runs_fall_back_to_the_run_id(tmp_path):
    runs = _runs(tmp_path, {"seed": 0}, {"seed": 0})
    assert run_names([[run] for run in runs]) == ["demo id0", "demo id1"]


def test_written_by_yaml_as_hydra_does(tmp_path):
    folder = make_run(tmp_path, "demo", "0a")
    text = yaml.safe_dump({"seed": 3, "x": {"y": [1, None]}}, sort_keys=False)
    (folder / "config.yaml").write_text(text)
    assert read_run(folder).config == {"seed": 3, "x": {"y": [1, None]}}
