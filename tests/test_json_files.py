import gc
import json

import pytest

from corrlight.json_files import (
    JsonFileError,
    iterate_list,
    iterate_lists,
    paused_collector,
    read_json,
)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        " [ ] \n",
        "[1]",
        "\ufeff[1, 2,\n3]",
        '[{"a": [1, {"b": "}, {"}]}, null , "x"]',
        "[[], {}]",
    ],
)
@pytest.mark.parametrize("piece", [1, 2, 100])
def test_pieces_are_the_list(tmp_path, monkeypatch, text, piece):
    monkeypatch.setattr("corrlight.json_files._PIECE", piece)
    file = tmp_path / "list.json"
    file.write_text(text, encoding="utf-8")
    expected = json.loads(text.removeprefix("\ufeff"))
    shares = []
    pieces = list(iterate_list(file, "thing", shares.append))
    assert [v for _, values in pieces for v in values] == expected
    assert [first for first, _ in pieces] == list(range(0, len(expected), piece))
    assert all(0 < share <= 1 for share in shares)
    assert shares == sorted(shares)
    assert read_json(file) == expected


@pytest.mark.parametrize(
    "text", ["[1,]", "[,1]", "[1 2]", "[1", "[", "[1]]", "[1] x", "[nul]", "{"]
)
def test_what_is_no_list_is_an_error(tmp_path, text):
    file = tmp_path / "list.json"
    file.write_text(text)
    with pytest.raises(JsonFileError, match=r"list\.json to be a JSON file, but") as error:
        list(iterate_list(file, "thing"))
    assert error.value.reason in str(error.value)


def test_messages_name_the_kind_of_file(tmp_path):
    with pytest.raises(JsonFileError, match=r"a COCO annotation file at .*no such file"):
        read_json(tmp_path / "none.json", "COCO annotation file")


def test_the_collector_comes_back_as_it_was():
    with paused_collector():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), paused_collector():
        raise ZeroDivisionError
    assert gc.isenabled()
    gc.disable()
    try:
        with paused_collector():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "text", ["{", '{"a"', '{"a":', '{"a": [', '{"a": [1,', '{"b": ', "{]", "{'a': 1}"]
)
def test_objects_that_are_cut_off_are_an_error_of_one_line(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(JsonFileError, match="to be a JSON file") as error:
        list(iterate_lists(path, "JSON file", ("a",)))
    assert "\n" not in str(error.value)
