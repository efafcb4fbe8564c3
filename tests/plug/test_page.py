"""The example of docs/plug_in.md for transformers; that for torchvision is in tests/losses."""

import re
from pathlib import Path

import pytest
import torch

PAGE = Path(__file__).parents[2] / "docs" / "plug_in.md"

pytestmark = pytest.mark.hf


def test_the_example_of_transformers_runs():
    (block,) = re.findall(r"^```py\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    torch.manual_seed(0)
    label = {
        "class_labels": torch.tensor([1, 3]),
        "boxes": torch.tensor([[0.3, 0.3, 0.2, 0.3], [0.6, 0.6, 0.4, 0.3]]),
    }
    namespace = {"images": torch.rand(1, 3, 128, 128), "labels": [label]}
    exec(compile(block, str(PAGE), "exec"), namespace)
    term = namespace["output"].loss_dict["loss_correlation"]
    assert term.item() == pytest.approx(0.2 * namespace["handle"].value.item())
    assert namespace["handle"].num_positives == 2
