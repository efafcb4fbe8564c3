"""Data: COCO-format folders and the embedded shapes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from corrlight.coco.findings import CocoFormatError
    from corrlight.data.coco import CocoAnnotations, load_annotations, read_coco_json
    from corrlight.data.datamodule import CocoDataModule
    from corrlight.data.dataset import CocoDataset
    from corrlight.data.drawn.shapes import SHAPE_CLASSES, ShapesOptions, write_shapes
    from corrlight.data.fitting.fit_size import FitSize
    from corrlight.data.foreign_transforms import Albumentations
    from corrlight.data.shapes_datamodule import ShapesDataModule
    from corrlight.data.ssd_augmentation import (
        DropSmallObjects,
        PhotometricDistortion,
        RandomExpand,
        RandomIoUCrop,
    )
    from corrlight.data.transforms import (
        Choice,
        RandomCrop,
        RandomHorizontalFlip,
        Resize,
        Sample,
        Transform,
    )

__all__ = [
    "SHAPE_CLASSES",
    "Albumentations",
    "Choice",
    "CocoAnnotations",
    "CocoDataModule",
    "CocoDataset",
    "CocoFormatError",
    "DropSmallObjects",
    "FitSize",
    "PhotometricDistortion",
    "RandomCrop",
    "RandomExpand",
    "RandomHorizontalFlip",
    "RandomIoUCrop",
    "Resize",
    "Sample",
    "ShapesDataModule",
    "ShapesOptions",
    "Transform",
    "load_annotations",
    "read_coco_json",
    "write_shapes",
]

# Where the names come from. They are imported when they are asked for: `corrlight data` reads
# annotation files and pictures, and does not wait for torch.
_MODULES = {
    "corrlight.coco.findings": ("CocoFormatError",),
    "corrlight.data.coco": ("CocoAnnotations", "load_annotations", "read_coco_json"),
    "corrlight.data.datamodule": ("CocoDataModule",),
    "corrlight.data.dataset": ("CocoDataset",),
    "corrlight.data.drawn.shapes": ("SHAPE_CLASSES", "ShapesOptions", "write_shapes"),
    "corrlight.data.fitting.fit_size": ("FitSize",),
    "corrlight.data.foreign_transforms": ("Albumentations",),
    "corrlight.data.shapes_datamodule": ("ShapesDataModule",),
    "corrlight.data.ssd_augmentation": (
        *("DropSmallObjects", "PhotometricDistortion", "RandomExpand", "RandomIoUCrop"),
    ),
    "corrlight.data.transforms": (
        *("Choice", "RandomCrop", "RandomHorizontalFlip", "Resize", "Sample", "Transform"),
    ),
}
_PLACES = {name: module for module, names in _MODULES.items() for name in names}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(_PLACES[name]), name)
        globals()[name] = value
        return value
