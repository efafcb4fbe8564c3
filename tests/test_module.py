import dataclasses
import functools

import lightning.pytorch as pl
import pytest
import torch
from torch.utils.data import DataLoader

from corrlight.losses import CorrelationLoss, concordance
from corrlight.module import DetectionModule
from corrlight.ops import adam
from corrlight.ops.switch import OPERATORS, fast_ops
from tests.helpers.toy import (
    ToyAssigner,
    ToyCriterion,
    ToyDetector,
    ToyPostprocessor,
    toy_batch,
)


def make(weight: float | None = 0.5, num_stages: int = 1, **options) -> DetectionModule:
    callbacks = {} if weight is None else {"corr": CorrelationLoss("concordance", weight)}
    return DetectionModule(
        detector=ToyDetector(num_stages=num_stages),
        assigner=ToyAssigner(),
        criterion=ToyCriterion(),
        postprocessor=ToyPostprocessor(),
        loss_callbacks=callbacks,
        **options,
    )


def test_total_is_the_criterion_plus_lambda_times_the_callback():
    module = make(weight=0.5)
    output = module.step(toy_batch(1))
    scores = module.detector.logits[0, :2, 0].sigmoid()
    ious = torch.tensor([1.0, 0.75])
    expected = 0.5 * (1 - concordance(scores, ious))
    assert set(output.terms) == {"loss_cls", "loss_corr"}
    torch.testing.assert_close(output.terms["loss_corr"], expected, check_dtype=False)
    total = module.detector.logits.square().mean() + expected
    torch.testing.assert_close(output.loss, total, check_dtype=False)


@pytest.mark.parametrize("num_stages", [1, 3])
def test_lambda_enters_exactly_once(num_stages):
    losses = {
        weight: make(weight, num_stages).step(toy_batch(1, 2)).loss for weight in (0.3, 0.6, 1e-12)
    }
    single = losses[0.3] - losses[1e-12]
    assert single.abs() > 1e-3
    torch.testing.assert_close(losses[0.6] - losses[0.3], single)


def with_ramp(ramp: float) -> DetectionModule:
    module = make()
    module.loss_callbacks["corr"] = CorrelationLoss("concordance", 0.5, ramp=ramp)
    return module


@pytest.mark.parametrize(("progress", "share"), [(0.0, 0.0), (0.2, 0.5), (0.4, 1.0), (0.9, 1.0)])
def test_lambda_follows_the_training(progress, share):
    whole = make().step(toy_batch(1)).terms["loss_corr"]
    term = with_ramp(0.4).step(toy_batch(1), progress=progress).terms["loss_corr"]
    torch.testing.assert_close(term, share * whole)
    # Validation, and whoever says nothing of the training, has all of it.
    torch.testing.assert_close(with_ramp(0.4).step(toy_batch(1)).terms["loss_corr"], whole)


def trained(module: DetectionModule, **options) -> list[float]:
    """Train over three batches an epoch; return the share of lambda in every step."""
    shares = []
    original = module.step

    def step(batch, *, progress=1.0, **others):
        shares.append(module.loss_callbacks["corr"].weight_at(progress) / 0.5)
        return original(batch, progress=progress, **others)

    module.step = step
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, **options,
    )  # fmt: skip
    trainer.fit(module, DataLoader([toy_batch(1)] * 3, collate_fn=lambda batches: batches[0]))
    return shares


def test_a_training_raises_lambda_step_by_step():
    assert trained(with_ramp(1.0), max_epochs=2) == pytest.approx([k / 6 for k in range(6)])
    assert trained(with_ramp(0.5), max_steps=4) == [0.0, 0.5, 1.0, 1.0]
    assert trained(make(), max_epochs=1) == [1.0, 1.0, 1.0]
    # Three batches a step of the optimizer: the share is of its steps.
    accumulated = trained(with_ramp(1.0), max_epochs=2, accumulate_grad_batches=3)
    assert accumulated == [0.0, 0.0, 0.0, 0.5, 0.5, 0.5]


def test_a_training_without_an_end_is_refused():
    with pytest.raises(ValueError, match="training with an end, but got max_epochs=-1 and max_s"):
        trained(make(), max_epochs=-1)


def test_stages_are_named_and_the_callback_is_called_once_a_stage():
    output = make(num_stages=2).step(toy_batch(1))
    assert set(output.terms) == {
        "stage0/loss_cls", "stage0/loss_corr", "stage1/loss_cls", "stage1/loss_corr",
    }  # fmt: skip
    assert len(output.positives) == 2


def test_a_stage_that_proposes_has_terms_but_no_callback():
    module = make(num_stages=2)
    forward = module.detector.forward

    def proposing(batch):
        first, last = forward(batch)
        return [dataclasses.replace(first, proposes=True), last]

    module.detector.forward = proposing
    output = module.step(toy_batch(1))
    assert set(output.terms) == {"stage0/loss_cls", "stage1/loss_cls", "stage1/loss_corr"}
    assert len(output.positives) == 2
    counts = module.step(toy_batch(0)).counts
    assert sum(int(v) for k, v in counts.items() if "undefined" in k) == 1


def test_losses_see_what_was_drawn_and_measures_every_positive():
    module = make(weight=0.5)
    plain, seen = module.assigner, []

    def drawing(predictions, targets):
        match = plain(predictions, targets)
        sampled = torch.ones_like(match.gt_idx, dtype=torch.bool)
        sampled[0, 0] = False
        return dataclasses.replace(match, sampled=sampled)

    def callback(positives):
        seen.append(len(positives))
        return positives.scores.sum()

    callback.weight = 1.0
    module.assigner, module.loss_callbacks = drawing, {"corr": callback}
    output = module.step(toy_batch(1))
    assert seen == [1]
    assert [len(p) for p in output.positives] == [2]


def test_undefined_correlations_are_counted_over_the_stages():
    counts = make(num_stages=2).step(toy_batch(0)).counts
    assert sum(int(v) for k, v in counts.items() if "undefined" in k) == 2
    assert all(key.startswith("corr_") for key in counts)


def test_training_and_evaluation_walk_the_same_path():
    module = make()
    trained = module.train().step(toy_batch(1, 0))
    evaluated = module.eval().step(toy_batch(1, 0), detect=True)
    assert trained.terms.keys() == evaluated.terms.keys()
    torch.testing.assert_close(trained.loss, evaluated.loss)
    assert [len(d) for d in evaluated.detections] == [4, 4]
    assert trained.detections == []


def test_a_loss_that_is_not_finite_stops_with_the_images_named():
    module = make()
    with torch.no_grad():
        module.detector.logits[0, 3, 1] = float("nan")
    with pytest.raises(FloatingPointError, match=r"terms \['loss_cls'\], images \[1, 2\]"):
        module.training_step(toy_batch(1, 0), 0)


@pytest.mark.parametrize("callback", [lambda positives: positives.scores.sum(), 3.0, "corr"])
def test_a_callback_without_lambda_is_named(callback):
    with pytest.raises(ValueError, match=r"`loss_callbacks.mine` to be callable .* `weight`"):
        DetectionModule(
            detector=ToyDetector(), assigner=ToyAssigner(), criterion=ToyCriterion(),
            postprocessor=ToyPostprocessor(), loss_callbacks={"mine": callback},
        )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "got"), [(lambda p: p.scores, r"shape \(2,\)"), (lambda p: 0.5, "0.5")]
)
def test_a_callback_that_returns_no_scalar_is_named(value, got):
    module = make(weight=None)

    def callback(positives):
        return value(positives)

    callback.weight = 1.0
    module.loss_callbacks = {"mine": callback}
    with pytest.raises(ValueError, match=f"`loss_callbacks.mine` to return a scalar.*got {got}"):
        module.step(toy_batch(1))


def test_a_plain_function_object_is_a_callback():
    class Shift:
        weight = 2.0

        def __call__(self, positives):
            return positives.scores.sum()

    module = DetectionModule(
        detector=ToyDetector(),
        assigner=ToyAssigner(),
        criterion=ToyCriterion(),
        postprocessor=ToyPostprocessor(),
        loss_callbacks={"a": Shift(), "b": CorrelationLoss("pearson", 0.1)},
    )
    output = module.step(toy_batch(1))
    expected = 2 * module.detector.logits[0, :2, 0].sigmoid().sum()
    torch.testing.assert_close(output.terms["loss_a"], expected)
    assert "loss_b" in output.terms


def test_the_loss_changes_neither_weights_nor_detections():
    plain, with_loss = make(weight=None), make(weight=0.7)
    assert plain.state_dict().keys() == with_loss.state_dict().keys()
    batch = toy_batch(2)
    for a, b in zip(plain(batch), with_loss(batch), strict=True):
        assert torch.equal(a.scores, b.scores)
        assert torch.equal(a.boxes, b.boxes)


def test_a_checkpoint_of_other_classes_is_refused():
    module = make(category_ids=[1, 7])
    checkpoint: dict = {}
    module.on_save_checkpoint(checkpoint)
    assert checkpoint == {"category_ids": [1, 7], "class_names": []}
    with pytest.raises(ValueError, match=r"category ids \[1, 2\], but got \[1, 7\]"):
        make(category_ids=[1, 2]).on_load_checkpoint(checkpoint)


def test_a_training_does_not_go_on_with_classes_in_another_order():
    """Not even where their ids are the same; other ids alone do not matter."""
    checkpoint: dict = {}
    make(category_ids=[1, 7], class_names=["cat", "dog"]).on_save_checkpoint(checkpoint)
    make(category_ids=[3, 4], class_names=["cat", "dog"]).on_load_checkpoint(checkpoint)
    for names, message in ((["dog", "cat"], "another one"), (["cat", "cow"], "in the data alone")):
        with pytest.raises(ValueError, match=message):
            make(category_ids=[1, 7], class_names=names).on_load_checkpoint(checkpoint)


def test_callbacks_see_no_nan_unless_they_pass_it_on():
    class Refusing:
        weight = 1.0

        def __call__(self, positives):
            assert positives.scores.isfinite().all()
            return positives.scores.sum()

    for callback in (Refusing(), CorrelationLoss("concordance", 0.1)):
        module = make()
        module.loss_callbacks = {"a": callback}
        with torch.no_grad():
            module.detector.logits[0, 0] = float("nan")
        output = module.step(toy_batch(1))
        assert output.terms["loss_a"].isnan()
        assert output.terms["loss_a"].requires_grad


def test_parts_that_change_with_the_epoch_are_told_of_it():
    class Counting(ToyAssigner):
        epoch = None

        def start_epoch(self, epoch):
            self.epoch = epoch

    module = make()
    module.assigner = Counting()
    module.start_epoch(3)  # the criterion does not ask
    assert module.assigner.epoch == 3


def test_a_large_network_is_updated_in_one_pass_and_its_checkpoint_does_not_tell(
    tmp_path, monkeypatch
):
    calls = []
    original = torch._fused_adamw_
    monkeypatch.setattr(
        torch, "_fused_adamw_", lambda *a, **k: calls.append(1) or original(*a, **k)
    )
    monkeypatch.setattr(adam, "_MIN_WEIGHTS", 0)
    trained = []
    for on in (OPERATORS, ()):
        module = make(optimizer=functools.partial(torch.optim.AdamW, weight_decay=0.1), lr=0.05)
        trainer = pl.Trainer(
            max_epochs=2, accelerator="cpu", devices=1, logger=False, default_root_dir=tmp_path,
            enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
            gradient_clip_val=0.1, accumulate_grad_batches=2,
        )  # fmt: skip
        with fast_ops(on):
            trainer.fit(module, DataLoader([toy_batch(1, 2)] * 4, batch_size=None))
        assert len(calls) == 4
        assert [g["fused"] for g in trainer.optimizers[0].param_groups] == [None]
        trained.append(module.detector.logits)
    torch.testing.assert_close(*trained)
