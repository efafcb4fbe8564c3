import pytest

from corrlight.detectors import ATSS, PAA
from tests.detectors.build import batch_of, build


@pytest.mark.parametrize("aux_head", ["none", "untrained", "iou"])
def test_auxiliary_head(aux_head):
    model = build(PAA, aux_head)
    (stage,) = model(batch_of())
    has_branch = any(name.startswith("iou") for name, _ in model.named_parameters())
    assert has_branch == (stage.quality is not None) == (aux_head != "none")


def test_the_network_is_that_of_atss():
    paa, atss = build(PAA), build(ATSS)
    shapes = [[p.shape for p in model.parameters()] for model in (paa, atss)]
    assert shapes[0] == shapes[1]


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"`aux_head`.*'iou', but got 'centerness'"):
        build(PAA, "centerness")
