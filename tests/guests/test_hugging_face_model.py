"""Detectors of transformers by name or folder."""

from __future__ import annotations

import importlib.util
import json

import pytest
import torch

from corrlight.guests.hugging_face_model import check_normalization, make_model


def made(model=None, checkpoint=None, *, one_to_one=True, classes=4, **overrides):
    torch.manual_seed(0)
    return make_model(classes, model, checkpoint, overrides, one_to_one=one_to_one)


SMALL = {
    "backbone_config": {
        "model_type": "rt_detr_resnet",
        "embedding_size": 8,
        "hidden_sizes": [8, 8, 16, 16],
        "depths": [1, 1, 1, 1],
        "layer_type": "basic",
        "out_indices": [2, 3, 4],
    },
    "encoder_in_channels": [8, 16, 16],
    "encoder_hidden_dim": 16,
    "encoder_ffn_dim": 16,
    "encoder_attention_heads": 2,
    "hidden_expansion": 0.5,
    "d_model": 16,
    "decoder_in_channels": [16, 16, 16],
    "decoder_ffn_dim": 16,
    "decoder_layers": 2,
    "decoder_attention_heads": 2,
    "num_queries": 12,
}


def test_a_missing_library_is_one_line(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'corrlight\[hf\]'\.$") as error:
        made("rt_detr_v2")
    assert "\n" not in str(error.value)


def write(folder, **content):
    (folder / "preprocessor_config.json").write_text(json.dumps(content))


IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


def test_normalization_as_the_processor_says(tmp_path):
    mean, std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    check_normalization(tmp_path, [1, 2, 3], [1, 1, 1])  # nothing is said
    write(tmp_path, do_rescale=True, rescale_factor=1 / 255, do_normalize=True, **IMAGENET)
    check_normalization(tmp_path, mean, std)
    with pytest.raises(ValueError, match=r"data\.mean=\[123\.675,116\.28,103\.53\] data\.std="):
        check_normalization(tmp_path, mean, [58.0, 57, 57])
    # RT-DETR takes pictures of 0 to 1.
    write(tmp_path, do_rescale=True, rescale_factor=1 / 255, do_normalize=False, **IMAGENET)
    check_normalization(tmp_path, [0, 0, 0], [255, 255, 255])
    with pytest.raises(ValueError, match=r"data\.mean=\[0\.0,0\.0,0\.0\] data\.std=\[255\.0,"):
        check_normalization(tmp_path, mean, std)


@pytest.mark.hf
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (({}), "Expected one of `detector.model`"),
        ({"model": "detr", "checkpoint": "x"}, "Expected one of `detector.model`"),
        ({"model": "rt_detr_v3"}, "to be one of .*rt_detr_v2.*, but got 'rt_detr_v3'"),
        ({"checkpoint": "nowhere"}, "with a config.json, but got nowhere"),
        ({"model": "rt_detr_v2", "num_querys": 3}, "but rt_detr_v2 has no 'num_querys'"),
    ],
)
def test_what_is_wrong_is_one_line(arguments, reason):
    with pytest.raises(ValueError, match=reason) as error:
        made(**arguments)
    assert "\n" not in str(error.value)


@pytest.mark.hf
def test_options_reach_the_model():
    model = made("rt_detr_v2", classes=5, **SMALL)
    assert type(model).__name__ == "RTDetrV2ForObjectDetection"
    assert (model.config.num_labels, model.config.num_queries) == (5, 12)
    # Each query once, without denoising queries: the set criterion matches all there are.
    assert (model.config.num_denoising, model.config.auxiliary_loss) == (0, True)
    assert made("rt_detr_v2", one_to_one=False, **SMALL).config.num_denoising == 100


@pytest.mark.hf
def test_new_models_have_no_normalization_that_lets_next_to_nothing_pass():
    model = made("rt_detr_v2", **SMALL)
    scales = [m.weight for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(scales) > 10
    assert all((scale == 1).all() for scale in scales)


@pytest.mark.hf
def test_a_folder_gives_its_weights(tmp_path, caplog):
    first = made("rt_detr_v2", one_to_one=False, **SMALL)
    first.save_pretrained(tmp_path)
    again = made(checkpoint=tmp_path)
    state = first.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in again.state_dict().items())
    assert set(state) - set(again.state_dict()) == {"model.denoising_class_embed.weight"}
    assert not [r for r in caplog.records if r.name.startswith("corrlight")]
    # Heads of other classes start new, and everything else does not.
    other = made(checkpoint=tmp_path, classes=7)
    changed = {k for k, v in other.state_dict().items() if v.shape != state[k].shape}
    assert changed
    assert all("class_embed" in k or "enc_score_head" in k for k in changed)
    assert all(torch.equal(v, state[k]) for k, v in other.state_dict().items() if k not in changed)
    said = [r.message for r in caplog.records if r.name.startswith("corrlight")]
    assert len(said) == 1
    assert "start new" in said[0]


@pytest.mark.hf
def test_groups_of_queries_leave_the_first(tmp_path):
    zoo = pytest.importorskip("tests.helpers.plug.hf_zoo").HF_ZOO
    if "LwDetr" not in zoo:
        pytest.skip("this version of transformers has no LW-DETR")
    torch.manual_seed(0)
    first = zoo["LwDetr"]().eval()
    first.save_pretrained(tmp_path)
    again = made(checkpoint=tmp_path).eval()
    assert (first.config.group_detr, again.config.group_detr) == (3, 1)
    images = torch.rand(1, 3, 96, 96)
    with torch.no_grad():
        theirs, ours = first(images), again(images)
    # What it detects is the same: inference takes the first group.
    torch.testing.assert_close(ours.logits, theirs.logits)
    torch.testing.assert_close(ours.pred_boxes, theirs.pred_boxes)


def gradients(model, images):
    """Return those of the first input projection, which is flattened to tokens."""
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    model.zero_grad()
    found = {}
    handle = model.model.encoder_input_proj[2].register_forward_hook(
        lambda module, inputs, output: found.update(maps=output)
    )
    model(images)
    handle.remove()
    tokens = found["maps"].flatten(2).transpose(1, 2)
    (tokens * torch.arange(tokens[0].numel()).view_as(tokens[0]) / tokens[0].numel()).mean(
        0
    ).sum().backward()
    return [p.grad.clone() for p in model.model.encoder_input_proj[2].parameters()]


@pytest.mark.hf
def test_one_image_has_the_gradient_of_itself_twice():
    model = made("rt_detr_v2", **SMALL)
    image = torch.rand(1, 3, 96, 96)
    for one, twice in zip(
        gradients(model, image), gradients(model, image.repeat(2, 1, 1, 1)), strict=True
    ):
        assert twice.abs().max() > 0
        torch.testing.assert_close(one, twice, rtol=1e-4, atol=1e-5)
