"""Weighted sums of rows, against a dense matrix and against PyTorch's own gradient."""

import pytest
import torch
import torch.nn.functional as F

from corrlight.ops import weighted_rows as module
from corrlight.ops.weighted_rows import (
    _MIN_COUNTED,
    _by_counting,
    _by_sorting,
    entry_gradient,
    ragged_rows,
    weighted_rows,
)

ROWS, CHANNELS, SUMS = 11, 3, 7


@pytest.fixture
def rows():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(ROWS, CHANNELS, generator=generator, dtype=torch.float64).requires_grad_()


def _entries(count):
    generator = torch.Generator().manual_seed(count)
    index = torch.randint(0, ROWS - 1, (count,), generator=generator)  # nobody reads the last row
    return index, torch.randn(count, generator=generator, dtype=torch.float64)


def _agree(found, expected, rows):
    upstream = torch.randn(found.shape, dtype=found.dtype)
    torch.testing.assert_close(found, expected)
    ours, theirs = (torch.autograd.grad(x, rows, upstream)[0] for x in (found, expected))
    torch.testing.assert_close(ours, theirs)
    assert not ours[-1].any()


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_sums_of_equally_many_rows(rows, dtype):
    index, weight = (x.view(SUMS, 4) for x in _entries(SUMS * 4))
    expected = F.embedding_bag(index, rows, mode="sum", per_sample_weights=weight)
    _agree(weighted_rows(rows, index.to(dtype), weight), expected, rows)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_sums_of_different_numbers_of_rows(rows, dtype):
    lengths = torch.tensor([2, 0, 5, 1, 1, 0, 3])  # none in the middle
    index, weight = _entries(int(lengths.sum()))
    places = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    matrix = torch.zeros(SUMS, ROWS, dtype=rows.dtype)
    owner = places.repeat_interleave(lengths)
    matrix.index_put_((owner, index), weight, accumulate=True)
    starts = lengths.cumsum(0) - lengths
    _agree(ragged_rows(rows, index.to(dtype), weight, starts, places), matrix @ rows, rows)


def _dense(columns, count):
    """The matrix that columns are of, ``(K, R)``."""
    matrix = torch.zeros(count, ROWS, dtype=torch.float64)
    lengths = torch.diff(columns.starts, append=columns.starts.new_tensor([len(columns.sums)]))
    owner = torch.arange(ROWS).repeat_interleave(lengths)
    place = columns.sums.long(), owner
    return matrix.index_put_(place, columns.weight.double(), accumulate=True)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
@pytest.mark.parametrize("lengths", [[2, 0, 5, 1, 1, 0, 3], [0, 0], [], [64] * 600])
def test_counting_and_sorting_transpose_alike(dtype, lengths):
    """Many entries are counted on a CPU; the order of summation, the bits, are those of sorting."""
    lengths = torch.tensor(lengths, dtype=dtype)
    index, weight = _entries(int(lengths.sum()))
    entries = (index.to(dtype), weight, (lengths.cumsum(0) - lengths).to(dtype), ROWS)
    counted, by_order = _by_counting(*entries), _by_sorting(*entries)
    torch.testing.assert_close(_dense(counted, len(lengths)), _dense(by_order, len(lengths)))
    if len(index) >= _MIN_COUNTED:
        for one, other in zip(counted, by_order, strict=True):
            assert torch.equal(one.to(other.dtype), other)


@pytest.mark.parametrize("case", ["few", "bfloat16", "fake", "compiled"])
def test_what_is_sorted(monkeypatch, case):
    monkeypatch.setattr(module, "_by_counting", None)
    monkeypatch.setattr(module, "_MIN_COUNTED", 5 if case == "few" else 0)
    index, starts = torch.tensor([3, 1, 1, 0]), torch.tensor([0, 2])
    weight = torch.ones(4, dtype=torch.bfloat16 if case == "bfloat16" else torch.float32)
    if case == "fake":
        index = torch.nn.Parameter(index, requires_grad=False)
    if case == "compiled":
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert module._columns(index, weight, starts, 4).sums.tolist() == [1, 0, 1, 0]


def test_gradient_of_the_weights():
    generator = torch.Generator().manual_seed(2)
    index = torch.randint(0, ROWS, (SUMS, 4), generator=generator)
    weight = torch.randn(SUMS, 4, generator=generator, requires_grad=True)
    rows = torch.randn(ROWS, CHANNELS, generator=generator)
    upstream = torch.randn(SUMS, CHANNELS, generator=generator)
    expected = torch.autograd.grad((rows[index] * weight[..., None]).sum(1), weight, upstream)[0]
    for kind in (torch.int32, torch.int64):
        torch.testing.assert_close(entry_gradient(upstream, rows, index.to(kind)), expected)
