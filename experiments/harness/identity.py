"""Which run folder a row's run is: known from its configuration and data, without training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, open_dict

from corrlight.config.compose import ComposedConfig, compose_config, to_container
from corrlight.config.ranks import ranks_per_node
from corrlight.runs.fingerprint import data_fingerprint
from corrlight.runs.folder import RunFolder
from corrlight.runs.known_data import recall_data
from corrlight.runs.locate import folder_of_run

__all__ = ["Locator", "PlannedRun"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRun:
    """One run of a row.

    Attributes:
        options: Its ``run.py`` options, the seed included.
        folder: Its run folder, which need not exist; None where the data are missing.
        config: The resolved configuration.
        problem: Why ``folder`` is None.
    """

    options: tuple[str, ...]
    folder: RunFolder | None
    config: dict[str, Any]
    problem: str = ""

    @property
    def finished(self) -> bool:
        """Whether the run has its results."""
        return self.folder is not None and self.folder.finished

    @property
    def started(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return self.folder is not None and self.folder.last_checkpoint.is_file()

    @property
    def ranks(self) -> int:
        """Processes on one machine."""
        return ranks_per_node(DictConfig(self.config))

    @property
    def nodes(self) -> int:
        """Machines."""
        return int(self.config["trainer"]["num_nodes"])

    @property
    def needs_gpu(self) -> bool:
        """Whether it is to train on GPUs, as far as there are any."""
        return bool(self.config["trainer"]["accelerator"] in ("gpu", "cuda", "auto"))


@dataclass(frozen=True, slots=True)
class _Data:
    """Fingerprint and number of classes of the data, or the problem with them."""

    fingerprint: dict[str, str]
    num_classes: int
    problem: str = ""


class Locator:
    """Finds the run folders of ``run.py`` options.

    Args:
        draw: Whether embedded pictures that do not exist are drawn.
    """

    def __init__(self, draw: bool) -> None:
        self._draw = draw
        self._composed: dict[tuple[str, ...], ComposedConfig] = {}
        self._data: dict[str, _Data] = {}

    def plan(self, options: Sequence[str], seed: int) -> PlannedRun:
        """Return the run of ``options`` with ``seed``.

        Raises:
            corrlight.config.compose.ConfigError: The options do not compose.
            ValueError: ``name`` is no folder name.
        """
        key = tuple(options)
        if key not in self._composed:
            self._composed[key] = compose_config(key)
        composed = self._composed[key]
        config = composed.config
        data = self._data_of(config)
        with open_dict(config):
            config.seed = seed
            config.data.num_classes = data.num_classes
        own = (*key, f"seed={seed}")
        folder = None if data.problem else folder_of_run(composed, data.fingerprint)
        return PlannedRun(
            options=own, folder=folder, config=to_container(config), problem=data.problem
        )

    def _data_of(self, config: DictConfig) -> _Data:
        """Return what is known of the data.

        Rows share their data, and a fingerprint reads half a gigabyte on COCO: once is enough.
        """
        section = to_container(config.data)
        section.pop("seed", None)  # Of order and augmentation.
        key = json.dumps(section, sort_keys=True)
        if key not in self._data:
            self._data[key] = self._read_data(config)
        return self._data[key]

    def _read_data(self, config: DictConfig) -> _Data:
        known = recall_data(config)
        if known is not None:
            return _Data(known.fingerprint, known.num_classes)
        # These take seconds to import, and a table that has run needs them no more.
        from corrlight.config.build import build_data
        from corrlight.data.shapes_datamodule import ShapesDataModule

        data = build_data(config, list(config.allow_targets))
        num_classes = config.data.num_classes
        if isinstance(data, ShapesDataModule) and not self._draw:
            folder = Path(config.data.root) / data.options.folder_name
            if not folder.is_dir():
                return _Data({}, num_classes, f"{folder} is not drawn yet.")
        try:
            files, folders = data.annotation_files, data.image_folders
        except ValueError as error:
            return _Data({}, num_classes, str(error))
        return _Data(data_fingerprint(files, folders), num_classes)
