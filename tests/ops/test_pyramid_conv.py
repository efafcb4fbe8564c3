import copy
import pickle

import lightning.pytorch as pl
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import EMAWeightAveraging

from corrlight.ops import product, winograd
from corrlight.ops.pyramid_conv import PyramidConv
from corrlight.ops.switch import fast_ops
from tests.helpers.ops.writes import WRITES

# Every remainder of the sizes by 4; a map smaller than a tile; one that needs several chunks.
SIZES = [(36, 57), (18, 29), (9, 15), (5, 8), (3, 4), (1, 2)]


@pytest.fixture(params=[True, False], ids=["wide", "narrow"], autouse=True)
def _vectors(monkeypatch, request):
    """As on processors with AVX-512 and on those without."""
    monkeypatch.setattr(winograd, "WIDE", request.param)
    monkeypatch.setattr(product, "WIDE", request.param)
    monkeypatch.setattr(product, "_MIN_MULTIPLICATIONS", 1)


def _conv(in_channels=128, out_channels=64, bias=True):
    torch.manual_seed(0)
    conv = PyramidConv(in_channels, out_channels, bias)
    return conv.to(memory_format=torch.channels_last)


def _maps(channels=128, batch=2, sizes=SIZES):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(batch, channels, *s, generator=generator) for s in sizes]


def _direct(conv, maps):
    bias = None if conv.bias is None else conv.bias.double()
    return [F.conv2d(m.double(), conv.weight.double(), bias, padding=1) for m in maps]


def _assert_near(actual, expected, tolerance=3e-5):
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.fixture
def calls(monkeypatch):
    """How often the Winograd path was taken."""
    made = []
    original = winograd.convolve
    monkeypatch.setattr(
        winograd, "convolve", lambda *args, **kwargs: made.append(1) or original(*args, **kwargs)
    )
    return made


@pytest.fixture
def transforms(monkeypatch):
    """How often a weight was transformed."""
    made = []
    original = winograd.transform_weight
    monkeypatch.setattr(
        winograd, "transform_weight", lambda weight: made.append(1) or original(weight)
    )
    return made


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kept", [0, 512], ids=["recomputed", "kept"])
def test_values_and_gradients_equal_those_of_the_direct_convolution(calls, monkeypatch, bias, kept):
    monkeypatch.setattr(winograd, "_KEPT", kept)
    conv, maps = _conv(bias=bias), [m.requires_grad_() for m in _maps()]
    outputs = conv(maps)
    assert len(calls) == 1
    expected = _direct(conv, maps)
    generator = torch.Generator().manual_seed(2)
    directions = [torch.randn(o.shape, generator=generator) for o in outputs]
    sources = [*maps, *conv.parameters()]
    gradients = torch.autograd.grad(outputs, sources, directions)
    expected_gradients = torch.autograd.grad(expected, sources, [d.double() for d in directions])
    for actual, wanted in zip(
        [*outputs, *gradients], [*expected, *expected_gradients], strict=True
    ):
        _assert_near(actual, wanted)


def test_only_the_gradients_that_are_needed(calls):
    conv, maps = _conv(), _maps()
    sum(o.square().sum() for o in conv(maps)).backward()
    assert conv.weight.grad is not None
    conv.requires_grad_(False)
    maps = [m.requires_grad_() for m in maps]
    sum(o.square().sum() for o in conv(maps)).backward()
    assert all(m.grad is not None for m in maps)
    assert len(calls) == 2


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("write", WRITES)
def test_inference_follows_every_way_of_writing(calls, mode, write):
    conv, maps = _conv(), _maps(batch=1, sizes=[(33, 33)])
    with mode():
        before = conv(maps)[0]
    changed = WRITES[write](conv)
    with mode():
        after = changed(maps)[0]
    _assert_near(after, _direct(changed, maps)[0])
    assert not torch.allclose(after, before, rtol=1e-2)
    output = changed(maps)[0]  # and training goes on after inference
    output.sum().backward()
    _assert_near(output, after)
    assert len(calls) == 3


def test_inferences_of_the_same_weight_transform_it_once(calls, transforms):
    conv, maps = _conv(), _maps(batch=1, sizes=[(33, 33)])
    with torch.no_grad():
        first, second = conv(maps)[0], conv(maps)[0]
    assert torch.equal(first, second)
    assert (len(calls), len(transforms)) == (2, 1)
    assert copy.deepcopy(conv)._kept is None
    assert pickle.loads(pickle.dumps(conv))._kept is None
    conv(maps)[0].sum().backward()
    assert conv._kept is None  # Training has better use for the memory.
    with torch.no_grad():
        conv.weight.fill_(torch.nan)
        assert conv(maps)[0].isnan().all()


def test_sizes_that_change_and_sizes_that_do_not_give_the_same_bits(transforms):
    conv = _conv()
    small, large = _maps(batch=1, sizes=[(33, 33)]), _maps(batch=1, sizes=[(40, 36), (20, 18)])
    many = _maps(batch=3, sizes=[(64, 64)])
    with torch.no_grad():
        results = [[o.clone() for o in conv(maps)] for maps in (small, large, many)]
        for order in ((small, small, small), (large, large, small, small), (many, many, large)):
            for maps in order:
                expected = next(
                    r for m, r in zip((small, large, many), results, strict=True) if m is maps
                )
                for one, other in zip(conv(maps), expected, strict=True):
                    assert torch.equal(one, other)
    for maps, outputs in zip((small, large, many), results, strict=True):
        for one, other in zip(outputs, _direct(conv, maps), strict=True):
            _assert_near(one, other)
    # What is packed for one size has to be transformed again for another.
    assert len(transforms) <= 4


def test_lightnings_averages_of_the_weights_are_what_is_validated(tmp_path):
    """``WeightAveraging`` swaps the weights through ``.data`` around every validation."""
    seen = []

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.conv, self.maps = _conv(), _maps(batch=1, sizes=[(33, 33)])

        def training_step(self, batch, batch_idx):
            return self.conv(self.maps)[0].square().mean()

        def validation_step(self, batch, batch_idx):
            _assert_near(self.conv(self.maps)[0], _direct(self.conv, self.maps)[0])
            seen.append(self.conv.weight.detach().clone())

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    class Watch(pl.Callback):
        def on_train_epoch_end(self, trainer, module):
            module.validation_step(None, 0)  # the weights that are trained, after the averages

    module = Module()
    trainer = pl.Trainer(
        max_epochs=2,
        accelerator="cpu",
        callbacks=[EMAWeightAveraging(decay=0.5), Watch()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        num_sanity_val_steps=0,
    )
    batches = torch.utils.data.DataLoader([0, 1])
    trainer.fit(module, batches, batches)
    assert not torch.equal(seen[0], seen[2])  # average and trained weights of the first epoch


@pytest.mark.parametrize(
    ("in_channels", "sizes", "dtype"),
    [(64, SIZES, torch.float32), (128, [(8, 8)], torch.float32), (128, SIZES, torch.float64)],
)
def test_narrow_small_and_double_maps_take_the_direct_path(calls, in_channels, sizes, dtype):
    conv = _conv(in_channels).to(dtype)
    maps = [m.to(dtype) for m in _maps(in_channels, sizes=sizes)]
    for actual, expected in zip(conv(maps), _direct(conv, maps), strict=True):
        _assert_near(actual, expected)
    assert not calls


def test_autocast_takes_the_direct_path(calls):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert _conv()(_maps())[0].dtype == torch.bfloat16
    assert not calls


def test_the_switch_takes_the_direct_path(calls):
    conv, maps = _conv(), _maps(batch=1)
    with fast_ops([]):
        outputs = conv(maps)
    assert not calls
    for actual, map_ in zip(outputs, maps, strict=True):
        assert torch.equal(actual, F.conv2d(map_, conv.weight, conv.bias, padding=1))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_layout_of_the_maps_does_not_matter(calls, memory_format):
    conv = _conv()
    maps = [m.contiguous(memory_format=memory_format) for m in _maps()]
    for actual, expected in zip(conv(maps), _direct(conv, maps), strict=True):
        _assert_near(actual, expected)
    assert calls


def test_no_image_gives_no_output(calls):
    conv = _conv()
    outputs = conv(_maps(batch=0))
    assert [tuple(o.shape) for o in outputs] == [(0, 64, *size) for size in SIZES]
    sum(o.sum() for o in outputs).backward()
    assert not conv.weight.grad.any()
    assert not calls


def test_differentiable_once():
    conv, maps = _conv(), _maps(batch=1)
    total = sum(o.square().sum() for o in conv(maps))
    (gradient,) = torch.autograd.grad(total, conv.weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
