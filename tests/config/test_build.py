import pytest

from corrlight.config.build import build_module, build_trainer_parts, effective_lr, instantiate_all
from corrlight.config.compose import compose_config


def test_the_learning_rate_follows_the_batch_of_a_step():
    options = ["detector=atss_small", "schedule.lr=0.01", "schedule.reference_batch_size=16"]
    one = compose_config([*options, "data.batch_size=8"]).config
    assert effective_lr(one) == pytest.approx(0.005)
    several = compose_config([*options, "data.batch_size=8", "trainer.accumulate_grad_batches=4"])
    assert effective_lr(several.config) == pytest.approx(0.02)


def test_every_part_of_the_module_is_what_yaml_names():
    config = compose_config(["detector=retinanet_small", "corr=concordance", "corr.weight=0.3"])
    module = build_module(config.config)
    assert type(module.detector).__name__ == "RetinaNet"
    assert module.loss_callbacks["corr"].weight == 0.3


def test_empty_choices_make_nothing():
    assert instantiate_all(None, ()) == {}
    assert instantiate_all({"a": None, "b": {}}, ()) == {}


def test_loggers_write_to_the_run(tmp_path):
    config = compose_config(["logger=csv"]).config
    assert build_trainer_parts(config, str(tmp_path)).logger is False
