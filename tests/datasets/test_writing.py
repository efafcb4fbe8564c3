"""A set as files."""

import json

from corrlight.data.coco import load_annotations
from corrlight.datasets.assembly import assemble
from corrlight.datasets.outlines import from_polygon
from corrlight.datasets.records import Annotation, Content, Ledger, Picture
from corrlight.datasets.writing import write
from tests.datasets.pictures_on_disk import picture


def test_writes_pictures_and_records(tmp_path):
    a = picture(tmp_path / "in" / "x" / "a.jpg")
    content = picture(tmp_path / "in" / "b.png").read_bytes()
    shape = from_polygon([(1, 2), (5, 2), (5, 9)])
    annotation = Annotation(
        label="caf\xe9", shape=shape, where="w", crowd=True, extra={"difficult": 1}
    )
    pictures = [
        Picture(path=a, size=(30, 40), annotations=[annotation], extra={"license": 2}),
        Picture(path=tmp_path / "in" / "b.json", size=(30, 40), content=content),
    ]
    dataset = assemble([Content(pictures=pictures)], Ledger())
    steps = []
    write(dataset, tmp_path / "out", step=lambda: steps.append(1))
    assert len(steps) == 2
    assert (tmp_path / "out" / "train" / "x" / "a.jpg").read_bytes() == a.read_bytes()
    assert (tmp_path / "out" / "train" / "b.png").read_bytes() == content
    file = tmp_path / "out" / "annotations" / "train.json"
    assert json.loads(file.read_text("utf-8")) == {
        "images": [
            {"id": 1, "file_name": "x/a.jpg", "width": 40, "height": 30, "license": 2},
            {"id": 2, "file_name": "b.png", "width": 40, "height": 30},
        ],
        "annotations": [
            {
                "id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 4, 7], "area": 14,
                "iscrowd": 1, "segmentation": [[1, 2, 5, 2, 5, 9]], "difficult": 1,
            }
        ],
        "categories": [{"id": 1, "name": "caf\xe9"}],
    }  # fmt: skip
    assert load_annotations(file, load_masks=True).notes == ()
