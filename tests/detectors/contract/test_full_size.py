"""The full-size files of ``conf/detector`` are the published models."""

import pytest
import torch

from corrlight.backbones import FPN, ResNet
from corrlight.config.compose import config_dir
from corrlight.detectors import ATSS, PAA
from tests.detectors.build import full_size

# Parameters of mmdetection 3.3.0 with 80 classes, auxiliary heads included.
PARAMETERS = {
    ("retinanet",): 37_968_692,
    ("foveabox",): 36_419_732,
    ("atss",): 32_295_322,
    ("paa",): 32_295_322,
    ("sparse_rcnn",): 106_290_888,
    ("sparse_rcnn", "detector.net.num_proposals=300"): 106_342_888,
    ("detr",): 41_575_061,
    ("deformable_detr",): 40_118_934,
    ("yolact",): 35_293_711,
    ("gfl",): 32_440_537,
    # GFL and 20 x 64 + 64 + 64 + 1 of its two layers; not in mmdetection.
    ("gflv2",): 32_440_537 + 1_409,
    ("fcos",): 32_297_370,
    ("vfnet",): 32_891_554,
    ("tood",): 32_200_494,
    ("faster_rcnn",): 41_753_056,
    ("mask_rcnn",): 44_396_336,
}


def count(model):
    return sum(p.numel() for p in model.parameters())


def test_every_published_detector_has_a_file():
    files = {p.stem for p in (config_dir() / "detector").glob("*.yaml")}
    assert {name for name, *_ in PARAMETERS} <= files


@pytest.mark.parametrize("options", PARAMETERS, ids="-".join)
def test_number_of_parameters(options):
    assert count(full_size(*options)) == PARAMETERS[options]


def test_number_of_parameters_of_the_defaults_in_code():
    with torch.device("meta"):
        for detector, name in ((ATSS, "atss"), (PAA, "paa")):
            assert count(detector(ResNet(50), FPN, 80)) == PARAMETERS[(name,)]
