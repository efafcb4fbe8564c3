import os
import sys
from importlib.metadata import version

import pytest

from corrlight.doctor import command as doctor
from corrlight.doctor.command import Finding, examine, main
from corrlight.ops import switch


@pytest.fixture(scope="module")
def findings():
    return {finding.name: finding for finding in examine()}


def test_this_installation_works(findings):
    assert [f.line() for f in findings.values() if f.broken] == []


@pytest.mark.parametrize(
    "package", ["torch", "torchvision", "lightning", "hydra-core", "pycocotools", "wandb"]
)
def test_versions_are_those_of_the_packages(findings, package):
    assert findings[package].said == version(package)


def test_what_else_is_looked_at(findings):
    assert {"python", "torchsort", "cores", "/dev/shm", "fast_cpu", "weights"} <= findings.keys()
    assert any(name.startswith("gpu") for name in findings)
    cores = findings["cores"].said
    assert cores.startswith(f"{len(os.sched_getaffinity(0))} usable of {os.cpu_count()}")


def test_a_missing_package_is_named(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "_PACKAGES", (("no-such-package", "os", None),))
    assert main([]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: no-such-package")
    assert line.endswith("is not installed (pip install no-such-package)")


def test_a_package_that_does_not_work_is_named_with_its_reason(monkeypatch, capsys):
    def fails():
        raise RuntimeError("operator torchvision::nms does not exist\nand much more")

    monkeypatch.setattr(doctor, "_PACKAGES", (("torchvision", "os", fails),))
    assert main([]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "does not work: RuntimeError: operator torchvision::nms does not exist" in line


def test_a_compiled_torchsort_of_another_torch_is_named(monkeypatch, tmp_path):
    (tmp_path / "torchsort.py").write_text("raise ImportError('undefined symbol: _ZN3c10')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torchsort", raising=False)
    monkeypatch.setattr(doctor, "version", lambda name: "0.1.10")
    finding = doctor._torchsort()
    assert finding.broken
    assert "another torch" in finding.said
    assert "undefined symbol" in finding.said


def test_a_wrong_switch_is_named(monkeypatch):
    monkeypatch.setattr(switch, "_on", None)  # Nobody asked yet.
    monkeypatch.setenv("CORRLIGHT_FAST_CPU", "roi_allign")
    line = doctor._fast_cpu().line()
    assert line.startswith("error: fast_cpu")
    assert "'roi_allign'" in line


def test_little_shared_memory_is_a_note(monkeypatch):
    monkeypatch.setattr(doctor, "free_shared_memory", lambda: 64 * 2**20)
    finding = doctor._shared_memory()
    assert not finding.broken
    assert finding.said.startswith("64 MiB free: few loader processes")


def test_lines_line_up():
    assert Finding("torch", "2.11.0").line() == "torch         2.11.0"
    assert Finding("gpu", "gone", True).line() == "error: gpu           gone"
