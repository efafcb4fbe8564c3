"""Classes, names and ids of a set."""

from pathlib import Path

import pytest

from corrlight.datasets.assembly import assemble
from corrlight.datasets.outlines import from_corners
from corrlight.datasets.records import Annotation, Content, Ledger, Picture


def picture(path, *labels, ids=None, **options):
    annotations = [
        Annotation(label=x, shape=from_corners(0, 0, 2, 2), where="w", identity=ids and ids[k])
        for k, x in enumerate(labels)
    ]
    return Picture(path=Path(path), size=(30, 40), annotations=annotations, **options)


def names(dataset):
    return [c["name"] for c in dataset.categories]


def test_classes_as_declared_or_else_sorted():
    members = [picture("/d/a.jpg", "b", "c"), picture("/d/b.jpg", "A")]
    assert names(assemble([Content(pictures=members)], Ledger())) == ["A", "b", "c"]
    declared = Content(pictures=members, classes=["c", "unused"])
    assert names(assemble([declared], Ledger())) == ["c", "unused", "A", "b"]
    with pytest.raises(ValueError, match="no names of classes"):
        assemble([Content(pictures=[picture("/d/a.jpg")])], Ledger())
    with pytest.raises(ValueError, match="none are left"):
        assemble([Content(pictures=[], classes=["a"])], Ledger())


def test_ids_of_categories_are_kept_while_they_agree():
    one = {"x": {"id": 3, "name": "x", "color": 1}, "y": {"id": 8, "name": "y"}}
    content = Content(pictures=[picture("/d/a.jpg", "x")], classes=["x", "y"], categories=one)
    assert assemble([content], Ledger()).categories == list(one.values())
    other = Content(
        pictures=[picture("/d/b.jpg", "z")], classes=["z"], categories={"z": {"id": 3, "name": "z"}}
    )
    ledger = Ledger()
    made = assemble([content, other], ledger).categories
    assert [(c["id"], c["name"]) for c in made] == [(1, "x"), (2, "y"), (3, "z")]
    assert made[0]["color"] == 1
    assert ledger.notes


def test_ids_that_repeat_are_made_anew():
    members = [picture(f"/d/{k}/a.jpg", "x", ids=[5], identity=k) for k in (0, 7)]
    ledger = Ledger()
    dataset = assemble([Content(pictures=members)], ledger)
    assert dataset.image_ids == {"train": [0, 7]}
    assert dataset.annotation_ids == {"train": [1, 2]}
    assert len(ledger.notes) == 1
    assert dataset.names == {"train": ["0/a.jpg", "7/a.jpg"]}


def test_names_of_a_coco_file_are_kept_while_they_differ_and_stay_inside():
    def made(*given):
        members = [picture(f"/d/{k}/a.jpg", "x", name=name) for k, name in enumerate(given)]
        return assemble([Content(pictures=members)], Ledger()).names["train"]

    assert made("q/1.jpg", "2.jpg") == ["q/1.jpg", "2.jpg"]
    assert made("1.jpg", "1.JPG") == ["0/a.jpg", "1/a.jpg"]
    assert made("../1.jpg", "2.jpg") == ["0/a.jpg", "1/a.jpg"]


def test_names_that_differ_by_case_alone_are_a_problem():
    ledger = Ledger()
    assemble([Content(pictures=[picture("/d/a.jpg", "x"), picture("/d/A.jpg", "x")])], ledger)
    assert ledger.problems == ["/d/A.jpg: the same name as /d/a.jpg"]


def test_unlabelled_pictures():
    members = [picture("/d/a.jpg", "x"), picture("/d/b.jpg", labelled=False)]
    ledger = Ledger()
    assert len(assemble([Content(pictures=members)], ledger).splits["train"]) == 2
    assert ledger.changed["pictures without annotations taken as empty"].count == 1
    assert (
        len(assemble([Content(pictures=members)], Ledger(), labelled_only=True).splits["train"])
        == 1
    )
