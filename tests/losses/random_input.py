"""Random logits and boxes of double precision."""

import torch
import torch.nn.functional as F

GENERATOR = torch.Generator().manual_seed(0)


def random(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=GENERATOR)


def random_boxes(n, dtype=torch.float64):
    corner = torch.rand(n, 2, dtype=dtype, generator=GENERATOR) * 50
    return torch.cat([corner, corner + 5 + torch.rand(n, 2, dtype=dtype, generator=GENERATOR)], 1)


def one_hot(labels, num_classes, dtype):
    return F.one_hot(labels, num_classes + 1)[:, :num_classes].to(dtype)
