import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from corrlight.data.fitting.anchor_fit import anchor_fit, anchor_shapes, best_scale
from corrlight.detectors.anchors import AnchorGrid


def test_shapes_are_those_of_the_grid():
    grid = AnchorGrid([8, 16], [24, 64], [1.0, 1.5], [0.5, 2.0])
    boxes, _levels = grid([(1, 1), (1, 1)], torch.device("cpu"))
    shapes, strides = anchor_shapes(grid.strides, grid.sizes, grid.scales, grid.ratios)
    seen = (boxes[:, 2:] - boxes[:, :2]).numpy()
    assert np.allclose(sorted(seen.tolist()), sorted(shapes.tolist()), atol=1e-4)
    assert sorted(strides) == [8] * 4 + [16] * 4


def test_fit_is_the_iou_a_quarter_of_a_stride_apart():
    sizes = np.array([[10.0, 14.0], [60.0, 40.0], [2.0, 2.0]])
    shapes, strides = anchor_shapes([8, 16], [12, 48], [1.0], [1.0])

    def box(size, offset=0.0):
        centre = torch.tensor([100.0 + offset, 100.0 + offset])
        half = torch.tensor(size, dtype=torch.float32) / 2
        return torch.cat([centre - half, centre + half])[None]

    best = [
        max(
            float(box_iou(box(size), box(shape, stride / 4)))
            for shape, stride in zip(shapes, strides, strict=True)
        )
        for size in sizes
    ]
    fit = anchor_fit(sizes, shapes, strides)
    assert fit.mean_iou == pytest.approx(np.mean(best), abs=1e-6)
    assert fit.unfit == pytest.approx(np.mean(np.array(best) < 0.5))
    assert fit.too_small == pytest.approx(1 / 3)
    assert fit.num_objects == 3


def test_without_objects_nothing_is_known():
    shapes, strides = anchor_shapes([8], [32], [1.0], [1.0])
    fit = anchor_fit(np.zeros((0, 2)), shapes, strides)
    assert (fit.unfit, fit.too_small, fit.mean_iou) == (None, None, None)
    with pytest.raises(ValueError, match="Expected objects"):
        best_scale(np.zeros((0, 2)), shapes, strides)


@pytest.mark.parametrize("edge", [16.0, 64.0, 200.0])
def test_best_scale_finds_the_size_of_equal_objects(edge):
    sizes = np.full((50, 2), edge)
    shapes, strides = anchor_shapes([4], [32], [1.0], [1.0])
    assert best_scale(sizes, shapes, strides) * 32 == pytest.approx(edge, rel=0.1)


def test_best_scale_never_fits_fewer_objects():
    sizes = np.random.default_rng(0).lognormal(2.7, 0.5, (500, 2))
    shapes, strides = anchor_shapes([8, 16, 32], [32, 64, 128], [1.0], [1.0])
    before = anchor_fit(sizes, shapes, strides)
    after = anchor_fit(sizes, shapes * best_scale(sizes, shapes, strides), strides)
    assert after.unfit < before.unfit
