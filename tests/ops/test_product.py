import pytest
import torch

from corrlight.ops import product as module
from corrlight.ops.product import batch_product, product, runs_onednn
from corrlight.ops.switch import fast_ops
from tests.ops.compare import assert_near


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


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("add", [True, False])
def test_many_products_at_once(calls, monkeypatch, wide, add):
    monkeypatch.setattr(module, "WIDE", wide)
    torch.manual_seed(0)
    a, b, out = torch.randn(3, 5, 8), torch.randn(3, 8, 6).mT, torch.randn(3, 5, 6)
    expected = a.double() @ b.double().mT + (out.double() if add else 0)
    result = batch_product(a, b, out, add)
    assert result is out
    assert_near([out], [expected], 1e-6)
    assert len(calls) == (3 if wide else 0)


def test_a_result_that_is_not_added_to_may_hold_anything(calls, monkeypatch):
    for wide in (True, False):
        monkeypatch.setattr(module, "WIDE", wide)
        out = torch.full((1, 2, 2), torch.nan)
        assert batch_product(torch.ones(1, 2, 3), torch.ones(1, 2, 3), out).eq(3).all()


def test_what_onednn_is_not_asked_for(calls):
    one = torch.ones(4, 4)
    assert runs_onednn(64, one, one)
    assert not runs_onednn(64, one.double(), one.double())
    assert not runs_onednn(64, one.to("meta"), one.to("meta"))
    assert not runs_onednn(64, one, one.bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
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
    assert (module._onednn is not None) == torch.backends.mkldnn.is_available()
