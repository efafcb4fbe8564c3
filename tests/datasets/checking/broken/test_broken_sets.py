"""Broken sets: `check` names each, and none trains without a word."""

import logging

import pytest

from corrlight.data import CocoDataModule
from corrlight.datasets.checking.check import check_set
from corrlight.datasets.checking.text import as_text
from tests.datasets.checking.broken.broken_sets import CASES
from tests.datasets.checking.small_set import read_split, write_set, write_split


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request):
    return request.param


@pytest.fixture
def broken(case, tmp_path):
    root = write_set(tmp_path / "set")
    if case.damage is not None:
        data = read_split(root)
        changed = case.damage(data)
        write_split(root, "train", data if changed is None else changed)
    if case.files is not None:
        case.files(root)
    return root


def ready(root, **options):
    """Do what a training does before its first step."""
    data = CocoDataModule(root, None, None, None, None, batch_size=2, **options)
    data.setup("fit")
    return data


def refusal(root, masks):
    """What a training says instead of starting; empty if it starts."""
    try:
        ready(root, load_masks=masks)
    except ValueError as error:
        return str(error)
    return ""


def test_there_are_forty():
    assert len({case.name for case in CASES}) >= 40


def test_it_is_named_with_its_first_record_and_does_not_train_silently(case, broken, caplog):
    found = check_set([broken])
    named = [p for p in found.problems if p.kind == case.kind]
    assert named, [p.kind for p in found.problems]
    assert named[0].level == case.level
    assert case.word in named[0].text
    assert "train" in named[0].where or case.kind == "no_split"
    assert (found.count("error") > 0) == (case.level == "error")
    assert named[0].text[:40] in " ".join(as_text(found).split())
    with caplog.at_level(logging.WARNING):
        said = refusal(broken, case.masks)
    assert said or case.level == "warning"
    assert "\n" not in said
    assert said or caplog.records


def test_a_sound_set_has_no_problem_and_trains_without_a_warning(tmp_path, caplog):
    root = write_set(tmp_path / "set")
    found = check_set([root])
    # Its few small objects, and its anchors, are all there is to say.
    assert {p.kind for p in found.problems} == {"unfit_anchors", "rare_class"}
    with caplog.at_level(logging.WARNING):
        assert ready(root).num_train_images == 4
    assert not caplog.records


def test_validation_without_objects_is_a_warning_before_the_start(tmp_path, caplog):
    root = write_set(tmp_path / "set")
    write_split(root, "val", {**read_split(root, "val"), "annotations": []})
    found = {p.kind: p.level for p in check_set([root]).problems}
    assert found["no_objects"] == "warning"
    with caplog.at_level(logging.WARNING):
        ready(root)
    assert "val.json: no picture has an object, so AP is undefined" in caplog.messages
