"""With ``sync`` two processes have the loss of one on the joined batch."""

import pytest
import torch

from tests.helpers.ranks import plug_ranks
from tests.helpers.ranks.two_ranks import on_two_ranks

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    return on_two_ranks(plug_ranks.rank_results, tmp_path_factory.mktemp("ranks"), seconds=600)


@pytest.mark.parametrize("case", range(len(plug_ranks.CASES)), ids=map(str, plug_ranks.CASES))
def test_value_and_gradient_are_those_of_one_process(ranks, case):
    expected = plug_ranks.together(*plug_ranks.CASES[case])
    assert float(expected["value"]) > 0
    for rank in ranks:
        found = rank["cases"][case]
        assert int(found["count"]) == int(expected["count"])
        torch.testing.assert_close(found["value"], expected["value"], rtol=1e-5, atol=1e-6)
        # Gradients are means over the ranks of the one loss that all of them have.
        torch.testing.assert_close(found["gradient"], expected["gradient"], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=[getattr(pytest.mark, m)] if (m := plug_ranks.marker(n)) else [])
        for n in plug_ranks.DETECTORS
    ],
)
def test_every_detector_has_the_loss_of_one_process(ranks, name):
    expected = plug_ranks.detector_together(name)
    first, second = (rank["detectors"][name] for rank in ranks)
    assert int(expected["count"]) >= 2
    for found in (first, second):
        assert int(found["count"]) == int(expected["count"])
        torch.testing.assert_close(found["value"], expected["value"], rtol=0, atol=2e-6)
        scale = expected["gradient"].abs().max()
        assert 0 < scale < float("inf")
        torch.testing.assert_close(
            found["gradient"] / scale, expected["gradient"] / scale, rtol=0, atol=5e-6
        )
    assert first["weights"].isfinite().all()
    torch.testing.assert_close(first["weights"], second["weights"])
