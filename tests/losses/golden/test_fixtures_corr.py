"""Coefficients against vectors of the published implementation (fixtures ``corr_loss``)."""

import json

import numpy as np
import pytest
import torch

from corrlight.losses import correlation_loss, soft_rank
from tests.helpers.paths import existing_fixture

pytestmark = pytest.mark.fixtures


@pytest.fixture(scope="module")
def data():
    root = existing_fixture("corr_loss")
    values = json.loads((root / "values.json").read_text())
    assert values
    with np.load(root / "vectors.npz") as archive:
        return values, {key: torch.from_numpy(archive[key]) for key in archive.files}


def options_of(kind):
    strength = kind.partition("_eps")[2]
    return {"regularization_strength": float(strength)} if strength else {}


def rounding_of(kind, *sides):
    """Return the published single-precision error: ranks of up to n, subtracted from their mean."""
    strength = kind.partition("_eps")[2]
    if not strength:
        return 0.0
    eps = torch.finfo(torch.float32).eps
    return max(eps * len(x) / soft_rank(x, float(strength)).std().item() for x in sides)


def test_losses(data):
    values, vectors = data
    for case, kinds in values.items():
        for kind, expected in kinds.items():
            sides = vectors[f"{case}_score"], vectors[f"{case}_iou"]
            loss = correlation_loss(*sides, kind.partition("_eps")[0], **options_of(kind))
            tolerance = 1e-5 + rounding_of(kind, *sides)
            assert loss.item() == pytest.approx(expected, rel=1e-4, abs=tolerance), (case, kind)


def test_gradients(data):
    values, vectors = data
    compared = 0
    for case, kinds in values.items():
        for kind in kinds:
            scores = vectors[f"{case}_score"].clone().requires_grad_()
            ious = vectors[f"{case}_iou"]
            loss = correlation_loss(scores, ious, kind.partition("_eps")[0], **options_of(kind))
            loss.backward()
            expected = vectors[f"{case}_{kind}_grad"]
            # With two positives the gradient of a Pearson correlation is rounding only.
            if len(scores) > 2 or kind == "concordance":
                error = (scores.grad - expected).norm() / expected.norm().clamp(min=1e-6)
                assert error < 1e-3 + rounding_of(kind, scores.detach(), ious), (case, kind)
                compared += 1
    assert compared


def test_soft_ranks(data):
    values, vectors = data
    for case in values:
        prefix = f"{case}_softrank_eps"
        names = [name for name in vectors if name.startswith(prefix)]
        assert names
        for name in names:
            ranks = soft_rank(vectors[f"{case}_score"], float(name.removeprefix(prefix)))
            torch.testing.assert_close(ranks, vectors[name], rtol=1e-4, atol=1e-4)
