from corrlight.datasets.checking.check import check_set
from corrlight.datasets.checking.report import report_page
from tests.datasets.checking.small_set import read_split, write_set, write_split
from tests.datasets.html_tags import Tags


def test_problems_and_plots_are_on_the_page_as_text(tmp_path):
    root = write_set(tmp_path)
    data = read_split(root)
    data["categories"][0]["name"] = "<img src=x onerror=alert(1)>"
    data["annotations"][0]["bbox"] = [1, 2, -3, 4]
    write_split(root, "train", data)
    page = report_page(check_set([root]), "Check of <b>")
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert tags.seen.count("img") == 4
    assert "1 annotation with a bbox of negative size" in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "Check of &lt;b&gt;" in page
    assert "<b>" not in page


def test_a_split_that_cannot_be_read_is_on_it(tmp_path):
    root = write_set(tmp_path)
    (root / "annotations" / "train.json").write_text("{")
    assert "cannot be read" in report_page(check_set([root]), "x")
