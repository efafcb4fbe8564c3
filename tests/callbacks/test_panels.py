from dataclasses import replace

import lightning.pytorch as pl
import numpy as np
import pytest
from lightning.pytorch.loggers.logger import DummyLogger

from corrlight.callbacks import MeasurePanels
from corrlight.metrics import ErrorTypes, Evaluation
from corrlight.metrics.errors.view import error_view
from corrlight.metrics.evaluator import EvaluationResult
from corrlight.metrics.functional import ScoreIouPairs
from tests.callbacks.small import Batches, PerfectDetector
from tests.metrics.coco_oracle import by_hand


class WandbLogger(DummyLogger):
    def __init__(self):
        super().__init__()
        self.logged = {}

    def log_image(self, key, images):
        self.logged.setdefault(key, []).extend(images)

    def log_table(self, key, columns, data):
        self.logged.setdefault(key, []).append((columns, data))


class Evaluated(PerfectDetector):
    """Has an evaluation after every epoch, as the detection module has."""

    def on_validation_epoch_end(self):
        super().on_validation_epoch_end()
        points = np.linspace(0, 1, 20)
        self.evaluation = EvaluationResult(
            metrics={"AP": 0.25, "beta_cls": None},
            per_class=[
                {"name": "star", "AP": 0.2, "beta_cls": None},
                {"name": "disc", "AP": 0.3, "beta_cls": -0.5},
            ],
            score_iou=ScoreIouPairs(scores=points, ious=points**2, labels=np.zeros(20, int)),
        )


class WithErrors(Evaluated):
    """Can tell the types of its errors, as the detection module can on rank 0."""

    def on_validation_epoch_end(self):
        super().on_validation_epoch_end()
        evaluation = Evaluation.from_coco(*by_hand())
        self.evaluation = replace(
            self.evaluation,
            errors=lambda: (ErrorTypes()(evaluation).values, {"boxes": error_view(evaluation)}),
        )


def fit(tmp_path, callback, logger, epochs=3, module=Evaluated):
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=logger,
        callbacks=[callback],
        default_root_dir=tmp_path,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(module(), datamodule=Batches(1))


def test_scatter_bars_and_table_reach_wandb(tmp_path):
    logger = WandbLogger()
    fit(tmp_path, MeasurePanels(every_n_epochs=2), logger)
    assert set(logger.logged) == {"val/score_iou", "val/class_bars", "val/per_class"}
    assert [len(v) for v in logger.logged.values()] == [2, 2, 2]  # epoch 2 and the last
    for key in ("val/score_iou", "val/class_bars"):
        image = logger.logged[key][0]
        assert image.dtype == np.uint8
        assert image.shape[2] == 3
        assert image.std() > 5  # something is drawn
    columns, rows = logger.logged["val/per_class"][0]
    assert columns == ["name", "AP", "beta_cls"]
    assert rows == [["star", 0.2, None], ["disc", 0.3, -0.5]]


@pytest.mark.slow
def test_the_last_epoch_tells_its_errors(tmp_path):
    logger = WandbLogger()
    fit(tmp_path, MeasurePanels(), logger, epochs=2, module=WithErrors)
    for name in ("error_types", "confusion_matrix", "pr_classes"):
        (image,) = logger.logged[f"val/{name}"]
        assert image.std() > 5, name
    ((columns, rows),) = logger.logged["val/errors"]
    assert columns == ["measure", "value"]
    assert ["num_errors_background", 1] in rows
    ((columns, rows),) = logger.logged["val/confusion"]
    assert columns == ["object", "a", "b", "missed"]
    assert rows == [["a", 2, 0, 0], ["b", 0, 0, 0], ["background", 1, 0, 0]]


def test_nothing_is_drawn_without_wandb_or_without_an_evaluation(tmp_path, monkeypatch):
    monkeypatch.setattr("corrlight.callbacks.panels.score_iou_figure", None)
    fit(tmp_path, MeasurePanels(), DummyLogger(), epochs=1)
    fit(tmp_path, MeasurePanels(), WandbLogger(), epochs=1, module=PerfectDetector)


def test_errors():
    with pytest.raises(ValueError, match="`every_n_epochs`"):
        MeasurePanels(0)
