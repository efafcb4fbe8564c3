from corrlight.datasets.checking.check import check_set
from corrlight.datasets.checking.problems import Problem
from corrlight.datasets.checking.text import as_text, problem_lines, result_line
from tests.datasets.checking.small_set import read_split, write_set, write_split


def test_a_problem_has_count_first_records_and_way_out():
    problem = Problem(
        kind="negative_box",
        level="error",
        where="train",
        text="7 annotations with a bbox of negative size",
        count=7,
        examples=tuple(f"annotation {k}: bbox" for k in range(7)),
        way_out="Mend it.",
    )
    lines = list(problem_lines(problem, 2))
    assert lines == [
        "ERROR    train: 7 annotations with a bbox of negative size",
        "           annotation 0: bbox",
        "           annotation 1: bbox",
        "           and 5 more",
        "        -> Mend it. --fix OUT: they are left out.",
    ]


def test_histograms_and_result(tmp_path):
    root = write_set(tmp_path / "set")
    data = read_split(root)
    data["categories"][0]["name"] = "a name\nof two lines"
    write_split(root, "train", data)
    found = check_set([root])
    text = as_text(found)
    lines = text.splitlines()
    assert lines[0] == "train    4 pictures, 12 objects, 0 empty, 64 pixels, no masks"
    words = [" ".join(line.split()) for line in lines]
    assert f"a name of two lines 8 0 {'#' * 30}" in words
    # 20x12, and 16x30 and 28x22.
    assert f"8 to 16 4 2 {'#' * 15}" in words
    assert f"16 to 32 8 4 {'#' * 30}" in words
    assert lines[-1] == result_line(found)
    assert "1 error, " in lines[-1]


def test_a_set_without_objects_has_no_histogram(tmp_path):
    root = write_set(tmp_path / "set")
    for split in ("train", "val"):
        write_split(root, split, {**read_split(root, split), "annotations": []})
    text = as_text(check_set([root]))
    assert "sizes" not in text
    assert "no picture has an object" in text


def test_a_set_whose_categories_have_no_ids_has_a_text(tmp_path):
    root = write_set(tmp_path / "set")
    for split in ("train", "val"):
        data = read_split(root, split)
        for category in data["categories"]:
            category["id"] = str(category["id"])
        for annotation in data["annotations"]:
            annotation["category_id"] = str(annotation["category_id"])
        write_split(root, split, data)
    text = as_text(check_set([root]))
    assert "with a string as id" in text
    assert "(a string; ids of COCO files are numbers)" in text
