import torch

from corrlight.detectors import FoveaBox
from tests.detectors.build import batch_of, build


def test_shapes():
    (stage,) = build(FoveaBox)(batch_of())
    assert stage.logits.shape == (2, 12 * 16 + 6 * 8 + 3 * 4 + 2 * 2 + 1, 3)
    assert stage.quality is None


def test_cells_in_the_padding_of_small_images_count():
    (stage,) = build(FoveaBox)(batch_of())
    assert stage.valid.all()


def test_outputs_are_logarithms_of_distances():
    model = build(FoveaBox)
    torch.nn.init.zeros_(model.regressor.weight)
    with torch.no_grad():
        model.regressor.bias.copy_(torch.tensor([0.5, 1, 2, 3]).log())
    (stage,) = model(batch_of())
    middle = torch.tensor([4.0, 4, 4, 4])  # the first cell of stride 8
    expected = middle + torch.tensor([-8.0, -16, 32, 48])
    torch.testing.assert_close(stage.boxes[0, 0], expected)
    last = torch.tensor([64.0, 64, 64, 64]) + 16 * torch.tensor([-8.0, -16, 32, 48])
    torch.testing.assert_close(stage.boxes[0, -1], last)
