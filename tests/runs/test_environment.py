import subprocess
from pathlib import Path

from corrlight import RESULTS_VERSION, __version__
from corrlight.ops.switch import fast_ops
from corrlight.runs.environment import describe_environment, git_commit

ROOT = Path(__file__).parents[2]


def test_versions_and_hardware_are_plain():
    found = describe_environment()
    assert found["corrlight"] == __version__
    assert found["results_version"] == RESULTS_VERSION
    assert found["packages"]["torch"]
    assert found["hardware"]["threads"] >= 1


def test_the_commit_is_that_of_the_source_tree(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # Not that of the folder where somebody works.
    command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    asked = subprocess.run(command, capture_output=True, text=True)
    found = git_commit()
    if asked.returncode == 0:
        assert found["commit"] == asked.stdout.strip()
    else:
        assert found is None or found["commit"] is None


def test_fast_operators_are_recorded():
    with fast_ops(["dropout"]):
        assert describe_environment()["hardware"]["fast_cpu"] == ["dropout"]
