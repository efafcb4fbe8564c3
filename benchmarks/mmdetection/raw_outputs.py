r"""Raw outputs of the peer's full-size models beside ours, loaded through ``corrlight convert``.

    PEER/bin/python benchmarks/mmdetection/dump.py FOLDER
    python benchmarks/mmdetection/raw_outputs.py FOLDER [NAME ...]

Prints the largest absolute difference of every kind of output and fails above 1e-4. Boxes are
compared as shares of the image.
"""

import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import torch

from corrlight.config.build import build_module
from corrlight.convert import convert_checkpoint
from corrlight.convert.expected import compose_detector
from corrlight.engine.checkpoint import load_weights
from corrlight.structures import Batch, Targets

BACKBONES = {
    "atss_r101_dcn": ["backbone=resnet101_dcn"],
    "atss_x101_64x4d_dcn": ["backbone=resnext101_64x4d_dcn"],
}
TOLERANCE = 1e-4


def rows(maps: list[torch.Tensor], width: int) -> torch.Tensor:
    """Return ``(B, A * K, H, W)`` maps of all levels as ``(B, N, K)``."""
    return torch.cat([m.permute(0, 2, 3, 1).reshape(m.shape[0], -1, width) for m in maps], 1)


def batch_of(image: torch.Tensor, size: tuple[int, int] | None = None) -> Batch:
    """Return a batch of one image, which fills it unless its size is given."""
    padded = (image.shape[2], image.shape[3])
    size = size or padded
    target = Targets(
        boxes=torch.zeros(0, 4),
        labels=torch.zeros(0, dtype=torch.long),
        valid_size=size,
        padded_size=padded,
        original_size=size,
        image_id=0,
    )
    return Batch(images=image, targets=(target,))


def differences(name: str, folder: Path) -> dict[str, float]:
    """Return the largest absolute difference of every kind of output."""
    detector = name.split("_r101")[0].split("_x101")[0]
    overrides = BACKBONES.get(name, [])
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "converted.ckpt"
        report = convert_checkpoint(
            folder / f"{name}.pth", path, detector=detector, overrides=overrides
        )
        assert report.complete, [*report.lines()]
        assert not report.unmatched, report.unmatched
        module = build_module(compose_detector(detector, [*overrides, "data.num_classes=80"]))
        load_weights(module, path)
    with np.load(folder / f"{name}.npz") as file:
        stored = {key: torch.from_numpy(file[key]) for key in file.files}
    net = module.detector.eval()
    batch = batch_of(stored["image"])

    def maps(kind: str) -> list[torch.Tensor]:
        return [stored[f"{kind}_{i}"] for i in range(99) if f"{kind}_{i}" in stored]

    pairs: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
    with torch.no_grad():
        found = net.backbone(batch.images)
        named = [stored[k] for k in ("C2", "C3", "C4", "C5") if k in stored]
        pairs["backbone"] = [*zip(found[-len(named) :], named, strict=True)]
        if hasattr(net, "neck"):
            pairs["neck"] = [*zip(net.neck(found), maps("fpn"), strict=True)]
        stages = net(batch)
    last = stages[-1]
    if len(stages) > 1:
        height, width = batch.images.shape[2:]
        size = torch.tensor([width, height, width, height])
        logits, boxes = maps("cls"), [b / size for b in maps("boxes")]
        if detector == "detr":
            logits = [*stored["all_cls"]]
            centre, edge = stored["all_boxes"].chunk(2, -1)
            boxes = [*torch.cat([centre - edge / 2, centre + edge / 2], -1)]
        pairs["logits"] = [(s.logits, t) for s, t in zip(stages, logits, strict=True)]
        pairs["boxes"] = [(s.boxes / size, t) for s, t in zip(stages, boxes, strict=True)]
    else:
        pairs["logits"] = [(last.logits, rows(maps("cls"), last.logits.shape[-1]))]
        assert last.deltas is not None
        pairs["deltas"] = [(last.deltas, rows(maps("reg"), 4))]
        if last.quality is not None:
            third = maps("centerness") or maps("iou")
            pairs["quality"] = [(last.quality, rows(third, 1)[..., 0])]
        if last.mask is not None:
            kept = last.mask.coefficients
            pairs["coefficients"] = [(kept, rows(maps("coeff"), kept.shape[-1]))]
            pairs["prototypes"] = [(last.mask.prototypes, stored["protos"])]
            pairs["semantic"] = [(last.mask.semantic_logits, stored["segm"])]
    return {k: max(float((a - b).abs().max()) for a, b in v) for k, v in pairs.items()}


def main() -> int:
    """Compare every model of the folder, or those named."""
    folder = Path(sys.argv[1])
    worst = 0.0
    for name in sys.argv[2:] or sorted(p.stem for p in folder.glob("*.pth")):
        found = differences(name, folder)
        worst = max(worst, *found.values())
        print(json.dumps({"model": name, **{k: float(f"{v:.2g}") for k, v in found.items()}}))
    return int(worst > TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
