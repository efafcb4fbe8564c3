"""JSON files of any size: errors of one line, lists read piece by piece."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

__all__ = ["JsonFileError", "as_number", "iterate_list", "read_json"]

# Records that are parsed before they are handed on: enough to be fast, few enough to be small.
_PIECE = 20_000
_SPACE = re.compile(r"[ \t\n\r]*").match
_COMMA = re.compile(r"[ \t\n\r]*,[ \t\n\r]*").match


class JsonFileError(ValueError):
    """A file that is not there or no JSON; the message is one line.

    Attributes:
        reason: What is wrong, without the name of the file.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


def read_json(path: str | Path, kind: str = "JSON file") -> Any:
    """Return the content of a JSON file.

    Args:
        path: The file.
        kind: What messages call it.

    Raises:
        JsonFileError: If it cannot be read or parsed; NaN and infinity are accepted as numbers.
    """
    text = _text(Path(path), kind)
    try:
        return json.loads(text)
    except RecursionError:
        reason = "it is nested too deeply"
    except json.JSONDecodeError as error:
        reason = f"{error.msg} in line {error.lineno}, column {error.colno}"
    except ValueError as error:  # a number of more digits than Python converts
        reason = str(error).partition(";")[0]
    raise _no_json(path, reason)


def iterate_list(
    path: str | Path, kind: str, progress: Callable[[float], None] | None = None
) -> Iterator[tuple[int, list[Any]]]:
    """Yield the members of a JSON file that holds one list, some thousand at a time.

    A large file then needs its text and one piece in memory, not all of its objects.

    Args:
        path: The file.
        kind: What a member is called in messages ("detection").
        progress: Called with the share of the file that has been parsed.

    Yields:
        The number of the piece's first member, counted from 0, and the piece.

    Raises:
        JsonFileError: If the file cannot be read or parsed, or holds no list.
    """
    text = _text(Path(path))
    at = _SPACE(text, 0).end()  # type: ignore[union-attr]
    if text[at : at + 1] != "[":
        value = read_json(path)
        name = "null" if value is None else f"a {type(value).__name__}"
        raise JsonFileError(
            f"Expected {path} to hold a list of {kind}s, but got {name}.", f"it holds {name}"
        )
    scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
    at = _SPACE(text, at + 1).end()  # type: ignore[union-attr]
    first, piece, closed = 0, list[Any](), text[at : at + 1] == "]"
    while not closed:
        number = first + len(piece)
        try:
            value, at = scan(text, at)
        except (StopIteration, json.JSONDecodeError):
            raise _no_json(path, f"{kind} number {number} is cut off or no JSON") from None
        except RecursionError:
            raise _no_json(path, f"{kind} number {number} is nested too deeply") from None
        except ValueError as error:
            reason = str(error).partition(";")[0]
            raise _no_json(path, f"{reason} in {kind} number {number}") from None
        piece.append(value)
        comma = _COMMA(text, at)
        if comma is not None:
            at = comma.end()
        else:
            at = _SPACE(text, at).end()  # type: ignore[union-attr]
            closed = text[at : at + 1] == "]"
            if not closed:
                end = "ends after" if at >= len(text) else "has no comma after"
                raise _no_json(path, f"it {end} {kind} number {number}")
        if len(piece) == _PIECE or closed:
            yield first, piece
            first, piece = first + len(piece), []
            if progress is not None:
                progress(at / len(text))
    if text[at + 1 :].strip():
        raise _no_json(path, "something follows the list")


def _text(path: Path, kind: str = "JSON file") -> str:
    try:
        # A byte-order mark is skipped.
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise JsonFileError(
            f"Expected a {kind} at {path}, but there is no such file.", "no such file"
        ) from None
    except UnicodeDecodeError:
        raise _no_json(path, "it is no UTF-8 text") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise _no_json(path, f"it cannot be read ({reason})") from None


def _no_json(path: str | Path, reason: str) -> JsonFileError:
    return JsonFileError(f"Expected {path} to be a JSON file, but {reason}.", reason)


def as_number(value: Any) -> float | None:
    """Return a number of a JSON file, or None where there is no finite one."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if math.isfinite(value) else None
