"""Keys, values and quotes of single overrides; paths are taken as they are."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from corrlight.config.overrides import (
    ConfigError,
    literal_paths,
    override_key,
    override_value,
    quoted,
)


def value_of(override):
    return str(OverridesParser.create().parse_override(override).value())


@pytest.mark.parametrize(("override", "key"), [("corr=none", "corr"), ("++a.b=1", "a.b")])
def test_the_key_of_an_override(override, key):
    assert override_key(override) == key


@pytest.mark.parametrize(
    "text", ["plain", "with space", "it's", "a,b=[c]", "back\\slash", "end\\", "\\'", "${x}"]
)
def test_quoted_text_is_read_back(text):
    parsed = OverridesParser.create().parse_override(f"name={quoted(text)}")
    assert str(parsed.value()) == text


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("resume=true", "true"),
        ("ckpt=/a/b.ckpt", "/a/b.ckpt"),
        ("ckpt='/a/epoch=1.ckpt'", "/a/epoch=1.ckpt"),
        ("ckpt=/a b/c", "/a b/c"),
        ("ckpt=null", "null"),
    ],
)
def test_values_are_texts_without_their_quotes(override, value):
    assert override_value(override) == value


@pytest.mark.parametrize(
    "path", ["epoch=1-step=20.ckpt", "cells[1]", "a(b)", "a{b}", "it's", "x:y=z"]
)
@pytest.mark.parametrize("key", ["ckpt", "data.root", "paths.runs_dir", "data.val_images"])
def test_paths_are_what_is_written(key, path):
    (found,) = literal_paths([f"{key}=/data/{path}"])
    assert value_of(found) == f"/data/{path}"


def test_a_comma_is_a_sweep_unless_such_a_folder_exists(tmp_path):
    folder = tmp_path / "a,b"
    assert literal_paths([f"data.root={folder}"]) == [f"data.root={folder}"]
    folder.mkdir()
    assert value_of(literal_paths([f"data.root={folder}"])[0]) == str(folder)


@pytest.mark.parametrize(
    "override", ["seed=1,2", "corr.weight=[1]", "data.root='/a[1]'", "data.root=${x}/a", "~ckpt"]
)
def test_everything_else_stays(override):
    assert literal_paths([override]) == [override]


def test_what_cannot_be_read_says_how_to_quote():
    with pytest.raises(ConfigError, match=r"override name=a=b: .*\"name='...'\"") as caught:
        override_key("name=a=b")
    assert "\n" not in str(caught.value)
