"""The docs site: lay out the Markdown files, build with Zensical, check every link of the result.

    python .ci/site.py          # build/site/index.html; `make docs` calls it

The repository's own layout is kept, so links between files work on a git host and here alike.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build"
# Order and titles; a page of docs/ that is missing here fails tests/docs/test_site.py.
NAV = {
    "Use": {
        "Overview": "README.md",
        "Own data": "docs/own_data.md",
        "Training on own data": "docs/own_data_training.md",
        "After training": "docs/after_training.md",
        "Run folders": "docs/run_folder.md",
        "Sweeps": "docs/sweeps.md",
        "Containers": "docs/container.md",
    },
    "Understand": {
        "Losses": "docs/losses.md",
        "Measures": "docs/measures.md",
        "Detectors": "docs/detectors.md",
        "Dense detectors": "docs/dense_detectors.md",
        "DETR and YOLACT": "docs/detr_and_yolact.md",
        "In other libraries": "docs/plug_in.md",
        "Checkpoints of others": "docs/convert.md",
        "Speed": "docs/performance.md",
        "Architecture": "docs/architecture.md",
    },
    "The thesis": {
        "Tables and figures": "experiments/README.md",
        "On COCO": "docs/reproduce.md",
        "Ten seeds": "docs/results_seeds.md",
        "On the embedded pictures": "docs/results_toy.md",
    },
    "Project": {"Contributing": "CONTRIBUTING.md", "Changelog": "CHANGELOG.md"},
}
# Linked from pages, and shown as they are.
PLAIN = ("LICENSE", "CITATION.cff", "conf/wandb_sweep.yaml")
_CONFIG = """\
[project]
site_name = "corrlight"
site_description = "Correlation Loss for object detectors: train, measure and compare."
docs_dir = "docs"
site_dir = "site"
use_directory_urls = false
nav = [{nav}]

[project.theme]
font = false
features = ["navigation.sections", "navigation.top", "content.code.copy", "toc.follow"]

[project.markdown_extensions.toc]
permalink = true
slugify = {{ object = "pymdownx.slugs.slugify", kwds = {{ case = "lower" }} }}
[project.markdown_extensions.tables]
[project.markdown_extensions.attr_list]
[project.markdown_extensions.pymdownx.highlight]
[project.markdown_extensions.pymdownx.superfences]

[project.plugins.mkdocstrings.handlers.python]
paths = ["{root}"]

[project.plugins.mkdocstrings.handlers.python.options]
docstring_style = "google"
docstring_options = {{ returns_multiple_items = false, returns_named_value = false }}
extensions = ["{root}/.ci/site_roles.py"]
heading_level = 2
show_root_heading = true
show_root_full_path = true
show_source = false
show_signature_annotations = true
separate_signature = true
members_order = "source"
filters = ["!^_"]
"""


def modules() -> dict[str, list[str]]:
    """Return the public modules of every package of ``corrlight``, by dotted names."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "corrlight").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if not (path.parent / "__init__.py").is_file():
            continue  # Hydra's plugin folder: a namespace, imported by Hydra alone.
        package = found.setdefault(".".join(parts[:-1]), [])
        if not parts[-1].startswith("_"):
            package.append(".".join(parts))
    return {name: own for name, own in found.items() if own}


def pages() -> dict[str, str]:
    """Return the generated API pages: path to Markdown text."""
    made = {}
    for package, own in modules().items():
        blocks = "\n\n".join(f"::: {name}" for name in own)
        made[f"api/{package}.md"] = f"# {package}\n\n{blocks}\n"
    return made


def lay_out() -> None:
    """Write ``build/docs`` and ``build/zensical.toml``."""
    target = BUILD / "docs"
    for old in (target, BUILD / "site"):
        shutil.rmtree(old, ignore_errors=True)
    named = [path for section in NAV.values() for path in section.values()]
    for name in [*named, *PLAIN]:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target / name)
    shutil.copytree(ROOT / "docs/images", target / "docs/images")
    generated = pages()
    for name, text in generated.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text(text, encoding="utf-8")
    sections = {**NAV, "API": {Path(name).stem: name for name in generated}}
    nav = ", ".join(
        f'{{"{title}" = [{", ".join(f"""{{"{t}" = "{p}"}}""" for t, p in own.items())}]}}'
        for title, own in sections.items()
    )
    (BUILD / "zensical.toml").write_text(_CONFIG.format(nav=nav, root=ROOT), encoding="utf-8")


class _Page(HTMLParser):
    """What a page links to, which anchors it has, and what it would load from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()
        self.loaded: list[str] = []
        self.text: list[str] = []
        self._code = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        of = {name: value or "" for name, value in attrs}
        self._code += tag in ("code", "pre", "script", "style")
        self.anchors |= {of[name] for name in ("id", "name") if name in of}
        target = of.get("href") or of.get("src")
        if target:
            self.targets.append(target)
        if tag in ("script", "img", "iframe", "source") or (
            tag == "link" and of.get("rel") not in ("canonical", "prev", "next")
        ):
            self.loaded.append(target or "")
        if tag == "autoref":
            self.text.append(f"][{of.get('identifier')}]")

    def handle_endtag(self, tag: str) -> None:
        self._code -= tag in ("code", "pre", "script", "style")

    def handle_data(self, data: str) -> None:
        if not self._code:
            self.text.append(data)


def faults(site: Path) -> list[str]:
    """Return broken links and anchors, unresolved references, and files loaded from elsewhere."""
    read = {path: _Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    found = []
    for path, page in sorted(read.items()):
        where = path.relative_to(site)
        found += [f"{where}: loads {url}" for url in page.loaded if urlsplit(url).netloc]
        prose = "".join(page.text)
        found += [f"{where}: unresolved {r}" for r in re.findall(r"\]\[[\w.]+\]", prose)]
        if path.name == "404.html":
            continue  # Its links begin with the root of the server.
        for target in page.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            file = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            file = file / "index.html" if file.is_dir() else file
            if not file.is_file():
                found.append(f"{where}: {target} does not exist")
            elif parts.fragment and file in read:
                anchor = unquote(parts.fragment)
                if anchor not in read[file].anchors and anchor != "__top":
                    found.append(f"{where}: {target}: no such anchor")
    return found


def main() -> int:
    """Build and check; return the exit code."""
    lay_out()
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    built = subprocess.run([*command, "-f", str(BUILD / "zensical.toml")], check=False)
    if built.returncode:
        return built.returncode
    found = faults(BUILD / "site")
    for line in found:
        print(f"error: {line}", file=sys.stderr)
    count = len(list((BUILD / "site").rglob("*.html")))
    print(f"build/site/index.html: {count} pages, {len(found)} faults")
    return 1 if found or count < len(pages()) else 0


if __name__ == "__main__":
    sys.exit(main())
