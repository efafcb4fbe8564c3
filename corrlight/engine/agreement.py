"""Ranks that were started with different options stop before the first step."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
import torch.distributed as dist

from corrlight.runs.identity import flatten

__all__ = ["RankAgreement", "RankMismatchError", "check_agreement"]


class RankMismatchError(ValueError):
    """Ranks of one run have different configurations; the message names the options."""


class RankAgreement(pl.Callback):
    """Compares the configuration of all ranks when the process group is there.

    Averaging gradients of different trainings works without any error, so nothing else would tell.

    Args:
        record: What has to be equal: the resolved configuration, the run id, the checkpoint that
            is resumed.
    """

    def __init__(self, record: Mapping[str, Any]) -> None:
        self.record = dict(record)

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Raise :class:`RankMismatchError` on all ranks if one differs."""
        if trainer.world_size > 1 and dist.is_initialized():
            flat = {key: repr(value) for key, value in flatten(self.record)}
            digest = hashlib.sha256(json.dumps(flat, sort_keys=True).encode()).hexdigest()
            digests: list[Any] = [None] * trainer.world_size
            dist.all_gather_object(digests, digest)
            if len(set(digests)) > 1:
                records: list[Any] = [None] * trainer.world_size
                dist.all_gather_object(records, flat)
                check_agreement(records)


def check_agreement(records: list[dict[str, str]]) -> None:
    """Raise :class:`RankMismatchError` that names what differs from rank 0, if anything does.

    Args:
        records: One a rank, option to value.
    """
    first = records[0]
    for rank, other in enumerate(records[1:], 1):
        keys = sorted(k for k in first.keys() | other.keys() if first.get(k) != other.get(k))
        if keys:
            shown = [f"{k} ({first.get(k)}, {other.get(k)})" for k in keys[:5]]
            more = f" and {len(keys) - 5} more" if len(keys) > 5 else ""
            raise RankMismatchError(
                f"Expected all ranks to run the same configuration, but rank {rank} differs from "
                f"rank 0 in {', '.join(shown)}{more}."
            )
