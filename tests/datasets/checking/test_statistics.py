import numpy as np

from corrlight.coco.annotation_file.table import annotation_table
from corrlight.datasets.checking.statistics import SIZE_EDGES, input_object_sizes, statistics_of
from tests.datasets.checking.small_set import BOXES, content


def test_numbers_of_a_table():
    data = content(1, 4)
    data["images"].append({"id": 99, "file_name": "99.png", "width": 200, "height": 10})
    data["annotations"][0]["iscrowd"] = 1
    found = statistics_of(annotation_table(data, masks=True))
    assert (found.num_images, found.num_objects, found.num_empty, found.num_crowds) == (5, 12, 1, 1)
    assert found.num_masks == 0
    assert found.classes == {"cat": 8, "dog": 4}
    assert found.picture_sizes == (64, 200)
    edges = [(w * h) ** 0.5 for _, _, w, h in BOXES]
    expected = [4 * sum(a <= e < b for e in edges) for a, b in zip(
        SIZE_EDGES, (*SIZE_EDGES[1:], np.inf), strict=True)]  # fmt: skip
    assert list(found.sizes) == expected
    assert found.per_image.tolist() == [3, 3, 3, 3, 0]


def test_sizes_for_the_network_leave_out_what_training_does():
    data = content(1, 1)
    data["annotations"][0]["iscrowd"] = 1
    data["annotations"][1]["bbox"] = [3, 3, 0.5, 9]
    table = annotation_table(data)
    assert input_object_sizes(table).tolist() == [[16, 30]]
    assert input_object_sizes(table, 128).tolist() == [[32, 60]]


def test_an_empty_file_has_numbers_too():
    table = annotation_table({"images": [], "annotations": [], "categories": []}, masks=True)
    found = statistics_of(table)
    assert (found.num_images, found.num_objects, found.picture_sizes) == (0, 0, None)
    assert input_object_sizes(table).shape == (0, 2)
