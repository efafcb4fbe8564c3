from dataclasses import replace

import pytest
import torch

from benchmarks.harness.full_size import make_batch
from corrlight.config.build import build_module
from corrlight.config.compose import compose_config
from corrlight.ops import product as module
from corrlight.ops import small_conv
from corrlight.ops.product import (
    add_weight_gradient,
    batch_product,
    batch_product_backward,
    packed,
    product,
    runs_onednn,
)
from corrlight.ops.switch import fast_ops
from tests.helpers.ops.compare import assert_near


@pytest.fixture
def calls(monkeypatch):
    """Shapes of the products that oneDNN was asked for, however small they are."""
    if module._onednn is None:
        pytest.skip("this PyTorch has no oneDNN")
    made, original = [], module._onednn

    def recorded(a, b, *rest):
        made.append((*a.shape, len(b)))
        return original(a, b, *rest)

    monkeypatch.setattr(module, "_MIN_MULTIPLICATIONS", 1)
    monkeypatch.setattr(module, "_onednn", recorded)
    return made


def _strided(shape, transposed):
    return torch.randn(shape[::-1]).T if transposed else torch.randn(shape)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize(
    "size", [(1, 1, 1), (7, 33, 5), (64, 9, 130), (0, 4, 3), (3, 4, 0), (2, 0, 3)]
)
def test_equals_the_product_in_double_precision(calls, bias, transposed, size):
    torch.manual_seed(0)
    rows, inner, columns = size
    a, b = _strided((rows, inner), transposed[0]), _strided((columns, inner), transposed[1])
    shift = torch.randn(columns) if bias else None
    expected = a.double() @ b.double().T + (0 if shift is None else shift.double())
    assert_near([product(a, b, shift)], [expected], 1e-6)
    assert calls == ([(rows, inner, columns)] if all(size) else [])


@pytest.mark.parametrize("wide", [False, True])
def test_the_gradient_of_many_weights_is_a_sum(calls, monkeypatch, wide):
    monkeypatch.setattr(module, "WIDE", wide)
    torch.manual_seed(0)
    total, expected = torch.full((3, 5, 7), float("nan")), 0
    for i, rows in enumerate((4, 1, 9)):
        grad, a = torch.randn(3, rows, 5), torch.randn(3, rows, 7)
        add_weight_gradient(total, grad, a, first=i == 0)
        expected = expected + grad.double().mT @ a.double()
        assert_near([total], [expected], 1e-6)
    assert len(calls) == (9 if wide else 0)


def test_any_strides(calls):
    torch.manual_seed(0)
    whole = torch.randn(12, 40)
    factors = [whole[::2, ::4], whole[:, 3:13], whole[3:9].T, whole.as_strided((10, 10), (2, 1))]
    factors += [whole[:1].expand(5, 40), whole[:, :1].expand(12, 7), whole[:1, :1].expand(3, 4)]
    for b in factors:
        for other in (b, b.T):
            a = torch.randn(4, other.shape[1])
            assert_near([product(a, other)], [a.double() @ other.double().T], 1e-6)
            assert_near([product(other, a)], [other.double() @ a.double().T], 1e-6)
    assert len(calls) == 4 * len(factors)


@pytest.mark.parametrize("size", [(3, 5, 8, 6), (36, 109, 64, 48), (2, 1, 1, 1), (1, 7, 33, 5)])
def test_many_products_at_once(monkeypatch, size):
    """As convolutions of as many groups, of plain and of packed matrices, and as MKL's products."""
    torch.manual_seed(0)
    num, rows, inner, columns = size
    a, b = torch.randn(num, rows, inner), torch.randn(num, columns, inner)
    grad = torch.randn(num, rows, columns)
    expected = [a.double() @ b.double().mT, grad.double() @ b.double()]
    plain = batch_product(a, b), batch_product_backward(grad, b)
    assert_near(plain, expected, 1e-6)
    monkeypatch.setattr(module, "_MIN_MULTIPLICATIONS", 1)
    monkeypatch.setattr(module, "WIDE", True)
    assert_near((batch_product(a, b), batch_product_backward(grad, b)), expected, 1e-6)
    layout = packed(b, rows)
    assert layout.is_mkldnn == torch.backends.mkldnn.is_available()
    # The same bits: results do not depend on how often there was an inference.
    assert torch.equal(batch_product(a, layout), batch_product(a, b))


def test_nothing_is_packed_that_onednn_is_not_asked_for(monkeypatch):
    b = torch.randn(3, 6, 8)
    assert packed(b, 5) is b  # Too small.
    monkeypatch.setattr(module, "_MIN_MULTIPLICATIONS", 1)
    with fast_ops([]):
        assert packed(b, 5) is b
    monkeypatch.setattr(module, "_convolution", None)
    assert packed(b, 5) is b
    assert torch.equal(batch_product(b, b), torch.bmm(b, b.mT))


def test_what_onednn_is_not_asked_for(calls, monkeypatch):
    one = torch.ones(4, 4)
    assert runs_onednn(64, one, one)
    assert not runs_onednn(64, one.double(), one.double())
    assert not runs_onednn(64, one.to("meta"), one.to("meta"))
    assert not runs_onednn(64, one, one.bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
        assert not runs_onednn(64, one, one)
    with monkeypatch.context() as recorded:
        recorded.setattr(torch.jit, "is_tracing", lambda: True)
        assert not runs_onednn(64, one, one)
    with fast_ops([]):
        assert not runs_onednn(64, one, one)
        assert product(one, one).eq(4).all()
    assert torch.equal(product(one.double(), one.double()), torch.full((4, 4), 4.0).double())
    assert not calls


def test_small_products_and_a_pytorch_without_the_operator_leave_it_to_torch(monkeypatch):
    a, b = torch.randn(3, 4), torch.randn(5, 4)
    assert not runs_onednn(60, a, b)
    monkeypatch.setattr(module, "_MIN_MULTIPLICATIONS", 1)
    monkeypatch.setattr(module, "_onednn", None)
    assert not runs_onednn(60, a, b)
    assert torch.equal(product(a, b), a @ b.T)


def test_pytorch_has_the_operator_where_it_has_onednn():
    there = torch.backends.mkldnn.is_available()
    assert (module._onednn is not None) == (module._convolution is not None) == there


def test_the_demo_is_too_small_for_it(monkeypatch):
    """README has the demo's digits: another rounding would make other ones of them."""
    asked = []
    for name in ("_onednn", "_convolution"):
        original = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *args, original=original: asked.append(1) or original(*args)
        )
    monkeypatch.setattr(small_conv, "WIDE", True)
    detector = build_module(compose_config(["experiment=demo"]).config)
    batch = make_batch(8, (128, 128))
    targets = tuple(replace(t, labels=t.labels % 8) for t in batch.targets)
    batch = replace(batch, targets=targets)
    detector.step(batch).loss.backward()
    with torch.no_grad():
        detector.eval()(batch)
    assert not asked
