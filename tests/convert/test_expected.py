"""What a model expects, against one that is built and against torchvision."""

import pytest
import torch
from omegaconf import OmegaConf
from torchvision.models import resnet18, resnet50

from corrlight.config.build import build_module
from corrlight.convert.expected import compose_detector, expected_backbone, expected_detector
from corrlight.losses.balance import EpochBalance


def shapes(state):
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def test_a_detector_expects_what_it_has_when_it_is_built():
    config = compose_detector("atss_small", ["data.num_classes=7"])
    built = build_module(config).detector
    found = expected_detector(config, 7)
    assert found.shapes == shapes(built.state_dict())
    assert found.rules == built.toolbox_names
    assert found.extras == {}
    other = expected_detector(config, 3).shapes
    assert {k for k in other if other[k] != found.shapes[k]} == {
        "classifier.weight",
        "classifier.bias",
    }
    assert other.keys() == found.shapes.keys()


def test_overrides_change_the_model_and_weights_are_never_read():
    config = compose_detector("atss_small", ["backbone=resnet50", "detector.aux_head=none"])
    assert config.backbone.weights is None
    found = expected_detector(config, 80).shapes
    assert found["backbone.layer3.5.conv3.weight"] == (1024, 256, 1, 1)
    assert not [name for name in found if "centerness" in name]


def test_tensors_beside_the_detector_have_the_values_that_training_starts_with():
    config = compose_detector("atss_small", ["loss=alrp"])
    found = expected_detector(config, 80)
    balance = EpochBalance().state_dict()
    assert {name.rpartition(".")[2] for name in found.extras} == set(balance)
    for name, tensor in found.extras.items():
        assert tensor.device.type == "cpu"
        assert torch.equal(tensor, balance[name.rpartition(".")[2]]), name


@pytest.mark.parametrize(("name", "theirs"), [("resnet18", resnet18), ("resnet50", resnet50)])
def test_a_backbone_is_torchvisions_without_its_classifier(name, theirs):
    with torch.device("meta"):
        expected = shapes(theirs().state_dict())
    expected = {
        key: shape
        for key, shape in expected.items()
        if not key.startswith("fc.") and not key.endswith("num_batches_tracked")
    }
    found = expected_backbone(name, []).shapes
    assert {k: s for k, s in found.items() if not k.endswith("num_batches_tracked")} == expected


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: compose_detector("atsss", []), "Did you mean 'atss'"),
        (lambda: expected_backbone("resnet51", []), "resnet51"),
        (lambda: expected_detector(compose_detector("atss", []), 0), "num_classes"),
    ],
)
def test_what_is_unknown_or_out_of_range(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_detector_without_a_table_of_names_is_refused(monkeypatch):
    class Plain(torch.nn.Module):
        """Some detector of one's own."""

    class Module(torch.nn.Module):
        detector = Plain()

    monkeypatch.setattr("corrlight.convert.expected.build_module", lambda config: Module())
    config = OmegaConf.create({"data": {"num_classes": 1}})
    with pytest.raises(ValueError, match=r"a detector with `toolbox_names`, but got Plain"):
        expected_detector(config, 3)
