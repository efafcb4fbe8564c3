"""Every detector trains on two processes, whichever of them has an image without objects."""

import pytest
import torch

from tests.helpers.ranks import ddp_detectors
from tests.helpers.ranks.two_ranks import on_two_ranks


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """Results of both ranks; the detectors share the two processes, which cost seconds to start."""
    return on_two_ranks(ddp_detectors.rank_results, tmp_path_factory.mktemp("ranks"), seconds=480)


# The first of them waits for the steps of all.
@pytest.mark.timeout(600)
@pytest.mark.slow
@pytest.mark.parametrize("detector", ddp_detectors.DETECTORS)
def test_steps_with_an_empty_image_on_one_rank(ranks, detector):
    first, second = (rank[detector] for rank in ranks)
    for rank in (first, second):
        assert rank["losses"].shape == (ddp_detectors.NUM_STEPS,)
        assert rank["losses"].isfinite().all()
    # Gradients are averages, so the weights stay the same everywhere.
    torch.testing.assert_close(first["weights"], second["weights"])
    assert not torch.equal(first["losses"], second["losses"])
