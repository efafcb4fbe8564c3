"""Options that other training tools have, by their names there."""

from __future__ import annotations

__all__ = ["our_name"]

_OURS = {
    **dict.fromkeys(("epochs", "num_epochs", "max_epochs"), "schedule.max_epochs=20"),
    **dict.fromkeys(("imgsz", "img_size", "image_size", "resolution"), "data.size=320"),
    **dict.fromkeys(("batch", "bs", "batch_size"), "data.batch_size=8"),
    **dict.fromkeys(("lr", "lr0", "learning_rate"), "schedule.lr=0.001"),
    **dict.fromkeys(("workers", "num_workers"), "data.num_workers=2"),
    **dict.fromkeys(("device", "gpus", "devices"), "trainer.accelerator=cpu or trainer.devices=2"),
    **dict.fromkeys(("model", "arch"), "detector=atss_small"),
    **dict.fromkeys(("weight_decay", "wd"), "schedule.optimizer.weight_decay=0.05"),
    **dict.fromkeys(
        ("max_detections", "max_dets", "max_det"),
        "metric.coco_evaluate.max_detections=300 or detector.postprocessor.max_detections=300",
    ),
    "amp": "trainer.precision=bf16-mixed",
    "project": "paths.runs_dir=runs",
    "optimizer": "schedule.optimizer._target_=torch.optim.SGD",
}


def our_name(key: str) -> str | None:
    """Return our option for one of another tool, with a value as an example, or None.

    >>> our_name("imgsz")
    'data.size=320'
    """
    return _OURS.get(key)
