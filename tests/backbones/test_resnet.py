import socket

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from corrlight.backbones import DeformableConv, FrozenNorm, ResNet
from corrlight.config.allowlist import instantiate
from corrlight.config.compose import compose_config


def _randomise(model):
    generator = torch.Generator().manual_seed(0)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and tensor.ndim == 1:
            low = 0.5 if "var" in name or "weight" in name else -0.2
            tensor.uniform_(low, low + 0.5, generator=generator)


def _oracle(depth):
    return _named_oracle(f"resnet{depth}")


def _named_oracle(name):
    model = torchvision.models.get_model(name, weights=None)
    _randomise(model)
    return model.eval()


def _torchvision_maps(model, x):
    x = model.maxpool(model.relu(model.bn1(model.conv1(x))))
    maps = []
    for stage in (model.layer1, model.layer2, model.layer3, model.layer4):
        x = stage(x)
        maps.append(x)
    return maps


RESNEXT = {"groups": 32, "width_per_group": 4}


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("resnet18", {"depth": 18}),
        pytest.param("resnext50_32x4d", {"depth": 50, **RESNEXT}, marks=pytest.mark.slow),
    ],
)
def test_maps_and_gradients_equal_those_of_torchvision(name, kwargs):
    # In float32 a ReLU may open in one network and not in the other.
    oracle = _named_oracle(name).double()
    model = ResNet(**kwargs, frozen_stages=0).double()
    model.load_state_dict({k: v for k, v in oracle.state_dict().items() if not k.startswith("fc.")})
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 3, 32, 64, generator=generator, dtype=torch.float64)
    maps, expected = model(x), _torchvision_maps(oracle, x)
    assert [m.shape[1] for m in maps] == model.out_channels
    for ours, theirs in zip(maps, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    with torch.no_grad():
        torch.testing.assert_close(model(x), maps, rtol=1e-9, atol=1e-9)
    sum(m.square().mean() for m in maps).backward()
    sum(m.square().mean() for m in expected).backward()
    gradients = {k: p.grad for k, p in oracle.named_parameters() if not k.startswith("fc.")}
    for name, parameter in model.named_parameters():
        expected_gradient = gradients[name]
        tolerance = 1e-8 * float(expected_gradient.abs().max())
        torch.testing.assert_close(parameter.grad, expected_gradient, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("name", "config"),
    [("resnet18", "resnet18"), ("resnet34", "resnet34"), ("resnet50", "resnet50"),
     ("resnet101", "resnet101"), ("resnext101_64x4d", "resnext101_64x4d")],
)  # fmt: skip
def test_configured_networks_have_the_tensors_of_torchvision(name, config):
    with torch.device("meta"):
        oracle = torchvision.models.get_model(name, weights=None).state_dict()
        composed = compose_config([f"backbone={config}", "backbone.weights=null"])
        model = instantiate(composed.config.backbone)
    expected = {
        k: v.shape for k, v in oracle.items() if not k.startswith("fc.") and "num_batches" not in k
    }
    assert {k: v.shape for k, v in model.state_dict().items()} == expected


def test_deformable_stages_and_their_offsets():
    options = {"deformable_stages": (3, 4), "deformable_groups": 2}
    model = ResNet(50, base_width=8, frozen_stages=0, **options)
    deformable = {n for n, m in model.named_modules() if isinstance(m, DeformableConv)}
    blocks = {f"layer3.{i}.conv2" for i in range(6)} | {f"layer4.{i}.conv2" for i in range(3)}
    assert deformable == blocks
    assert not any(model.get_submodule(n).conv_offset.weight.any() for n in deformable)
    maps = model(torch.randn(1, 3, 64, 96))
    assert [tuple(m.shape[1:]) for m in maps] == [
        (32, 16, 24), (64, 8, 12), (128, 4, 6), (256, 2, 3)
    ]  # fmt: skip
    sum(m.square().mean() for m in maps).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_deformable_networks_take_the_weights_of_plain_ones(tmp_path):
    plain = ResNet(50, base_width=8)
    torch.save(plain.state_dict(), tmp_path / "weights.pth")
    model = ResNet(50, base_width=8, deformable_stages=(4,), weights=tmp_path / "weights.pth")
    assert torch.equal(model.layer4[0].conv2.weight, plain.layer4[0].conv2.weight)
    assert not model.layer4[0].conv2.conv_offset.weight.any()


def test_batch_norm_is_trained_like_torchvisions():
    oracle = _oracle(18).train()
    model = ResNet(18, frozen_stages=0, norm="batch").train()
    model.load_state_dict({k: v for k, v in oracle.state_dict().items() if not k.startswith("fc.")})
    x = torch.randn(3, 3, 64, 64)
    torch.testing.assert_close(model(x)[0], _torchvision_maps(oracle, x)[0], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(model.bn1.running_var, oracle.bn1.running_var)


def test_frozen_parts_have_no_gradient_and_the_rest_has():
    model = ResNet(18, base_width=8, frozen_stages=2)
    sum(m.sum() for m in model(torch.randn(1, 3, 64, 64))).backward()
    frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
    assert {n.split(".")[0] for n in frozen} == {"conv1", "bn1", "layer1", "layer2"}
    assert all((p.grad is None) == (n in frozen) for n, p in model.named_parameters())


def test_frozen_stages_keep_their_statistics_beside_trained_batch_norm():
    model = ResNet(18, base_width=8, frozen_stages=1, norm="batch").train()
    before = {k: v.clone() for k, v in model.state_dict().items() if "running" in k}
    model(torch.randn(2, 3, 64, 64))
    after = model.state_dict()
    same = {k.split(".")[0] for k, v in before.items() if torch.equal(v, after[k])}
    assert same == {"bn1", "layer1"}


def test_affine_parameters_can_be_fixed():
    model = ResNet(18, base_width=8, norm_affine_trainable=False)
    norms = [m for m in model.modules() if isinstance(m, FrozenNorm)]
    assert norms
    assert not any(p.requires_grad for m in norms for p in m.parameters())
    assert model.layer2[0].conv1.weight.requires_grad


def test_folded_weights_follow_every_change():
    model = ResNet(18, base_width=8, frozen_stages=0).eval()
    _randomise(model)
    x = torch.randn(1, 3, 64, 64)

    def both():
        with torch.no_grad():
            cached = model(x)[-1]
        return cached, model(x)[-1].detach()

    torch.testing.assert_close(*both())
    with torch.no_grad():
        model.layer1[0].conv1.weight.mul_(2)
        model.layer3[0].bn2.running_var.add_(1)
    torch.testing.assert_close(*both())
    model.load_state_dict({k: v + 0.1 for k, v in model.state_dict().items()})
    torch.testing.assert_close(*both())


def test_output_stages():
    model = ResNet(34, base_width=8, out_stages=(2, 3))
    maps = model(torch.randn(1, 3, 65, 97))
    assert model.out_channels == [16, 32]
    assert [tuple(m.shape[1:]) for m in maps] == [(16, 9, 13), (32, 5, 7)]
    assert not hasattr(model, "layer4")


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"depth": 42}, "`depth`.*got 42"),
        ({"depth": 18, "norm": "layer"}, "`norm`.*got 'layer'"),
        ({"depth": 18, "base_width": 0}, "`base_width`.*got 0"),
        ({"depth": 18, "frozen_stages": 5}, "`frozen_stages`.*got 5"),
        ({"depth": 18, "out_stages": (2, 1)}, r"`out_stages`.*got \[2, 1\]"),
        ({"depth": 18, "out_stages": ()}, r"`out_stages`.*got \[\]"),
        ({"depth": 18, "groups": 32}, "`groups` to be 1 at depth 18, .*got 32"),
        ({"depth": 34, "deformable_stages": [2]}, r"`deformable_stages` to be \[\] .*got \[2\]"),
        ({"depth": 50, "deformable_stages": [5]}, r"`deformable_stages`.*got \[5\]"),
        ({"depth": 50, "groups": 0}, "`groups` and `width_per_group`.*got 0 and 64"),
        (
            {"depth": 50, "deformable_stages": [2], "deformable_groups": 3},
            "`deformable_groups` to divide the 64 channels, but got 3",
        ),
        ({"depth": 50, "groups": 2, "weights": "imagenet"}, "resnext50_2x64d.*got 'imagenet'"),
        ({"depth": 18, "weights": "nowhere.pth"}, "`weights`.*'nowhere.pth'.*weights=null"),
        ({"depth": 18, "weights": "imagenet", "base_width": 8}, "`base_width` is not 64"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        ResNet(**kwargs)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_from_a_file(tmp_path, suffix):
    state = _oracle(18).state_dict()
    path = tmp_path / f"weights{suffix}"
    torch.save(state, path) if suffix == ".pth" else save_file(state, path)
    model = ResNet(18, weights=path)
    torch.testing.assert_close(model.layer4[1].bn2.running_var, state["layer4.1.bn2.running_var"])
    torch.testing.assert_close(model.conv1.weight, state["conv1.weight"])


def test_unfit_files_are_refused(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(_oracle(18).state_dict(), path)
    with pytest.raises(ValueError, match="fit resnet34, but 80 keys are missing"):
        ResNet(34, weights=path)
    with pytest.raises(ValueError, match="have another shape"):
        ResNet(18, base_width=32, weights=path)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match="cannot be read"):
        ResNet(18, weights=path)
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match="a state dict"):
        ResNet(18, weights=path)


def test_no_network_says_how_to_go_on(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(OSError, match=r"backbone.weights=FILE.*backbone.weights=null") as error:
        ResNet(18, weights="imagenet")
    assert "\n" not in str(error.value)
