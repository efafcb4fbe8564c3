"""Every detector on two processes, one of which gets images without any object."""

import os
import traceback

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from corrlight.engine.build import build_module
from corrlight.engine.config import compose_config, config_dir
from corrlight.structures import Batch, Targets

DETECTORS = sorted(p.stem for p in (config_dir() / "detector").glob("*_small.yaml"))
NUM_STEPS = 10
SIZE = 64


class _Step(nn.Module):
    """What DDP wraps: the detector's parameters, called for the loss of a training step."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, batch):
        return self.module.step(batch, reduce=True).loss


def batch_of(rank, step):
    generator = torch.Generator().manual_seed(100 * step + rank)
    boxes = torch.tensor([[6.0, 8, 40, 50], [30, 10, 60, 44]])
    # Rank 1 has an image without objects in every step, and now and then nothing else.
    counts = (2, 1) if rank == 0 else (0, 0 if step % 3 == 0 else 2)
    targets = []
    for image_id, count in enumerate(counts):
        masks = torch.zeros(count, SIZE, SIZE, dtype=torch.bool)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes[:count].int().tolist(), strict=True):
            mask[y1:y2, x1:x2] = True
        targets.append(
            Targets(
                boxes=boxes[:count],
                labels=torch.arange(count),
                masks=masks,
                valid_size=(SIZE, SIZE),
                padded_size=(SIZE, SIZE),
                original_size=(SIZE, SIZE),
                image_id=image_id,
            )
        )
    images = torch.randn(len(counts), 3, SIZE, SIZE, generator=generator)
    return Batch(images=images, targets=tuple(targets))


def train(detector, rank):
    """Return the losses and all parameters after the last step."""
    torch.manual_seed(0)
    overrides = [f"detector={detector}", "corr=concordance", "data.num_classes=3"]
    module = build_module(compose_config(overrides).config)
    # No parameter may be left without a gradient: DDP would wait for it for ever.
    model = DistributedDataParallel(_Step(module), find_unused_parameters=False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    losses = []
    for step in range(NUM_STEPS):
        optimizer.zero_grad()
        loss = model(batch_of(rank, step))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, torch.cat([p.detach().flatten() for p in module.parameters()])


def run_rank(rank, port, folder):
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=2)
    for detector in DETECTORS:
        try:
            result = train(detector, rank)
        except Exception:  # the test of this detector shows it
            result = traceback.format_exc()
        torch.save(result, folder / f"{detector}-{rank}.pt")
        if isinstance(result, str):
            break  # the other rank may wait in a collective
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return the folder with the results of both ranks; one pair of processes for all."""
    import socket

    folder = tmp_path_factory.mktemp("ddp")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    context = mp.start_processes(
        run_rank, (port, folder), nprocs=2, join=False, start_method="fork"
    )
    try:
        context.join(timeout=120)
    finally:
        for process in context.processes:
            process.kill()
    return folder


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("detector", DETECTORS)
def test_ten_steps_with_images_without_objects(detector, results):
    ranks = []
    for rank in range(2):
        file = results / f"{detector}-{rank}.pt"
        assert file.exists(), f"rank {rank} did not get to {detector}"
        result = torch.load(file, weights_only=True)
        assert not isinstance(result, str), result
        ranks.append(result)
    for losses, parameters in ranks:
        assert len(losses) == NUM_STEPS
        assert torch.isfinite(torch.tensor(losses)).all()
        assert torch.isfinite(parameters).all()
    assert torch.equal(ranks[0][1], ranks[1][1])
    assert ranks[0][0] != ranks[1][0]
