"""The data module of the embedded shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from corrlight.data.datamodule import CocoDataModule
from corrlight.data.drawn.shapes import ShapesOptions, write_shapes

__all__ = ["ShapesDataModule"]


class ShapesDataModule(CocoDataModule):
    """The embedded shapes, drawn when they are needed first.

    Args:
        root: Folder of all embedded data; each set of options has its own folder inside.
        num_train: Number of training images.
        num_val: Number of validation images.
        image_size: Longer side in pixels.
        data_seed: Seed of the pictures; ``seed`` is that of order and augmentation.
        draw_workers: Processes that draw, one a core by default.
        **options: Options of :class:`CocoDataModule`, without its paths.

    Raises:
        ValueError: If an option is out of range.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        num_train: int = 1000,
        num_val: int = 500,
        image_size: int = 128,
        data_seed: int = 0,
        draw_workers: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            root,
            "train",
            "annotations/instances_train.json",
            "val",
            "annotations/instances_val.json",
            **options,
        )
        self.options = ShapesOptions(
            num_train=num_train, num_val=num_val, image_size=image_size, seed=data_seed
        )
        self._draw_workers = draw_workers
        self._folder: Path | None = None

    @property
    def root(self) -> Path:
        """Folder of these shapes; drawn if it does not exist."""
        if self._folder is None:
            self._folder = write_shapes(self._root, self.options, self._draw_workers)
        return self._folder

    @property
    def image_folders(self) -> list[Path]:
        """None: what is drawn follows from options and version, the bytes of a PNG do not."""
        return []

    def prepare_data(self) -> None:
        """Draw the pictures if they do not exist."""
        _ = self.root
