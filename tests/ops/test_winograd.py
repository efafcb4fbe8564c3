import pytest
import torch
import torch.nn.functional as F

from corrlight.ops import product, winograd
from tests.helpers.ops.compare import assert_near, directions, with_gradients

POINTS = (0, 1, -1, 2, -2)


@pytest.fixture(params=[True, False], ids=["wide", "narrow"], autouse=True)
def _vectors(monkeypatch, request):
    """As on processors with AVX-512 and on those without."""
    monkeypatch.setattr(winograd, "WIDE", request.param)
    monkeypatch.setattr(product, "WIDE", request.param)
    monkeypatch.setattr(product, "_MIN_MULTIPLICATIONS", 1)


def _maps(channels, sizes, batch=2, memory_format=torch.channels_last):
    torch.manual_seed(1)
    return [torch.randn(batch, channels, *s).contiguous(memory_format=memory_format) for s in sizes]


def test_constants_are_those_of_interpolation():
    """The transforms of both factors are their polynomials' values at five points and infinity."""
    # Of the weight up to a factor a point, which the transform of the input carries instead.
    values = torch.tensor([[p**k for k in range(3)] for p in POINTS] + [[0, 0, 1]]).double()
    factors = (winograd._WEIGHT.matrix.double() / values).nan_to_num()
    for row, used in zip(factors, values != 0, strict=True):
        torch.testing.assert_close(row[used], row[used][:1].expand(int(used.sum())))
    # Of the output, transposed, exactly.
    outputs = torch.tensor([[p**k for p in POINTS] + [int(k == 3)] for k in range(4)])
    assert torch.equal(winograd._OUTPUT.matrix, outputs.float())


def test_one_tile_in_one_dimension():
    """``A^T ((G g) * (B^T d))`` is the correlation of 6 values with 3 taps."""
    torch.manual_seed(0)
    values, taps = torch.randn(6).double(), torch.randn(3).double()
    transforms = (winograd._WEIGHT, winograd._INPUT, winograd._OUTPUT)
    weight, source, output = (t.matrix.double() for t in transforms)
    product = output @ ((weight @ taps) * (source @ values))
    expected = torch.stack([(values[i : i + 3] * taps).sum() for i in range(4)])
    torch.testing.assert_close(product, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_transform_of_the_weight(memory_format):
    torch.manual_seed(0)
    weight = torch.randn(5, 3, 3, 3).contiguous(memory_format=memory_format)
    matrix = winograd._WEIGHT.matrix
    expected = torch.einsum("ia,kcab,jb->ijkc", matrix, weight, matrix)
    torch.testing.assert_close(winograd.transform_weight(weight), expected.flatten(0, 1))


@pytest.mark.parametrize("sizes", [[(1, 1)], [(4, 4)], [(5, 3), (2, 9)], [(50, 47), (8, 8)]])
@pytest.mark.parametrize("channels", [1, 5])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("keep", [True, False])
def test_values_and_gradients_equal_those_of_conv2d(sizes, channels, memory_format, keep):
    maps = [m.requires_grad_() for m in _maps(channels, sizes, memory_format=memory_format)]
    weight, bias = torch.randn(4, channels, 3, 3).requires_grad_(), torch.randn(4)
    plain = [F.conv2d(m, weight, bias, padding=1) for m in maps]
    expected = with_gradients(plain, [weight, *maps])
    with torch.no_grad():
        transformed = winograd.transform_weight(weight)
        outputs, spectra = winograd.convolve(maps, transformed, 4, bias, keep)
        assert bool(spectra) == (keep and winograd.num_tiles(maps) <= winograd._KEPT)
        of_weight, of_maps = winograd.convolve_backward(
            directions(plain), transformed, maps, spectra
        )
    assert_near([*outputs, of_weight, *of_maps], expected, 1e-4)


def test_only_the_wanted_gradients():
    maps, weight = _maps(3, [(9, 9)]), torch.randn(4, 3, 3, 3)
    transformed = winograd.transform_weight(weight)
    gradients = [torch.randn(2, 4, 9, 9)]
    both = winograd.convolve_backward(gradients, transformed, maps)
    of_weight, nothing = winograd.convolve_backward(gradients, transformed, maps, wants_maps=False)
    assert nothing == [None]
    assert torch.equal(of_weight, both[0])
    none, of_maps = winograd.convolve_backward(gradients, transformed, wants_weight=False)
    assert none is None
    assert torch.equal(of_maps[0], both[1][0])


def test_results_do_not_change_when_memory_is_used_again():
    maps, weight = _maps(3, [(9, 9)]), torch.randn(4, 3, 3, 3)
    transformed = winograd.transform_weight(weight)
    (first,), (spectrum,) = winograd.convolve(maps, transformed, 4, None, keep=True)
    of_weight, (of_map,) = winograd.convolve_backward([first], transformed, maps)
    results = (first, spectrum, of_weight, of_map)
    copies = [t.clone() for t in results]
    others = [m + 1 for m in maps]
    (other,), _ = winograd.convolve(others, transformed * 2, 4, None, keep=True)
    winograd.convolve_backward([other], transformed * 2, others)
    assert all(torch.equal(a, b) for a, b in zip(results, copies, strict=True))


@pytest.mark.parametrize("sizes", [[(1, 1)], [(30, 70), (3, 3)], [(4, 4 * winograd._CHUNK + 9)]])
def test_chunks_hold_every_tile_once(sizes):
    maps = _maps(1, sizes)
    grids = [winograd._grid(m) for m in maps]
    seen = []
    for chunk in winograd._chunks(grids, batch=2):
        tiles = sum(r.num_tiles for r in chunk)
        assert tiles <= winograd._CHUNK or len(chunk) == 1
        seen += [(r.image, r.level, row) for r in chunk for row in range(r.start, r.stop)]
    wanted = [(b, i, row) for b in range(2) for i, (h, _) in enumerate(grids) for row in range(h)]
    assert seen == wanted
    assert winograd.num_tiles(maps) == 2 * sum(h * w for h, w in grids)
