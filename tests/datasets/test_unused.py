"""Picture files that no reader took: counted by what they are."""

from corrlight.datasets.records import Content, Ledger, Picture
from corrlight.datasets.unused import count_unused
from tests.datasets.pictures_on_disk import boxes, picture, run, write

COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 40, "height": 30}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 3, 10, 17]}],
    "categories": [{"id": 1, "name": "cat"}],
}


def test_what_is_counted(tmp_path):
    folder = tmp_path / "in"
    taken = picture(folder / "x" / "a.jpg")
    for name in ("x/b.JPG", "y/c.png", "SegmentationClass/a.png"):
        picture(folder / name)
    for name in ("x/d.heic", "x/notes.txt", "x/.hidden.jpg"):
        write(folder / name, "")
    content = Content(pictures=[Picture(path=taken, size=(30, 40))])
    named = "pictures of the source that the annotations do not name"
    format_ = "files in a format that is not read (.heic)"

    def counted(*arguments):
        ledger = Ledger()
        count_unused(*arguments, [content], ledger)
        return {reason: tally.count for reason, tally in ledger.left_out.items()}

    assert counted([folder], None) == {named: 2, format_: 1}
    (tmp_path / "link").symlink_to(folder)
    assert counted([tmp_path / "link"], None) == {named: 2, format_: 1}
    # Beside an annotation file may lie what has nothing to do with it.
    assert counted([tmp_path / "a.json"], None) == {named: 1, format_: 1}
    assert counted([tmp_path / "a.json"], folder / "y") == {named: 1}


def test_import_says_it(tmp_path, capsys):
    write(tmp_path / "in" / "train" / "_annotations.coco.json", COCO)
    for name in ("a.jpg", "b.jpg"):
        picture(tmp_path / "in" / "train" / name)
    assert run("import", "coco", tmp_path / "in", "--out", tmp_path / "out") == 0
    assert "left out  1 pictures of the source" in capsys.readouterr().out
    assert list(boxes(tmp_path / "out")) == ["a.jpg"]
