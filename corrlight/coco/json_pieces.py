"""Lists of JSON files, piece by piece and fast: as typed records where these are what is expected.

msgspec decodes a record straight into a typed object, five times as fast as ``json`` makes a
dictionary. It takes less than ``json`` does (no NaN, no half of a surrogate pair) and what it takes
it reads alike. So it only says that a piece is good: of a piece that it refuses, and of the rest of
its list, the reader of :mod:`corrlight.json_files` says what is wrong.

A list is cut where an object ends and the next one begins. A cut inside a string or a list leaves a
piece that is no JSON, so that a wrong cut is always noticed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from corrlight.json_files import (
    BrokenJsonError,
    iterate_list,
    iterate_lists,
    list_members,
    no_json,
    read_bytes,
    read_json,
    rest_of_list,
)

__all__ = ["Piece", "list_pieces", "object_pieces"]

# Bytes of a piece: its records stay in the cache until their columns are made.
_SIZE = 1 << 18
_WHITE = b" \t\n\r"
_BORDER = re.compile(rb"\}[ \t\n\r]*,[ \t\n\r]*(?=\{)")
_KEY = re.compile(rb'[ \t\n\r]*("[^"\\]*")[ \t\n\r]*:[ \t\n\r]*')
_AFTER = re.compile(rb"[ \t\n\r]*([,}])")
_REFUSED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Piece:
    """Some members of a list.

    Args:
        first: Number of the first of them, counted from 0.
        content: The members as Python objects, if there is no text.
        records: The members as typed records, if all of them are.
        text: A JSON list of them.
    """

    __slots__ = ("_content", "_text", "first", "records")

    def __init__(
        self,
        first: int,
        content: list[Any] | None = None,
        records: list[Any] | None = None,
        text: bytes = b"",
    ) -> None:
        self.first = first
        self.records = records
        self._content = content
        self._text = text

    @property
    def content(self) -> list[Any]:
        """The members as Python objects; made from the text when first asked for."""
        if self._content is None:
            self._content = msgspec.json.decode(self._text)
            self._text = b""
        return self._content


def list_pieces(
    path: str | Path,
    kind: str,
    records: Sequence[type[msgspec.Struct]],
    progress: Callable[[float], None] | None = None,
) -> Iterator[Piece]:
    """Yield the members of a JSON file that holds one list; see :func:`iterate_list`.

    Args:
        path: The file.
        kind: What a member is called in messages.
        records: What a member should be. All of a piece are of one of them, the first that fits.
        progress: Called with the share of the file that has been parsed.

    Raises:
        JsonFileError: If the file cannot be read or parsed, or holds no list.
    """
    data = read_bytes(path)
    start, end = _bare(data)
    if data[start : start + 1] != b"[" or data[end - 1 : end] != b"]":
        for first, content in iterate_list(path, kind, progress):
            yield Piece(first, content)
        return
    first = 0
    for begin, stop in _cuts(data, start + 1, end - 1):
        piece = _decoded(data[begin:stop], first, records)
        if piece is None:
            at = len(data[:begin].decode())
            for number, content in rest_of_list(path, data.decode(), at, kind, first, progress):
                yield Piece(number, content)
            return
        length = _length(piece)
        if length:
            first += length
            yield piece
            if progress is not None:
                progress(stop / len(data))


def object_pieces(
    path: str | Path, kind: str, records: Mapping[str, type[msgspec.Struct] | None]
) -> Iterator[tuple[str | None, Any]]:
    """Yield the members of some lists of a JSON file that holds an object.

    Args:
        path: The file.
        kind: What messages call it.
        records: Keys of the lists and what their members should be; the values of other keys are
            passed over.

    Yields:
        The key and a :class:`Piece` (of an empty list an empty one). The value itself where a key
        holds no list, and ``(None, value)`` of a file that holds no object.

    Raises:
        JsonFileError: If the file cannot be read or parsed, or a key of ``records`` comes twice.
    """
    data = read_bytes(path, kind)
    places = _values(data)
    if places is None:
        for key, first, value in iterate_lists(path, kind, records):
            whole = key is not None and isinstance(value, list)
            yield key, Piece(first, value) if whole else value
        return
    for name, (start, end) in places.items():
        if name not in records:
            continue
        if data[start : start + 1] == b"[":
            first = 0
            for begin, stop in _cuts(data, start + 1, end - 1):
                record = records[name]
                piece = _decoded(data[begin:stop], first, () if record is None else (record,))
                if piece is None:
                    yield from _rest(path, kind, name, data[begin:end], first)
                    break
                yield name, piece
                first += _length(piece)
        else:
            try:
                yield name, msgspec.json.decode(data[start:end])
            except _REFUSED:
                yield name, read_json(path, kind)[name]


def _rest(
    path: str | Path, kind: str, name: str, data: bytes, first: int
) -> Iterator[tuple[str, Piece]]:
    """Yield the members of a list from number ``first`` on, which ``data`` begins with."""
    try:
        for number, content, _ in list_members(data.decode(), 0, name, first):
            yield name, Piece(number, content)
    except (BrokenJsonError, ValueError, RecursionError) as error:
        read_json(path, kind)  # says where
        raise no_json(path, str(error)) from None


def _decoded(data: bytes, first: int, records: Sequence[type[msgspec.Struct]]) -> Piece | None:
    """Return some members of a list, or None if they are left to the other reader."""
    text = b"[" + data + b"]"
    for record in records:
        try:
            return Piece(first, records=msgspec.json.decode(text, type=list[record]), text=text)  # type: ignore[valid-type]
        except _REFUSED:
            pass
    try:
        return Piece(first, msgspec.json.decode(text))
    except _REFUSED:
        return None


def _length(piece: Piece) -> int:
    return len(piece.content if piece.records is None else piece.records)


def _bare(data: bytes) -> tuple[int, int]:
    """Return where the text begins and ends without the white space around it."""
    start = len(data) - len(data.lstrip(_WHITE))
    return start, len(data.rstrip(_WHITE))


def _cuts(data: bytes, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield where the pieces of a list's members begin and end; an empty one has one piece."""
    while True:
        border = _BORDER.search(data, start + _SIZE, end) if start + _SIZE < end else None
        if border is None:
            yield start, end
            return
        yield start, border.start() + 1
        start = border.end()


def _values(data: bytes) -> dict[str, tuple[int, int]] | None:
    """Return where the values of a JSON object begin and end.

    Returns:
        None for what is no object, no JSON, or has a key twice.
    """
    try:
        raw = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except _REFUSED:
        return None
    start, end = _bare(data)
    places: dict[str, tuple[int, int]] = {}
    at = start + 1
    for name, value in raw.items():
        # Of a key that comes twice, the last value is known: it is not what follows the first.
        key = _KEY.match(data, at)
        if key is None or key[1] != b'"%s"' % name.encode():
            return None
        view, at = memoryview(value), key.end() + len(memoryview(value))
        after = _AFTER.match(data, at)
        if after is None or memoryview(data)[key.end() : at] != view:
            return None
        places[name] = (key.end(), at)
        at = after.end()
    return places if at == end or not raw else None
