from corrlight.coco.annotation_file.table import annotation_table
from corrlight.datasets.showing.choosing import sections
from corrlight.datasets.showing.page import show_page
from tests.datasets.checking.small_set import content, read_split, write_set
from tests.datasets.html_tags import Tags


def test_names_are_text_and_every_picture_is_inside(tmp_path):
    root = write_set(tmp_path)
    data = read_split(root)
    data["categories"][0]["name"] = '<script>alert("1")</script>'
    data["images"][0]["file_name"] = 'none"<b>.png'
    tables = {"train": annotation_table(data, keep_masks=True)}
    chosen = sections(tables)
    steps = []
    page = show_page("x", tables, {"train": root / "train"}, chosen, step=lambda: steps.append(1))
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert not {"script", "b", "link"} & set(tags.seen)
    number = sum(len(section.views) for section in chosen)
    assert len(steps) == number == page.count("<figure>")
    assert page.count('src="data:image/jpeg;base64,') + page.count('class="lost"') == number
    assert 'class="lost"' in page


def test_a_set_without_objects_shows_its_empty_pictures(tmp_path):
    root = write_set(tmp_path)
    tables = {"train": annotation_table({**content(1, 4), "annotations": []}, keep_masks=True)}
    page = show_page("x", tables, {"train": root / "train"}, sections(tables))
    assert "4 pictures have no object." in page
    assert page.count("<figure>") == 4
