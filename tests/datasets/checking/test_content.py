import itertools
import os
from pathlib import Path

from corrlight.datasets.checking import content
from corrlight.datasets.checking.content import same_content


def test_groups_are_those_of_equal_bytes(tmp_path):
    # Long ones that differ at the end alone, short ones of one size, a missing one.
    begin = os.urandom(20_000)
    data = [b"abc", b"abd", b"abc", begin + b"1", begin + b"2", begin + b"1", b"", b"x"]
    paths = {"train": [], "val": []}
    for k, one in enumerate(data):
        split = "train" if k < 5 else "val"
        path = tmp_path / f"{k}.jpg"
        path.write_bytes(one)
        paths[split].append(str(path))
    paths["val"].append(str(tmp_path / "none.jpg"))
    members = [(s, k) for s in paths for k in range(len(paths[s])) if Path(paths[s][k]).is_file()]
    expected = {
        frozenset((a, b))
        for a, b in itertools.combinations(members, 2)
        if Path(paths[a[0]][a[1]]).read_bytes() == Path(paths[b[0]][b[1]]).read_bytes()
    }
    assert expected
    assert {frozenset(group) for group in same_content(paths)} == expected


def test_files_of_other_sizes_are_not_read(tmp_path, monkeypatch):
    paths = []
    for k in range(4):
        path = tmp_path / str(k)
        path.write_bytes(b"x" * k)
        paths.append(str(path))
    monkeypatch.setattr(content, "_begin", lambda path: 1 // 0)
    assert same_content({"train": paths}) == []
