"""Small detectors of transformers with random weights, those that its version has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import nn

__all__ = ["HF_ZOO", "NUM_CLASSES", "hf_batch"]

NUM_CLASSES = 4
SIDE = 96
_HEADS = {"encoder_attention_heads": 4, "decoder_attention_heads": 4}
_FEATURES = {"out_features": ["stage2", "stage3", "stage4"]}


def _of(name: str, **options: Any) -> nn.Module:
    config = getattr(transformers, f"{name}Config")(num_labels=NUM_CLASSES, **options)
    return getattr(transformers, f"{name}ForObjectDetection")(config)


def _resnet(cls: str = "ResNetConfig") -> Any:
    return getattr(transformers, cls)(
        embedding_size=16,
        hidden_sizes=[16, 24, 32, 48],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        **_FEATURES,
    )


def _detr(name: str, **options: Any) -> nn.Module:
    sizes = {"d_model": 32} if name != "DabDetr" else {"hidden_size": 32}
    return _of(
        name,
        use_timm_backbone=False,
        use_pretrained_backbone=False,
        backbone=None,
        backbone_config=_resnet(),
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        num_queries=12,
        auxiliary_loss=True,
        dropout=0.0,
        **sizes,
        **_HEADS,
        **options,
    )


def _hybrid(name: str, **options: Any) -> nn.Module:
    """RT-DETR and its kin."""
    return _of(
        name,
        encoder_hidden_dim=32,
        encoder_ffn_dim=32,
        d_model=32,
        num_queries=20,
        decoder_in_channels=[32, 32, 32],
        decoder_ffn_dim=32,
        decoder_layers=3,
        num_denoising=10,
        use_pretrained_backbone=False,
        **_HEADS,
        **options,
    )


def _rt_detr(name: str) -> nn.Module:
    return _hybrid(
        name,
        backbone_config=_resnet("RTDetrResNetConfig"),
        encoder_in_channels=[24, 32, 48],
        hidden_expansion=1.0,
    )


def _d_fine(name: str) -> nn.Module:
    backbone = transformers.HGNetV2Config(
        stem_channels=[3, 8, 16],
        stage_in_channels=[16, 16, 32, 32],
        stage_mid_channels=[8, 8, 16, 16],
        stage_out_channels=[16, 32, 32, 48],
        stage_num_blocks=[1, 1, 1, 1],
        stage_downsample=[False, True, True, True],
        stage_light_block=[False, False, True, True],
        stage_kernel_size=[3, 3, 5, 5],
        stage_numb_of_layers=[2, 2, 2, 2],
        embedding_size=16,
        hidden_sizes=[16, 32, 32, 48],
        depths=[1, 1, 1, 1],
        **_FEATURES,
    )
    return _hybrid(
        name,
        backbone_config=backbone,
        encoder_in_channels=[32, 32, 48],
        hidden_size=32,
        feat_strides=[8, 16, 32],
        decoder_n_points=[3, 4, 3],
        hidden_expansion=0.5,
    )


def _groups(name: str, backbone: Any) -> nn.Module:
    """LW-DETR and RF-DETR, with three groups of queries."""
    return _of(
        name,
        backbone_config=backbone,
        d_model=32,
        decoder_layers=2,
        decoder_ffn_dim=32,
        decoder_self_attention_heads=4,
        decoder_cross_attention_heads=4,
        num_queries=15,
        group_detr=3,
        num_feature_levels=1,
        projector_in_channels=[32],
        projector_out_channels=32,
        projector_scale_factors=[1.0],
        dropout=0.0,
    )


_VIT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": SIDE,
    "patch_size": 16,
    "out_indices": [2],
    "mlp_ratio": 2,
}


def _lw_detr() -> nn.Module:
    backbone = transformers.LwDetrViTConfig(
        pretrain_image_size=SIDE, window_block_indices=[0], num_windows=4, **_VIT
    )
    return _groups("LwDetr", backbone)


def _rf_detr() -> nn.Module:
    backbone = transformers.RfDetrDinov2Config(num_windows=2, window_block_indexes=[0], **_VIT)
    return _groups("RfDetr", backbone)


def _yolos() -> nn.Module:
    return _of(
        "Yolos",
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=32,
        image_size=[SIDE, SIDE],
        num_detection_tokens=12,
        use_mid_position_embeddings=False,
    )


_TWO_STAGE = {"with_box_refine": True, "two_stage": True, "two_stage_num_proposals": 12}
_ALL: dict[str, Callable[[], nn.Module]] = {
    "Detr": lambda: _detr("Detr"),
    "TableTransformer": lambda: _detr("TableTransformer"),
    "ConditionalDetr": lambda: _detr("ConditionalDetr"),
    "DeformableDetr": lambda: _detr("DeformableDetr", with_box_refine=True),
    "DeformableDetr two stages": lambda: _detr("DeformableDetr", **_TWO_STAGE),
    "DabDetr": lambda: _detr("DabDetr"),
    "Yolos": _yolos,
    "RTDetr": lambda: _rt_detr("RTDetr"),
    "RTDetrV2": lambda: _rt_detr("RTDetrV2"),
    "DFine": lambda: _d_fine("DFine"),
    "Deimv2": lambda: _d_fine("Deimv2"),
    "LwDetr": _lw_detr,
    "RfDetr": _rf_detr,
}
HF_ZOO = {
    name: make
    for name, make in _ALL.items()
    if hasattr(transformers, f"{name.split()[0]}ForObjectDetection")
}


def hf_batch(kind: str = "mixed") -> tuple[torch.Tensor, list[dict[str, torch.Tensor]]]:
    """Return images and labels: "mixed", "empty", "one" object, "negative" or too "high" labels."""
    generator = torch.Generator().manual_seed(11)
    boxes = torch.tensor([[0.3, 0.3, 0.3, 0.4], [0.6, 0.7, 0.3, 0.2], [0.5, 0.5, 0.8, 0.8]])
    none = {"class_labels": torch.zeros(0, dtype=torch.long), "boxes": torch.zeros(0, 4)}
    some = {"class_labels": torch.tensor([0, 2, 3]), "boxes": boxes}
    wrong = {"negative": -1, "high": NUM_CLASSES}
    if kind in wrong:
        labels = [none, {**some, "class_labels": torch.tensor([0, wrong[kind], 3])}]
    elif kind == "one":
        labels = [{k: v[:1] for k, v in some.items()}, none]
    else:
        labels = [none, none] if kind == "empty" else [some, none]
    images = torch.rand(len(labels), 3, SIDE, SIDE, generator=generator)
    return images, labels
