import pytest
from omegaconf import OmegaConf, open_dict

from corrlight.config.checks import check_options, check_precision, check_ranks
from corrlight.config.compose import compose_config


def changed(*options):
    """The defaults with these options, each ``key=value``, without asking Hydra again."""
    config = compose_config(["trainer=cpu"]).config
    for option in options:
        key, value = next(iter(_flat(OmegaConf.from_dotlist([option]))))
        OmegaConf.update(config, key, value, merge=False, force_add=True)
    return config


def _flat(config, prefix=""):
    for key, value in OmegaConf.to_container(config).items():
        if isinstance(value, dict):
            yield from _flat(OmegaConf.create(value), f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def test_the_defaults_pass():
    config = compose_config(["trainer=cpu"]).config
    check_options(config)
    check_ranks(config)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=-1", "`seed`"),
        ("seed=1.5", "`seed`"),
        ("mode=tset", "`mode`"),
        ("schedule.lr=0", "`lr`"),
        ("data.batch_size=0", "`data.batch_size`"),
        ("trainer.precision=64-true", "`trainer.precision`"),
        ("trainer.limit_val_batches=0", "`trainer.limit_val_batches`"),
        ("trainer.gradient_clip_val=-1", "`trainer.gradient_clip_val`"),
        ("paths.runs_dir=null", "`paths.runs_dir`"),
        ("detector.assigner=3", "`detector.assigner`"),
        ("callbacks.mine=3", "`callbacks.mine`"),
        ("schedule.lr=a", "`lr`"),
        ("schedule.max_epochs=0", "`trainer.max_epochs`"),
        ("schedule.optimizer=null", "`schedule.optimizer`"),
        ("detector.criterion=5", "`detector.criterion` to be a section"),
        ("loss_callbacks=5", "`loss_callbacks` to be a section"),
        ("trainer.precision=bf16-true", "`trainer.precision`"),
        ("trainer.check_val_every_n_epoch=0", "`trainer.check_val_every_n_epoch`"),
        ("trainer.num_nodes=null", "`trainer.num_nodes`"),
        ("trainer.accumulate_grad_batches=a", "`trainer.accumulate_grad_batches`"),
        ("criterion=own", "only detectors of transformers .* but got 'own' with atss_small"),
        ("criterion=theirs", "Expected `criterion` to be one of"),
        ("fast_cpu=1", "Expected `fast_cpu` to be true or false"),
        ("compile=1", "Expected `compile` to be true or false"),
        ("fast_cpu=null", "Expected `fast_cpu` to be true or false"),
        ("rerun=maybe", "Expected `rerun` to be true or false, but got 'maybe'"),
        ("dump_raw=x", "Expected `dump_raw` to be true or false"),
        ("data.load_masks=maybe", "Expected `data.load_masks` to be true or false"),
        ("data.train_ignore_crowd=x", "Expected `data.train_ignore_crowd` to be true or false"),
        ("data.filter_empty=1", "Expected `data.filter_empty` to be true or false"),
        ("trainer.limit_train_batches=0", "`trainer.limit_train_batches` to be positive"),
        ("corr.weight=-1", "Expected `corr.weight`"),
        ("corr.weight=abc", "Expected `corr.weight`"),
    ],
)
def test_wrong_options_are_named(override, message):
    with pytest.raises(ValueError, match=message):
        check_options(changed(override))


@pytest.mark.parametrize("detector", ["hf_rt_detr_v2_small", "tv_fcos_small"])
def test_a_library_s_own_loss_may_be_kept(detector):
    config = compose_config([f"detector={detector}", "criterion=own"]).config
    check_options(config)
    assert config.detector.criterion._target_ == "corrlight.guests.OwnCriterion"
    assert config.detector.assigner._target_ == "corrlight.guests.OwnAssigner"


def test_a_configuration_of_before_the_choice_passes():
    config = compose_config(["trainer=cpu"]).config
    with open_dict(config):
        del config["criterion"]
    check_options(config)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer.devices=99"], "`trainer.devices` to be at most"),
        (["trainer.devices=2", "data.batch_size=3"], "multiple of the 2 ranks"),
    ],
)
def test_ranks_that_cannot_be(overrides, message):
    with pytest.raises(ValueError, match=message):
        check_ranks(changed(*overrides))


def test_float16_is_refused_on_a_cpu():
    with pytest.raises(ValueError, match=r"32-true or bf16-mixed on a CPU, .*'16-mixed'"):
        check_precision(changed("trainer.precision=16-mixed"))
    for precision in ("32-true", "bf16-mixed"):
        check_precision(changed(f"trainer.precision={precision}"))
