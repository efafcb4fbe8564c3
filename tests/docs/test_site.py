"""The docs site names every page and every public module, and its check finds what is broken."""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site():
    spec = importlib.util.spec_from_file_location("site_of_docs", ROOT / ".ci/site.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_navigation_names_every_page_once(site):
    named = [path for section in site.NAV.values() for path in section.values()]
    there = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "experiments/README.md"]
    assert sorted(named) == sorted(path.relative_to(ROOT).as_posix() for path in there)


def test_every_public_module_has_its_place_in_an_api_page(site):
    text = "\n".join(site.pages().values())
    named = re.findall(r"^::: ([\w.]+)$", text, re.MULTILINE)
    # Typed out another way: everything that can be imported by a public name.
    there = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "corrlight").rglob("[a-z]*.py")
        if "hydra_plugins" not in path.parts
    }
    assert len(named) == len(set(named))
    assert set(named) == there


def test_it_is_laid_out_as_the_repository_is(site, tmp_path, monkeypatch):
    monkeypatch.setattr(site, "BUILD", tmp_path)
    site.lay_out()
    laid = tmp_path / "docs"
    assert (laid / "README.md").read_bytes() == (ROOT / "README.md").read_bytes()
    assert (laid / "docs/images/toy_table_5_1.png").is_file()
    config = (tmp_path / "zensical.toml").read_text(encoding="utf-8")

    nav = tomllib.loads(config)["project"]["nav"]
    listed = [path for part in nav for own in part.values() for e in own for path in e.values()]
    assert [path for path in listed if not (laid / path).is_file()] == []


def test_its_check_finds_each_kind_of_fault(site, tmp_path):
    (tmp_path / "a.html").write_text('<h1 id="top">A</h1><a href="b.html#here">b</a>')
    (tmp_path / "b.html").write_text('<p id="here">B <code>x[0][1]</code></p>')
    assert site.faults(tmp_path) == []
    (tmp_path / "c.html").write_text(
        '<a href="none.html">1</a><a href="a.html#none">2</a><a href="https://example.org">3</a>'
        '<script src="https://cdn.example.org/x.js"></script>'
        '<link rel="stylesheet" href="https://fonts.example.org/x.css"><p>[x][corrlight.none]</p>'
    )
    assert site.faults(tmp_path) == [
        "c.html: loads https://cdn.example.org/x.js",
        "c.html: loads https://fonts.example.org/x.css",
        "c.html: unresolved ][corrlight.none]",
        "c.html: none.html does not exist",
        "c.html: a.html#none: no such anchor",
    ]
