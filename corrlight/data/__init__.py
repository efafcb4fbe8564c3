"""Data: COCO-format folders and the embedded shapes."""

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
