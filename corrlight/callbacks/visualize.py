"""Pictures of detections after validation and test, in the run folder and on Weights & Biases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
from pycocotools import mask as mask_utils
from torch import Tensor

from corrlight.arguments import check_at_least, check_share
from corrlight.reporting.pictures import Scene, contact_sheet, save_image
from corrlight.structures import Batch, Detections, StepOutput, Targets

__all__ = ["DetectionPictures", "spread_over_batches"]


class DetectionPictures(pl.Callback):
    """Draws the same images with their detections again and again.

    Writes ``pictures/val_epoch_003.png`` (and ``pictures/test.png``) under the run folder, which is
    the trainer's ``default_root_dir``. A ``WandbLogger`` gets the same images with the boxes as
    data. Only rank 0 draws, images of its own share.

    Args:
        num_images: Images, evenly spread over the batches.
        every_n_epochs: Validation epochs between two pictures; the last epoch is always drawn.
        score_thresh: Detections with a lower score are left out.
        columns: Images in a row.
        size: Pixels of an image's longer side.
        max_boxes: Detections of an image, best first; its title says where there are more. Ranking
            losses order scores and do not scale them: all of them may reach ``score_thresh``.
    """

    def __init__(
        self,
        num_images: int = 9,
        every_n_epochs: int = 5,
        score_thresh: float = 0.3,
        columns: int = 3,
        size: int = 320,
        max_boxes: int = 15,
    ) -> None:
        check_at_least(
            1,
            num_images=num_images,
            every_n_epochs=every_n_epochs,
            columns=columns,
            size=size,
            max_boxes=max_boxes,
        )
        check_share(score_thresh=score_thresh)
        self.num_images = num_images
        self.every_n_epochs = every_n_epochs
        self.score_thresh = score_thresh
        self.columns = columns
        self.size = size
        self.max_boxes = max_boxes
        self._scenes: list[Scene] = []

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the chosen images of this batch."""
        if dataloader_idx == 0 and self._is_due(trainer):
            self._keep(trainer, outputs, batch, batch_idx, int(trainer.num_val_batches[0]))

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the chosen images of this batch."""
        if dataloader_idx == 0 and trainer.is_global_zero:
            self._keep(trainer, outputs, batch, batch_idx, int(trainer.num_test_batches[0]))

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget images of an interrupted epoch."""
        self._scenes = []

    def on_test_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget images of an interrupted epoch."""
        self._scenes = []

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the epoch's picture."""
        fitting = trainer.state.fn == "fit"
        name = f"val_epoch_{trainer.current_epoch + 1:03d}" if fitting else "val"
        self._draw(trainer, pl_module, name, "val")

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw the test's picture."""
        self._draw(trainer, pl_module, "test", "test")

    def _is_due(self, trainer: pl.Trainer) -> bool:
        if trainer.sanity_checking or not trainer.is_global_zero:
            return False
        epoch = trainer.current_epoch + 1
        last = trainer.state.fn != "fit" or epoch == trainer.max_epochs
        return last or epoch % self.every_n_epochs == 0

    def _keep(
        self,
        trainer: pl.Trainer,
        outputs: StepOutput,
        batch: Batch,
        batch_idx: int,
        num_batches: int,
    ) -> None:
        count = spread_over_batches(self.num_images, num_batches, batch_idx)
        data: Any = getattr(trainer, "datamodule", None)
        mean, std = getattr(data, "mean", None), getattr(data, "std", None)
        for i in range(min(count, len(batch))):
            found = outputs.detections[i]
            limits = self.score_thresh, self.max_boxes
            self._scenes.append(_scene(batch.images[i], batch.targets[i], found, mean, std, limits))

    def _draw(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, name: str, split: str
    ) -> None:
        scenes, self._scenes = self._scenes, []
        if not scenes:
            return
        names = list(getattr(pl_module, "class_names", ()))
        sheet = contact_sheet(scenes, self.columns, self.size, self.score_thresh, names)
        save_image(sheet, Path(trainer.default_root_dir) / "pictures" / f"{name}.png")
        for logger in trainer.loggers:
            # By name: importing the class would need wandb, which is optional in use.
            if type(logger).__name__ == "WandbLogger":
                boxes = [_wandb_boxes(scene, names, self.score_thresh) for scene in scenes]
                captions = [scene.title for scene in scenes]
                log_image: Any = logger.log_image  # type: ignore[attr-defined]
                images = _equally_large([scene.image for scene in scenes])
                log_image(f"{split}/detections", images, boxes=boxes, caption=captions)


def spread_over_batches(num_images: int, num_batches: int, batch_idx: int) -> int:
    """Return how many of ``num_images`` images come from one batch when spread evenly.

    >>> [spread_over_batches(3, 10, k) for k in range(10)]
    [0, 1, 0, 0, 0, 1, 0, 0, 1, 0]
    """
    chosen = [int((i + 0.5) * num_batches / num_images) for i in range(num_images)]
    return chosen.count(batch_idx)


def _scene(
    image: Tensor,
    targets: Targets,
    detections: Detections,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    limits: tuple[float, int],
) -> Scene:
    """Return an image as a person sees it, with its detections.

    Args:
        image: ``(3, H, W)`` normalised, padded.
        targets: Its objects.
        detections: What was found.
        mean: Of the data, subtracted from the pixels; None without.
        std: Of the data, a divisor of the pixels; None without.
        limits: Lowest score, and how many of the best at most.
    """
    height, width = targets.valid_size
    score_thresh, max_boxes = limits
    kept = detections.scores.argsort(descending=True, stable=True)
    kept = kept[detections.scores[kept] >= score_thresh]
    title = f"image {targets.image_id}"
    if len(kept) > max_boxes:
        title += f", {max_boxes} best of {len(kept)}"
        kept = kept[:max_boxes]
    pixels = image[:, :height, :width].detach().float().cpu().numpy().transpose(1, 2, 0)
    if mean is not None and std is not None:
        pixels = pixels * np.asarray(std, np.float32) + np.asarray(mean, np.float32)
    else:  # without the data module's constants: the image's own range
        pixels = (pixels - pixels.min()) * (255 / max(float(np.ptp(pixels)), 1e-6))
    return Scene(
        image=np.clip(np.round(pixels), 0, 255).astype(np.uint8),
        boxes=_array(detections.boxes[kept]),
        scores=_array(detections.scores[kept]),
        labels=detections.labels[kept].cpu().numpy(),
        gt_boxes=_array(targets.boxes),
        gt_labels=targets.labels.cpu().numpy(),
        title=title,
        masks=_masks(detections, kept.tolist(), (height, width)),
    )


def _masks(detections: Detections, kept: Sequence[int], size: tuple[int, int]) -> Any:
    """Return ``(n, H, W)`` bool masks at the size of the input; they are kept at the file's."""
    if detections.masks is None:
        return None
    masks = np.zeros((len(kept), *size), bool)
    for mask, k in zip(masks, kept, strict=True):
        full = mask_utils.decode(detections.masks[k])
        rows, columns = (
            ((np.arange(n) + 0.5) * m / n).astype(int)
            for n, m in zip(size, full.shape, strict=True)
        )
        mask[:] = full[np.ix_(rows, columns)]
    return masks


def _equally_large(images: Sequence[Any]) -> list[Any]:
    """Return the images padded at right and bottom: W&B shows a panel of one size only."""
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    return [
        np.pad(image, ((0, height - image.shape[0]), (0, width - image.shape[1]), (0, 0)))
        for image in images
    ]


def _array(values: Tensor) -> Any:
    return values.detach().double().cpu().numpy()


def _wandb_boxes(scene: Scene, names: Sequence[str], score_thresh: float) -> dict[str, Any]:
    """Return the ``boxes`` argument of ``wandb.Image``."""

    def box(corners: Any, label: int, caption: str, **scores: float) -> dict[str, Any]:
        x1, y1, x2, y2 = (float(v) for v in corners)
        position = {"minX": x1, "maxX": x2, "minY": y1, "maxY": y2}
        entry = {"position": position, "domain": "pixel", "class_id": int(label)}
        entry["box_caption"] = caption
        return {**entry, "scores": scores} if scores else entry

    def name(label: int) -> str:
        return names[label] if 0 <= label < len(names) else str(label)

    found = [
        box(b, k, f"{name(k)} {s:.2f}", score=float(s), iou=float(iou))
        for b, k, s, iou in zip(scene.boxes, scene.labels, scene.scores, scene.ious(), strict=True)
        if s >= score_thresh
    ]
    objects = [box(b, k, name(k)) for b, k in zip(scene.gt_boxes, scene.gt_labels, strict=True)]
    labels = {int(k): name(int(k)) for k in {*scene.labels.tolist(), *scene.gt_labels.tolist()}}
    both = {"predictions": found, "ground_truth": objects}
    return {key: {"box_data": data, "class_labels": labels} for key, data in both.items()}
