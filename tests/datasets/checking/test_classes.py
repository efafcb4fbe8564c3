from corrlight.coco.annotation_file.table import annotation_table
from corrlight.datasets.checking.classes import class_counts, class_problems
from tests.datasets.checking.small_set import content


def table(change=lambda data: None, count=8):
    data = content(1, count)
    change(data)
    return annotation_table(data)


def names(*given):
    def change(data):
        data["categories"] = [{"id": k + 1, "name": name} for k, name in enumerate(given)]

    return change


def kinds(tables):
    return {(p.kind, p.where): p for p in class_problems(tables)}


def test_counts_by_class():
    assert class_counts(table()).tolist() == [16, 8]


def test_equal_lists_are_no_problem():
    assert set(kinds({"train": table(count=10), "val": table()})) == set()


def test_lists_that_differ_name_each_class():
    found = kinds({"train": table(count=10), "val": table(names("cat", "bird"))})
    problem = found["class_lists", "train and val"]
    assert problem.level == "error"
    assert problem.examples == ("'dog' in train alone", "'bird' in val alone")


def test_the_same_names_under_other_ids_are_a_warning():
    found = kinds({"train": table(count=10), "val": table(names("dog", "cat"))})
    assert found["class_order", "train and val"].level == "warning"
    assert found["class_order", "train and val"].count == 2


def test_classes_without_objects_and_alike_ones():
    found = kinds({"train": table(names("cat", "Cat ", "owl"), count=10)})
    assert found["alike_classes", "train"].examples == ("'cat' and 'Cat '",)
    assert found["unused_class", "train"].examples == ("owl",)
    assert kinds({"val": table(names("a", "b", "c"))})["unused_class", "val"].level == "note"
