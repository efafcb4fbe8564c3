import pytest
import torch
from torchvision.models import resnet18

from corrlight.cli import main
from tests.convert.checkpoints import toolbox_state


def test_writes_and_reports(tmp_path, capsys):
    torch.save(toolbox_state("atss_small"), tmp_path / "a.pth")
    arguments = [str(tmp_path / "a.pth"), str(tmp_path / "b.ckpt"), "--detector", "atss_small"]
    assert main(["convert", *arguments]) == 0
    assert "b.ckpt written" in capsys.readouterr().out
    assert (tmp_path / "b.ckpt").is_file()
    assert main(["convert", "--detector", "atss_small", *arguments[:2], "seed=3"]) == 0


def test_missing_tensors_are_listed_and_make_it_fail(tmp_path, capsys):
    state = toolbox_state("atss_small")
    del state["bbox_head.atss_cls.weight"]
    torch.save(state, tmp_path / "a.pth")
    arguments = [str(tmp_path / "a.pth"), str(tmp_path / "b.ckpt"), "--detector", "atss_small"]
    assert main(["convert", *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        f"error: {tmp_path / 'b.ckpt'} not written: 1 missing in the source (classifier.weight)\n"
    )
    assert main(["convert", *arguments, "--list"]) == 1
    assert "  classifier.weight" in capsys.readouterr().err
    assert not (tmp_path / "b.ckpt").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["a.pth"],
        ["a.pth", "b.ckpt"],
        ["a.pth", "b.ckpt", "--detector", "atss", "--backbone", "resnet50"],
        ["a.pth", "b.ckpt", "--detector", "atss", "--to", "keras"],
        ["nowhere.pth", "b.ckpt", "--detector", "atss"],
        ["nowhere.safetensors", "b.ckpt", "--backbone", "resnet50"],
    ],
)
def test_unusable_input_is_one_line(arguments, capsys):
    assert main(["convert", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1


def test_a_checkpoint_that_does_not_fit_is_one_line(tmp_path, capsys):
    """Of another detector, or of torchvision: not the hundreds of tensors that differ."""
    torch.save(toolbox_state("paa_small"), tmp_path / "paa.pth")
    foreign = torch.nn.ModuleDict({"body": resnet18(), "fpn": torch.nn.Conv2d(1, 1, 1)})
    state = torch.nn.ModuleDict({"backbone": foreign}).state_dict()
    torch.save(state, tmp_path / "torchvision.pth")
    for name, detector, code in (("paa", "detr_small", 1), ("torchvision", "retinanet", 2)):
        arguments = [str(tmp_path / f"{name}.pth"), str(tmp_path / "b.ckpt")]
        assert main(["convert", *arguments, "--detector", detector]) == code
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("error: ")
        assert captured.err.count("\n") == 1
    arguments = [str(tmp_path / "torchvision.pth"), str(tmp_path / "b.pth")]
    assert main(["convert", *arguments, "--backbone", "resnet18"]) == 0
    converted = torch.load(tmp_path / "b.pth", weights_only=True)
    assert torch.equal(converted["layer4.1.conv2.weight"], foreign["body"].layer4[1].conv2.weight)
