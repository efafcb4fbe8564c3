from types import SimpleNamespace

import pytest
import torch
from pycocotools import mask as coco_mask

from corrlight.export.check import compare_file
from corrlight.export.network import ExportNetwork
from tests.export.conftest import DETECTORS


@pytest.fixture(scope="module")
def images():
    small = torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(0)) * 255
    return torch.nn.functional.interpolate(small, size=(64, 96), mode="bilinear")


# Raw outputs: with a branch beside the scores, with masks, and of a set.
RAW = ("atss_small", "yolact_small", "detr_small")


@pytest.mark.parametrize(
    ("detector", "raw"), [*((d, False) for d in DETECTORS), *((d, True) for d in RAW)]
)
def test_the_module_gives_what_the_detector_gives(model, images, detector, raw):
    own = model(detector)
    network = ExportNetwork(own, raw).eval()
    with torch.no_grad():
        agreement = compare_file(network, network, own, [images])
    assert agreement.holds, str(agreement)
    assert agreement.rows > 10
    assert len(network(images)) == len(network.output_names)


def test_masks_are_those_of_the_files(model, images):
    own = model("yolact_small")
    images = images.round()
    _, scores, labels, masks = ExportNetwork(own).eval()(images)
    pixels = [image.byte() for image in images]
    found = own.predict(pixels, batch_size=2)
    for k, expected in enumerate(found):
        area = [int(coco_mask.area(rle)) for rle in expected.rles[:5]]
        assert masks[k, :5].sum((1, 2)).tolist() == pytest.approx(area, abs=20)
    assert masks.shape == (2, scores.shape[1], 64, 96)
    assert not masks[labels < 0].any()


@pytest.mark.parametrize("raw", [False, True])
def test_detectors_with_proposals_are_refused(raw):
    class FasterRCNN:
        gives = ("priors", "class_boxes")

    with pytest.raises(ValueError, match="but got FasterRCNN, whose proposals depend on the pict"):
        ExportNetwork(SimpleNamespace(detector=FasterRCNN()), raw)
