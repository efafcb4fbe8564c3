import shutil

import pytest
import torch
import yaml

import corrlight
from corrlight.predict.load import checkpoint_of, load, parse_device
from tests.helpers.run_folder import IDS, NAMES, make_run


def test_classes_and_preparation_are_those_of_the_run(run):
    model = corrlight.load(run)
    assert (model.class_names, model.category_ids) == (tuple(NAMES), tuple(IDS))
    assert model.batch_size == 2
    assert model.collate.mean.flatten().tolist() == pytest.approx([123.675, 116.28, 103.53])
    assert not model.detector.training


def test_weights_are_those_of_the_checkpoint(run):
    stored = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    for name, value in load(run, "cpu").detector.state_dict().items():
        assert torch.equal(value, stored[f"detector.{name}"])


def test_best_comes_before_last_and_a_file_is_taken_as_it_is(run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    last = folder / "checkpoints" / "last.ckpt"
    assert checkpoint_of(folder) == last
    best = shutil.copy(last, last.with_name("best.ckpt"))
    assert checkpoint_of(folder) == best
    assert checkpoint_of(last) == last


def test_the_weights_that_the_training_began_with_are_not_asked_for(run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["backbone"]["weights"] = "imagenet"
    config["detector"]["net"]["backbone"]["weights"] = "imagenet"
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert load(folder, "cpu").class_names == tuple(NAMES)


def test_the_size_of_the_run_is_applied(tmp_path):
    (tmp_path / "data").mkdir()
    run = make_run(
        tmp_path / "r", "atss_small", "data=coco_custom", f"data.root={tmp_path}", "data.size=320"
    )
    (resize,) = load(run, "cpu").transforms
    assert resize.new_size((100, 200), resize.short[0]) == (160, 320)


def test_half_precision_of_the_run_is_kept(tmp_path):
    run = make_run(tmp_path / "r", "atss_small", "trainer.precision=bf16-mixed")
    assert load(run, "cpu").autocast == torch.bfloat16


def test_what_is_no_run_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no .*nowhere"):
        load(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"has no checkpoints/last\.ckpt"):
        load(tmp_path)
    (tmp_path / "x.ckpt").write_bytes(b"x")
    with pytest.raises(FileNotFoundError, match=r"whose config\.yaml says how"):
        load(tmp_path / "x.ckpt")


def test_a_checkpoint_of_another_network_is_named(run, tmp_path):
    other = make_run(tmp_path / "r", "retinanet_small")
    shutil.copy(run / "checkpoints" / "last.ckpt", other / "checkpoints" / "last.ckpt")
    with pytest.raises(ValueError, match="does not fit its run"):
        load(other, "cpu")


def test_foreign_code_needs_to_be_allowed(run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["detector"]["net"]["_target_"] = "os.system"
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(ValueError, match="Expected `_target_`"):
        load(folder, "cpu")


@pytest.mark.parametrize("name", ["nonsense", "cuda:99"])
def test_a_device_that_is_not_there_is_named(name):
    with pytest.raises(ValueError, match=f"`device` to be usable, but got '{name}'"):
        parse_device(name)
