"""The Dockerfile runs the README's two commands without root, and caches the environment."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILE = ROOT / "Dockerfile"


def _instructions():
    text = FILE.read_text(encoding="utf-8").replace("\\\n", "")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [tuple(line.split(None, 1)) for line in lines]


def _read_me_commands():
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## Try it", 1)[1]
    block = re.search(r"```bash\n(.*?)```", section, re.DOTALL)
    return [line.split("#")[0].strip() for line in block[1].splitlines()]


def test_the_page_runs_exactly_the_two_commands_of_the_read_me():
    page = (ROOT / "docs/container.md").read_text(encoding="utf-8")
    run = re.findall(r"^docker run .* corrlight (make \w+)$", page, re.MULTILINE)
    assert run == _read_me_commands() == ["make demo", "make test"]
    assert _instructions()[-1] == ("CMD", '["make", "demo"]')


def test_the_base_is_pinned_and_the_commands_run_without_root():
    kinds = _instructions()
    assert kinds[0][0] == "FROM"
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", kinds[0][1])
    users = [k for k, (kind, value) in enumerate(kinds) if kind == "USER" and value != "root"]
    assert users
    assert users[0] < min(k for k, (_, value) in enumerate(kinds) if value == "make env")


def test_what_is_copied_before_the_environment_exists_and_decides_it():
    early = []
    for kind, value in _instructions():
        if value == "make env":
            break
        if kind == "COPY":
            early += [name for name in value.split()[:-1] if not name.startswith("--")]
    assert {"Makefile", "pyproject.toml", ".ci/torchsort"} <= set(early)
    assert [name for name in early if not (ROOT / name).exists()] == []
    assert "." not in early


def test_the_context_leaves_out_what_git_leaves_out():
    left_out = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    # `/corrlight/runs/` and other packages must not be left out with the runs and data of the root.
    assert {".venv", ".uv", "/runs", "/data", "build"} <= set(left_out)
    assert not {"runs", "data", ".git"} & set(left_out)


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="needs hadolint")
def test_hadolint_finds_nothing():
    # DL3008 asks for pinned Debian packages, which the mirrors drop within weeks.
    subprocess.run(["hadolint", "--ignore", "DL3008", str(FILE)], check=True)
