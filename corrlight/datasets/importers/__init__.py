"""Readers of annotation files, one module a format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from corrlight.datasets.importers.coco import read_coco
from corrlight.datasets.importers.cvat import read_cvat
from corrlight.datasets.importers.labelme import read_labelme
from corrlight.datasets.importers.labelstudio import read_labelstudio
from corrlight.datasets.importers.voc import read_voc
from corrlight.datasets.importers.yolo import read_yolo
from corrlight.datasets.records import Content, Ledger, ReadOptions

__all__ = ["READERS", "Reader"]

Reader = Callable[[Path, Ledger, ReadOptions], Content]

READERS: dict[str, Reader] = {
    "voc": read_voc,
    "yolo": read_yolo,
    "labelme": read_labelme,
    "labelstudio": read_labelstudio,
    "cvat": read_cvat,
    "coco": read_coco,
}
