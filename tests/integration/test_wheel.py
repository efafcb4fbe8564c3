"""The built wheel does, outside the checkout, what the documentation promises."""

import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import venv
import zipfile

import pytest

from tests.integration.conftest import ROOT, run_folder

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
CORRLIGHT = (
    "import sys; from importlib.metadata import entry_points;"
    "(script,) = entry_points(group='console_scripts', name='corrlight');"
    "sys.exit(script.load()())"
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (file,) = folder.glob("corrlight-*.whl")
    return file


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """The interpreter of an environment of the wheel and, from this one, what it depends on."""
    folder = tmp_path_factory.mktemp("clean") / "env"
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    # A line of a .pth file adds the folder alone: the checkout's own .pth in it is not read.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin" / "python"


@pytest.fixture
def corrlight(python, tmp_path, data_dir):
    """Run the wheel's command in an empty folder."""

    def run(*arguments):
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        return subprocess.run(
            [python, "-c", CORRLIGHT, *arguments],
            cwd=tmp_path, capture_output=True, text=True, timeout=120,
            env=environment | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    return run


@pytest.fixture
def small(options):
    return ["data=shapes", *options, "schedule.max_epochs=1", "~callbacks.pictures"]


def test_it_holds_the_package_and_all_configuration(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {f"corrlight/{path.relative_to(ROOT)}" for path in ROOT.glob("conf/**/*.yaml")}
    expected |= {str(path.relative_to(ROOT)) for path in ROOT.glob("corrlight/**/*.py")}
    assert expected <= names
    others = {name for name in names if not name.startswith("corrlight/")}
    assert {name.split("/")[0] for name in others} == {f"{wheel.stem.split('-py3')[0]}.dist-info"}


def test_it_is_what_the_environment_imports(python, tmp_path):
    code = "import corrlight; print(corrlight.__file__)"
    done = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.startswith(str(python.parents[1])), done.stderr


def test_it_trains_and_analyses(corrlight, small, tmp_path, data_dir):
    done = corrlight("train", *small)
    assert done.returncode == 0, done.stderr
    run = run_folder(tmp_path / "runs")
    metrics = json.loads((run / "metrics.json").read_text())
    (truth,) = data_dir.glob("shapes/16x64px*/annotations/*val*.json")
    done = corrlight("analyze", "--gt", str(truth), "--dt", str(run), "--out", "analysis")
    assert done.returncode == 0, done.stderr
    assert "oLRP" in done.stdout
    assert metrics
    assert list((tmp_path / "analysis").glob("*.html"))


def test_it_takes_configurations_and_a_loss_of_the_user(corrlight, small, tmp_path):
    (block,) = re.findall(r"^```python\n(# my_losses\.py\n.*?)^```", CONTRIBUTING, re.M | re.S)
    (line,) = re.findall(r"^PYTHONPATH=\. python run\.py (.*my_losses.*)$", CONTRIBUTING, re.M)
    (tmp_path / "my_losses.py").write_text(block)
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "grid.yaml").write_text(
        "# @package _global_\n"
        "defaults: [{override /corr: none}]\n"
        "hydra: {mode: MULTIRUN, sweeper: {params: {seed: '3,4'}}}\n"
    )
    options = ["--config-dir", "mine", "experiment=grid", *small, *shlex.split(line)]
    done = corrlight("train", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    seeds = set()
    for folder in (tmp_path / "runs").glob("atss*/*"):
        assert "train/loss_gap" in (folder / "metrics.csv").read_text()
        seeds.add(json.loads((folder / "environment.json").read_text())["seed"])
    assert seeds == {3, 4}
