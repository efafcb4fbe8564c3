import pytest
import torch

from corrlight.convert.expected import compose_detector, expected_detector
from corrlight.detectors import ATSS, PAA
from corrlight.detectors.rated_dense import RatedDenseDetector
from corrlight.detectors.toolbox_names import to_toolbox_names
from tests.detectors.build import batch_of, build

BRANCHES = {"centerness": ATSS, "iou": PAA}


@pytest.mark.parametrize("branch", BRANCHES)
def test_the_branch_is_the_class_own_and_names_its_weights(branch):
    detector = BRANCHES[branch]
    assert issubclass(detector, RatedDenseDetector)
    model, named = build(detector), build(detector, branch)
    assert {n for n in model.state_dict() if n.startswith(branch)} == {
        f"{branch}.weight",
        f"{branch}.bias",
    }
    assert model.state_dict().keys() == named.state_dict().keys()
    assert model.gives == named.gives == ("priors", "deltas", "quality")


@pytest.mark.parametrize("branch", BRANCHES)
def test_another_networks_branch_is_refused(branch):
    other = next(name for name in BRANCHES if name != branch)
    with pytest.raises(ValueError, match=f"`aux_head`.*{branch}.*but got '{other}'"):
        build(BRANCHES[branch], other)


def test_both_networks_are_one():
    """The same weights give the same predictions; only the third branch's name differs."""
    atss, paa = build(ATSS), build(PAA)
    renamed = {n.replace("centerness.", "iou."): v for n, v in atss.state_dict().items()}
    paa.load_state_dict(renamed)
    with torch.no_grad():
        ours, theirs = (model.eval()(batch_of())[0] for model in (atss, paa))
    for field in ("logits", "boxes", "quality", "deltas"):
        assert torch.equal(getattr(ours, field), getattr(theirs, field))


@pytest.mark.parametrize("detector", [ATSS, PAA])
def test_without_the_branch_nothing_is_given_nor_stored(detector):
    model = build(detector, "none")
    assert model.gives == ("priors", "deltas")
    assert not any(n.startswith(("centerness", "iou")) for n in model.state_dict())


def test_both_are_stored_under_the_same_names_of_the_toolbox():
    theirs = [
        [*to_toolbox_names(model.shapes, model.rules)]
        for model in (expected_detector(compose_detector(d, []), 3) for d in ("atss", "paa"))
    ]
    assert theirs[0] == theirs[1]
    assert "bbox_head.atss_centerness.weight" in theirs[0]


def test_unknown_options_are_refused():
    with pytest.raises(TypeError, match="num_conv"):
        build(ATSS, num_conv=3)
