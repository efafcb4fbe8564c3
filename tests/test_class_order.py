import pytest

from corrlight.class_order import class_order


def stored(names, ids=()):
    return {"class_names": list(names), "category_ids": list(ids)}


def test_names_decide_whatever_the_ids_are():
    assert class_order(stored("abc", [1, 2, 3]), [7, 8, 9], ["a", "b", "c"]) is None
    assert class_order(stored("abc", [1, 2, 3]), [1, 2, 3], ["c", "a", "b"]) == [2, 0, 1]


def test_ids_are_compared_only_where_a_side_has_no_names():
    assert class_order(stored("", [1, 7]), [1, 7], ["a", "b"]) is None
    assert class_order({}, [1, 7], ["a", "b"]) is None
    assert class_order(stored("ab", [1, 7]), [], []) is None
    for checkpoint, names in ((stored("", [1, 7]), "ab"), (stored("ab", [1, 7]), "")):
        with pytest.raises(ValueError, match=r"category ids \[1, 2\], but got \[1, 7\]"):
            class_order(checkpoint, [1, 2], list(names))


@pytest.mark.parametrize(
    ("checkpoint", "data", "message"),
    [
        ("abc", "abd", r"\['d'\] in the data alone and \['c'\] in the checkpoint alone\."),
        ("abc", "ab", r"\['c'\] in the checkpoint alone \(corrlight convert --annotations FILE"),
        ("ab", "abc", r"\['c'\] in the data alone\."),
        ("aab", "aba", "names repeat"),
        ("abcdefghi", "z", r"\['a', 'b', 'c', 'd', 'e', \.\.\. \(9\)\] in the checkpoint alone"),
    ],
)
def test_other_classes_are_refused_in_one_line(checkpoint, data, message):
    with pytest.raises(ValueError, match=message) as error:
        class_order(stored(checkpoint), range(len(data)), list(data))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("bad", ["ab", {"a": 1}, [1, 2], None, [["a"], ["b"]]])
def test_what_is_no_list_of_names_names_nothing(bad):
    assert class_order({"class_names": bad}, [1, 2], ["a", "b"]) is None
