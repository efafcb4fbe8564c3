"""Examples of docs/plug_in.md: transformers and rfdetr (others: test_torchvision_snippet)."""

import re
from pathlib import Path

import pytest
import torch

PAGE = Path(__file__).parents[2] / "docs" / "plug_in.md"


def example(library):
    """Return the code of the page that imports a library."""
    blocks = re.findall(r"^```py\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    (block,) = (block for block in blocks if block.startswith(f"from {library}"))
    return compile(block, str(PAGE), "exec")


@pytest.mark.hf
def test_the_example_of_transformers_runs():
    torch.manual_seed(0)
    label = {
        "class_labels": torch.tensor([1, 3]),
        "boxes": torch.tensor([[0.3, 0.3, 0.2, 0.3], [0.6, 0.6, 0.4, 0.3]]),
    }
    namespace = {"images": torch.rand(1, 3, 128, 128), "labels": [label]}
    exec(example("transformers"), namespace)
    term = namespace["output"].loss_dict["loss_correlation"]
    assert term.item() == pytest.approx(0.2 * namespace["handle"].value.item())
    assert namespace["handle"].num_positives == 2


@pytest.mark.rfdetr
@pytest.mark.slow
def test_the_example_of_rfdetr_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    namespace = {}
    exec(example("rfdetr"), namespace)
    module, handle = namespace["module"], namespace["handle"]
    logged = {}
    monkeypatch.setattr(module, "log_dict", lambda values, **_: logged.update(values))
    monkeypatch.setattr(module, "log", lambda name, value, **_: logged.update({name: value}))
    monkeypatch.setattr(module, "_log_train_progress_metrics", lambda *_, **__: None)
    from rfdetr.utilities.tensors import NestedTensor

    target = {
        "labels": torch.tensor([1, 3]),
        "boxes": torch.tensor([[0.3, 0.3, 0.2, 0.3], [0.6, 0.6, 0.4, 0.3]]),
    }
    pictures = NestedTensor(torch.rand(1, 3, 384, 384), torch.zeros(1, 384, 384, dtype=torch.bool))
    loss = module.train().training_step((pictures, [target]), 0)
    # Two layers of thirteen groups of queries.
    assert handle.num_positives == 2 * 2 * 13
    handle.weight = 0.0
    torch.testing.assert_close(logged["train/loss_correlation"], handle.value)
    assert loss.isfinite()
