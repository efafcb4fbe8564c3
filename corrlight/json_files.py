"""JSON files of any size: errors of one line, lists read piece by piece."""

from __future__ import annotations

import codecs
import gc
import json
import math
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

__all__ = [
    "BrokenJsonError",
    "JsonFileError",
    "as_number",
    "iterate_list",
    "iterate_lists",
    "list_members",
    "no_json",
    "paused_collector",
    "read_bytes",
    "read_json",
    "rest_of_list",
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
    data = read_bytes(path, kind)
    try:
        # What msgspec takes it reads as json does; what it refuses is left to json.
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return json.loads(data.decode())
    except RecursionError:
        reason = "it is nested too deeply"
    except json.JSONDecodeError as error:
        reason = f"{error.msg} in line {error.lineno}, column {error.colno}"
    except ValueError as error:  # a number of more digits than Python converts
        reason = str(error).partition(";")[0]
    raise no_json(path, reason)


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
    text = read_bytes(path).decode()
    at = _skip(text, 0)
    if text[at : at + 1] != "[":
        value = read_json(path)
        name = "null" if value is None else f"a {type(value).__name__}"
        lists = [k for k, v in value.items() if isinstance(v, list)] if name == "a dict" else []
        # Of several, annotations for example beside images, none is a list of detections alone.
        way_out = f" Write the list under its key {lists[0]!r} alone." if len(lists) == 1 else ""
        raise JsonFileError(
            f"Expected {path} to hold a list of {kind}s, but got {name}.{way_out}",
            f"it holds {name}",
        )
    yield from rest_of_list(path, text, at + 1, kind, 0, progress)


def rest_of_list(
    path: str | Path,
    text: str,
    at: int,
    kind: str,
    first: int,
    progress: Callable[[float], None] | None = None,
) -> Iterator[tuple[int, list[Any]]]:
    """Yield the members of a file's list from a place on; see :func:`iterate_list`.

    Args:
        path: The file.
        text: All of it.
        at: Where a member begins, or the list ends if it is empty.
        kind: What a member is called.
        first: The number of that member.
        progress: Called with the share of the file that has been parsed.
    """
    try:
        for number, piece, end in list_members(text, at, kind, first):
            at = end
            if piece:
                yield number, piece
                if progress is not None:
                    progress(at / len(text))
    except BrokenJsonError as error:
        raise no_json(path, str(error)) from None
    if text[at:].strip():
        raise no_json(path, "something follows the list")


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
    text = read_bytes(path, kind).decode()
    at = _skip(text, 0)
    if text[at : at + 1] != "{":
        yield None, 0, read_json(path, kind)
        return
    try:
        yield from _lists(text, at, names)
    except (BrokenJsonError, ValueError, RecursionError) as error:
        read_json(path, kind)  # says where
        raise no_json(path, str(error)) from None


class BrokenJsonError(Exception):
    """A text that is no JSON."""


def _lists(text: str, at: int, names: Collection[str]) -> Iterator[tuple[str | None, int, Any]]:
    seen: set[str] = set()
    at = _skip(text, at + 1)
    closed = text[at : at + 1] == "}"
    while not closed:
        key, at = _scanned(text, at)
        colon = _COLON(text, at)
        if colon is None or not isinstance(key, str):
            raise BrokenJsonError("a key is no text or has no value")
        at = colon.end()
        if key in names and key in seen:
            raise BrokenJsonError(f"the key {key!r} comes twice")
        seen.add(key)
        if key in names and text[at : at + 1] == "[":
            for first, piece, end in list_members(text, at + 1, key):
                at = end
                yield key, first, piece
        else:
            value, at = _scanned(text, at)
            if key in names:
                yield key, 0, value
        comma = _COMMA(text, at)
        if comma is not None:
            at = comma.end()
        else:
            at = _skip(text, at)
            closed = text[at : at + 1] == "}"
            if not closed:
                raise BrokenJsonError("a comma is missing")
    if text[at + 1 :].strip():
        raise BrokenJsonError("something follows the object")


def _scanned(text: str, at: int) -> tuple[Any, int]:
    try:
        value, end = json.JSONDecoder().scan_once(text, at)  # type: ignore[attr-defined]
    except StopIteration:
        # It would end the generator that asked, which Python makes a RuntimeError of.
        raise BrokenJsonError("a value is missing or no JSON") from None
    return value, end


def list_members(
    text: str, at: int, kind: str, first: int = 0
) -> Iterator[tuple[int, list[Any], int]]:
    """Yield the pieces of a list from ``at`` on, with their number and where the next one begins.

    The last piece (the only one of an empty list) comes with where the list has ended.

    Raises:
        BrokenJsonError: If it is no list of JSON values.
    """
    scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
    at = _skip(text, at)
    piece, closed = list[Any](), text[at : at + 1] == "]"
    if closed:
        yield first, [], at + 1
    while not closed:
        number = first + len(piece)
        try:
            value, at = scan(text, at)
        except (StopIteration, json.JSONDecodeError):
            raise BrokenJsonError(f"{kind} number {number} is cut off or no JSON") from None
        except RecursionError:
            raise BrokenJsonError(f"{kind} number {number} is nested too deeply") from None
        except ValueError as error:  # a number of more digits than Python converts
            reason = str(error).partition(";")[0]
            raise BrokenJsonError(f"{reason} in {kind} number {number}") from None
        piece.append(value)
        comma = _COMMA(text, at)
        if comma is not None:
            at = comma.end()
        else:
            at = _skip(text, at)
            closed = text[at : at + 1] == "]"
            if not closed:
                end = "ends after" if at >= len(text) else "has no comma after"
                raise BrokenJsonError(f"it {end} {kind} number {number}")
        if len(piece) == _PIECE or closed:
            yield first, piece, at + closed
            first, piece = first + len(piece), []


def _skip(text: str, at: int) -> int:
    return _SPACE(text, at).end()  # type: ignore[union-attr]


def read_bytes(path: str | Path, kind: str = "JSON file") -> bytes:
    """Return the UTF-8 text of a JSON file, without a byte-order mark.

    Args:
        path: The file.
        kind: What messages call it.

    Raises:
        JsonFileError: If it cannot be read or is no UTF-8 text.
    """
    try:
        data = Path(path).read_bytes().removeprefix(codecs.BOM_UTF8)
        if not data.isascii():
            data.decode()
        return data
    except FileNotFoundError:
        raise JsonFileError(
            f"Expected a {kind} at {path}, but there is no such file.", "no such file"
        ) from None
    except UnicodeDecodeError:
        raise no_json(path, "it is no UTF-8 text") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise no_json(path, f"it cannot be read ({reason})") from None


def no_json(path: str | Path, reason: str) -> JsonFileError:
    """Return the error of a file that is no JSON, as ``reason`` says."""
    return JsonFileError(f"Expected {path} to be a JSON file, but {reason}.", reason)


def as_number(value: Any) -> float | None:
    """Return a number of a JSON file, or None where there is no finite one."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if math.isfinite(value) else None
