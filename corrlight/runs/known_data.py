"""What runs noted about their data, so that planning runs again reads and imports less.

A data module takes torch and Lightning to make, and a fingerprint reads every annotation file. A
run that starts leaves both facts that its id needs beside the run folders; they are true as long
as no annotation file was written and no picture came, went or changed its size.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from corrlight import RESULTS_VERSION
from corrlight.atomic import write_text
from corrlight.config.compose import to_container
from corrlight.runs.fingerprint import data_fingerprint, file_stamp, picture_list

__all__ = ["KnownData", "note_data", "recall_data"]


@dataclass(frozen=True, slots=True)
class KnownData:
    """What a run id takes from the data.

    Attributes:
        fingerprint: Hashes of the annotation files (:func:`data_fingerprint`).
        num_classes: Number of classes.
    """

    fingerprint: dict[str, str]
    num_classes: int


def note_data(
    config: DictConfig, files: Sequence[Path], folders: Sequence[Path], num_classes: int
) -> None:
    """Note the data of a run beside its folder; a disk that does not take it is no problem.

    Args:
        config: The configuration.
        files: The annotation files.
        folders: The folders of pictures.
        num_classes: Number of classes.
    """
    record = {
        "files": {str(path.absolute()): file_stamp(path) for path in files},
        "folders": {str(path.absolute()): picture_list(path) for path in folders},
        "fingerprint": data_fingerprint(files, folders),
        "num_classes": num_classes,
    }
    with contextlib.suppress(OSError):  # The next plan asks the data module once more.
        write_text(_note(config), json.dumps(record, indent=1) + "\n")


def recall_data(config: DictConfig) -> KnownData | None:
    """Return what an earlier run noted of the same data, None if there is none or it changed."""
    try:
        record = json.loads(_note(config).read_text(encoding="utf-8"))
        files, folders = record["files"].items(), record["folders"].items()
        if any(list(file_stamp(Path(path))) != stamp for path, stamp in files):
            return None
        if any(picture_list(Path(path)) != listed for path, listed in folders):
            return None
        known = KnownData(dict(record["fingerprint"]), int(record["num_classes"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    # Another number is an error, which the data module explains.
    asked = config.data.get("num_classes")
    return known if asked in (None, known.num_classes) else None


def _note(config: DictConfig) -> Path:
    """Return the file for all that decides which data a configuration means."""
    section = to_container(config.data)
    for name in ("seed", "num_classes"):  # Of order and augmentation; resolved in a run.
        section.pop(name, None)
    # Relative folders mean other data elsewhere; embedded data change with the results version.
    record = [section, str(Path.cwd()), RESULTS_VERSION]
    name = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]
    return Path(config.paths.runs_dir) / ".data" / f"{name}.json"
