import copy
import io

import pytest
import torch
from torch import nn

from corrlight.config.build import build_module
from corrlight.config.compose import compose_config
from corrlight.ops import adam as module
from corrlight.ops.adam import fuse_next_step
from corrlight.ops.switch import OPERATORS, fast_ops

OPTIMIZERS = (torch.optim.Adam, torch.optim.AdamW)


@pytest.fixture(autouse=True)
def _small_is_large(monkeypatch):
    monkeypatch.setattr(module, "_MIN_WEIGHTS", 0)


@pytest.fixture
def fused(monkeypatch):
    """How often PyTorch's fused kernels were called."""
    calls = []
    for name in ("_fused_adam_", "_fused_adamw_"):
        original = getattr(torch, name)
        monkeypatch.setattr(
            torch, name, lambda *a, original=original, **k: calls.append(1) or original(*a, **k)
        )
    return calls


def network(memory_format=torch.channels_last):
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.Conv2d(8, 4, 1), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(64, 5)).to(memory_format=memory_format)


def groups(net):
    return [{"params": [*net[0].parameters()], "lr": 0.01}, {"params": [*net[1:].parameters()]}]


def gradients(net, step):
    net.zero_grad()
    images = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(step))
    net(images).square().mean().backward()


def train(make, steps=4, fuse=False, net=None):
    net = net or network()
    optimizer = make(groups(net))
    for step in range(steps):
        gradients(net, step)
        assert fuse_next_step(optimizer) is fuse
        optimizer.step()
    return net, optimizer


def assert_equal_to_rounding(one, other):
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cls", OPTIMIZERS)
@pytest.mark.parametrize(
    "options", [{}, {"weight_decay": 0.1, "amsgrad": True}, {"maximize": True}]
)
def test_it_equals_the_loop(fused, cls, options):
    def make(params):
        return cls(params, lr=0.05, **options)

    with fast_ops(()):
        plain, _ = train(make)
    assert not fused
    net, optimizer = train(make, fuse=True)
    assert len(fused) == 4 * 2  # Steps and groups.
    assert_equal_to_rounding(net, plain)
    # What a checkpoint holds is what it was.
    assert [group["fused"] for group in optimizer.param_groups] == [None, None]


def test_a_state_can_change_sides():
    """A training goes on from a state that the other kernel has made."""

    def make(params):
        return torch.optim.AdamW(params, lr=0.05)

    with fast_ops(()):
        expected, _ = train(make, 4)
        first, before = train(make, 2)
    after = make(groups(first))
    after.load_state_dict(copy.deepcopy(before.state_dict()))
    for step in (2, 3):
        gradients(first, step)
        assert fuse_next_step(after)
        after.step()
    assert_equal_to_rounding(first, expected)


def test_averages_in_another_memory_format_are_left_to_the_loop(fused):
    """PyTorch's kernel would pair weights with the averages of others, and not say so."""
    trained = []
    for switched in ((), OPERATORS):
        net = network(torch.contiguous_format)
        optimizer = torch.optim.AdamW(groups(net), lr=0.05)
        with fast_ops(switched):
            for step in range(4):
                if step == 2:
                    net.to(memory_format=torch.channels_last)
                gradients(net, step)
                assert fuse_next_step(optimizer) is bool(switched and step < 2)
                optimizer.step()
        trained.append(net)
    assert len(fused) == 2 * 2
    assert_equal_to_rounding(*trained)


@pytest.mark.parametrize("what", ["gradient", "gaps"])
def test_other_strides_are_left_to_the_loop(fused, what):
    weight = torch.randn(4, 3, 3, 3)
    if what == "gaps":
        weight = torch.randn(4, 6, 3, 3)[:, ::2]
    parameter = nn.Parameter(weight)
    parameter.grad = torch.ones_like(parameter)
    if what == "gradient":
        parameter.grad = parameter.grad.to(memory_format=torch.channels_last)
    assert parameter.grad.stride() != weight.stride() or what == "gaps"
    optimizer = torch.optim.AdamW([parameter])
    assert fuse_next_step(optimizer) is False
    optimizer.step()
    assert not fused


def test_strides_of_single_elements_do_not_matter():
    parameter = nn.Parameter(torch.randn(4, 3, 1, 1))
    parameter.grad = torch.ones(4, 3, 1, 1).as_strided((4, 3, 1, 1), (3, 1, 3, 3))
    assert parameter.grad.stride() != parameter.stride()
    assert fuse_next_step(torch.optim.AdamW([parameter]))


@pytest.mark.parametrize(
    "options",
    [
        {"fused": True},
        {"fused": False},
        {"foreach": True},
        {"foreach": False},
        {"differentiable": True},
        {"lr": torch.tensor(0.01)},
    ],
)
def test_what_was_chosen_stays(options):
    net = network()
    gradients(net, 0)
    optimizer = torch.optim.AdamW(net.parameters(), **options)
    assert fuse_next_step(optimizer) is False
    assert optimizer.param_groups[0]["fused"] is options.get("fused")


@pytest.mark.parametrize("case", ["float64", "meta", "sgd", "subclass", "small", "no gradient"])
def test_what_it_is_not_for(monkeypatch, case):
    class Other(torch.optim.AdamW):
        pass

    net = network()
    if case == "float64":
        net = net.double()
    if case == "meta":
        net = net.to("meta")
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    if case == "small":
        monkeypatch.undo()
    if case == "no gradient":
        monkeypatch.setattr(module, "_MIN_WEIGHTS", 1)
        net.zero_grad()
    cls = {"sgd": torch.optim.SGD, "subclass": Other}.get(case, torch.optim.AdamW)
    assert fuse_next_step(cls(net.parameters(), lr=0.1)) is False


def test_a_weight_without_gradient_stays_what_it_is(fused):
    net = network()
    gradients(net, 0)
    net[0].weight.grad = None
    before = net[0].weight.detach().clone()
    optimizer = torch.optim.AdamW(groups(net), lr=0.05)
    assert fuse_next_step(optimizer)
    optimizer.step()
    assert fused
    assert torch.equal(net[0].weight, before)


def test_a_choice_holds_for_one_step(fused):
    net = network()
    gradients(net, 0)
    optimizer = torch.optim.AdamW(net.parameters())
    assert fuse_next_step(optimizer)
    optimizer.step()
    optimizer.step()
    assert len(fused) == 1


@pytest.mark.parametrize("way", ["same optimizer", "checkpoint"])
@pytest.mark.parametrize("switched", [OPERATORS, ()])
def test_a_step_that_never_came_leaves_nothing_behind(fused, way, switched):
    net = network(torch.contiguous_format)
    optimizer = torch.optim.AdamW(groups(net), lr=0.05)
    for step in (0, 1):
        gradients(net, step)
        assert fuse_next_step(optimizer)
        if step == 0:
            optimizer.step()
    fused.clear()
    if way == "checkpoint":
        file = io.BytesIO()
        torch.save(optimizer.state_dict(), file)
        file.seek(0)
        optimizer = torch.optim.AdamW(groups(net), lr=0.05)
        optimizer.load_state_dict(torch.load(file))
    net.to(memory_format=torch.channels_last)
    gradients(net, 1)
    with fast_ops(switched):
        assert fuse_next_step(optimizer) is False  # Its averages lie otherwise.
    optimizer.step()
    assert not fused
    assert [group["fused"] for group in optimizer.param_groups] == [None, None]


def test_hooks_do_not_pile_up_and_others_may_come():
    net = network()
    optimizer = torch.optim.AdamW(groups(net), lr=0.05)
    seen = []
    for step in range(3):
        gradients(net, step)
        assert fuse_next_step(optimizer)
        assert fuse_next_step(optimizer)
        handle = optimizer.register_step_post_hook(lambda *_: seen.append(1))
        optimizer.step()
        handle.remove()
    assert len(seen) == 3
    assert len(optimizer._optimizer_step_post_hooks) == 1


@pytest.mark.parametrize("experiment", ["demo", "losses_small"])
def test_networks_of_the_demo_are_too_small_for_it(monkeypatch, experiment):
    """README has the demo's digits: another rounding would make other ones of them."""
    monkeypatch.undo()
    built = build_module(compose_config([f"experiment={experiment}"]).config)
    assert sum(p.numel() for p in built.parameters()) < module._MIN_WEIGHTS / 2
