"""The page of ``corrlight data show``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path

from corrlight.coco.annotation_file.table import AnnotationTable
from corrlight.datasets.checking.problems import counted
from corrlight.datasets.html_page import html_page, inline_jpeg
from corrlight.datasets.showing.choosing import Section, View
from corrlight.datasets.showing.drawing import Color, class_colors, draw_view

__all__ = ["show_page"]

# Classes whose colour is explained at the top.
_MOST_KEYS = 60


def show_page(
    title: str,
    tables: Mapping[str, AnnotationTable],
    folders: Mapping[str, Path],
    chosen: Sequence[Section],
    size: int = 320,
    step: Callable[[], None] = lambda: None,
) -> str:
    """Return a page with pictures and what is annotated in them.

    Args:
        title: Of the page.
        tables: Annotations of every split.
        folders: Folders of their pictures.
        chosen: What is shown.
        size: Pixels of the longer side of a picture.
        step: Called after every picture.
    """
    names = list(dict.fromkeys(name for table in tables.values() for name in table.names))
    colors = class_colors(names)
    body = [f"<p>{'<br>'.join(_line(split, table) for split, table in tables.items())}</p>"]
    heads = list(dict.fromkeys(section.part_of or section.title for section in chosen))
    links = (f'<a href="#{_anchor(k)}">{escape(head)}</a>' for k, head in enumerate(heads))
    body += [f"<nav>{''.join(links)}</nav>", _key(colors)]
    last = ""
    for section in chosen:
        head = section.part_of or section.title
        if head != last:
            body.append(f'<h2 id="{_anchor(heads.index(head))}">{escape(head)}</h2>')
            last = head
        if section.part_of:
            body.append(f"<h3>{escape(section.title)}</h3>")
        body.append(f'<p class="note">{escape(section.text)}</p><div class="grid">')
        for view in section.views:
            body.append(_figure(view, tables[view.split], folders[view.split], colors, size))
            step()
        body.append("</div>")
    return html_page(title, body)


def _anchor(number: int) -> str:
    return f"part{number}"


def _line(split: str, table: AnnotationTable) -> str:
    images, objects = (
        counted(len(table.image_ids), "picture"), counted(len(table), "object")
    )  # fmt: skip
    return escape(f"{split}: {images}, {objects}")


def _key(colors: dict[str, Color]) -> str:
    items = [
        f'<span><i style="background: rgb{color}"></i>{escape(name)}</span>'
        for name, color in list(colors.items())[:_MOST_KEYS]
    ]
    more = f"<span>and {len(colors) - _MOST_KEYS:,} more</span>" if len(colors) > _MOST_KEYS else ""
    return f'<p class="key">{"".join(items)}{more}</p>'


def _figure(
    view: View, table: AnnotationTable, folder: Path, colors: dict[str, Color], size: int
) -> str:
    drawn = draw_view(view, table, folder, colors, size)
    caption = f"{view.split}: {table.file_names[view.image] or 'no name'}"
    if view.focus is None:
        caption += f", {counted(drawn.num_objects, 'object')}"
    else:
        width, height = table.boxes[view.focus, 2:].tolist()
        caption += f", {width:.4g} x {height:.4g} pixels"
    if drawn.num_hidden:
        caption += f", {drawn.num_hidden:,} without a box that can be drawn"
    if drawn.picture is None:
        inner = f'<div class="lost">{escape(drawn.problem)}</div>'
    else:
        inner = f'<img alt="{escape(caption)}" src="{inline_jpeg(drawn.picture)}">'
    return f"<figure>{inner}<figcaption>{escape(caption)}</figcaption></figure>"
