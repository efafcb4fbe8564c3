import pytest
import torch
import torch.nn.functional as F
from torch import nn

from corrlight.ops import linear as module
from corrlight.ops import product
from corrlight.ops.linear import Linear, MultiheadAttention, linear
from corrlight.ops.switch import fast_ops
from tests.helpers.ops.compare import assert_near, with_gradients


@pytest.fixture(autouse=True)
def _always(monkeypatch):
    monkeypatch.setattr(product, "_MIN_MULTIPLICATIONS", 1)


def _sources(shape, bias, *wanted):
    torch.manual_seed(0)
    sources = [torch.randn(*shape, 12), torch.randn(7, 12)] + [torch.randn(7)] * bias
    return [s.requires_grad_(i in wanted) for i, s in enumerate(sources)]


@pytest.mark.parametrize("wanted", [(0, 1, 2), (0,), (1,), (2,), ()])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(5,), (2, 3), (1, 2, 4), (0,), ()])
def test_values_and_gradients_in_double_precision(shape, bias, wanted):
    ours = _sources(shape, bias, *wanted)
    theirs = [s.detach().double().requires_grad_(s.requires_grad) for s in ours]
    expected = with_gradients(F.linear(*theirs), theirs)
    assert_near(with_gradients(linear(*ours), ours), expected, 1e-6)


def test_tokens_that_are_not_contiguous():
    x, weight, bias = _sources((6, 5), True, 0, 1, 2)
    plain = with_gradients(F.linear(x.transpose(0, 1), weight, bias), (x, weight, bias))
    ours = with_gradients(linear(x.transpose(0, 1), weight, bias), (x, weight, bias))
    assert_near(ours, plain, 1e-6)


def test_the_result_may_be_written_to():
    x, weight, bias = _sources((2, 3), True, 0, 1, 2)
    expected = with_gradients(F.linear(x, weight, bias).relu(), (x, weight, bias))
    for on in (["linear", "product"], []):
        with fast_ops(on):
            assert_near(
                with_gradients(linear(x, weight, bias).relu_(), (x, weight, bias)), expected, 1e-6
            )


def test_the_switch_leaves_it_to_torch():
    x, weight, bias = _sources((5,), True)
    for on in ([], ["product"], ["linear"]):
        with fast_ops(on):
            assert torch.equal(linear(x, weight, bias), F.linear(x, weight, bias))


def test_a_layer_has_torchs_parameters_and_names():
    torch.manual_seed(0)
    ours = Linear(12, 7)
    torch.manual_seed(0)
    theirs = nn.Linear(12, 7)
    assert [*ours.state_dict()] == [*theirs.state_dict()]
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other)
    x = torch.randn(3, 12)
    assert_near([ours(x)], [theirs(x)], 1e-6)


def test_autocast_and_compilers_see_torchs_layer():
    layer, x = Linear(12, 7), torch.randn(3, 12)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    exported = torch.export.export(layer, (x,))
    assert any(node.target is torch.ops.aten.linear.default for node in exported.graph.nodes)


def test_repeated_tokens_and_gradients():
    """Strides of zero, as queries that every image shares and sums have."""
    torch.manual_seed(0)
    token, weight = torch.randn(1, 12).requires_grad_(), torch.randn(7, 12).requires_grad_()
    results = []
    for call in (linear, F.linear):
        output = call(token.expand(5, 12), weight)
        results.append([output, *torch.autograd.grad(output.sum(), (token, weight))])
    assert_near(*results, 1e-6)


@pytest.fixture
def pair():
    """Ours in single precision and torch's with the same weights in double."""
    torch.manual_seed(0)
    ours = MultiheadAttention(16, 4)
    nn.init.normal_(ours.in_proj_bias)
    nn.init.normal_(ours.out_proj.bias)
    theirs = nn.MultiheadAttention(16, 4, batch_first=True)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs.double()


@pytest.fixture
def projections(monkeypatch):
    """How many outputs each of our projections has."""
    made, original = [], module.linear
    monkeypatch.setattr(module, "linear", lambda x, w, b: made.append(len(w)) or original(x, w, b))
    return made


def _tokens(kind):
    torch.manual_seed(1)
    first, second, third = (torch.randn(2, n, 16) for n in (5, 7, 7))
    return {
        "self": (first,) * 3,
        "positions": (first, first, torch.randn(2, 5, 16)),
        "cross": (first, second, third),
    }[kind]


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("kind", ["self", "positions", "cross"])
@pytest.mark.parametrize("training", [True, False])
def test_attention_and_its_gradients_in_double_precision(pair, projections, kind, padded, training):
    ours, theirs = (m.train(training) for m in pair)
    query, key, value = _tokens(kind)
    doubled = {t: t.double().requires_grad_() for t in (query, key, value)}
    tokens = [t.requires_grad_() for t in doubled]
    padding = torch.arange(key.shape[1]) >= torch.tensor([[3], [key.shape[1]]]) if padded else None
    expected, _ = theirs(
        *(doubled[t] for t in (query, key, value)), key_padding_mask=padding, need_weights=False
    )
    reference = with_gradients(expected, [*doubled.values(), *theirs.parameters()])
    result = with_gradients(ours(query, key, value, padding), [*tokens, *ours.parameters()])
    assert_near(result, reference, 1e-5)
    assert projections == ([16, 16, 16, 16] if kind == "cross" else [32, 16, 16])


def test_attention_weights_are_dropped_in_training_alone():
    layer = MultiheadAttention(16, 4, dropout=0.5)
    (x, *_) = _tokens("self")
    assert not torch.equal(layer(x, x, x), layer(x, x, x))
    layer.eval()
    assert torch.equal(layer(x, x, x), layer(x, x, x))


def test_the_switch_leaves_attention_to_torch(pair, projections):
    ours, theirs = pair[0], pair[1].float()
    x, y, z = _tokens("cross")
    expected, _ = theirs(x, y, z, need_weights=False)
    for on in ([], ["product"], ["linear"]):
        with fast_ops(on):
            assert torch.equal(ours(x, y, z), expected)
    assert not projections
