from corrlight.data.drawn.shapes import ShapesOptions, write_shapes
from corrlight.runs.folder import RunFolder
from corrlight.runs.locate import find_run
from corrlight.sweeps.plan import plan_jobs


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


def test_data_that_moved_and_paths_that_are_written_another_way_are_one_run(tmp_path, monkeypatch):
    shapes = write_shapes(tmp_path, ShapesOptions(num_train=4, num_val=2, image_size=64))

    def run(root, *more):
        names = [
            f"data.{split}_annotations=annotations/instances_{split}.json"
            for split in ("train", "val")
        ]
        given = ["data=coco_custom", "detector=atss_small", "trainer=cpu", f"data.root={root}"]
        (job,), _, _ = plan_jobs([[*given, *names, f"paths.runs_dir={tmp_path / 'runs'}", *more]])
        return job.folder

    before = run(shapes)
    monkeypatch.chdir(tmp_path)
    assert run(shapes.name) == before
    moved = shapes.rename(tmp_path / "moved")
    assert run(moved) == before
    assert run(moved, "corr.weight=0.2") == run(moved, "corr.weight=0.20")
    next((moved / "train").iterdir()).write_bytes(next((moved / "val").iterdir()).read_bytes())
    assert run(moved) != before
