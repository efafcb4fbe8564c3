"""Every choice of ``loss=`` trains the dense detector, through the configuration."""

import pytest
import torch

from corrlight.config.build import build_module
from corrlight.config.compose import compose_config, config_dir
from corrlight.structures import Batch, Targets

# The others are for detectors with a softmax, which ATSS is not.
SOFTMAX = {"cross_entropy", "hard_negatives", "softmax"}
DENSE = sorted(p.stem for p in (config_dir() / "loss").glob("*.yaml") if p.stem not in SOFTMAX)


def batch(*num_objects):
    generator = torch.Generator().manual_seed(1)
    all_targets = []
    for k, count in enumerate(num_objects):
        corner = torch.rand(count, 2, generator=generator) * 40
        size = torch.tensor([[18.0, 24.0], [40.0, 36.0]])[:count]
        all_targets.append(
            Targets(
                boxes=torch.cat([corner, (corner + size).clamp(max=64)], 1),
                labels=torch.arange(count) % 8,
                valid_size=(64, 64),
                padded_size=(64, 64),
                original_size=(64, 64),
                image_id=k,
            )
        )
    images = torch.randn(len(num_objects), 3, 64, 64, generator=generator)
    return Batch(images=images, targets=tuple(all_targets))


@pytest.fixture(scope="module", params=DENSE)
def config(request):
    return compose_config(["detector=atss_small", f"loss={request.param}"]).config


@pytest.mark.parametrize("aux_head", ["none", "centerness"])
def test_trains_with_and_without_auxiliary_head(config, aux_head):
    torch.manual_seed(0)
    config.detector.aux_head = aux_head
    module = build_module(config).train()
    for example in (batch(2, 1), batch(0, 0)):
        output = module.step(example, reduce=True)
        assert output.loss.isfinite()
        module.zero_grad()
        output.loss.backward()
        missing = [n for n, p in module.named_parameters() if p.requires_grad and p.grad is None]
        assert missing == []
        assert all(p.grad.isfinite().all() for p in module.parameters() if p.grad is not None)
    optimizer = torch.optim.AdamW(module.parameters(), lr=2e-3)
    values = []
    for _ in range(5):
        output = module.step(batch(2, 1), reduce=True)
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        # Self-balances change the scale of the boxes' part; their value says nothing.
        values.append(sum(float(v) for k, v in output.terms.items() if k != "loss_box"))
    assert values[-1] < values[0]


def test_no_recipe_is_without_a_source():
    folder = config_dir() / "experiment"
    recipes = {p.stem: p.read_text() for p in folder.glob("atss_*_r50_1x.yaml")}
    assert len(recipes) >= 4
    for name, text in recipes.items():
        assert "# source: " in text, name
        assert any(w in text for w in ("published config", "thesis text", "our choice")), name
