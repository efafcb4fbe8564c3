"""Every detector in bfloat16 autocast: finite terms, and a finite gradient for every parameter."""

import pytest
import torch

from corrlight.config.build import build_module
from corrlight.config.compose import compose_config
from tests.helpers.ddp_detectors import BOXES, make_batch
from tests.helpers.detector_files import marked, names

SMALL = marked(names("*_small"))


@pytest.mark.parametrize("detector", SMALL)
@pytest.mark.parametrize("boxes", [BOXES, []], ids=["objects", "none"])
def test_a_step_in_bfloat16_is_finite(detector, boxes):
    torch.manual_seed(0)
    options = [f"detector={detector}", "corr=concordance", "data.num_classes=3"]
    module = build_module(compose_config(options).config).train()
    with torch.autocast("cpu", torch.bfloat16):
        output = module.step(make_batch(boxes, seed=1), detect=True)
    assert all(value.isfinite() for value in output.terms.values()), output.terms
    assert output.predictions[-1].boxes.dtype == torch.float32
    for found in output.detections:
        assert found.scores.isfinite().all()
        assert found.boxes.isfinite().all()
    output.loss.backward()
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
