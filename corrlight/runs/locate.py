"""Which run a configuration describes, and where its folder is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from corrlight.config.build import effective_lr
from corrlight.config.compose import ComposedConfig, to_container
from corrlight.config.ranks import ranks_per_node
from corrlight.runs.fingerprint import data_fingerprint
from corrlight.runs.folder import RunFolder
from corrlight.runs.identity import run_id
from corrlight.runs.initial import initial_digest

__all__ = ["find_run", "folder_of_run", "identify"]


def find_run(runs_dir: Path, identity: str) -> RunFolder | None:
    """Return the folder of the run with this id under any name, or None; a finished one first."""
    found = [RunFolder(path) for path in sorted(runs_dir.glob(f"*/{identity}"))]
    return next((folder for folder in found if folder.finished), found[0] if found else None)


def identify(composed: ComposedConfig, data: Any) -> RunFolder:
    """Return the folder of the run, an existing one under any name or the one to make.

    Args:
        composed: The configuration; ``data.num_classes`` is resolved already.
        data: Its data module; the annotation files exist.

    Raises:
        ValueError: ``name`` is no folder name.
    """
    return folder_of_run(composed, data_fingerprint(data.annotation_files, data.image_folders))


def folder_of_run(composed: ComposedConfig, fingerprint: Mapping[str, str]) -> RunFolder:
    """Return what :func:`identify` does, for data whose files are read already.

    Args:
        composed: The configuration; ``data.num_classes`` is resolved already.
        fingerprint: Of the data (:func:`corrlight.runs.fingerprint.data_fingerprint`).

    Raises:
        ValueError: ``name`` is no folder name, or ``init`` or ``extend`` no file.
    """
    config = composed.config
    training = config.mode == "train"
    identity = run_id(
        to_container(config),
        world_size=ranks_per_node(config) * int(config.trainer.num_nodes),
        lr=effective_lr(config),
        # A test takes all weights from its checkpoint; what that began with may be gone.
        fingerprint={**fingerprint, **(initial_digest(config) if training else {})},
    )
    runs = Path(config.paths.runs_dir)
    choices = composed.choices
    name = str(config.name or "") or f"{choices['detector']}-{choices['corr']}-{choices['data']}"
    if "/" in name or name.startswith(".") or len(name) > 100 or not name.isprintable():
        raise ValueError(f"Expected `name` to be a plain folder name, but got {name!r}.")
    return find_run(runs, identity) or RunFolder(runs / name / identity)
