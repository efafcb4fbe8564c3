import pytest
import torch
from safetensors.torch import save_file

from corrlight.backbones import ResNet
from corrlight.backbones.weights import load_resnet_weights, read_state_dict


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("nested", [False, True])
def test_a_state_dict_is_read_as_it_was_written(tmp_path, suffix, nested):
    state = {"a": torch.arange(3.0), "b": torch.ones(2, 2)}
    path = tmp_path / f"w{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": state} if nested else state, path)
    else:
        save_file(state, path)
    found = read_state_dict(path)
    assert {*found} == {"a", "b"}
    assert all(torch.equal(found[k], state[k]) for k in state)


def test_what_is_no_state_dict_is_one_line(tmp_path):
    path = tmp_path / "w.pth"
    with pytest.raises(ValueError, match="existing file, but got"):
        read_state_dict(path)
    for content in ({"a": 1}, [torch.ones(1)]):
        torch.save(content, path)
        with pytest.raises(ValueError, match="a file with a state dict, but got"):
            read_state_dict(path)
    for path in (tmp_path / "x.pth", tmp_path / "x.safetensors"):
        path.write_bytes(b"nothing of the kind")
        with pytest.raises(ValueError, match="cannot be read") as error:
            read_state_dict(path)
        assert "weights_only" not in str(error.value)  # torch's advice to run code


def test_a_classifiers_file_goes_into_a_backbone_without_it(tmp_path):
    donor = ResNet(18, frozen_stages=0)
    state = {k: v + 1 if v.is_floating_point() else v for k, v in donor.state_dict().items()}
    torch.save({**state, "fc.weight": torch.ones(10, 512)}, tmp_path / "w.pth")
    net = ResNet(18, frozen_stages=0)
    load_resnet_weights(net, "resnet18", tmp_path / "w.pth")
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())
    # A network that ends earlier needs no more of it.
    load_resnet_weights(ResNet(18, out_stages=(1, 2)), "resnet18", tmp_path / "w.pth")
    with pytest.raises(ValueError, match="keys are missing"):
        load_resnet_weights(ResNet(34), "resnet34", tmp_path / "w.pth")
    with pytest.raises(ValueError, match="when `base_width` is not 64"):
        load_resnet_weights(ResNet(18, base_width=16), "resnet18", "imagenet")
