"""Checkpoints and configurations that try to run code: none of it runs."""

import pickle
import sys

import pytest
import torch

from corrlight.engine.allowlist import instantiate
from corrlight.engine.checkpoint import AtomicCheckpointIO, load_checkpoint, load_weights

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
        ("corrlight.engine.status.write_text", [str(canary), "x"]),
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
