"""Splits of the source to ours."""

from pathlib import Path

import pytest

from corrlight.datasets.records import Ledger, Picture
from corrlight.datasets.splitting import divided, parse_splits, relative_names, with_new_splits


def pictures(**names):
    return [
        Picture(path=Path(f"/d/{name}.jpg"), size=(1, 1), splits=frozenset(splits.split()))
        for name, splits in names.items()
    ]


def test_parsing():
    assert parse_splits("train=trainval,val=test") == {"train": ["trainval"], "val": ["test"]}
    assert parse_splits("train=a+b,test") == {"train": ["a", "b"], "test": ["test"]}
    for wrong in ("", "fold=a", "train=", "train=a,train=b", "train=a+"):
        with pytest.raises(ValueError, match="--splits"):
            parse_splits(wrong)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"a": "", "b": ""}, {"train": "ab"}),
        ({"a": "train trainval", "b": "val trainval", "c": "test"}, {"train": "ab", "val": "c"}),
        ({"a": "train trainval", "b": "val trainval"}, {"train": "a", "val": "b"}),
        ({"a": "Train", "b": "Validation", "c": ""}, {"train": "a", "val": "b"}),
        ({"a": "default"}, {"train": "a"}),
        ({"a": "train val"}, {"train": "a", "val": "a"}),
    ],
)
def test_defaults(given, wanted):
    ledger = Ledger()
    parts, _ = divided(pictures(**given), None, ledger)
    assert {s: "".join(p.path.stem for p in ps) for s, ps in parts.items()} == wanted
    lost = len(given) - len(set("".join(wanted.values())))
    assert sum(t.count for t in ledger.left_out.values()) == lost


def test_unknown_names():
    with pytest.raises(ValueError, match=r"fold1.*--splits train=NAME"):
        divided(pictures(a="fold1"), None, Ledger())
    with pytest.raises(ValueError, match="has fold1, but got 'fold2'"):
        divided(pictures(a="fold1"), {"train": ["fold2"]}, Ledger())


def test_new_splits():
    parts = {"train": pictures(**{f"p{k}": "" for k in range(10)}), "test": pictures(t="")}
    made = with_new_splits(parts, {"val": 0.2, "test": 0}, 0)
    assert {s: len(ps) for s, ps in made.items()} == {"train": 8, "val": 2, "test": 1}
    with pytest.raises(ValueError, match="train=train\\+test"):
        with_new_splits(parts, {"val": 0, "test": 0.1}, 0)


def test_relative_names():
    assert relative_names([Path("/d/x/1.jpg"), Path("/d/y/1.jpg")]) == ["x/1.jpg", "y/1.jpg"]
    assert relative_names([Path("/d/x/1.jpg")]) == ["1.jpg"]
    assert relative_names([]) == []
