"""Links of the Markdown files lead somewhere, and no page names the machine it was written on."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("experiments/*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")


def _prose(page):
    return CODE.sub("", FENCE.sub("", page.read_text(encoding="utf-8")))


def _anchors(page):
    headings = re.findall(r"^#+ +(.+)$", FENCE.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings}


def test_there_are_pages_and_links():
    names = {page.name for page in PAGES}
    assert {"README.md", "CONTRIBUTING.md", "architecture.md", "run_folder.md"} <= names
    assert sum(len(LINK.findall(_prose(page))) for page in PAGES) > 5


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in LINK.findall(_prose(page)):
        if re.match(r"https?://|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.is_relative_to(ROOT), f"{target} leaves the repository"
        assert file.exists(), f"{target} does not exist"
        if page.is_relative_to(ROOT / "docs"):
            own = file.is_relative_to(ROOT / "docs")
            assert own or file.suffix == ".md", f"{target} is not on the site"
        if anchor:
            assert anchor in _anchors(file), f"{target}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_named_in_code_exist(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    named = set(re.findall(r"`((?:corrlight|conf|docs|tests)/[\w./]+)`", text))
    examples = {name for name in named if re.search(r"/(test_)?x(_small)?\.(py|yaml)$", name)}
    missing = [n for n in named - examples if not (ROOT / n).exists() and n != "corrlight/conf"]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_path_of_this_machine(page):
    assert not re.search(r"(?<![\w.])/(work|root|tmp|home)/", page.read_text(encoding="utf-8"))


def test_the_link_pattern_finds_links():
    text = 'See [a](b.md), ![c](d.png "title") and [e](f.md#g).'
    assert LINK.findall(text) == ["b.md", "d.png", "f.md#g"]
