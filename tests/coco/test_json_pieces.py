"""The fast reader against the plain one: the same members, or the same message."""

import json
import math

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corrlight.coco.json_pieces import Piece, list_pieces, object_pieces
from corrlight.json_files import JsonFileError, iterate_list, iterate_lists


class Thing(msgspec.Struct):
    a: int
    b: float = 0.0


LISTS = [
    "[]",
    " [ ] \n",
    "[1]",
    "\ufeff[1, 2,\n3]",
    '[{"a": 1},{"a": 2, "b": 3}  ,\n{"a":-0,"b":1e3}]',
    '[{"a": 1, "a": 2}, {"a": 3}]',
    '[{"a": 1.0}, {"a": 18446744073709551616}, {"a": true}]',
    '[{"a": 1}, {"a": 2, "b": NaN}, {"a": 3}, {"a": 4}]',
    '[{"a": 1}, {"b": 1e999, "a": 1}, {"a": "\\ud800"}]',
    '[{"a": [1, {"b": "}, {"}, {"b": 0}, {"b": 0}]}, null , "x", {}]',
    '[{"a": "}, {"}, {"a": "\u00e9}, {"}, {"a": "\\"}, {"}, {"a": NaN}]',
    "[[], {}]",
]
BROKEN = [
    *("[1,]", "[,1]", "[1 2]", "[1", "[", "[1]]", "[1] x", "[nul]", "{", "", "]", "[{}]]"),
    *('[{"a": 1}, {"a": 2},]', '[{"a": 1}, {"a": 2} {"a": 3}]', '[{"a": 1}, {"a": 01}, {"a": 1}]'),
    *('[{"a": 1}], [{"a": 1}]', '[{"a": "}, {"]', '[{"a": "\x01"}, {"a": 1}]', '[{"a": 1}, {"a"]'),
    *('{"a": 1}', "null", "[" * 5000 + "]" * 5000, '[{"a": "\\q"}]', '[{"a": 1}, {a: 1}]'),
]


def plain_list(path):
    try:
        return [m for _, piece in iterate_list(path, "thing") for m in piece]
    except JsonFileError as error:
        return str(error)


def fast_list(path, record=Thing):
    found = []
    try:
        for piece in list_pieces(path, "thing", [record]):
            assert piece.first == len(found)
            if piece.records is not None:
                assert piece.records == msgspec.convert(piece.content, list[record])
            found += piece.content
    except JsonFileError as error:
        return str(error)
    return found


def plain_object(path, names):
    found = {}
    try:
        for key, first, value in iterate_lists(path, "file", names):
            found.setdefault((key, isinstance(value, list)), []).append((first, value))
    except JsonFileError as error:
        return str(error)
    return {
        key: [m for _, v in pieces for m in v] if key[1] else pieces[0][1]
        for key, pieces in found.items()
    }


def fast_object(path, names):
    found = {}
    try:
        for key, value in object_pieces(path, "file", dict.fromkeys(names, Thing)):
            if isinstance(value, Piece):
                members = found.setdefault((key, True), [])
                assert value.first == len(members)
                members += value.content
            else:
                # Of a file that holds no object, the value is its own.
                found[key, isinstance(value, list)] = value
    except JsonFileError as error:
        return str(error)
    return found


def same(a, b):
    """NaN is NaN, and 1 is neither 1.0 nor true."""
    return repr(a) == repr(b)


@pytest.mark.parametrize("size", [1, 20, 1 << 18])
@pytest.mark.parametrize("text", [*LISTS, *BROKEN])
def test_lists_are_those_of_the_plain_reader(tmp_path, monkeypatch, text, size):
    monkeypatch.setattr("corrlight.coco.json_pieces._SIZE", size)
    file = tmp_path / "list.json"
    file.write_text(text, encoding="utf-8")
    assert same(fast_list(file), plain_list(file))
    if text in LISTS:
        assert same(fast_list(file), json.loads(text.removeprefix("\ufeff")))


OBJECTS = [
    *("{}", " { } ", '{"x": 1}', '{"a": []}', '{"a": null, "b": {"c": [1]}}', "[1]", "3", "null"),
    *('{"a": [{"a": 1}, {"a": 2}] , "x": [{"a": 1}], "b": [1, 2]}', '{"a": [NaN, {}, {}]}'),
    *('{"a": [1], "a": [2]}', '{"a": [1], "b": [2], "a": [1]}', '{"x": 1, "x": 2, "a": [3]}'),
    *('{"a": [1], "\\u0061": [2]}', '{"\\u0061": [{"a": 1}, {"a": 2}]}', '{"a": NaN, "b": [1]}'),
    *('{"a": [{"a": 1}, {"a": 2}', '{"a": [1,]}', '{"a": [1] "b": 2}', '{"a" [1]}', '{"a": [1]} x'),
    *('{"a": [{"a": "}, {"}, {"a": 1}, {"a": "\\ud800"}]}', '{"a": 1e999}', '{"a": [{"a":01}]}'),
    *('{"a": [1],}', "{1: [1]}", '{"a": [1]}}', "", '{"\u00e9": 1, "a": [{"a": "\u00e9"}, {}]}'),
]


@pytest.mark.parametrize("size", [1, 1 << 18])
@pytest.mark.parametrize("text", OBJECTS)
def test_lists_of_objects_are_those_of_the_plain_reader(tmp_path, monkeypatch, text, size):
    monkeypatch.setattr("corrlight.coco.json_pieces._SIZE", size)
    file = tmp_path / "object.json"
    file.write_text(text, encoding="utf-8")
    assert same(fast_object(file, ("a", "b")), plain_object(file, ("a", "b")))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(width=64) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "}, {"]), inner, max_size=3)
    ),
    max_leaves=8,
)
RECORDS = st.fixed_dictionaries(
    {"a": st.integers(-5, 5) | VALUES}, optional={"b": st.floats(allow_nan=False) | VALUES}
)


@given(st.data())
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_changed_texts_are_read_alike(tmp_path, monkeypatch, data):
    members = data.draw(st.lists(RECORDS | VALUES, max_size=5))
    text = json.dumps(
        {"x": members, "a": members} if data.draw(st.booleans()) else members,
        ensure_ascii=data.draw(st.booleans()),
        separators=data.draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " : ")])),
    )
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, max(len(text) - 1, 0)))
        cut = data.draw(st.integers(0, 2))
        text = text[:at] + data.draw(st.sampled_from(list('[]{},:"\\1-e.n}'))) + text[at + cut :]
    monkeypatch.setattr(
        "corrlight.coco.json_pieces._SIZE", data.draw(st.sampled_from([1, 16, 1000]))
    )
    file = tmp_path / "drawn.json"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    assert same(fast_list(file), plain_list(file))
    assert same(fast_object(file, ("a",)), plain_object(file, ("a",)))


@pytest.mark.parametrize("text", [b'[{"a": 1, "x": "\xff"}]', b'[{"a": 1, "\xff": 2}]', b"\xff"])
def test_what_is_passed_over_must_be_utf8(tmp_path, text):
    file = tmp_path / "list.json"
    file.write_bytes(text)
    with pytest.raises(JsonFileError, match="it is no UTF-8 text"):
        list(list_pieces(file, "thing", [Thing]))


def test_progress_goes_up_to_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr("corrlight.coco.json_pieces._SIZE", 8)
    file = tmp_path / "list.json"
    file.write_text(json.dumps([{"a": k} for k in range(20)] + [{"a": math.nan}] * 3))
    shares = []
    assert len(list(list_pieces(file, "thing", [Thing], shares.append))) > 10
    assert shares == sorted(shares)
    assert 0 < shares[0] <= 0.1
    assert shares[-1] == 1


def test_a_piece_is_of_the_first_record_that_fits_all_of_it(tmp_path, monkeypatch):
    class Other(msgspec.Struct):
        b: int

    monkeypatch.setattr("corrlight.coco.json_pieces._SIZE", 8)
    file = tmp_path / "list.json"
    file.write_text(json.dumps([{"a": 1}] * 9 + [{"b": 2}] * 9))
    found = [piece.records for piece in list_pieces(file, "thing", [Thing, Other])]
    kinds = [None if records is None else type(records[0]) for records in found]
    assert kinds[0] is Thing
    assert kinds[-1] is Other
    # One piece holds some of both.
    assert kinds.count(None) == 1
    assert kinds == sorted(kinds, key=[Thing, None, Other].index)
