import torch

from corrlight.detectors.dynamic_head import DynamicConv, DynamicHead


def test_dynamic_convolution_of_one_region_written_out() -> None:
    torch.manual_seed(0)
    conv = DynamicConv(channels=6, dynamic_channels=2, num_cells=4)
    proposals, regions = torch.randn(3, 6), torch.randn(3, 4, 6)
    ours = conv(proposals, regions)
    for m in range(3):
        weights = proposals[m] @ conv.generator.weight.T + conv.generator.bias
        first, second = weights[:12].view(6, 2), weights[12:].view(2, 6)
        x = conv.norm_in(regions[m] @ first).clamp(min=0)
        x = conv.norm_out(x @ second).clamp(min=0)
        x = conv.norm(conv.project(x.reshape(-1))).clamp(min=0)
        torch.testing.assert_close(ours[m], x)


def test_proposals_see_each_other_only_within_an_image() -> None:
    torch.manual_seed(0)
    head = DynamicHead(8, 3, num_heads=2, feedforward_channels=16, dynamic_channels=4, num_cells=4)
    proposals, regions = torch.randn(2, 5, 8), torch.randn(2, 5, 4, 8)
    before = head(proposals, regions)
    changed = proposals.clone()
    changed[0, 0, 0] += 1
    after = head(changed, regions)
    for old, new in zip(before, after, strict=True):
        assert (old[0, 1:] != new[0, 1:]).any()
        torch.testing.assert_close(old[1], new[1])


def test_a_region_is_seen_by_its_own_proposal_only() -> None:
    torch.manual_seed(0)
    head = DynamicHead(8, 3, num_heads=2, feedforward_channels=16, dynamic_channels=4, num_cells=4)
    proposals, regions = torch.randn(1, 5, 8), torch.randn(1, 5, 4, 8)
    before = head(proposals, regions)[0]
    regions[0, 2] += 1
    difference = (head(proposals, regions)[0] - before).abs().sum((0, 2))
    assert (difference > 1e-6).tolist() == [False, False, True, False, False]
