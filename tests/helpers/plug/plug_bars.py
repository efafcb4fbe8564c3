"""What has to hold for the loss in any detector of another library.

A case has ``make()`` (a small detector with random weights), ``batch(kind)`` ("mixed" with an image
without objects, "empty", "one" object, "negative" or too "high" labels), ``drawn(number)`` with
shapes, ``step(model, batch)`` that returns the total and the weighted term, ``attached(model)``
that correlate() is called with, ``reloaded(model)``, the detector saved and loaded as its library
does it, ``pickles``, whether it can be pickled at all, and ``box_heads``, a regular expression for
the names of parameters that make boxes.
"""

from __future__ import annotations

import copy
import io
import re
from typing import Any

import pytest
import torch

from corrlight.plug import correlate, correlation_of
from tests.helpers.plug.drawn import NUM_BATCHES


def seeded(case: Any, model: Any, kind: str = "mixed") -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return total and term of a step whose random numbers are always the same."""
    torch.manual_seed(7)
    return case.step(model, case.batch(kind))


def made(case: Any) -> Any:
    """Return the detector, in training mode, with the same weights every time."""
    torch.manual_seed(3)
    return as_made(case.make())


def as_made(model: Any) -> Any:
    """Return the detector in training mode."""
    model.train()
    # Steps are compared that must not change a running mean.
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.eval()
    return model


def stepped(
    case: Any, steps: int, *, drawn: bool = False, **options: Any
) -> tuple[Any, Any, list[float]]:
    """Return a detector after some steps with the loss, its handle and its totals."""
    model = made(case)
    handle = correlate(case.attached(model), **options)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    totals = []
    for step in range(steps):
        torch.manual_seed(7)
        total, _ = case.step(
            model, case.drawn(step % NUM_BATCHES) if drawn else case.batch("mixed")
        )
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    return model, handle, totals


def check_totals(case: Any) -> None:
    """total(2 w) - total(w) = w L, for every way of counting positives that the case has."""
    plain, _ = seeded(case, made(case))
    model = made(case)
    for options in ({}, *case.options):
        handle = correlate(case.attached(model), 0.5, **options)
        once, term = seeded(case, model)
        value = handle.value.item()
        handle.weight = 1.0
        twice, _ = seeded(case, model)
        assert 0 < value <= 2 * case.max_layers
        assert handle.num_positives >= 2
        assert abs((twice - once).item() - 0.5 * value) < 1e-4
        assert abs((once - plain).item() - 0.5 * value) < 1e-4
        assert term.item() == pytest.approx(0.5 * value)
        handle.remove()


def check_trains(case: Any) -> None:
    """Thirty steps make the total smaller, and the detector leaves as it came."""
    model, handle, totals = stepped(case, 30, drawn=True)
    assert sum(totals[-NUM_BATCHES:]) < sum(totals[:NUM_BATCHES])
    assert all(map(torch.isfinite, map(torch.tensor, totals)))
    handle.remove()
    handle.remove()
    assert seeded(case, model)[1] is None


def check_box_heads(case: Any) -> None:
    """Only what makes scores learns from it, in a new detector and in one that has stepped.

    Where every positive of a group misses its object the term has no gradient, so that of the few
    detectors that are tried one has to have some.
    """
    scored, placed = [], []
    for steps, drawn in ((0, False), (5, False), (5, True)):
        model, handle, _ = stepped(case, steps, drawn=drawn, weight=1.0)
        grads = _grads_of_term(case, model)
        boxes = {n for n in grads if re.search(case.box_heads, n)}
        moved = {n for n, g in grads.items() if g is not None and bool(g.any())}
        assert boxes
        assert all(g is None or bool(g.isfinite().all()) for g in grads.values())
        assert not moved & boxes, moved & boxes
        scored.append(bool(moved))
        handle.remove()
        model, handle, _ = stepped(case, steps, drawn=drawn, weight=1.0, backprop="localization")
        grads = _grads_of_term(case, model)
        placed.append(any(g is not None and bool(g.any()) for n, g in grads.items() if n in boxes))
        handle.remove()
    assert any(scored)
    assert any(placed)


def _grads_of_term(case: Any, model: Any) -> dict[str, torch.Tensor | None]:
    """Return the gradient of the term by the parameter's name."""
    _, term = seeded(case, model)
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(term, list(parameters.values()), allow_unused=True)
    return dict(zip(parameters, found, strict=True))


def check_leaves_no_trace(case: Any) -> None:
    """State dict, totals and gradients are those of a detector that never had it."""
    never, model = made(case), made(case)
    before = copy.deepcopy(model.state_dict())
    handle = correlate(case.attached(model))
    assert list(model.state_dict()) == list(before)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    seeded(case, model)
    handle.remove()
    (expected, _), (total, term) = seeded(case, never), seeded(case, model)
    assert term is None
    assert torch.equal(total, expected)
    total.backward()
    expected.backward()
    grads = zip(model.parameters(), never.parameters(), strict=True)
    for mine, theirs in grads:
        assert (mine.grad is None) == (theirs.grad is None)
        assert mine.grad is None or torch.equal(mine.grad, theirs.grad)


def check_saves(case: Any) -> None:
    """A copy and a pickle have the loss too, handles do not mix, and files know nothing of it."""
    model = made(case)
    handle = correlate(case.attached(model))
    copies = []
    if case.pickles:
        file = io.BytesIO()
        # Before a step: some detectors cannot be pickled after one, with the loss or without.
        torch.save(model, file)
        file.seek(0)
        copies.append(torch.load(file, weights_only=False))
    plain, _ = seeded(case, made(case))
    expected, term = seeded(case, model)
    term.backward()
    handle.weight = 0.0
    for other in (copy.deepcopy(model), *copies):
        total, again = seeded(case, other)
        assert (again == 0) == (total != expected)
        # A copy has a handle of its own, and leaves without the loss.
        own = correlation_of(case.attached(other))
        assert own is not handle
        assert own.value is not None
        own.remove()
        assert correlation_of(case.attached(other)) is None
        assert seeded(case, other)[1] is None
    assert correlation_of(case.attached(model)) is handle
    assert handle.value.item() == pytest.approx(term.item() / 0.2, rel=1e-5)
    total, nothing = seeded(case, as_made(case.reloaded(model)))
    assert nothing is None
    assert torch.equal(total, plain)


def check_edges(case: Any) -> None:
    """No objects, one positive, wrong labels."""
    model = made(case)
    handle = correlate(case.attached(model))
    total, term = seeded(case, model, "empty")
    assert term == 0
    assert handle.num_positives == 0
    assert handle.beta is None
    total.backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in model.parameters())
    handle.remove()
    handle = correlate(case.attached(model), **case.one_positive)
    total, term = seeded(case, model, "one")
    assert (handle.num_positives, term.item(), handle.beta) == (1, 0, None)
    total.backward()
    for kind, label in (("negative", -1), ("high", case.num_classes)):
        with pytest.raises(ValueError, match=rf"of image 1 .*, but got {label}\.$") as error:
            seeded(case, model, kind)
        assert "\n" not in str(error.value)
    # The step that failed leaves nothing behind.
    assert seeded(case, model)[1] is not None


def check_refusals(case: Any) -> None:
    """A second loss, unknown options and a handle that is not the last."""
    model = made(case)
    handle = correlate(case.attached(model))
    with pytest.raises(ValueError, match=r"has one already: call `remove\(\)`"):
        correlate(case.attached(model))
    handle.remove()
    for option in case.foreign:
        with pytest.raises(ValueError, match=rf"^Expected no `{next(iter(option))}` for "):
            correlate(case.attached(model), **option)
    assert seeded(case, model)[1] is None


def check_validation(case: Any) -> None:
    """beta_img of images in evaluation mode; training starts a new collection."""
    model = made(case)
    handle = correlate(case.attached(model))
    seeded(case, model)
    model.eval()
    for kind in ("mixed", "empty"):
        with torch.no_grad():
            case.validate(model, case.batch(kind))
    assert len(handle.validation) == len(case.batch("mixed")[1]) + len(case.batch("empty")[1])
    measures = handle.validation.measures()
    assert -1 <= measures["beta_img"] <= 1
    assert measures["num_images_beta_img"] >= 1
    counts = [len(scores) for scores, _ in handle.validation]
    assert counts[-1] == 0
    assert max(counts) >= 2
    for module in model.modules():
        module.training = not isinstance(module, torch.nn.modules.batchnorm._BatchNorm)
    seeded(case, model)
    model.eval()
    with torch.no_grad():
        case.validate(model, case.batch("mixed"))
    assert len(handle.validation) == len(case.batch("mixed")[1])


CHECKS = (
    check_totals,
    check_trains,
    check_box_heads,
    check_leaves_no_trace,
    check_saves,
    check_edges,
    check_refusals,
    check_validation,
)
