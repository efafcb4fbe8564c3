import torch

from corrlight.detectors.two_stage.region_head import RegionHead


def test_layers_read_a_region_by_channel_then_by_cell():
    torch.manual_seed(0)
    head = RegionHead(channels=3, num_cells=4, hidden_channels=6, num_classes=2, num_logits=3)
    regions = torch.randn(2, 5, 4, 3)
    logits, deltas = head(regions)
    assert logits.shape == (2, 5, 3)
    assert deltas.shape == (2, 5, 2, 4)
    x = regions[1, 2].T.reshape(-1)  # (channels, cells)
    for layer in head.layers:
        x = (layer.weight @ x + layer.bias).clamp(min=0)
    torch.testing.assert_close(logits[1, 2], head.classifier(x))
    torch.testing.assert_close(deltas[1, 2].flatten(), head.regressor(x))


def test_it_starts_near_no_opinion():
    head = RegionHead(16, 49, 64, 5, 6)
    logits, deltas = head(torch.randn(1, 20, 49, 16))
    assert logits.abs().max() < 0.5
    assert deltas.abs().max() < 0.05
