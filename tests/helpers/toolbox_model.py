"""The reduced models that ``benchmarks/mmdetection_fixtures.py`` wrote, and all our parts of them.

The parts are those of ``conf/detector``, so that its numbers are compared too.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from corrlight.detectors.toolbox_names import from_toolbox_names
from corrlight.module import DetectionModule
from corrlight.structures import Batch, Match, Predictions, Targets
from tests.helpers.fixture_data import batch_of_arrays, load_arrays
from tests.helpers.paths import existing_fixture, stored_file
from tests.helpers.published_model import converted_module

FOLDERS = "gfl fcos vfnet tood tood_initial"
SET_FOLDERS = "deformable_detr deformable_detr_refine deformable_detr_two_stage"
TWO_STAGE_FOLDERS = "faster_rcnn mask_rcnn"


@dataclass(frozen=True)
class ToolboxModel:
    """What the toolbox says of one reduced model, and our module with its weights."""

    folder: Path
    config: dict[str, Any]
    losses: dict[str, Any]
    batch: Batch
    module: DetectionModule

    @classmethod
    @functools.cache
    def load(cls, name: str) -> ToolboxModel:
        """Return the model of a folder."""
        folder = existing_fixture(name)
        config = json.loads((folder / "config.json").read_text())
        module = converted_module(stored_file(folder, "weights.safetensors").parent, config)
        module.start_epoch(config["epoch"])
        return cls(
            folder=folder,
            config=config,
            losses=json.loads((folder / "losses.json").read_text()),
            batch=batch_of_arrays(
                load_arrays(stored_file(folder, "inputs.npz")), config["input"]["valid"]
            ),
            module=module,
        )

    def arrays(self, name: str) -> dict[str, Tensor]:
        """Return the arrays of a file."""
        return load_arrays(stored_file(self.folder, f"{name}.npz"))

    def predict(self) -> Predictions:
        """Return fresh predictions with a graph, of the only stage."""
        (stage,) = self.module.detector(self.batch)
        return stage

    @functools.cached_property
    def predicted(self) -> Predictions:
        """The same without a graph, made once."""
        with torch.no_grad():
            return self.predict()

    def terms(
        self, predictions: Predictions, targets: tuple[Targets, ...]
    ) -> tuple[dict[str, Tensor], Match]:
        """Return our loss terms and the match."""
        match = self.module.assigner(predictions, targets)
        criterion = self.module.criterion
        normalizers = criterion.normalizers(predictions, targets, match)
        return criterion(predictions, targets, match, normalizers), match

    def assert_gradient_norms(self, total: Tensor, name: str) -> None:
        """Compare the gradient of ``total`` with that of every tensor in the toolbox.

        Rounding may move a value over a kink (ReLU, a cell that is read bilinearly) and its
        gradient: up to 1.4e-3 of one layer was seen (VFNet, seed 7).
        """
        detector = self.module.detector
        trained = {n: p for n, p in detector.named_parameters() if p.requires_grad}
        found = torch.autograd.grad(total, [*trained.values()])
        ours = {n: float(g.norm()) for n, g in zip(trained, found, strict=True)}
        stored = from_toolbox_names(self.losses["grad_norm"][name], detector.toolbox_names)
        assert ours.keys() == stored.keys()
        largest = max(stored.values())
        for tensor, norm in stored.items():
            assert ours[tensor] == pytest.approx(norm, rel=5e-3, abs=1e-6 * largest), tensor


def rows_of(arrays: dict[str, Tensor], name: str, num_outputs: int) -> Tensor:
    """Return the ``(B, A * K, H, W)`` maps of all levels as ``(B, N, K)``."""
    maps = [arrays[key] for key in sorted(arrays) if key.rpartition("_")[0] == name]
    return torch.cat(
        [m.permute(0, 2, 3, 1).reshape(m.shape[0], -1, num_outputs) for m in maps], dim=1
    )
