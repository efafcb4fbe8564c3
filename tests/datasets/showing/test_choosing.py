from corrlight.coco.annotation_file.table import annotation_table
from corrlight.datasets.showing.choosing import sections
from tests.datasets.checking.small_set import content


def tables():
    train = content(1, 6)
    train["images"].append({"id": 50, "file_name": "50.png", "width": 64, "height": 48})
    train["annotations"][4]["bbox"] = [1, 1, 2, 2]  # of image 2
    train["annotations"][8]["bbox"] = [0, 0, 64, 48]  # of image 3
    train["annotations"] += [{**train["annotations"][9], "id": 900 + k} for k in range(4)]
    return {"train": annotation_table(train), "val": annotation_table(content(101, 2))}


def by_title(**options):
    return {section.title: section for section in sections(tables(), **options)}


def test_every_kind_of_picture():
    found = by_title()
    assert list(found) == [
        *("cat", "dog", "Smallest objects", "Largest objects", "Most objects", "Empty pictures")
    ]
    first = found["Smallest objects"].views[0]
    assert (first.split, first.image, first.focus, first.crop) == ("train", 1, 4, True)
    largest = found["Largest objects"].views[0]
    assert (largest.image, largest.focus, largest.crop) == (2, 8, False)
    assert (found["Most objects"].views[0].image, found["Most objects"].views[0].focus) == (3, None)
    assert [v.image for v in found["Empty pictures"].views] == [6]
    assert found["cat"].text == "20 objects in 8 pictures."


def test_the_limit_holds_and_the_draw_is_that_of_the_seed():
    found = by_title(limit=4)
    assert all(len(section.views) <= 4 for section in found.values())
    assert len(found["cat"].views) == len(found["dog"].views) == 2
    assert found["cat"].text.endswith("2 of them drawn at random.")
    assert by_title(limit=4) == found
    assert any(by_title(limit=4, seed=k)["cat"] != found["cat"] for k in range(1, 5))
    many = sections(tables(), limit=1)
    assert sum(section.part_of == "By class" for section in many) == 1


def test_boxes_that_cannot_be_drawn_are_not_the_smallest():
    data = content(1, 2)
    data["annotations"][0]["bbox"] = [0, 0, -1, 5]
    data["annotations"][1]["bbox"] = None
    found = sections({"train": annotation_table(data)})
    smallest = next(s for s in found if s.title == "Smallest objects")
    assert {v.focus for v in smallest.views} == {2, 3, 4, 5}


def test_nothing_of_a_set_without_pictures():
    empty = annotation_table({"images": [], "annotations": [], "categories": []})
    assert sections({"train": empty}) == []
