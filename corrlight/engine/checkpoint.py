"""Checkpoints that are complete or not there, and that hold data only."""

from __future__ import annotations

import json
import logging
import os
import pickle
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import CheckpointIO
from safetensors import SafetensorError, safe_open

from corrlight.atomic import atomic_path
from corrlight.class_order import class_order
from corrlight.engine.checksums import (
    check_intact,
    digest_file,
    move_digest,
    sha256_of,
    write_digest,
)
from corrlight.engine.class_rows import ClassRows, reordered
from corrlight.runs.folder import LAST, PREVIOUS

__all__ = [
    "AtomicCheckpointIO",
    "discard_unreadable",
    "load_checkpoint",
    "load_weights",
    "readable_checkpoint",
    "weights_in",
]

log = logging.getLogger("corrlight")

# What bytes happen to mean raises these, whose words alone help nobody.
_ACCIDENTS = (LookupError, TypeError, AttributeError, ArithmeticError, AssertionError)
# What readers of archives and pickles raise for a file that is cut off, changed, or holds more than
# plain data. A changed pickle calls for whatever its bytes happen to mean.
_UNREADABLE = (
    *_ACCIDENTS, RuntimeError, OSError, EOFError, ValueError, ImportError,
    pickle.UnpicklingError, zipfile.BadZipFile, struct.error, zlib.error,
)  # fmt: skip


def load_checkpoint(path: str | Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Return the content of a checkpoint; no code in it is ever executed.

    Args:
        path: What ``torch.save`` wrote, or a ``.safetensors`` file, whose tensors come under
            "state_dict" beside its metadata, read as JSON where it is.
        map_location: Where tensors go.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is cut off or damaged (:func:`check_intact`), or holds more than
            tensors and plain containers.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"Expected a checkpoint file, but there is no {path}.")
    try:
        check_intact(path)
        if path.suffix == ".safetensors":
            return _load_safetensors(path, map_location)
        content = torch.load(path, map_location=map_location, weights_only=True)
    except torch.OutOfMemoryError:
        raise  # Nothing is wrong with the file.
    except (*_UNREADABLE, SafetensorError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if isinstance(error, _ACCIDENTS):
            reason = f"it is no checkpoint, or damaged ({reason})"
        if reason.startswith("Weights only load failed"):
            # What follows advises to run the code of the file.
            reason = "it is no checkpoint, or holds more than tensors and plain containers"
        raise ValueError(f"Cannot read the checkpoint {path}: {reason}") from error
    if not isinstance(content, dict):
        raise ValueError(f"Expected a dictionary in {path}, but got {type(content).__name__}.")
    return content


def _load_safetensors(path: Path, device: Any) -> dict[str, Any]:
    content: dict[str, Any] = {}
    with safe_open(path, "pt", str(device)) as file:
        for key, text in (file.metadata() or {}).items():
            try:
                content[key] = json.loads(text)
            except ValueError:
                content[key] = text
        content["state_dict"] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return content


def weights_in(checkpoint: Mapping[str, Any], path: str | Path, how: str = "") -> dict[str, Any]:
    """Return the weights of a checkpoint's content.

    Args:
        checkpoint: What :func:`load_checkpoint` returns.
        path: Where it comes from.
        how: What the message adds about where weights come from.

    Raises:
        ValueError: There are none.
    """
    state = checkpoint.get("state_dict")
    if not isinstance(state, dict):
        raise ValueError(f"Expected `state_dict` in the checkpoint {path}{how}, but it has none.")
    return state


def load_weights(
    module: torch.nn.Module,
    path: str | Path,
    rows: Callable[[], Mapping[str, ClassRows]] | None = None,
) -> int | None:
    """Load the weights of a checkpoint into ``module``; return their epoch, None if unknown.

    Classes are matched by name (:func:`class_order`): weights for the same classes in another order
    are put into the module's.

    Args:
        module: Where they go; its ``category_ids`` and ``class_names`` are the data's, if it has
            them.
        path: The checkpoint.
        rows: Returns which tensors list classes; asked only where their order differs.

    Raises:
        ValueError: Weights of another model, or trained for other classes.
    """
    checkpoint = load_checkpoint(path)
    state = weights_in(checkpoint, path)
    names = getattr(module, "class_names", ())
    try:
        order = class_order(checkpoint, getattr(module, "category_ids", ()), names)
        if order is not None:
            state = reordered(state, {} if rows is None else rows(), order)
            log.info("The classes of %s come in another order: mapped by name.", path)
    except ValueError as error:
        raise ValueError(f"The checkpoint {path} does not fit this data: {error}") from error
    if names and not checkpoint.get("class_names"):
        log.info("%s names no classes: taken to be in the order of the data.", path)
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(f"The checkpoint {path} does not fit this model: {reason}") from error
    epoch = checkpoint.get("epoch")
    return epoch if isinstance(epoch, int) else None


def readable_checkpoint(
    folder: Path, check: Callable[[dict[str, Any]], None] | None = None
) -> tuple[Path | None, str]:
    """Return the newest checkpoint that can be read, and what is wrong with a newer one.

    Args:
        folder: ``checkpoints/`` of a run folder.
        check: Called with its content; what it raises is about the content and goes on.

    Returns:
        The file, None where there is none yet; the problem, empty where there is none.

    Raises:
        ValueError: There are checkpoints, but none can be read, or ``check`` refuses one.
    """
    problem = ""
    for name in (LAST, PREVIOUS):
        path = folder / name
        if not path.is_file():
            continue
        try:
            content = load_checkpoint(path)
        except ValueError as error:
            problem = problem or str(error)
            continue
        if check is not None:
            check(content)
        return path, problem
    if problem:
        raise ValueError(f"{problem} (no earlier checkpoint; rerun=true starts the run anew)")
    return None, ""


def discard_unreadable(folder: Path) -> None:
    """Rename an unreadable ``last.ckpt``: the next one must not make it the previous."""
    last = folder / LAST
    if last.is_file():
        last.replace(folder / "unreadable.ckpt")
        digest_file(last).unlink(missing_ok=True)


def _keep(path: Path) -> None:
    """Make ``path`` also the previous checkpoint; there is no moment without either."""
    previous = path.with_name(PREVIOUS)
    # Where both names are of one file already, as after a kill between this and the renaming of
    # the next, rename() does nothing and leaves the link: atomic_path removes it.
    with atomic_path(previous) as link:
        try:
            os.link(path, link)
        except OSError:  # A file system without links.
            shutil.copyfile(path, link)
    move_digest(path, previous)


def _unwritten(path: Path, error: OSError) -> OSError:
    return OSError(error.errno, f"Cannot write the checkpoint: {error.strerror}", str(path))


class AtomicCheckpointIO(CheckpointIO):
    """Saves beside the target, then renames; loads with ``weights_only=True`` alone."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write ``checkpoint``; an older file survives any failure.

        The ``last.ckpt`` that it replaces stays as ``previous.ckpt``, should a file system lose
        what it said was written. The digest beside the file is written after it; a run that is
        killed before leaves an older one or none (:func:`check_intact`).

        Raises:
            OSError: The disk is full or cannot be written; the message names the file.
        """
        path = Path(path)
        try:
            with atomic_path(path) as temporary:
                # Through a file of our own: torch's keeps what it wrote to a full disk until
                # the exception is forgotten, and says nothing of the reason.
                with temporary.open("wb") as file:
                    torch.save(checkpoint, file)
                digest = sha256_of(temporary)
                if path.name == LAST and path.is_file():
                    _keep(path)
            write_digest(path, digest)
        except OSError as error:
            raise _unwritten(path, error) from error
        except RuntimeError as error:
            # torch closes its archive after a failed write, which fails in its own words.
            reason = error.__context__
            if not isinstance(reason, OSError):
                raise
            raise _unwritten(path, reason) from reason

    def load_checkpoint(
        self,
        path: Any,
        map_location: Callable[..., Any] | None = None,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Read a checkpoint (:func:`load_checkpoint`)."""
        return load_checkpoint(path, map_location or "cpu")

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint file and its digest."""
        Path(path).unlink(missing_ok=True)
        digest_file(Path(path)).unlink(missing_ok=True)
