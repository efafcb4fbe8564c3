"""A long validation keeps nothing of its batches but the records of its images."""

import gc
import json

import lightning.pytorch as pl
import pytest
import torch
from torch.utils.data import DataLoader

from corrlight.metrics import DetectionEvaluator
from corrlight.module import DetectionModule
from tests.callbacks.small import make_trainer
from tests.helpers.toy import ToyAssigner, ToyCriterion, ToyDetector, ToyPostprocessor, toy_batch

NUM_BATCHES = 1200


class Alive(pl.Callback):
    """Counts the tensors that are alive after some batches."""

    def __init__(self):
        self.counts = {}

    def on_validation_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if batch_idx + 1 in (100, NUM_BATCHES):
            gc.collect()
            alive = [o for o in gc.get_objects() if isinstance(o, torch.Tensor)]
            self.counts[batch_idx + 1] = len(alive)


@pytest.mark.slow
def test_1200_batches_leave_no_tensor(tmp_path):
    gt = {
        "images": [{"id": 1, "width": 32, "height": 32}],
        "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 16, 16],
                         "area": 256, "iscrowd": 0}],
    }  # fmt: skip
    (tmp_path / "gt.json").write_text(json.dumps(gt))
    evaluator = DetectionEvaluator(tmp_path / "gt.json", [1, 2])
    module = DetectionModule(
        ToyDetector(), ToyAssigner(), ToyCriterion(), ToyPostprocessor(), evaluator=evaluator
    )
    alive = Alive()
    # One image again and again, so that the records do not grow either.
    loader = DataLoader(range(NUM_BATCHES), batch_size=None, collate_fn=lambda _: toy_batch(1))
    make_trainer(tmp_path, alive).validate(module, loader, verbose=False)
    assert alive.counts.keys() == {100, NUM_BATCHES}
    assert abs(alive.counts[NUM_BATCHES] - alive.counts[100]) <= 20
