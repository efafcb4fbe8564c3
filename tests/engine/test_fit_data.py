from types import SimpleNamespace

import numpy as np
import pytest
from omegaconf import OmegaConf

from corrlight.config.compose import compose_config
from corrlight.engine.fit_data import fit_to_data


def composed(detector, *options):
    return compose_config([f"detector={detector}", *options]).config


def data(edge):
    return SimpleNamespace(train_object_sizes=lambda: np.full((20, 2), float(edge)))


@pytest.mark.parametrize("detector", ["atss_small", "paa_small", "retinanet_small"])
def test_the_scale_follows_the_objects(detector):
    config = composed(detector, "detector.net.anchor_scale=auto")
    scales = [fit_to_data(config, data(edge)).detector.net.anchor_scale for edge in (16, 64)]
    assert 0 < scales[0] <= scales[1]
    assert (
        config.detector.net.anchor_scale == "auto"
    )  # The run's id knows the option, not its number.


def test_sizes_of_yolact_are_one_a_level():
    config = composed("yolact_small", "detector.net.anchor_sizes=auto")
    sizes = fit_to_data(config, data(16)).detector.net.anchor_sizes
    assert len(sizes) == 3
    assert any(12 <= size <= 22 for size in sizes)


def test_numbers_stay():
    config = composed("atss_small")
    assert fit_to_data(config, data(16)) is config


def test_published_strides_are_no_ground_to_decide_by():
    config = composed("yolact", "detector.net.anchor_sizes=auto")
    with pytest.raises(
        ValueError, match=r"`detector.net.anchor_sizes`=auto beside `detector.net.s"
    ):
        fit_to_data(config, data(16))


def test_a_test_takes_what_its_run_was_trained_with(tmp_path):
    config = composed("atss_small", "detector.net.anchor_scale=auto", "mode=test")
    config.ckpt = str(tmp_path / "checkpoints" / "best.ckpt")
    with pytest.raises(ValueError, match=r"what .*best\.ckpt was trained with, but got auto"):
        fit_to_data(config, data(16))
    stored = {"detector": {"net": {"anchor_scale": 1.5}}}
    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.create(stored)))
    assert fit_to_data(config, data(500)).detector.net.anchor_scale == 1.5
