"""Faster and Mask R-CNN for ``mmdetection_fixtures.py``: two stages, proposals between them.

Beside what the dense ones write: ``outputs.npz`` has the maps of the proposal network, the
proposals of a test and what the second stage makes of them, ``assignment.npz`` the objects of every
anchor (-1 ignored, -2 outside of the image) and of every proposal of a training step, and
``cls_grad.npz`` the gradients of both stages' scores. Samples are larger than what there is to draw
from, so that nothing is random.
"""

from pathlib import Path
from typing import Any

import mmdet
import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi
from mmdet.structures.mask import BitmapMasks
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
    draw_weights,
    edge_objects,
    load_images,
    metas,
    objects,
    scalar_terms,
    store,
)

WIDTH, HIDDEN = 16, 32
EVERYTHING = 1_000_000
# Proposals of a level and of an image, in training and in a test.
TRAINED, TESTED = (1000, 200), (300, 200)
CONFIGS = {
    "faster_rcnn": "faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py",
    "mask_rcnn": "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py",
}
# How last layers are rescaled: mean and standard deviation of what they give.
LAST = {
    "rpn_head.rpn_cls": (-1.0, 1.5),
    "rpn_head.rpn_reg": (0.0, 0.2),
    "roi_head.bbox_head.fc_cls": (0.0, 1.5),
    "roi_head.bbox_head.fc_reg": (0.0, 0.7),
    "roi_head.mask_head.conv_logits": (0.0, 1.5),
}


def replace_operators() -> None:
    """Let torchvision stand in for mmcv's compiled suppression and region pooling."""
    # `mmcv.ops` has functions of the modules' names.
    import importlib

    import torchvision

    def nms(bboxes, scores, iou_threshold=0.5, offset=0):
        assert offset == 0
        return torchvision.ops.nms(bboxes, scores, iou_threshold)

    def forward(x, rois, output, ys, xs, *, aligned_height, aligned_width, **settings) -> None:
        size = (aligned_height, aligned_width)
        output.copy_(pooled(x, rois, size, settings))

    def backward(grad, rois, ys, xs, grad_x, *, aligned_height, aligned_width, **settings) -> None:
        leaf = torch.zeros_like(grad_x).requires_grad_()
        with torch.enable_grad():
            found = pooled(leaf, rois, (aligned_height, aligned_width), settings)
        grad_x.copy_(torch.autograd.grad(found, leaf, grad)[0])

    def pooled(x, rois, size, settings) -> Tensor:
        assert settings["pool_mode"] == 1  # the mean
        return torchvision.ops.roi_align(
            x,
            rois,
            size,
            settings["spatial_scale"],
            settings["sampling_ratio"],
            settings["aligned"],
        )

    importlib.import_module("mmcv.ops.nms").ext_module.nms = nms
    regions = importlib.import_module("mmcv.ops.roi_align").ext_module
    regions.roi_align_forward, regions.roi_align_backward = forward, backward


def build(name: str) -> nn.Module:
    """Return the reduced model."""
    configs = Path(mmdet.__file__).parent / ".mim" / "configs"
    model = Config.fromfile(str(configs / CONFIGS[name])).model
    model.data_preprocessor = None
    model.backbone.update(depth=18, base_channels=BASE, init_cfg=None)
    model.neck.update(in_channels=[BASE * 2**i for i in range(4)], out_channels=WIDTH)
    model.rpn_head.update(in_channels=WIDTH, feat_channels=WIDTH)
    roi = model.roi_head
    roi.bbox_roi_extractor.out_channels = WIDTH
    roi.bbox_head.update(in_channels=WIDTH, fc_out_channels=HIDDEN, num_classes=NUM_CLASSES)
    if name == "mask_rcnn":
        roi.mask_roi_extractor.out_channels = WIDTH
        roi.mask_head.update(in_channels=WIDTH, conv_out_channels=WIDTH, num_classes=NUM_CLASSES)
    train, test = model.train_cfg, model.test_cfg
    for sampler in (train.rpn.sampler, train.rcnn.sampler):
        sampler.update(num=EVERYTHING)
    for config, (level, image) in ((train.rpn_proposal, TRAINED), (test.rpn, TESTED)):
        config.update(nms_pre=level, max_per_img=image)
    built: nn.Module = MODELS.build(model)
    return built.eval()


def draw_masks(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return an ellipse inside every object's box."""
    y, x = torch.meshgrid(torch.arange(SIZE[0]) + 0.5, torch.arange(SIZE[1]) + 0.5, indexing="ij")
    found = {}
    for b in range(2):
        low, high = inputs[f"gt_boxes_{b}"].T.reshape(2, 2, -1, 1, 1)
        centre, half = (low + high) / 2, (high - low) / 2
        inside = ((x - centre[0]) / half[0]) ** 2 + ((y - centre[1]) / half[1]) ** 2
        found[f"gt_masks_{b}"] = inside < 1
    return found


def samples(gts: list[InstanceData]) -> list[DetDataSample]:
    """Return the ground truth as the model takes it."""
    return [
        DetDataSample(metainfo=meta, gt_instances=gt) for meta, gt in zip(metas(), gts, strict=True)
    ]


class Recorder:
    """What passes through a model: outputs of modules, and what functions return."""

    def __init__(self, model: nn.Module) -> None:
        self.found: dict[str, list[Any]] = {}
        roi = model.roi_head
        self._hook("rpn", model.rpn_head)
        self._hook("roi", roi.bbox_head)
        self._wrap("proposals", model.rpn_head, "predict_by_feat")
        self._wrap("rpn_assigned", model.rpn_head.assigner, "assign")
        self._wrap("roi_assigned", roi.bbox_assigner, "assign")
        self._wrap("roi_sampled", roi.bbox_sampler, "sample")

    def _hook(self, name: str, module: nn.Module) -> None:
        module.register_forward_hook(lambda _, __, out: self.found.setdefault(name, []).append(out))

    def _wrap(self, name: str, owner: Any, function: str) -> None:
        inner = getattr(owner, function)

        def outer(*args: Any, **kwargs: Any) -> Any:
            result = inner(*args, **kwargs)
            # Later steps change what is returned.
            kept = [r.bboxes.clone() for r in result] if name == "proposals" else result
            if name == "rpn_assigned" or name == "roi_assigned":
                kept = result.gt_inds.clone()
            self.found.setdefault(name, []).append(kept)
            return result

        setattr(owner, function, outer)


def rescale(model: nn.Module, images: Tensor, gts: list[InstanceData]) -> None:
    """Rescale the last layers, in order: later ones see what earlier ones give."""
    for name, (mean, std) in LAST.items():
        layer, seen = dict(model.named_modules()).get(name), []
        if layer is None:
            continue
        handle = layer.register_forward_hook(lambda _, __, out, seen=seen: seen.append(out))
        with torch.no_grad():
            model.loss(images, samples(gts))
            handle.remove()
            values = torch.cat([out.flatten() for out in seen])
            factor = std / float(values.std())
            layer.weight.mul_(factor)
            layer.bias.copy_((layer.bias - values.mean()) * factor + mean)


def assignments(model: nn.Module, found: dict[str, list[Any]], sizes: Any) -> dict[str, Tensor]:
    """Return the object of every anchor and proposal, 0 for background."""
    assignment: dict[str, Tensor] = {}
    generator = model.rpn_head.prior_generator
    for b, meta in enumerate(metas()):
        valid = torch.cat(generator.valid_flags(sizes, meta["pad_shape"], device="cpu"))
        whole = torch.full((len(valid),), -2)
        whole[valid] = found["rpn_assigned"][b]
        assignment[f"rpn_gt_inds_{b}"] = whole.int()
        assignment[f"roi_gt_inds_{b}"] = found["roi_assigned"][b].int()
        assignment[f"roi_proposals_{b}"] = found["proposals"][0][b]
    return assignment


def gradients_of_regions(found: dict[str, list[Any]], gradient: Tensor) -> dict[str, Tensor]:
    """Return the gradients of the second stage's scores: objects first, then proposals."""
    result, start = {}, 0
    for b, sampled in enumerate(found["roi_sampled"]):
        order = torch.cat([sampled.pos_inds, sampled.neg_inds])
        rows = torch.zeros(int(order.max()) + 1, gradient.shape[1])
        rows[order] = gradient[start : start + len(order)]
        result[f"roi_{b}"] = rows
        start += len(order)
    return result


def detections_of(
    model: nn.Module, features: Any, tag: str, config: dict[str, Any]
) -> dict[str, Tensor]:
    """Return boxes, scores, labels and masks of both images."""
    roi, kept = model.roi_head, dict(model.roi_head.test_cfg)
    roi.test_cfg.update(config)
    proposals = model.rpn_head.predict(features, samples([InstanceData(), InstanceData()]))
    predicted = roi.predict(
        features, proposals, samples([InstanceData(), InstanceData()]), rescale=False
    )
    roi.test_cfg.update(kept)
    found = {}
    for b, instances in enumerate(predicted):
        for key in ("bboxes", "scores", "labels"):
            found[f"{tag}{key.replace('bb', 'b')}_{b}"] = instances[key]
        if "masks" in instances:
            packed = np.packbits(instances.masks.numpy()[:, : VALID[b][0], : VALID[b][1]])
            found[f"{tag}masks_{b}"] = torch.from_numpy(packed)
    return found


def raw_outputs(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Return the first stage's maps, the proposals of a test, and what becomes of them."""
    levels, outputs = model.extract_feat(images), {}
    for kind, found in zip(("rpn_cls", "rpn_reg"), model.rpn_head(levels), strict=True):
        outputs |= {f"{kind}_{i}": m for i, m in enumerate(found)}
    proposals = model.rpn_head.predict(levels, samples([InstanceData(), InstanceData()]))
    for b, own in enumerate(proposals):
        rois = bbox2roi([own.bboxes])
        rois[:, 0] = b
        second = model.roi_head._bbox_forward(levels, rois)
        outputs[f"proposals_{b}"] = own.bboxes
        outputs[f"roi_cls_{b}"] = second["cls_score"]
        outputs[f"roi_reg_{b}"] = second["bbox_pred"]
        if model.with_mask:
            masks = model.roi_head._mask_forward(levels, rois[:2])["mask_preds"]
            outputs[f"roi_mask_{b}"] = masks
    return outputs


def write(name: str, seed: int, root: Path) -> None:
    """Build, run and write one model."""
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    model = build(name)
    inputs = draw_inputs()
    images, gts = load_images(inputs), objects(inputs)
    if name == "mask_rcnn":
        inputs |= draw_masks(inputs)
        for b, gt in enumerate(gts):
            gt.masks = BitmapMasks(inputs[f"gt_masks_{b}"].numpy().astype(np.uint8), *SIZE)
    draw_weights(model)
    rescale(model, images, gts)
    with torch.no_grad():
        outputs = raw_outputs(model, images)

    recorder = Recorder(model)
    own = scalar_terms(model.loss(images, samples(gts)))
    total = sum(own.values())
    values = {k: float(v) for k, v in own.items()} | {"_total": float(total)}
    found = recorder.found
    rpn_maps, (regions, _) = found["rpn"][0][0], found["roi"][0]
    assignment = assignments(model, found, [m.shape[-2:] for m in rpn_maps])
    trained = {k: p for k, p in model.named_parameters() if p.requires_grad}
    gradients = torch.autograd.grad(total, [*trained.values(), *rpn_maps, regions])
    norms = dict(zip(trained, (float(g.norm()) for g in gradients), strict=False))
    levels = gradients[len(trained) : -1]
    cls_grad = {f"cls_{i}": g for i, g in enumerate(levels)}
    cls_grad |= gradients_of_regions(found, gradients[-1])
    edges = {
        case: {k: float(v) for k, v in scalar_terms(model.loss(images, samples(own))).items()}
        for case, own in edge_objects(*gts).items()
    }
    losses = {
        "losses": {"plain_head": values},
        "grad_norm": {"plain_head": norms},
        "edge": {"plain_head": edges},
    }
    with torch.no_grad():
        features = model.extract_feat(images)
        detections = detections_of(model, features, "", {"max_per_img": 20})
        detections |= detections_of(
            model, features, "thr0.2_max500_", {"score_thr": 0.2, "max_per_img": 500}
        )

    files = {"inputs": inputs, "outputs": outputs, "assignment": assignment, "cls_grad": cls_grad}
    store(folder, model, {**files, "detections_v3": detections}, losses, description(name, seed))
    positives = [int((assignment[f"roi_gt_inds_{b}"] > 0).sum()) for b in range(2)]
    counts = [len(detections[f"boxes_{b}"]) for b in range(2)]
    print(name, f"seed {seed}, positives {positives}, detections {counts}", values, flush=True)


def description(name: str, seed: int) -> dict[str, Any]:
    """Return what the tests build our side from."""
    return {
        "detector": name,
        "toolbox": f"mmdetection {mmdet.__version__}",
        "seed": seed,
        "epoch": 0,
        "backbone": {"type": "resnet18", "base_channels": BASE, "frozen_stages": 1},
        "fpn": {"out_channels": WIDTH, "start_level": 0, "num_outs": 5},
        "head": {"num_classes": NUM_CLASSES, "hidden_channels": HIDDEN, "mask_channels": WIDTH},
        "proposals": {"training": TRAINED, "test": TESTED},
        "samples": EVERYTHING,
        "outputs": ["rpn_cls", "rpn_reg"],
        "input": {"batch": [2, 3, *SIZE], "valid": VALID, "padded_to": PADDED},
    }
