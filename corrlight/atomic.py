"""Files and folders that are either complete or not there."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = [
    "DISK_FULL",
    "atomic_folder",
    "atomic_path",
    "check_new_folder",
    "check_writable",
    "write_text",
    "write_text_in_place",
]

# What errors say where there is no room: on the disk, or left to the user.
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
# The least unit in which file systems give room.
_BLOCK = 4096


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path that replaces ``path`` when the block ends without an exception.

    The temporary file lies in the same folder (created if missing), so the replacement is one
    rename. After an exception it is removed and an older ``path`` stays as it was.

    Args:
        path: The file to write; its suffix is kept, so writers that look at it choose right.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write ``text`` to ``path`` atomically, as UTF-8 with line feeds.

    Raises:
        OSError: It cannot be written; the message names ``path``.
    """
    try:
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        # What writing raises, unlike opening, names no file.
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_text_in_place(path: str | Path, text: str) -> None:
    """Write ``text`` over a file that is there, without room for a second one.

    For the last words of a run on a full disk: blocks that the file has already are enough. A
    process that is killed in the meantime leaves a broken file, so it is no way to begin with.

    Raises:
        OSError: It does not fit either; the old content is kept.
    """
    path, data = Path(path), text.encode()
    old = path.read_bytes()
    # Beyond its last block the file would need a new one, and be cut off where there is none.
    if len(data) > -(-len(old) // _BLOCK) * _BLOCK:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    with path.open("r+b") as file:
        file.write(data)
        file.truncate()


def check_writable(path: str | Path, name: str) -> None:
    """Check that something can be made at ``path``, before work of minutes is done for it.

    Args:
        path: A file or folder that need not be there, nor the folders around it.
        name: Of the option that names it.

    Raises:
        PermissionError: Nothing can be made there.
    """
    parent = Path(path).absolute().parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise PermissionError(
            f"Expected `{name}` to be writable, but nothing can be made in {parent}."
        )


def check_new_folder(folder: str | Path, name: str) -> None:
    """Check that a folder can be made: there is none of that name, or an empty one.

    Args:
        folder: The folder.
        name: Of the option that names it.

    Raises:
        ValueError: There is something.
    """
    folder = Path(folder)
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.exists() or folder.is_symlink():
        raise ValueError(
            f"Expected `{name}` to be a new folder, but {folder} is there; name another or remove "
            "it first."
        )


@contextmanager
def atomic_folder(folder: str | Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``folder`` when the block ends without an exception.

    It lies beside ``folder``, so that becoming is one rename; after an exception, Ctrl-C included,
    it is removed.

    Args:
        folder: The folder to make; at the end it must not be there, or be empty.

    Raises:
        ValueError: There is something of that name.
    """
    folder = Path(folder).absolute()
    check_new_folder(folder, "folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    temporary.mkdir()
    try:
        yield temporary
        check_new_folder(folder, "folder")
        if folder.exists():
            folder.rmdir()  # Not every system renames over an empty folder.
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
