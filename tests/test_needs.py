"""Parts that do not fit the detector are refused before the first batch, in one line."""

import copy
import functools

import pytest
from omegaconf import OmegaConf

from corrlight.config.build import build_module
from corrlight.config.compose import compose_config
from corrlight.needs import check_needs
from tests.helpers.toy import ToyAssigner, ToyCriterion, ToyDetector, ToyPostprocessor


class Anchored(ToyDetector):
    gives = ("priors",)


class NeedsPriors(ToyAssigner):
    needs = ("priors",)


def test_parts_that_say_nothing_fit_every_detector():
    check_needs(
        ToyDetector(),
        assigner=ToyAssigner(),
        criterion=ToyCriterion(),
        postprocessor=ToyPostprocessor(),
    )


def test_a_class_attribute_says_what_a_detector_gives():
    check_needs(Anchored(), assigner=NeedsPriors())
    message = (
        "^Expected `detector` to give priors, which its `assigner` NeedsPriors needs, but "
        "ToyDetector gives none of them: another `assigner` fits, or `gives` of ToyDetector is "
        "incomplete.$"
    )
    with pytest.raises(ValueError, match=message):
        check_needs(ToyDetector(), assigner=NeedsPriors())


@pytest.mark.parametrize("name", ["assigner", "criterion", "postprocessor"])
def test_every_part_is_checked_for_fields_and_for_the_activation(name):
    part = type("Part", (), {"needs": ("mask", "priors")})()
    with pytest.raises(
        ValueError, match=f"give mask, which its `{name}` Part needs.*gives priors:"
    ):
        check_needs(Anchored(), **{name: part})
    part = type("Part", (), {"activation": "softmax"})()
    with pytest.raises(ValueError, match=f"`{name}` to be for scores made by sigmoid.*softmax"):
        check_needs(Anchored(), **{name: part})


@functools.cache
def plain(*options):
    return compose_config(options).config


def composed(options, changes=()):
    config = copy.deepcopy(plain(*options))
    for key, value in dict(changes).items():
        OmegaConf.update(config, f"detector.{key}", value, merge=False, force_add=True)
    return config


@pytest.mark.parametrize(
    ("options", "changes", "message"),
    [
        (
            ["detector=atss_small"],
            {"net.aux_head": "none", "criterion.aux_head": "centerness"},
            "give quality, which its `criterion` DenseCriterion needs, but ATSS gives priors, del",
        ),
        (
            ["detector=foveabox_small"],
            {"criterion.quality": "iou", "criterion.aux_head": "iou"},
            "give quality, which its `criterion` DenseCriterion needs, but FoveaBox gives",
        ),
        (
            ["detector=detr_small"],
            {"assigner": {"_target_": "corrlight.assigners.ATSSAssigner"}},
            "give priors, which its `assigner` ATSSAssigner needs, but DETR gives none of them",
        ),
        (
            ["detector=yolact_small"],
            {"assigner": {"_target_": "corrlight.assigners.PAAAssigner"}},
            "`assigner` to be for scores made by softmax, the detector's, but got one for sigmoid",
        ),
        (
            ["detector=retinanet_small", "loss=cross_entropy"],
            {},
            "`criterion` to be for scores made by sigmoid.*another choice of `loss` fits",
        ),
    ],
)
def test_configurations_whose_parts_do_not_fit(options, changes, message):
    with pytest.raises(ValueError, match=message):
        build_module(composed(options, changes))


@pytest.mark.parametrize(
    ("detector", "changes", "needs"),
    [
        ("atss_small", {}, {"priors", "quality"}),
        ("atss_small", {"aux_head": "none"}, {"priors"}),
        ("paa_small", {}, {"quality"}),
        ("retinanet_small", {}, {"priors", "deltas"}),
        ("yolact_small", {}, {"priors", "deltas", "mask"}),
        ("detr_small", {}, set()),
    ],
)
def test_what_the_criteria_need(detector, changes, needs):
    config = composed([f"detector={detector}"], changes)
    assert set(build_module(config).criterion.needs) == needs
