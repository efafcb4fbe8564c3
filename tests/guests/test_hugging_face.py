"""Detectors of transformers in our training."""

from __future__ import annotations

import dataclasses
import importlib.util

import pytest
import torch

from corrlight.boxes import cxcywh_to_xyxy
from corrlight.config.build import build_module
from corrlight.config.compose import compose_config
from tests.detectors.build import batch_with

pytestmark = pytest.mark.hf

if importlib.util.find_spec("transformers") is not None:
    from tests.helpers.plug.hf_zoo import HF_ZOO
else:
    HF_ZOO = {"RTDetrV2": None, "DFine": None, "Detr": None, "LwDetr": None}

OBJECTS = [[4.0, 5, 40, 44], [50, 20, 90, 60]]
# The proposals of a two-stage Deformable DETR reach no loss of transformers.
UNTRAINED = {"DeformableDetr two stages": ("enc_output", "class_embed.", "bbox_embed.")}
SOFTMAX = ("Detr", "TableTransformer", "Yolos")


def saved(name, folder):
    """Write a small detector of 4 classes with random weights."""
    torch.manual_seed(0)
    model = HF_ZOO[name]()
    try:
        model.save_pretrained(folder)
    except RuntimeError:
        # Shared weights, which 4.50 writes in its old format alone.
        model.save_pretrained(folder, safe_serialization=False)


def module_of(name, folder, *options):
    if not (folder / "config.json").is_file():
        saved(name, folder)
    loss = ["loss=cross_entropy"] if name in SOFTMAX else []
    config = compose_config(
        [
            "detector=hf",
            "detector.model=null",
            f"detector.checkpoint={folder}",
            "data.num_classes=4",
            *loss,
            *options,
        ]
    ).config
    return build_module(config)


@pytest.mark.parametrize("name", HF_ZOO)
def test_every_detector_is_trained_by_our_criterion(name, tmp_path):
    module = module_of(name, tmp_path).train()
    assert module.detector.activation == ("softmax" if name in SOFTMAX else "sigmoid")
    for boxes in (OBJECTS, []):
        module.zero_grad(set_to_none=True)
        output = module.step(batch_with(boxes, []), detect=True)
        assert output.loss.isfinite()
        assert [len(p) for p in output.positives] == [len(boxes)] * len(output.predictions)
        output.loss.backward()
        without = [n for n, p in module.named_parameters() if p.requires_grad and p.grad is None]
        without = [n for n in without if not any(u in n for u in UNTRAINED.get(name, ()))]
        assert without == []
    stages = len(output.predictions)
    assert stages >= (1 if name == "Yolos" else 2)
    assert len(module.eval().step(batch_with(OBJECTS, [])).predictions) == stages


@pytest.mark.parametrize("name", HF_ZOO)
def test_every_detector_keeps_its_own_loss(name, tmp_path):
    """The terms are the loss that the model itself computes, and the positives its matching."""
    module = module_of(name, tmp_path, "criterion=own", "corr=concordance", "corr.weight=0.5")
    model = module.detector.model
    batch = batch_with(OBJECTS, [])
    for training in (False, True):
        module.train(training)
        for layer in module.modules():
            if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm | torch.nn.Dropout):
                layer.eval()
        torch.manual_seed(5)
        output = module.step(batch)
        corr = sum(v for k, v in output.terms.items() if k.endswith("loss_corr"))
        module.detector._loss.original, seen = watched(module.detector._loss.original)
        torch.manual_seed(5)
        module.step(batch)
        module.detector._loss.original = seen.pop("original")
        torch.testing.assert_close(output.loss - corr, seen["loss"])
        assert len(output.positives[-1]) >= len(OBJECTS)
        assert all(p.gt_idx.unique().tolist() == [0, 1] for p in output.positives)
    output.loss.backward()
    assert model.config.num_labels == 4


def watched(original):
    seen = {"original": original}

    def watch(*args, **kwargs):
        found = original(*args, **kwargs)
        seen["loss"] = found[0]
        return found

    return watch, seen


def test_a_batch_without_objects_reaches_the_denoising_embedding(tmp_path):
    module = module_of("RTDetrV2", tmp_path, "criterion=own").train()
    output = module.step(batch_with([], []))
    output.loss.backward()
    without = [n for n, p in module.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


@pytest.mark.parametrize("name", ["Detr", "RTDetrV2"])
def test_predictions_are_those_of_the_model(name, tmp_path):
    """Boxes are fractions of the padded batch, as processors write them; the mask is the rest."""
    module = module_of(name, tmp_path).eval()
    batch = batch_with(OBJECTS, [])
    # Half of the second picture is padding, more than a cell of the coarsest map.
    small = dataclasses.replace(batch.targets[1], valid_size=(30, 40))
    batch = dataclasses.replace(batch, targets=(batch.targets[0], small))
    height, width = batch.images.shape[-2:]
    mask = torch.zeros(2, height, width, dtype=torch.long)
    for own, (rows, columns) in zip(mask, batch.valid_sizes, strict=True):
        own[:rows, :columns] = 1
    with torch.no_grad():
        stage = module.detector(batch)[-1]
        theirs = module.detector.model(pixel_values=batch.images, pixel_mask=mask)
    assert torch.equal(stage.logits, theirs.logits)
    scale = torch.tensor([width, height, width, height])
    torch.testing.assert_close(stage.boxes, cxcywh_to_xyxy(theirs.pred_boxes) * scale)
    if name == "Detr":
        with torch.no_grad():
            unmasked = module.detector.model(pixel_values=batch.images).logits
        assert not torch.equal(unmasked[1], theirs.logits[1])


def test_a_model_of_words_is_refused():
    with pytest.raises(ValueError, match=r"Expected (Owl|`detector\.model`)") as error:
        build_module(compose_config(["detector=hf", "detector.model=owlvit"]).config)
    assert "\n" not in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["hf_rt_detr_v2", "hf_d_fine", "hf_deformable_detr", "hf_conditional_detr"]
)
def test_full_files_build(name):
    if name == "hf_d_fine" and "DFine" not in HF_ZOO:
        pytest.skip("this version of transformers has no D-FINE")
    module = build_module(compose_config([f"detector={name}", "data.num_classes=80"]).config)
    assert 25e6 < sum(p.numel() for p in module.parameters()) < 60e6


@pytest.mark.parametrize("name", ["Detr", "RTDetrV2"])
def test_without_memory_it_has_the_same_shapes(name, tmp_path):
    """What maps classes to rows of weights builds detectors on no device."""
    made = module_of(name, tmp_path)
    with torch.device("meta"):
        bare = module_of(name, tmp_path)
    assert bare.detector.activation == made.detector.activation
    shapes = [{k: v.shape for k, v in m.state_dict().items()} for m in (made, bare)]
    assert shapes[0] == shapes[1]
