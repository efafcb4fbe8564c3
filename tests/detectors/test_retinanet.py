import pytest
import torch

from corrlight.detectors import RetinaNet
from tests.detectors.build import batch_of, build


@pytest.mark.parametrize("extra_levels", ["on_input", "on_output"])
def test_shapes(extra_levels):
    (stage,) = build(RetinaNet, extra_levels=extra_levels)(batch_of())
    cells = torch.tensor([12 * 16, 6 * 8, 3 * 4, 2 * 2, 1])
    assert stage.logits.shape == (2, 9 * int(cells.sum()), 3)
    assert stage.level_idx.bincount().tolist() == (9 * cells).tolist()
    assert stage.quality is None
    assert stage.valid[0].all()
    assert 0 < stage.valid[1].sum() < stage.valid.shape[1]


def test_towers_without_normalisation_have_biases():
    names = dict(build(RetinaNet).named_parameters())
    assert "cls_tower.0.conv.bias" in names
    assert not any("norm" in name for name in names if "tower" in name)
    assert not any(name.startswith("scales") for name in names)
    names = dict(build(RetinaNet, norm_groups=8).named_parameters())
    assert "cls_tower.0.conv.bias" not in names
    assert "cls_tower.0.norm.weight" in names


def test_anchors_of_a_cell():
    model = build(RetinaNet, anchor_scale=3, scales_per_octave=2, ratios=(1, 4))
    priors = model(batch_of())[0].priors[:4]
    expected = [[24, 24], [24 * 2**0.5] * 2, [12, 48], [12 * 2**0.5, 48 * 2**0.5]]
    torch.testing.assert_close(priors[:, 2:] - priors[:, :2], torch.tensor(expected))


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"`strides` to have 5 entries.*got 2"):
        build(RetinaNet, strides=(8, 16))
