"""JSON files of any size: errors of one line, lists read piece by piece."""

from __future__ import annotations

import gc
import json
import math
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = [
    "JsonFileError",
    "as_number",
    "iterate_list",
    "iterate_lists",
    "paused_collector",
    "read_json",
]

# Records that are parsed before they are handed on: enough to be fast, few enough to be small.
_PIECE = 20_000
_SPACE = re.compile(r"[ \t\n\r]*").match
_COMMA = re.compile(r"[ \t\n\r]*,[ \t\n\r]*").match
_COLON = re.compile(r"[ \t\n\r]*:[ \t\n\r]*").match


class JsonFileError(ValueError):
    """A file that is not there or no JSON; the message is one line.

    Attributes:
        reason: What is wrong, without the name of the file.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


@contextmanager
def paused_collector() -> Iterator[None]:
    """Pause the collector of cyclic garbage.

    Parsed JSON has no cycles, and looking for them in millions of new objects takes a quarter of
    the time that a large annotation file needs.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


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
    at = _skip(text, 0)
    if text[at : at + 1] != "[":
        value = read_json(path)
        name = "null" if value is None else f"a {type(value).__name__}"
        raise JsonFileError(
            f"Expected {path} to hold a list of {kind}s, but got {name}.", f"it holds {name}"
        )
    try:
        for first, piece, end in _members(text, at, kind):
            at = end
            if piece:
                yield first, piece
                if progress is not None:
                    progress(at / len(text))
    except _BrokenError as error:
        raise _no_json(path, str(error)) from None
    if text[at:].strip():
        raise _no_json(path, "something follows the list")


def iterate_lists(
    path: str | Path, kind: str, names: Collection[str]
) -> Iterator[tuple[str | None, int, Any]]:
    """Yield the members of some lists of a JSON file that holds an object, some thousand at a time.

    A large file then needs its text and one piece in memory, not all of its objects.

    Args:
        path: The file.
        kind: What messages call it.
        names: Keys of the lists; the values of other keys are passed over.

    Yields:
        The key, the number of the piece's first member, counted from 0, and the piece (of an empty
        list an empty one). The value itself where a key holds no list, and ``(None, 0, value)`` of
        a file that holds no object.

    Raises:
        JsonFileError: If the file cannot be read or parsed, or a key comes twice.
    """
    text = _text(Path(path), kind)
    at = _skip(text, 0)
    if text[at : at + 1] != "{":
        yield None, 0, read_json(path, kind)
        return
    try:
        yield from _lists(text, at, names)
    except (_BrokenError, ValueError, RecursionError) as error:
        read_json(path, kind)  # says where
        raise _no_json(path, str(error)) from None


class _BrokenError(Exception):
    """Text that is no JSON."""


def _lists(text: str, at: int, names: Collection[str]) -> Iterator[tuple[str | None, int, Any]]:
    scan_once = json.JSONDecoder().scan_once  # type: ignore[attr-defined]

    def scan(text: str, at: int) -> tuple[Any, int]:
        try:
            result: tuple[Any, int] = scan_once(text, at)
        except StopIteration:  # In a generator it would become an error of ours.
            raise _BrokenError("it is cut off or no JSON") from None
        return result

    seen: set[str] = set()
    at = _skip(text, at + 1)
    closed = text[at : at + 1] == "}"
    while not closed:
        key, at = scan(text, at)
        colon = _COLON(text, at)
        if colon is None or not isinstance(key, str):
            raise _BrokenError("a key is no text or has no value")
        at = colon.end()
        if key in names and key in seen:
            raise _BrokenError(f"the key {key!r} comes twice")
        seen.add(key)
        if key in names and text[at : at + 1] == "[":
            for first, piece, end in _members(text, at, key):
                at = end
                yield key, first, piece
        else:
            value, at = scan(text, at)
            if key in names:
                yield key, 0, value
        comma = _COMMA(text, at)
        if comma is not None:
            at = comma.end()
        else:
            at = _skip(text, at)
            closed = text[at : at + 1] == "}"
            if not closed:
                raise _BrokenError("a comma is missing")
    if text[at + 1 :].strip():
        raise _BrokenError("something follows the object")


def _members(text: str, at: int, kind: str) -> Iterator[tuple[int, list[Any], int]]:
    """Yield the pieces of the list that opens at ``at``, with where the next one begins.

    The last piece (the only one of an empty list) comes with where the list has ended.
    """
    scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
    at = _skip(text, at + 1)
    first, piece, closed = 0, list[Any](), text[at : at + 1] == "]"
    if closed:
        yield 0, [], at + 1
    while not closed:
        number = first + len(piece)
        try:
            value, at = scan(text, at)
        except (StopIteration, json.JSONDecodeError):
            raise _BrokenError(f"{kind} number {number} is cut off or no JSON") from None
        except RecursionError:
            raise _BrokenError(f"{kind} number {number} is nested too deeply") from None
        except ValueError as error:  # a number of more digits than Python converts
            reason = str(error).partition(";")[0]
            raise _BrokenError(f"{reason} in {kind} number {number}") from None
        piece.append(value)
        comma = _COMMA(text, at)
        if comma is not None:
            at = comma.end()
        else:
            at = _skip(text, at)
            closed = text[at : at + 1] == "]"
            if not closed:
                end = "ends after" if at >= len(text) else "has no comma after"
                raise _BrokenError(f"it {end} {kind} number {number}")
        if len(piece) == _PIECE or closed:
            yield first, piece, at + closed
            first, piece = first + len(piece), []


def _skip(text: str, at: int) -> int:
    return _SPACE(text, at).end()  # type: ignore[union-attr]


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
