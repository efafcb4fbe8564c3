"""Checkpoints and configurations that try to run code: none of it runs."""

import pickle
import sys

import pytest
import torch
import yaml

from corrlight.app import main
from corrlight.config.allowlist import instantiate
from corrlight.engine.checkpoint import AtomicCheckpointIO, load_checkpoint, load_weights
from corrlight.runs.command import main as runs_main

COMMAND = "import pathlib; pathlib.Path({!r}).touch()"


class Calls:
    """Pickles to a call of ``function``."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def _functions(canary):
    import builtins
    import importlib
    import os
    import pathlib
    import runpy
    import shutil
    import subprocess
    import urllib.request
    import webbrowser

    touch = f"touch {canary}"
    code = COMMAND.format(str(canary))
    script = canary.with_name("script.py")
    script.write_text(code)
    source = script.as_uri()
    return {
        "os.system": Calls(os.system, touch),
        "os.popen": Calls(os.popen, touch),
        "subprocess.run": Calls(subprocess.run, ["touch", str(canary)]),
        "subprocess.Popen": Calls(subprocess.Popen, ["touch", str(canary)]),
        "subprocess.getoutput": Calls(subprocess.getoutput, touch),
        "eval": Calls(builtins.eval, f"exec({code!r})"),
        "exec": Calls(builtins.exec, code),
        "__import__": Calls(builtins.__import__, "antigravity"),
        "import_module": Calls(importlib.import_module, "antigravity"),
        "open": Calls(builtins.open, str(canary), "w"),
        "Path.touch": Calls(pathlib.Path.touch, pathlib.PurePosixPath(canary)),
        "run_path": Calls(runpy.run_path, str(script)),
        "copyfile": Calls(shutil.copyfile, str(script), str(canary)),
        "rmtree": Calls(shutil.rmtree, str(canary.parent)),
        "urlretrieve": Calls(urllib.request.urlretrieve, source, str(canary)),
        "webbrowser": Calls(webbrowser.open, source),
        "hub.load": Calls(torch.hub.load, str(canary.parent), "x", "local"),
        "torch.load": Calls(torch.load, str(script)),
        "getattr": Calls(builtins.getattr, Calls(builtins.__import__, "os"), "system"),
        "nested": {"optimizer_states": [{"state": {0: [Calls(os.system, touch)]}}]},
    }


NAMES = [
    "os.system", "os.popen", "subprocess.run", "subprocess.Popen", "subprocess.getoutput", "eval",
    "exec", "__import__", "import_module", "open", "Path.touch", "run_path", "copyfile", "rmtree",
    "urlretrieve", "webbrowser", "hub.load", "torch.load", "getattr", "nested",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["zip", "pickle"])
def test_a_checkpoint_that_calls_something_is_refused(tmp_path, name, form):
    canary = tmp_path / "canary"
    payloads = _functions(canary)
    assert list(payloads) == NAMES
    payload = {"state_dict": {"weight": torch.ones(1)}, "hyper_parameters": payloads[name]}
    file = tmp_path / "hostile.ckpt"
    if form == "zip":
        torch.save(payload, file)
    else:
        file.write_bytes(pickle.dumps(payload))
    before = sorted(p.name for p in tmp_path.iterdir())
    module = torch.nn.Linear(1, 1)
    for read in (
        lambda: load_checkpoint(file),
        lambda: load_weights(module, file),
        lambda: AtomicCheckpointIO().load_checkpoint(file, weights_only=False),
    ):
        with pytest.raises(
            ValueError, match=r"Cannot read the checkpoint .*hostile\.ckpt"
        ) as caught:
            read()
        assert "\n" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    assert "antigravity" not in sys.modules


def _configurations(canary):
    source = canary.with_name("source.txt")
    source.write_text("x")
    touch, code = [f"touch {canary}"], [COMMAND.format(str(canary))]
    copy = [source.as_uri(), str(canary)]
    return [
        ("os.system", touch),
        ("posix.system", touch),
        ("os.popen", touch),
        ("subprocess.getoutput", touch),
        ("pty.os.system", touch),
        ("logging.os.system", touch),
        ("torch.os.system", touch),
        ("torch.nn.modules.module.os.system", touch),
        ("torch.optim.optimizer.os.system", touch),
        ("corrlight.atomic.os.system", touch),
        ("corrlight.data.images.os.system", touch),
        ("lightning.pytorch.callbacks.model_checkpoint.os.system", touch),
        ("builtins.exec", code),
        ("builtins.eval", code),
        ("timeit.timeit", code),
        ("code.InteractiveInterpreter.runsource", code),
        ("urllib.request.urlretrieve", copy),
        ("torch.hub.load", [str(canary.parent), "x"]),
        ("torch.hub.download_url_to_file", copy),
        ("shutil.copyfile", [str(source), str(canary)]),
        ("corrlight.atomic.write_text", [str(canary), "x"]),
        ("corrlight.runs.status.write_text", [str(canary), "x"]),
        ("hydra.utils.call", [{"_target_": "os.system", "_args_": touch}]),
        ("torch.nn.modules.container.operator.methodcaller", ["touch"]),
    ]


COUNT = 24


@pytest.mark.parametrize("k", range(COUNT))
@pytest.mark.parametrize("shape", ["plain", "nested", "partial"])
def test_a_configuration_that_names_something_else_is_refused(tmp_path, k, shape):
    canary = tmp_path / "canary"
    payloads = _configurations(canary)
    assert len(payloads) == COUNT
    target, args = payloads[k]
    node = {"_target_": target, "_args_": args}
    if shape == "nested":
        node = {"_target_": "torch.nn.Sequential", "_args_": [{"a": [node]}]}
    if shape == "partial":
        node["_partial_"] = True
    with pytest.raises(ValueError, match="Expected `_target_`"):
        instantiate(node)
    assert not canary.exists()


@pytest.fixture
def copying(tmp_path):
    """A node that leaves a canary when it is made."""
    source = tmp_path / "source"
    source.write_text("x")
    return {"_target_": "shutil.copyfile", "src": str(source), "dst": str(tmp_path / "canary")}


def _grid(**options):
    return {"hydra": {"mode": "MULTIRUN", **options}}


HOSTILE = [
    lambda node: {"allow_targets": ["shutil"], "loss_callbacks": {"x": node}},
    lambda node: {"allow_targets": ["shutil"], **_grid(sweeper={"params": {"seed": "0"}})},
    lambda node: _grid(sweeper={"params": {"allow_targets": "[shutil]"}}),
    lambda node: _grid(sweeper={"params": {"++allow_targets": "[shutil]"}}),
    lambda node: _grid(sweeper={"params": {"x": node}}),
    lambda node: _grid(callbacks={"x": node}),
    lambda node: _grid(launcher=node),
]


# The flag asks for a sweep as the files do: with the first and the last of them.
@pytest.mark.parametrize(
    ("hostile", "flags"),
    [*((file, []) for file in HOSTILE), (HOSTILE[0], ["-m"]), (HOSTILE[-1], ["-m"])],
)
def test_a_file_cannot_allow_code(tmp_path, capsys, copying, hostile, flags):
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    text = "# @package _global_\n" + yaml.safe_dump(hostile(copying))
    (folder / "theirs.yaml").write_text(text)
    command = [*flags, "--config-dir", str(folder.parent), "experiment=theirs"]
    assert main([*command, f"paths.runs_dir={tmp_path / 'runs'}"]) == 2
    error = capsys.readouterr().err
    assert "allow_targets" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    ("command", "sign"), [("resume", ""), ("resume", "+"), ("ckpt", ""), ("ckpt", "++")]
)
def test_a_run_folder_cannot_allow_code(tmp_path, capsys, sign, command):
    folder = tmp_path / "theirs"
    folder.mkdir()
    # The data are made first: an allowed call would fail with another message.
    stored = [f"{sign}allow_targets=[shutil]", "data._target_=shutil.copyfile"]
    (folder / "overrides.yaml").write_text(yaml.safe_dump(stored))
    mode = "test" if command == "ckpt" else "train"
    given = [f"{command}={folder}", f"mode={mode}", f"paths.data_dir={tmp_path / 'data'}"]
    assert main(given) == 2
    assert "Expected `_target_` to name something of" in capsys.readouterr().err


@pytest.mark.parametrize("sign", ["", "+", "++"])
def test_repeating_a_run_allows_no_code(tmp_path, monkeypatch, sign):
    folder = tmp_path / "runs" / "theirs" / "0123456789ab"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("{}")
    (folder / "overrides.yaml").write_text(yaml.safe_dump([f"{sign}allow_targets=[os]", "seed=1"]))
    commands = []

    class Done:
        def __init__(self, command, env):
            commands.append(command)

        def wait(self):
            return 0

    monkeypatch.setattr("subprocess.Popen", Done)
    assert runs_main(["rerun", "0123", "--runs", str(tmp_path / "runs")]) == 0
    assert "seed=1" in commands[0]
    assert not any("allow_targets" in option for option in commands[0])
