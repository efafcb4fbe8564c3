import sys

import pytest
from omegaconf import OmegaConf

from corrlight.config.allowlist import check_targets, instantiate

PAYLOADS = [
    "os.system",
    "subprocess.run",
    "builtins.eval",
    "torch.hub.load",
    "torch.load",
    "numpy.load",
    "pathlib.Path.unlink",
    "urllib.request.urlretrieve",
    "torch.utils.cpp_extension.load",
    "hydra.utils.get_method",
    "importlib.import_module",
    "corrlight.data.coco.os.system",
    "corrlight.optim.math.sqrt",
    "torch.nn.modules.module.functools.partial",
    "torch.optim.lr_scheduler.warnings.warn",
    "corrlight.runs.folder.RunFolder",
    "lightning.pytorch.trainer.trainer.os.remove",
    "shutil.rmtree",
    "pickle.loads",
    "runpy.run_path",
]


@pytest.mark.parametrize("target", PAYLOADS)
@pytest.mark.parametrize("nested", [False, True])
def test_nothing_outside_the_allowlist_is_called(target, nested, tmp_path):
    canary = tmp_path / "canary"
    node = {"_target_": target, "_args_": [f"touch {canary}"]}
    config = {"_target_": "torch.nn.Identity", "child": [node]} if nested else node
    with pytest.raises(ValueError, match="Expected `_target_`"):
        instantiate(OmegaConf.create(config))
    assert not canary.exists()


def test_allowed_objects_are_made_also_nested_and_partial():
    relu = instantiate(
        OmegaConf.create(
            {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": "torch.nn.ReLU"}]}
        )
    )
    assert type(relu[0]).__name__ == "ReLU"
    sgd = instantiate({"_target_": "torch.optim.SGD", "_partial_": True, "momentum": 0.5})
    assert sgd.keywords == {"momentum": 0.5}


def test_the_command_line_extends_the_allowlist(tmp_path, monkeypatch):
    (tmp_path / "mypkg_allow.py").write_text("class Loss:\n    weight = 1.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    config = {"_target_": "mypkg_allow.Loss"}
    with pytest.raises(ValueError, match=r"allow_targets=\[mypackage\]"):
        instantiate(config)
    assert "mypkg_allow" not in sys.modules  # Refused before anything was imported.
    assert instantiate(config, ["mypkg_allow"]).weight == 1.0


def test_a_name_that_does_not_exist_is_said_in_one_line():
    with pytest.raises(ValueError, match=r"'torch.nn.Nonsense' to be importable") as caught:
        check_targets({"_target_": "torch.nn.Nonsense"})
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("names", [[3], ["a b"], ["os;x"]])
def test_bad_allow_targets(names):
    with pytest.raises(ValueError, match="`allow_targets` to list module names, but got"):
        check_targets({}, names)


def test_errors_of_constructors_come_through_as_they_are():
    with pytest.raises(ValueError, match="must be divisible by num_groups"):
        instantiate({"_target_": "torch.nn.GroupNorm", "num_groups": 3, "num_channels": 4})
    with pytest.raises(ValueError, match=r"Trainer`: Requirement 'torch_xla.* not met"):
        instantiate({"_target_": "lightning.pytorch.Trainer", "accelerator": "tpu"})
    with pytest.raises(ValueError, match=r"`torch.nn.ReLU`: .*unexpected keyword argument 'x'"):
        instantiate({"_target_": "torch.nn.ReLU", "x": 1})
