import importlib.util

import pytest

from corrlight.callbacks.loggers import shared
from corrlight.config.build import build_trainer_parts
from corrlight.config.compose import compose_config
from corrlight.runs.status import STATUS_FILE


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "trackio"])
def test_a_missing_package_is_one_line_before_anything_is_written(tmp_path, monkeypatch, name):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == name else found(n))
    config = compose_config([f"logger=[csv,{name}]"]).config
    with pytest.raises(ValueError, match=rf"^.*pip install 'corrlight\[{name}\]'\.$"):
        build_trainer_parts(config, str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_every_choice_has_an_extra_or_is_always_there():
    import tomllib

    from corrlight.config.compose import config_dir

    project = tomllib.loads((config_dir().parent / "pyproject.toml").read_text())["project"]
    choices = {path.stem for path in (config_dir() / "logger").glob("*.yaml")}
    required = {text.partition(">")[0] for text in project["dependencies"]}
    assert choices - required - {"csv"} <= set(project["optional-dependencies"])
    for name in choices - {"csv"}:
        assert set(compose_config([f"logger={name}"]).config.logger) == {name}
    both = compose_config(["logger=[csv,wandb,mlflow]"]).config
    assert list(both.logger) == ["wandb", "mlflow"]


def test_names_of_runs_and_tests(tmp_path, monkeypatch):
    folder = tmp_path / "atss-none-coco" / "0123456789ab"
    assert shared.run_name(folder, None, is_test=False) == "atss-none-coco"
    assert shared.run_name(folder, "row", is_test=False) == "row"
    assert shared.run_name(folder / "test-best", None, is_test=True) == "atss-none-coco (test-best)"
    monkeypatch.delenv(STATUS_FILE, raising=False)
    assert shared.sweep_name() is None
    monkeypatch.setenv(STATUS_FILE, "/runs/.sweeps/monday/3.json")
    assert shared.sweep_name() == "monday"


def test_ids_are_kept_in_the_run_folder(tmp_path):
    assert shared.earlier_id(tmp_path, "mlflow") is None
    shared.keep_id(tmp_path, "mlflow", "abc")
    assert shared.earlier_id(tmp_path, "mlflow") == "abc"
    (tmp_path / "mlflow.json").write_text('["abc"]')
    assert shared.earlier_id(tmp_path, "mlflow") is None
