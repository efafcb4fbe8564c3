"""Every detector trains on two processes, whichever of them has an image without objects."""

import multiprocessing

import pytest
import torch

from tests.helpers import ddp_detectors


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """Results of both ranks; the detectors share the two processes, which cost seconds to start."""
    folder = tmp_path_factory.mktemp("ranks")
    context = multiprocessing.get_context("spawn")
    pair = [context.Process(target=ddp_detectors.run_rank, args=(r, str(folder))) for r in (0, 1)]
    for process in pair:
        process.start()
    for process in pair:
        process.join(240)
    hung = [process for process in pair if process.is_alive()]
    for process in hung:
        process.kill()
    assert not hung, "a rank waits for the other one"
    assert [process.exitcode for process in pair] == [0, 0]
    return [torch.load(folder / f"rank{r}.pt", weights_only=True) for r in (0, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("detector", ddp_detectors.DETECTORS)
def test_ten_steps_with_an_empty_image_on_one_rank(ranks, detector):
    first, second = (rank[detector] for rank in ranks)
    for rank in (first, second):
        assert rank["losses"].shape == (ddp_detectors.NUM_STEPS,)
        assert rank["losses"].isfinite().all()
    # Gradients are averages, so the weights stay the same everywhere.
    torch.testing.assert_close(first["weights"], second["weights"])
    assert not torch.equal(first["losses"], second["losses"])
