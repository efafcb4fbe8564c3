from corrlight.runs.folder import RunFolder
from corrlight.runs.locate import find_run


def test_a_run_is_found_under_any_name(tmp_path):
    (tmp_path / "table" / "abc").mkdir(parents=True)
    found = find_run(tmp_path, "abc")
    assert found is not None
    assert found.path == tmp_path / "table" / "abc"
    assert find_run(tmp_path, "abd") is None


def test_of_two_names_the_finished_one_is_found(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name / "abc").mkdir(parents=True)
    assert find_run(tmp_path, "abc").path == tmp_path / "a" / "abc"
    RunFolder(tmp_path / "b" / "abc").write_json("metrics.json", {"AP": 0.5})
    assert find_run(tmp_path, "abc").path == tmp_path / "b" / "abc"
