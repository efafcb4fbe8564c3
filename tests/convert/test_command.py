import pytest
import torch

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
    assert "  classifier.weight" in captured.err
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
