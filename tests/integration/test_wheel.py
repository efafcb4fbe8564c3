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
def scripts(wheel, tmp_path_factory):
    """The ``bin`` of an environment with the wheel and, from this one, what it depends on."""
    folder = tmp_path_factory.mktemp("clean") / "env"
    venv.create(folder, symlinks=True, with_pip=True)
    install = [folder / "bin" / "python", "-m", "pip", "install", "--no-index", "--no-deps", wheel]
    done = subprocess.run(install, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (packages,) = folder.glob("lib/python*/site-packages")
    # A line of a .pth file adds a folder at the end: the wheel comes first, and the checkout's own
    # .pth in that folder is not read.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


@pytest.fixture
def corrlight(scripts, tmp_path):
    """Run the wheel's command in an empty folder."""

    def run(*arguments):
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        return subprocess.run(
            [scripts / "corrlight", *arguments],
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


def test_it_is_what_the_environment_imports(scripts, tmp_path):
    # Like a script, -I leaves the current folder out of the path.
    code = "import corrlight, sys; print(corrlight.__file__, sys.prefix, sep='\\n')"
    done = subprocess.run(
        [scripts / "python", "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    file, prefix = done.stdout.splitlines()
    assert prefix == str(scripts.parent)
    assert file.startswith(f"{prefix}/lib/"), done.stderr


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
    own = [*small, *shlex.split(line)]
    done = corrlight("train", "--config-dir", "mine", "experiment=grid", *own)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 jobs, 0 of them finished before" in done.stdout
    seeds = set()
    for folder in (tmp_path / "runs").glob("atss*/*"):
        assert "train/loss_gap" in (folder / "metrics.csv").read_text()
        seeds.add(json.loads((folder / "environment.json").read_text())["seed"])
    assert seeds == {3, 4}
