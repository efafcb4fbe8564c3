"""The snippet of docs/plug_in.md: Correlation Loss in torchvision's RetinaNet."""

import re
from pathlib import Path

import pytest
import torch

PAGE = Path(__file__).parents[2] / "docs" / "plug_in.md"


@pytest.fixture(scope="module")
def snippet():
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert blocks
    torch.manual_seed(0)
    namespace = {}
    exec(compile("\n".join(blocks), str(PAGE), "exec"), namespace)
    return namespace


def test_loss_is_finite_and_beside_torchvisions_own(snippet):
    losses = snippet["losses"]
    assert set(losses) == {"classification", "bbox_regression", "correlation"}
    assert 0 < losses["correlation"] < 0.2 * 2
    assert all(value.isfinite() for value in losses.values())


def test_only_the_classifier_learns_from_it(snippet):
    model, loss = snippet["model"], snippet["losses"]["correlation"]
    boxes = list(model.head.regression_head.parameters())
    grads = torch.autograd.grad(loss, boxes, allow_unused=True, retain_graph=True)
    assert all(grad is None or bool((grad == 0).all()) for grad in grads)
    classifier = list(model.head.classification_head.parameters())
    grads = torch.autograd.grad(loss, classifier, retain_graph=True)
    assert all(grad.isfinite().all() for grad in grads)
    assert all(bool((grad != 0).any()) for grad in grads)


def test_batch_without_objects(snippet):
    empty = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long)}
    losses = snippet["model"]([torch.rand(3, 128, 128)], [empty])
    assert losses["correlation"] == 0
    sum(losses.values()).backward()
