"""Whether a checkpoint holds the bytes that were saved: its own checksums, and a digest beside it.

``torch.load`` compares no checksum: a bit that flipped on a disk or in a copy changes a weight, and
nobody hears of it.
"""

from __future__ import annotations

import hashlib
import logging
import zipfile
from pathlib import Path

from corrlight.atomic import write_text

__all__ = ["check_intact", "digest_file", "move_digest", "sha256_of", "write_digest"]

log = logging.getLogger("corrlight")

# By which torch tells its archives from the format that it had before.
_ARCHIVE = b"PK\x03\x04"
# MS-DOS's attribute of a folder, in the archive's directory.
_FOLDER = 0x10


def check_intact(path: Path) -> None:
    """Check the bytes of a checkpoint.

    The digest beside it settles the question where it is that of the file. Another one may be
    older: a run may be killed between writing the two, and files are exchanged by hand. The
    checksum that an archive keeps of each of its records decides then, and where there is no
    digest. Files without checksums (``.safetensors``, torch's old format) are refused if their
    digest differs: nothing but a person has put it there.

    Raises:
        ValueError: The file is damaged; the message says where, without the name of the file.
        zipfile.BadZipFile: It is no complete archive. Other damage of its directory raises whatever
            ``zipfile`` meets.
        OSError: It cannot be read.
    """
    digest = _read_digest(path)
    if digest is not None and sha256_of(path) == digest:
        return
    with path.open("rb") as file:
        if file.read(len(_ARCHIVE)) != _ARCHIVE:
            if digest is not None:
                raise ValueError(f"its sha256 is not the one in {digest_file(path).name}")
            return
        with zipfile.ZipFile(file) as archive:
            _check_records(archive, path)
    if digest is not None:
        log.info(
            "%s is of another file than %s, whose own checksums are right.",
            digest_file(path).name,
            path,
        )


def _check_records(archive: zipfile.ZipFile, path: Path) -> None:
    for record in archive.infolist():
        # zipfile reads such a record; torch takes it for a folder, reads nothing, and gives
        # whatever the memory of the tensor held before.
        if record.external_attr & _FOLDER and not record.is_dir():
            raise ValueError(f"its record {_short(record.filename)} is marked as a folder")
    if not any(record.CRC for record in archive.infolist() if record.file_size):
        # torch.serialization.set_crc32_options(False) writes 0 everywhere.
        log.info("%s was saved without checksums: damage would not be noticed.", path)
    elif (damaged := archive.testzip()) is not None:
        raise ValueError(f"its record {_short(damaged)} is damaged (its checksum differs)")


def _short(record: str) -> str:
    """Return the name of a record without that of the archive, which torch puts before all."""
    return record.partition("/")[2] or record


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_file(path: Path) -> Path:
    """Return where the digest of a checkpoint lies: ``last.ckpt.sha256`` for ``last.ckpt``."""
    return path.with_name(f"{path.name}.sha256")


def write_digest(path: Path, digest: str) -> None:
    """Write the digest of a checkpoint, in the format that ``sha256sum -c`` reads."""
    write_text(digest_file(path), f"{digest}  {path.name}\n")


def move_digest(old: Path, new: Path) -> None:
    """Make the digest of ``old`` that of ``new``, which is the same file.

    Without one, or with one that is older than the file, ``new`` has none either.
    """
    digest = _read_digest(old)
    if digest is not None and _written(digest_file(old)) >= _written(old):
        write_digest(new, digest)
    else:
        digest_file(new).unlink(missing_ok=True)


def _written(path: Path) -> int:
    return path.stat().st_mtime_ns


def _read_digest(path: Path) -> str | None:
    try:
        text = digest_file(path).read_text(encoding="ascii")
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    digest = text.partition(" ")[0].lower()
    return digest if len(digest) == 64 else None
