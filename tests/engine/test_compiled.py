"""Compiled detectors against themselves: outputs, gradients, and how often they are compiled."""

import shutil
from dataclasses import replace

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from corrlight.backbones import ResNet
from corrlight.config.build import build_module
from corrlight.config.compose import compose_config
from corrlight.engine.compiled import check_compiler, compile_parts
from corrlight.ops.switch import OPERATORS, fast_ops
from tests.detectors.build import batch_with
from tests.helpers.detector_files import names, of_ours
from tests.helpers.ranks.ddp_detectors import BOXES, make_batch

# The first two may be compiled for.
SIZES = [(96, 128), (64, 96), (128, 96), (160, 128), (96, 192), (64, 64), (128, 160)]
# The small detectors share a backbone, DETR's but for its last stage: these two compile it.
WITH_BACKBONE = ("atss_small", "detr_small")


def build(detector, *more):
    torch.manual_seed(0)
    options = [f"detector={detector}", "corr=concordance", "data.num_classes=3", *more]
    module = build_module(compose_config(options).config).train()
    for part in module.modules():  # DETR's draws are its own
        if isinstance(part, torch.nn.Dropout) or hasattr(part, "p"):
            part.p = 0.0
        if isinstance(part, torch.nn.MultiheadAttention):
            part.dropout = 0.0
    return module


def batch_of_size(size):
    images = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(sum(size)))
    batch = make_batch(BOXES, seed=1)
    masks = torch.zeros(len(BOXES), *size, dtype=torch.bool)
    masks[:, 10:30, 10:30] = True
    target = replace(
        batch.targets[0], valid_size=size, padded_size=size, original_size=size, masks=masks
    )
    return replace(batch, images=images, targets=(target,))


@pytest.fixture(autouse=True)
def _fresh():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def compiled_with(monkeypatch, module, backend, *, backbone):
    plain = torch.nn.Module.compile

    def compiled(part):
        if backbone or not isinstance(part, ResNet):
            plain(part, backend=backend)

    monkeypatch.setattr(torch.nn.Module, "compile", compiled)
    return compile_parts(module.detector)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("detector", of_ours(names("*_small")))
def test_graphs_give_what_the_detector_gives_and_serve_all_sizes(detector, monkeypatch):
    plain, module = build(detector), build(detector)
    counter = CompileCounterWithBackend("eager")
    names = compiled_with(monkeypatch, module, counter, backbone=detector in WITH_BACKBONE)
    assert "backbone" in names
    assert module.state_dict().keys() == plain.state_dict().keys()
    frames = []
    for size in SIZES:
        batch = batch_of_size(size)
        ours = module.detector(batch)
        with fast_ops({*OPERATORS} - {"product"}):  # Graphs have PyTorch's own products.
            theirs = plain.detector(batch)
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a.logits, b.logits, atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(a.boxes, b.boxes, atol=1e-2, rtol=1e-4)
        frames.append(counter.frame_count)
    assert frames[0] > 0
    # Five more sizes, at most two recompilations of a part.
    assert frames[-1] - frames[1] <= 2 * frames[0], frames


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(shutil.which("c++") is None, reason="Inductor needs a C++ compiler")
def test_inductor_gives_the_loss_and_the_gradients():
    plain, module = (build("atss_small", "detector.net.num_convs=1") for _ in range(2))
    compile_parts(module.detector)
    batch = batch_with([[4.0, 5, 40, 44], [50, 20, 90, 60]])
    losses = []
    for one in (plain, module):
        loss = one.step(batch).loss
        loss.backward()
        losses.append(loss.detach())
    torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-4)
    for (name, a), b in zip(plain.named_parameters(), module.parameters(), strict=True):
        if a.requires_grad:
            torch.testing.assert_close(
                a.grad, b.grad, rtol=1e-2, atol=1e-3, msg=lambda text, name=name: f"{name}: {text}"
            )


def test_without_a_compiler_it_is_refused(monkeypatch):
    check_compiler()
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    with pytest.raises(ValueError, match=r"a C\+\+ compiler for `compile=true`"):
        check_compiler()
