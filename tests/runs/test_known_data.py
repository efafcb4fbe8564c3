import os

import pytest

from corrlight.config.build import build_data
from corrlight.config.compose import compose_config
from corrlight.data.drawn.shapes import ShapesOptions, write_shapes
from corrlight.runs.fingerprint import data_fingerprint
from corrlight.runs.known_data import KnownData, note_data, recall_data


@pytest.fixture
def config(tmp_path):
    write_shapes(tmp_path / "shapes", ShapesOptions(num_train=4, num_val=2, image_size=64))
    overrides = ["data.num_train=4", "data.num_val=2", "data.image_size=64", "trainer=cpu"]
    paths = [f"paths.data_dir={tmp_path}", f"paths.runs_dir={tmp_path / 'runs'}"]
    return compose_config([*overrides, *paths]).config


def test_the_same_data_are_recalled_and_changed_ones_are_not(config, monkeypatch, tmp_path):
    assert recall_data(config) is None
    data = build_data(config.copy())
    files = data.annotation_files
    note_data(config, files, [], 8)
    known = KnownData(data_fingerprint(files), 8)
    assert recall_data(config) == known
    config.seed, config.data.num_classes = 3, 8
    assert recall_data(config) == known
    config.data.num_classes = 9  # The data module explains what is wrong.
    assert recall_data(config) is None
    config.data.num_classes = None
    config.data.data_seed = 1
    assert recall_data(config) is None
    config.data.data_seed = 0
    stat = files[0].stat()
    os.utime(files[0], ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert recall_data(config) is None
    note_data(config, files, [], 8)
    assert recall_data(config) == known
    # The same size and the same time, but written since.
    os.utime(files[0], ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert recall_data(config) is None
    note_data(config, files, [], 8)
    monkeypatch.chdir(tmp_path)  # Relative folders would be others.
    assert recall_data(config) is None


def test_pictures_that_come_are_seen(config, tmp_path):
    files = build_data(config.copy()).annotation_files
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    note_data(config, files, [pictures], 8)
    assert recall_data(config) == KnownData(data_fingerprint(files, [pictures]), 8)
    (pictures / "new.jpg").write_bytes(b"x")
    assert recall_data(config) is None


def test_damaged_notes_are_none(config, tmp_path):
    note_data(config, build_data(config.copy()).annotation_files, [], 8)
    (note,) = (tmp_path / "runs" / ".data").iterdir()
    whole = '{"files": {}, "folders": {}, "fingerprint": 1}'
    for text in ("", "[]", "{}", '{"files": 3}', whole):
        note.write_text(text)
        assert recall_data(config) is None, text


def test_a_folder_that_is_not_writable_is_no_problem(config, tmp_path):
    (tmp_path / "runs").write_text("a file")
    note_data(config, build_data(config.copy()).annotation_files, [], 8)
    assert recall_data(config) is None
