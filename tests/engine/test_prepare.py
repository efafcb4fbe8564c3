"""What is built and checked before anything is written."""

import pytest
import torch

from corrlight.config.compose import compose_config
from corrlight.engine.prepare import prepare


@pytest.fixture
def own(tmp_path):
    return [
        f"paths.runs_dir={tmp_path / 'runs'}",
        f"paths.data_dir={tmp_path / 'data'}",
        *("trainer=cpu", "data.num_train=4", "data.num_val=2", "data.image_size=64"),
        *("data.batch_size=2", "data.num_workers=0", "schedule.max_epochs=1"),
    ]


def _weights(run):
    return {k: v.clone() for k, v in run.module.state_dict().items()}


def test_building_a_run_writes_nothing_and_is_the_same_twice(own, tmp_path):
    first, second = (prepare(compose_config(own)) for _ in range(2))
    assert not (tmp_path / "runs").exists()
    assert not first.finished
    assert first.transfer is None
    assert first.folder.path == second.folder.path
    for name, value in _weights(first).items():
        assert torch.equal(value, second.module.state_dict()[name]), name
    assert {*first.class_rows()} == {"detector.classifier.weight", "detector.classifier.bias"}


def test_init_is_part_of_the_run_by_content(own, tmp_path):
    plain = prepare(compose_config(own))
    donor = prepare(compose_config([*own, "seed=5"]))
    names = list(donor.data.class_names)
    for name in ("x", "y"):
        torch.save(
            {"state_dict": donor.module.state_dict(), "class_names": names},
            tmp_path / f"{name}.ckpt",
        )
    started = prepare(compose_config([*own, f"init={tmp_path / 'x.ckpt'}"]))
    assert started.transfer is not None
    assert not started.transfer.remade
    for name, value in _weights(donor).items():
        assert torch.equal(value, started.module.state_dict()[name]), name
    assert started.folder.path != plain.folder.path
    (tmp_path / "moved").mkdir()
    moved = (tmp_path / "x.ckpt").rename(tmp_path / "moved" / "z.ckpt")
    again = prepare(compose_config([*own, f"init={moved}"]))
    assert again.folder.path == started.folder.path


def test_what_is_wrong_with_init_is_said_before_anything_is_written(own, tmp_path):
    with pytest.raises(ValueError, match="Expected `init` to be a run folder"):
        prepare(compose_config([*own, f"init={tmp_path / 'nowhere'}"]))
    (tmp_path / "x.ckpt").write_bytes(b"no checkpoint")
    with pytest.raises(ValueError, match="Cannot read the checkpoint"):
        prepare(compose_config([*own, f"init={tmp_path / 'x.ckpt'}"]))
    assert not (tmp_path / "runs").exists()
