"""Reduced Deformable DETRs for ``benchmarks/mmdetection_fixtures.py``, which runs this.

Stages are counted as corrlight does: the encoder's proposals first, where there are some, then the
layers of the decoder. ``outputs.npz`` has ``cls_k`` and ``boxes_k`` (centre, width and height as
shares of the image) of stage k, ``assignment.npz`` ``gt_inds_k_b`` and ``labels_k_b`` of image b,
``cls_grad.npz`` the gradient of the total with respect to ``cls_k``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import mmdet
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData
from torch import Tensor, nn

from benchmarks.mmdetection_fixtures import (
    BASE,
    NUM_CLASSES,
    PADDED,
    SIZE,
    VALID,
    draw_inputs,
    edge_objects,
    load_images,
    metas,
    objects,
    rescale,
    store,
)

WIDTH = 16
HEADS, POINTS, HIDDEN, LAYERS, QUERIES, GROUPS = 2, 2, 32, 2, 20, 4
SETS: dict[str, dict[str, bool]] = {
    "deformable_detr": {},
    "deformable_detr_refine": {"with_box_refine": True},
    "deformable_detr_two_stage": {"with_box_refine": True, "as_two_stage": True},
}
# Mean and standard deviation of what the last layers give.
LAST = {"cls": (-2.0, 1.5), "reg": (-0.5, 0.7)}


def build(options: dict[str, bool]) -> nn.Module:
    """Return the reduced model in eval mode; it still gives the proposals."""
    configs = Path(mmdet.__file__).parent / ".mim" / "configs"
    path = configs / "deformable_detr" / "deformable-detr_r50_16xb2-50e_coco.py"
    model = Config.fromfile(str(path)).model
    model.data_preprocessor = None
    # Without the last stage, which has most of the weights.
    stages = {"num_stages": 3, "strides": (1, 2, 2), "dilations": (1, 1, 1), "out_indices": (1, 2)}
    model.backbone.update(depth=18, base_channels=BASE, init_cfg=None, **stages)
    norm = {"type": "GN", "num_groups": GROUPS}
    model.neck.update(in_channels=[BASE * 2, BASE * 4], out_channels=WIDTH, norm_cfg=norm)
    for coder in (model.encoder, model.decoder):
        coder.num_layers = LAYERS
        for name, settings in coder.layer_cfg.items():
            settings.embed_dims = WIDTH
            if name == "ffn_cfg":
                settings.feedforward_channels = HIDDEN
            else:
                settings.num_heads = HEADS
    model.encoder.layer_cfg.self_attn_cfg.num_points = POINTS
    model.decoder.layer_cfg.cross_attn_cfg.num_points = POINTS
    model.positional_encoding.num_feats = WIDTH // 2
    model.bbox_head.update(num_classes=NUM_CLASSES, embed_dims=WIDTH)
    model.update(num_queries=QUERIES, **options)
    built: nn.Module = MODELS.build(model)
    built.eval()
    built.training = True  # of this module alone: dropout stays off
    # Its default fits 256 channels alone.
    built.get_proposal_pos_embed = partial(built.get_proposal_pos_embed, num_pos_feats=WIDTH // 2)
    return built


def samples() -> list[DetDataSample]:
    """Return the descriptions of both images."""
    return [DetDataSample(metainfo=meta) for meta in metas()]


def forward(model: nn.Module, images: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return logits and boxes of every stage."""
    found = model.forward_transformer(model.extract_feat(images), samples())
    decoded = model.bbox_head(found["hidden_states"], found["references"])
    stages = [*zip(*(t.unbind() for t in decoded), strict=True)]
    if found["enc_outputs_class"] is not None:
        stages.insert(0, (found["enc_outputs_class"], found["enc_outputs_coord"]))
    return stages


def terms(
    model: nn.Module, stages: list[tuple[Tensor, Tensor]], gts: list[InstanceData]
) -> dict[str, Tensor]:
    """Return the loss terms."""
    first = stages[0] if model.as_two_stage else (None, None)
    own = [torch.stack(kind) for kind in zip(*stages[bool(model.as_two_stage) :], strict=True)]
    found: dict[str, Tensor] = model.bbox_head.loss_by_feat(*own, *first, gts, metas())
    return found


def randomise(model: nn.Module, images: Tensor) -> None:
    """Draw all weights so that each of them matters, and rescale the last layers."""
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if not tensor.is_floating_point():
                continue
            if "bn2.weight" in name:
                # The last norm of a residual branch stays small, so that maps do not grow.
                tensor.uniform_(0.1, 0.3)
            elif name.endswith("running_var") or (tensor.ndim == 1 and name.endswith("weight")):
                tensor.uniform_(0.6, 1.4)
            elif name.endswith("sampling_offsets.bias"):
                tensor.uniform_(-2.0, 2.0)
            elif tensor.ndim == 1:
                tensor.uniform_(-0.2, 0.2)
            elif name in ("level_embed", "query_embedding.weight"):
                tensor.normal_()
            else:
                gain = 2**0.5 if name.startswith("backbone") else 1.0
                tensor.normal_(std=gain / tensor[0].numel() ** 0.5)
        head = model.bbox_head
        order = range(1) if head.share_pred_layer else [*range(LAYERS)]
        if model.as_two_stage and not head.share_pred_layer:
            order = [LAYERS, *order]
        # In order: later ones see what earlier ones give.
        for i in order:
            for layer, kind in ((head.cls_branches[i], "cls"), (head.reg_branches[i][-1], "reg")):
                rescale(layer, LAST[kind], lambda: forward(model, images))


@contextmanager
def recorded(assigner: Any) -> Iterator[list[Tensor]]:
    """Collect what an assigner finds."""
    found: list[Tensor] = []
    assign = assigner.assign

    def record(*args: Any, **kwargs: Any) -> Any:
        result = assign(*args, **kwargs)
        found.append(result.gt_inds)
        return result

    assigner.assign = record
    yield found
    assigner.assign = assign


def write_set(name: str, seed: int, root: Path) -> None:
    """Build, run and write one model."""
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    # First, so that all variants have the same.
    inputs = draw_inputs()
    model = build(SETS[name])
    images, gts = load_images(inputs), objects(inputs)
    randomise(model, images)

    stages = forward(model, images)
    maps = model.backbone(images)
    outputs = {f"C{i}": m for i, m in enumerate(maps, 3)}
    outputs |= {f"level_{i}": m for i, m in enumerate(model.neck(maps))}
    for i, (logits, boxes) in enumerate(stages):
        outputs |= {f"cls_{i}": logits, f"boxes_{i}": boxes}

    with recorded(model.bbox_head.assigner) as matches:
        own = terms(model, stages, gts)
    pairs = [matches[i : i + 2] for i in range(0, len(matches), 2)]
    if model.as_two_stage:
        pairs = [pairs[-1], *pairs[:-1]]  # theirs come last
    assignment: dict[str, Tensor] = {}
    for i, pair in enumerate(pairs):
        for b, (gt_inds, gt) in enumerate(zip(pair, gts, strict=True)):
            labels = gt.labels[(gt_inds - 1).clamp(min=0)]
            if model.as_two_stage and i == 0:
                labels = torch.zeros_like(labels)
            assignment[f"gt_inds_{i}_{b}"] = gt_inds.int()
            assignment[f"labels_{i}_{b}"] = torch.where(gt_inds > 0, labels, -1).int()

    total = sum(own.values())
    trained = {k: p for k, p in model.named_parameters() if p.requires_grad}
    gradients = torch.autograd.grad(total, [*trained.values(), *(s[0] for s in stages)])
    norms = dict(zip(trained, (float(g.norm()) for g in gradients), strict=False))
    values = {k: float(v) for k, v in own.items()} | {"_total": float(total)}
    edges = {
        case: {k: float(v) for k, v in terms(model, stages, edge).items()}
        for case, edge in edge_objects(*gts).items()
    }
    losses = {
        "losses": {"plain_head": values},
        "grad_norm": {"plain_head": norms},
        "edge": {"plain_head": edges},
    }
    with torch.no_grad():
        decoded = [torch.stack([s[i] for s in stages[-LAYERS:]]) for i in range(2)]
        predicted = model.bbox_head.predict_by_feat(*decoded, metas(), rescale=False)
    detections = {
        f"{key.replace('bb', 'b')}_{b}": instances[key]
        for b, instances in enumerate(predicted)
        for key in ("bboxes", "scores", "labels")
    }

    cls_grad = {f"cls_{i}": g for i, g in enumerate(gradients[len(trained) :])}
    files = {"inputs": inputs, "outputs": outputs, "assignment": assignment, "cls_grad": cls_grad}
    store(folder, model, {**files, "detections_v3": detections}, losses, description(name, seed))
    print(name, f"seed {seed}, stages {len(stages)}", values, flush=True)


def description(name: str, seed: int) -> dict[str, Any]:
    """Return what the tests build our side from."""
    return {
        "detector": name,
        "toolbox": f"mmdetection {mmdet.__version__}",
        "seed": seed,
        "epoch": 0,
        "backbone": {
            "type": "resnet18",
            "base_channels": BASE,
            "frozen_stages": 1,
            "out_stages": [1, 2, 3],
        },
        "neck": {"out_channels": WIDTH, "num_groups": GROUPS},
        "transformer": {
            "num_queries": QUERIES,
            "num_heads": HEADS,
            "num_points": POINTS,
            "feedforward_channels": HIDDEN,
            "num_layers": LAYERS,
            **SETS[name],
        },
        "head": {"num_classes": NUM_CLASSES},
        "input": {"batch": [2, 3, *SIZE], "valid": VALID, "padded_to": PADDED},
    }
