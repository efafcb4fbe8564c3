"""With ``sync`` two processes have the loss of one on the joined batch."""

import pytest
import torch

from tests.helpers.ranks import plug_ranks
from tests.helpers.ranks.two_ranks import on_two_ranks

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    return on_two_ranks(plug_ranks.rank_results, tmp_path_factory.mktemp("ranks"), seconds=240)


@pytest.mark.parametrize("case", range(len(plug_ranks.CASES)), ids=map(str, plug_ranks.CASES))
def test_value_and_gradient_are_those_of_one_process(ranks, case):
    expected = plug_ranks.together(*plug_ranks.CASES[case])
    assert float(expected["value"]) > 0
    for rank in ranks:
        found = rank[case]
        assert int(found["count"]) == int(expected["count"])
        torch.testing.assert_close(found["value"], expected["value"], rtol=1e-5, atol=1e-6)
        # Gradients are means over the ranks of the one loss that all of them have.
        torch.testing.assert_close(found["gradient"], expected["gradient"], rtol=1e-3, atol=1e-6)
