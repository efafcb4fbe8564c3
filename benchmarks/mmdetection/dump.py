r"""Full-size models of mmdetection 3.3.0 as an oracle: weights, key list and raw outputs.

    PEER/bin/python benchmarks/mmdetection/dump.py FOLDER [NAME ...]

Writes ``NAME.pth`` (checkpoint), ``NAME.npz`` (``image`` and raw outputs) and
``NAME.keys.json`` (shape of every tensor) a model; ``raw_outputs.py`` beside it compares. The
environment is that of ``worker.py``. Weights are random and rescaled, so that every
tensor matters to the outputs; batch-norm statistics are random too.
"""

import json
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

import mmdet  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from mmdet.registry import MODELS  # noqa: E402
from mmdet.structures import DetDataSample  # noqa: E402
from mmdet.structures.bbox import bbox2roi  # noqa: E402
from mmdet.utils import register_all_modules  # noqa: E402
from mmengine.config import Config  # noqa: E402

SIZE = (256, 320)
DCN = {"type": "DCNv2", "deform_groups": 4, "fallback_on_stride": False}
STAGES = {"dcn": DCN, "stage_with_dcn": (False, True, True, True)}
RESNEXT = {"type": "ResNeXt", "depth": 101, "groups": 64, "base_width": 4}
SPARSE = "sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco.py"
CONFIGS = {
    "retinanet": ("retinanet/retinanet_r50_fpn_1x_coco.py", {}),
    "foveabox": ("foveabox/fovea_r50_fpn_4xb4-1x_coco.py", {}),
    "atss": ("atss/atss_r50_fpn_1x_coco.py", {}),
    "paa": ("paa/paa_r50_fpn_1x_coco.py", {}),
    "sparse_rcnn": (SPARSE, {}),
    "detr": ("detr/detr_r50_8xb2-150e_coco.py", {}),
    "yolact": ("yolact/yolact_r50_1xb8-55e_coco.py", {}),
    # Backbones of the deformable Sparse R-CNN configurations.
    "atss_r101_dcn": ("atss/atss_r50_fpn_1x_coco.py", {"depth": 101, **STAGES}),
    "atss_x101_64x4d_dcn": ("atss/atss_r50_fpn_1x_coco.py", {**RESNEXT, **STAGES}),
}


def deformable_convolution(
    x, weight, bias, ones, offset, mask, output, columns, *args, **kwargs
) -> None:
    """Stand in for mmcv's compiled operator."""
    from torchvision.ops import deform_conv2d

    names = ("kernel_h", "kernel_w", "stride_h", "stride_w", "pad_h", "pad_w")
    kwargs |= dict(zip([*names, "dilation_h", "dilation_w"], args[:8], strict=False))
    # The groups of the weights and of the offsets follow from the shapes.
    output.copy_(
        deform_conv2d(
            x,
            offset,
            weight,
            bias if kwargs.get("with_bias") else None,
            (kwargs["stride_h"], kwargs["stride_w"]),
            (kwargs["pad_h"], kwargs["pad_w"]),
            (kwargs["dilation_h"], kwargs["dilation_w"]),
            mask,
        )
    )


def randomise(model: torch.nn.Module) -> None:
    """Redraw what an initialisation leaves at zero, one or nearly constant."""
    generator = torch.Generator().manual_seed(0)

    def draw(tensor: torch.Tensor, low: float, high: float) -> None:
        tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)

    last = ("cls", "reg", "centerness", "coeff")
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if not tensor.is_floating_point():
                continue
            part = name.split(".")[-2]
            if name.endswith("running_var"):
                draw(tensor, 0.5, 1.5)
            elif "proposal_bboxes" in name:
                tensor.copy_(torch.rand(tensor.shape, generator=generator) * 0.5 + 0.25)
            elif name.endswith("scale"):
                draw(tensor, 0.8, 1.2)
            elif tensor.ndim == 1 and name.endswith("weight"):
                # The last norm of a residual branch stays small, so that maps do not grow.
                is_last = name.startswith("backbone") and part == "bn3"
                draw(tensor, *((0.1, 0.3) if is_last else (0.6, 1.4)))
            elif tensor.ndim == 1:
                draw(tensor, -0.2, 0.2)
            elif "conv_offset" in name:
                bound = 2.0 / tensor[0].numel() ** 0.5
                draw(tensor, -bound, bound)
            elif "embedding" in name or "proposal" in name:
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
            else:
                fan_in = tensor[0].numel()
                gain = 1.0 if any(s in part for s in last) else 2**0.5
                if not name.startswith("backbone"):
                    gain *= {"neck": 0.2, "roi_head": 0.4}.get(name.split(".")[0], 0.8)
                noise = torch.randn(tensor.shape, generator=generator)
                tensor.copy_(noise * gain / fan_in**0.5)


def sample() -> DetDataSample:
    """Return the description of an image that fills the batch."""
    sizes = dict.fromkeys(("img_shape", "pad_shape", "ori_shape", "batch_input_shape"), SIZE)
    return DetDataSample(metainfo={**sizes, "scale_factor": (1.0, 1.0)})


def raw_outputs(name: str, model: torch.nn.Module, image: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the maps of backbone and neck and what the head makes of them."""
    out = {}
    maps = model.backbone(image)
    out |= {f"C{5 - len(maps) + i + 1}": m for i, m in enumerate(maps)}
    levels = model.neck(maps)
    out |= {f"fpn_{i}": m for i, m in enumerate(levels)}
    if name == "detr":
        inputs = model.forward_transformer(levels, [sample()])
        out["all_cls"], out["all_boxes"] = model.bbox_head(**inputs)
    elif name == "sparse_rcnn":
        head, samples = model.roi_head, [sample()]
        results = model.rpn_head.predict(levels, samples, rescale=False)
        features = torch.stack([r.pop("features") for r in results])
        boxes = [r.bboxes for r in results]
        metas = [s.metainfo for s in samples]
        for stage in range(head.num_stages):
            found = head._bbox_forward(stage, levels, bbox2roi(boxes), features, metas)
            features, boxes = found["object_feats"], found["detached_proposals"]
            out[f"cls_{stage}"] = found["cls_score"]
            out[f"boxes_{stage}"] = found["decoded_bboxes"]
    else:
        third = {"yolact": "coeff", "paa": "iou"}.get(name, "centerness")
        for kind, found in zip(("cls", "reg", third), model.bbox_head(levels), strict=False):
            out |= {f"{kind}_{i}": m for i, m in enumerate(found)}
        if name == "yolact":
            head = model.mask_head
            out["segm"] = head.segm_branch(levels[0])
            out["protos"] = head.protonet(levels[0]).relu()  # the head's last ReLU, in forward
    return out


def main() -> None:
    """Build, run once and write."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    register_all_modules()
    import mmcv.ops.modulated_deform_conv as dcn

    dcn.ext_module.modulated_deform_conv_forward = deformable_convolution
    configs = Path(mmdet.__file__).parent / ".mim" / "configs"
    for name in sys.argv[2:] or CONFIGS:
        path, backbone = CONFIGS[name]
        config = Config.fromfile(str(configs / path)).model
        config.backbone.init_cfg = None
        config.backbone.update(backbone)
        torch.manual_seed(0)
        model = MODELS.build(config)
        parameters = sum(p.numel() for p in model.parameters())
        model.init_weights()
        randomise(model)
        model.eval()
        state = {k: v.contiguous() for k, v in model.state_dict().items()}
        image = torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            outputs = raw_outputs(name.split("_r101")[0].split("_x101")[0], model, image)
        torch.save({"meta": {"epoch": 0}, "state_dict": state}, folder / f"{name}.pth")
        np.savez(folder / f"{name}.npz", image=image, **{k: v.numpy() for k, v in outputs.items()})
        keys = {k: list(v.shape) for k, v in state.items()}
        (folder / f"{name}.keys.json").write_text(json.dumps(keys, indent=0))
        spread = {
            k: (round(float(v.mean()), 2), round(float(v.std()), 2)) for k, v in outputs.items()
        }
        print(name, f"{parameters:,}", len(state), spread, flush=True)


if __name__ == "__main__":
    main()
