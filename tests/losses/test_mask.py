import numpy as np
import pytest
import torch

from corrlight.losses import mask_loss, semantic_loss
from corrlight.losses.mask import box_regions, dice_loss


def example(seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 4, 5, generator=generator, requires_grad=True)
    targets = (torch.rand(2, 4, 5, generator=generator) > 0.5).float()
    regions = torch.rand(2, 4, 5, generator=generator) > 0.3
    return logits, targets, regions, torch.tensor([0.25, 0.5])


def test_mask_loss_written_out() -> None:
    logits, targets, regions, areas = example()
    p = 1 / (1 + np.exp(-logits.detach().double().numpy()))
    t, r = targets.double().numpy(), regions.numpy()
    expected = -(t * np.log(p) + (1 - t) * np.log(1 - p)) * r
    expected = expected.sum((1, 2)) / 20 / areas.numpy()
    actual = mask_loss(logits, targets, regions, areas)
    assert actual.tolist() == pytest.approx(expected.tolist(), rel=1e-5)


def test_mask_loss_has_no_gradient_outside_the_region() -> None:
    logits, targets, regions, areas = example()
    mask_loss(logits, targets, regions, areas).sum().backward()
    assert ((logits.grad != 0) == regions).all()


def test_mask_loss_is_exact_and_learns_where_the_probability_is_rounded() -> None:
    logits = torch.full((1, 2, 2), 60.0, requires_grad=True)
    everywhere, area = torch.ones(1, 2, 2, dtype=torch.bool), torch.ones(1)
    loss = mask_loss(logits, torch.zeros(1, 2, 2), everywhere, area)
    loss.sum().backward()
    assert loss.item() == pytest.approx(60)
    assert (logits.grad == 0.25).all()


def test_mask_loss_names_wrong_shapes() -> None:
    logits, targets, regions, areas = example()
    with pytest.raises(ValueError, match=r"\(2, 4, 5\), \(2, 4, 4\)"):
        mask_loss(logits, targets[..., :4], regions, areas)


def test_semantic_loss_written_out() -> None:
    logits = torch.randn(3, 2, 2, generator=torch.Generator().manual_seed(1))
    masks = torch.tensor([[[1, 0], [0, 0]], [[1, 1], [0, 0]], [[0, 0], [0, 1]]]).bool()
    covered = torch.zeros(3, 2, 2)
    covered[2] = torch.tensor([[1, 1], [0, 0]])  # two objects of class 2
    covered[0] = torch.tensor([[0, 0], [0, 1]])
    p = logits.sigmoid()
    expected = -(covered * p.log() + (1 - covered) * (1 - p).log()).sum() / 4
    torch.testing.assert_close(semantic_loss(logits, masks, torch.tensor([2, 2, 0])), expected)


def test_regions_are_a_pixel_wider_and_end_at_the_map() -> None:
    boxes = torch.tensor([[20.0, 30, 44, 50], [0, 0, 100, 80], [44, 50, 20, 30]])
    regions = box_regions(boxes, (80, 100), (8, 10))
    first = torch.zeros(8, 10, dtype=torch.bool)
    # The box is (2, 3) to (4.4, 5) in the map, (1, 2) to (5.4, 6) with a pixel around it.
    first[2:6, 1:6] = True
    assert torch.equal(regions[0], first)
    assert regions[1].all()
    # Swapped corners are put in order.
    assert torch.equal(regions[2], first)


def test_dice_written_out():
    logits = torch.tensor([[[0.0, 2.0], [-1.0, 3.0]], [[50.0, -50.0], [50.0, -50.0]]])
    targets = torch.tensor([[[1.0, 1.0], [0.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]]])
    found = dice_loss(logits, targets)
    p = [1 / (1 + 2.718281828459045**-x) for x in (0.0, 2.0, -1.0, 3.0)]
    expected = 1 - 2 * (p[0] + p[1]) / (sum(x * x for x in p) + 2 + 1e-5)
    assert float(found[0]) == pytest.approx(expected, rel=1e-6)
    assert float(found[1]) == pytest.approx(0, abs=1e-4)
    assert dice_loss(logits[:0], targets[:0]).shape == (0,)
    with pytest.raises(ValueError, match=r"`targets`.*\(2, 2, 2\).*\(1, 2, 2\)"):
        dice_loss(logits, targets[:1])
