r"""Reduced models of mmdetection 3.3.0 as an oracle for the tests, from a seed.

    PEER/bin/python benchmarks/mmdetection_fixtures.py --detector gfl --seed 1 --out DIR
    CORRLIGHT_FIXTURES=DIR python -m pytest -m fixtures tests/detectors

Writes ``DIR/DETECTOR``: ``config.json``, ``weights.safetensors``, ``inputs.npz``, ``outputs.npz``
(maps of backbone, pyramid and head), ``assignment.npz``, ``losses.json`` (terms, gradient norms,
batches without objects), ``cls_grad.npz`` (gradient of the total with respect to the class scores'
maps) and ``detections_v3.npz``; ``tests/data/fixtures/README.md`` describes the form. The
environment is that of ``mmdetection/worker.py`` with safetensors. The model is in eval mode, with
gradients.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

warnings.filterwarnings("ignore")
sys.path.insert(0, str(Path(__file__).parents[1]))

import mmdet  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from mmdet.models.dense_heads import ATSSHead  # noqa: E402
from mmdet.registry import MODELS  # noqa: E402
from mmdet.utils import register_all_modules  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.logging import MessageHub  # noqa: E402
from mmengine.structures import InstanceData  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torchvision.ops import deform_conv2d  # noqa: E402

NUM_CLASSES, WIDTH, BASE = 5, 32, 8
# Few channels and cells a group would magnify rounding.
HEAD = {"stacked_convs": 2, "norm_cfg": {"type": "GN", "num_groups": 8, "requires_grad": True}}
SIZE = (128, 160)
# Content and own padded size of the two images.
VALID, PADDED = ((128, 160), (90, 120)), ((128, 160), (96, 128))
# Of each: configuration, options of the head, the epoch, what the head returns, and how its last
# layers are rescaled (mean and standard deviation of what they give).
IMPROVED = "center-normbbox-centeronreg-giou"
DETECTORS: dict[str, dict[str, Any]] = {
    "gfl": {
        "config": "gfl/gfl_r50_fpn_1x_coco.py",
        "last": {"gfl_cls": (-2.0, 1.5), "gfl_reg": (0.0, 1.5)},
        "outputs": ("cls", "reg"),
    },
    "fcos": {
        "config": f"fcos/fcos_r50_fpn_gn-head-{IMPROVED}_8xb8-amp-lsj-200e_coco.py",
        "last": {"conv_cls": (-2.0, 1.5), "conv_reg": (2.0, 1.5), "conv_centerness": (0.0, 1.0)},
        "outputs": ("cls", "reg", "centerness"),
    },
    "vfnet": {
        "config": "vfnet/vfnet_r50_fpn_1x_coco.py",
        "last": {
            "vfnet_reg": (-1.0, 0.5),
            "vfnet_reg_refine": (0.0, 0.3),
            "vfnet_cls": (-2.0, 1.5),
        },
        "outputs": ("cls", "reg", "refined"),
    },
    "tood": {
        "config": "tood/tood_r50_fpn_1x_coco.py",
        "head": {"stacked_convs": 3},
        "epoch": 12,
        "last": {
            "tood_cls": (-1.0, 1.5),
            "cls_prob_module.2": (-1.0, 1.0),
            "tood_reg": (0.7, 0.5),
            "reg_offset_module.2": (0.0, 0.7),
        },
        "outputs": ("cls", "reg"),
    },
}
# The first epochs of TOOD, with the assigner and losses of ATSS.
DETECTORS["tood_initial"] = {**DETECTORS["tood"], "epoch": 0}


def deformed(x: Tensor, offset: Tensor, weight: Tensor, settings: dict[str, Any]) -> Tensor:
    """Return torchvision's deformable convolution for the settings of mmcv's operator."""
    pairs = (("dH", "dW"), ("padH", "padW"), ("dilationH", "dilationW"))
    stride, padding, dilation = ((settings[a], settings[b]) for a, b in pairs)
    return deform_conv2d(x, offset, weight, None, stride, padding, dilation)


def replace_operators() -> None:
    """Let torchvision stand in for mmcv's compiled deformable convolution."""
    from mmcv.ops import deform_conv

    def forward(x, weight, offset, output, columns, ones, **settings) -> None:
        output.copy_(deformed(x, offset, weight, settings))

    def backward_input(x, offset, grad, grad_x, grad_offset, weight, columns, **settings) -> None:
        leaves = [t.detach().requires_grad_() for t in (x, offset)]
        with torch.enable_grad():
            found = deformed(*leaves, weight, settings)
        for target, value in zip(
            (grad_x, grad_offset), torch.autograd.grad(found, leaves, grad), strict=True
        ):
            target.copy_(value)

    def backward_parameters(x, offset, grad, grad_weight, columns, ones, **settings) -> None:
        weight = torch.zeros_like(grad_weight).requires_grad_()
        with torch.enable_grad():
            found = deformed(x, offset, weight, settings)
        grad_weight.copy_(torch.autograd.grad(found, weight, grad)[0])

    deform_conv.ext_module.deform_conv_forward = forward
    deform_conv.ext_module.deform_conv_backward_input = backward_input
    deform_conv.ext_module.deform_conv_backward_parameters = backward_parameters


def build(spec: dict[str, Any]) -> nn.Module:
    """Return the reduced model."""
    configs = Path(mmdet.__file__).parent / ".mim" / "configs"
    model = Config.fromfile(str(configs / spec["config"])).model
    model.data_preprocessor = None
    model.backbone.update(depth=18, base_channels=BASE, init_cfg=None)
    model.neck.update(in_channels=[BASE * 2**i for i in range(4)], out_channels=WIDTH)
    model.bbox_head.update(num_classes=NUM_CLASSES, in_channels=WIDTH, feat_channels=WIDTH)
    model.bbox_head.update({**HEAD, **spec.get("head", {})})
    built: nn.Module = MODELS.build(model)
    return built.eval()


def draw_weights(model: nn.Module) -> None:
    """Draw all weights so that each of them matters."""
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if not tensor.is_floating_point() or name.endswith("integral.project"):
                continue
            if "bn2.weight" in name:
                # The last norm of a residual branch stays small, so that maps do not grow.
                tensor.uniform_(0.1, 0.3)
            elif name.endswith("running_var") or (tensor.ndim == 1 and name.endswith("weight")):
                tensor.uniform_(0.6, 1.4)
            elif name.endswith("scale"):
                tensor.uniform_(0.8, 1.2)
            elif tensor.ndim == 1:
                tensor.uniform_(-0.2, 0.2)
            else:
                gain = 0.5 if name.startswith("neck") else 2**0.5
                tensor.normal_(std=gain / tensor[0].numel() ** 0.5)


def randomise(model: nn.Module, last: dict[str, tuple[float, float]], images: Tensor) -> None:
    """Draw all weights, and rescale the last layers."""
    draw_weights(model)
    with torch.no_grad():
        # In order: later ones see what earlier ones give.
        for name, wanted in last.items():
            layer = model.bbox_head.get_submodule(name)
            rescale(layer, wanted, lambda: model.bbox_head(model.extract_feat(images)))


def rescale(layer: nn.Module, wanted: tuple[float, float], run: Callable[[], Any]) -> None:
    """Give what ``layer`` returns while ``run`` runs a mean and a standard deviation."""
    seen: list[Tensor] = []
    handle = layer.register_forward_hook(lambda _, __, out: seen.append(out.flatten()))
    run()
    handle.remove()
    values = torch.cat(seen)
    factor = wanted[1] / float(values.std())
    layer.weight.mul_(factor)
    layer.bias.copy_((layer.bias - values.mean()) * factor + wanted[0])


def draw_inputs() -> dict[str, Tensor]:
    """Return two images and their objects."""
    found = {"image_u8": torch.randint(0, 256, (2, 3, *SIZE), dtype=torch.uint8)}
    for b, ((height, width), count) in enumerate(zip(VALID, (6, 3), strict=True)):
        size = torch.tensor([width, height])
        edge = torch.exp(torch.rand(count, 2) * 1.9 + 2.3).clamp(max=0.9 * height)  # 10 to 66
        low = torch.rand(count, 2) * (size - edge)
        found[f"gt_boxes_{b}"] = torch.cat([low, low + edge], 1)
        found[f"gt_labels_{b}"] = torch.randint(0, NUM_CLASSES, (count,))
    return found


def load_images(inputs: dict[str, Tensor]) -> Tensor:
    """Return the network's input, zero outside the content."""
    images = (inputs["image_u8"].float() - 128) / 64
    for image, (height, width) in zip(images, VALID, strict=True):
        image[:, height:] = 0
        image[:, :, width:] = 0
    return images


def objects(inputs: dict[str, Tensor]) -> list[InstanceData]:
    """Return the ground truth of both images."""
    return [
        InstanceData(bboxes=inputs[f"gt_boxes_{b}"], labels=inputs[f"gt_labels_{b}"])
        for b in range(2)
    ]


def edge_objects(first: InstanceData, second: InstanceData) -> dict[str, list[InstanceData]]:
    """Return ground truth that is empty or nearly so, by the name of the batch."""
    sides = first.bboxes[:, 2:] - first.bboxes[:, :2]
    smallest = int(sides.prod(1).argmin())
    return {
        "second_image_empty": [first, second[:0]],
        "all_empty": [first[:0], second[:0]],
        "one_small_box_only": [first[smallest : smallest + 1], second[:0]],
    }


def metas() -> list[dict[str, Any]]:
    """Return what the head knows of both images."""
    return [
        {
            "img_shape": valid,
            "pad_shape": padded,
            "ori_shape": valid,
            "batch_input_shape": SIZE,
            "scale_factor": (1.0, 1.0),
        }
        for valid, padded in zip(VALID, PADDED, strict=True)
    ]


def recorded(owner: type[nn.Module], run: Callable[[], Any]) -> list[Any]:
    """Return what ``owner`` finds as the targets of every image, while ``run`` runs."""
    found: list[Any] = []
    single = owner._get_targets_single

    def record(*args: Any, **kwargs: Any) -> Any:
        found.append(single(*args, **kwargs))
        return found[-1]

    owner._get_targets_single = record
    try:
        run()
    finally:
        owner._get_targets_single = single
    return found


def ground_truth_of(name: str, result: Any, gt: InstanceData, points: Tensor) -> dict[str, Tensor]:
    """Return the object of every prior, 0 for background, found by its target box."""
    if name.startswith("fcos"):
        labels, sides = result
        boxes = torch.cat([points - sides[:, :2], points + sides[:, 2:]], 1)
    else:
        labels, boxes = result[1], result[3]
    positive = labels < NUM_CLASSES
    differences = (boxes[:, None] - gt.bboxes).abs().amax(-1)  # (N, G)
    nearest, index = differences.min(1)
    assert bool((nearest[positive] < 1e-3).all()), "a target is no object"
    gt_inds = torch.where(positive, index + 1, 0)
    assert torch.equal(gt.labels[index[positive]], labels[positive])
    return {"gt_inds": gt_inds.int(), "labels": torch.where(positive, labels, -1).int()}


def scalar_terms(losses: dict[str, Any]) -> dict[str, Tensor]:
    """Return the loss terms, those of several levels summed."""
    return {
        name: sum(value) if isinstance(value, list | tuple) else value
        for name, value in losses.items()
        if "loss" in name
    }


def arrays(tensors: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """Return contiguous arrays."""
    return {k: np.ascontiguousarray(v.detach().numpy()) for k, v in tensors.items()}


def store(
    folder: Path,
    model: nn.Module,
    files: dict[str, dict[str, Tensor]],
    losses: dict[str, Any],
    config: dict[str, Any],
) -> None:
    """Write the folder of one model: its weights, what it was given, and what it said."""
    state = {k: v for k, v in model.state_dict().items() if "num_batches_tracked" not in k}
    weights = folder / "weights.safetensors"
    # Clones: the format refuses tensors that share memory, as branches of several stages do.
    save_file({k: v.clone().contiguous() for k, v in state.items()}, weights)
    weights.chmod(0o644)
    for name, tensors in files.items():
        np.savez_compressed(folder / f"{name}.npz", **arrays(tensors))
    for name, content in (("losses", losses), ("config", config)):
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")


def write(name: str, seed: int, root: Path) -> None:
    """Build, run and write one model."""
    spec, folder = DETECTORS[name], root / name
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    model = build(spec)
    head = model.bbox_head
    inputs = draw_inputs()
    images, gts = load_images(inputs), objects(inputs)
    randomise(model, spec["last"], images)
    MessageHub.get_instance("fixtures")
    MessageHub.get_current_instance().update_info("epoch", spec.get("epoch", 0))

    def forward() -> tuple[list[Tensor], ...]:
        head.train()  # some heads give boxes in other units, or leave some out, in eval mode
        found = tuple([*maps] for maps in head(model.extract_feat(images)))
        head.eval()
        return found

    def terms(found: tuple[list[Tensor], ...], objects: list[InstanceData]) -> dict[str, Tensor]:
        return scalar_terms(head.loss_by_feat(*found, objects, metas()))

    maps = model.backbone(images)
    outputs = {f"C{i}": m for i, m in enumerate(maps, 2)}
    outputs |= {f"fpn_{i}": m for i, m in enumerate(model.neck(maps))}
    found = forward()
    for kind, levels in zip(spec["outputs"], found, strict=True):
        outputs |= {f"{kind}_{i}": m for i, m in enumerate(levels)}
    sizes = [m.shape[-2:] for m in found[0]]
    points = torch.cat([p[:, :2] for p in head.prior_generator.grid_priors(sizes, device="cpu")])

    owner = ATSSHead if name == "tood_initial" else type(head)
    results = recorded(owner, lambda: terms(found, gts))
    assignment: dict[str, Tensor] = {}
    for b, (result, gt) in enumerate(zip(results, gts, strict=True)):
        own = ground_truth_of(name, result, gt, points)
        assignment |= {f"{key}_{b}": value for key, value in own.items()}

    own = terms(found, gts)
    total = sum(own.values())
    values = {k: float(v) for k, v in own.items()} | {"_total": float(total)}
    trained = {k: p for k, p in model.named_parameters() if p.requires_grad}
    gradients = torch.autograd.grad(total, [*trained.values(), *found[0]])
    norms = dict(zip(trained, (float(g.norm()) for g in gradients), strict=False))
    edges = {
        case: {k: float(v) for k, v in terms(forward(), objects).items()}
        for case, objects in edge_objects(*gts).items()
    }
    losses = {
        "losses": {"plain_head": values},
        "grad_norm": {"plain_head": norms},
        "edge": {"plain_head": edges},
    }

    detections: dict[str, Tensor] = {}
    with torch.no_grad():
        raw = head(model.extract_feat(images))
        for tag, own_config in {
            "": {},
            "thr0.2_max500_pre60_": {"score_thr": 0.2, "max_per_img": 500, "nms_pre": 60},
        }.items():
            config = Config({**head.test_cfg, **own_config})
            predicted = head.predict_by_feat(
                *raw, batch_img_metas=metas(), cfg=config, rescale=False
            )
            for b, instances in enumerate(predicted):
                for key in ("bboxes", "scores", "labels"):
                    detections[f"{tag}{key.replace('bb', 'b')}_{b}"] = instances[key]

    cls_grad = {f"cls_{i}": g for i, g in enumerate(gradients[len(trained) :])}
    files = {"inputs": inputs, "outputs": outputs, "assignment": assignment, "cls_grad": cls_grad}
    store(
        folder, model, {**files, "detections_v3": detections}, losses, description(name, seed, spec)
    )
    positives = [int((assignment[f"gt_inds_{b}"] > 0).sum()) for b in range(2)]
    counts = [len(detections[f"boxes_{b}"]) for b in range(2)]
    print(name, f"seed {seed}, positives {positives}, detections {counts}", values, flush=True)


def description(name: str, seed: int, spec: dict[str, Any]) -> dict[str, Any]:
    """Return what the tests build our side from."""
    return {
        "detector": name,
        "toolbox": f"mmdetection {mmdet.__version__}",
        "seed": seed,
        "epoch": spec.get("epoch", 0),
        "backbone": {"type": "resnet18", "base_channels": BASE, "frozen_stages": 1},
        "fpn": {"out_channels": WIDTH, "start_level": 1, "num_outs": 5},
        "head": {"num_classes": NUM_CLASSES, **HEAD, **spec.get("head", {})},
        "outputs": spec["outputs"],
        "input": {"batch": [2, 3, *SIZE], "valid": VALID, "padded_to": PADDED},
    }


def main() -> None:
    """Write the models that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    # Here: they import what this module defines.
    from benchmarks.mmdetection import two_stage
    from benchmarks.mmdetection.set_fixtures import SETS, write_set

    names = sorted([*DETECTORS, *SETS, *two_stage.CONFIGS])
    parser.add_argument("--detector", action="append", choices=names, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    register_all_modules()
    replace_operators()
    two_stage.replace_operators()
    for name in options.detector:
        kind = two_stage.write if name in two_stage.CONFIGS else write
        (write_set if name in SETS else kind)(name, options.seed, options.out)


if __name__ == "__main__":
    main()
