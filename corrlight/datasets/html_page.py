"""Self-contained HTML pages: everything is in the one file, and every text is escaped."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape

from PIL import Image

__all__ = ["html_page", "inline_jpeg", "inline_svg"]

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 86rem;
  padding: 0 1rem; color: #1d2630; background: #fff; }
h1 { font-size: 1.5rem; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #d5dbe1; }
h3 { margin: 1.5rem 0 0.2rem; font-size: 1.05rem; }
nav a { margin-right: 1rem; } .note { color: #5a6672; margin-top: 0.2rem; }
.grid { display: grid; gap: 0.8rem; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); }
figure { margin: 0; } figure img { width: 100%; height: auto; display: block; }
figcaption { font-size: 0.8rem; color: #5a6672; overflow-wrap: anywhere; }
.lost { border: 1px dashed #b0413e; color: #b0413e; padding: 1rem; font-size: 0.85rem;
  overflow-wrap: anywhere; }
.key span { display: inline-block; margin-right: 0.9rem; white-space: nowrap; }
.key i { display: inline-block; width: 0.8em; height: 0.8em; margin-right: 0.3em;
  border: 1px solid #1d2630; }
table { border-collapse: collapse; } td, th { padding: 0.25rem 0.7rem; text-align: left;
  vertical-align: top; border-bottom: 1px solid #e3e8ec; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
.error { color: #a3211d; font-weight: 600; } .warning { color: #8a5a00; font-weight: 600; }
ul { margin: 0.2rem 0; padding-left: 1.2rem; } code { overflow-wrap: anywhere; }
.plots { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(26rem, 1fr)); }
"""


def html_page(title: str, body: Sequence[str]) -> str:
    """Return a page.

    Args:
        title: Its title and first heading, as text.
        body: Pieces of HTML.
    """
    return "\n".join(
        (
            "<!DOCTYPE html>",
            f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<style>{_STYLE}</style></head><body>",
            f"<h1>{escape(title)}</h1>",
            *body,
            "</body></html>",
            "",
        )
    )


def inline_jpeg(picture: Image.Image, quality: int = 82) -> str:
    """Return a picture as the address of an ``img``."""
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=quality)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def inline_svg(svg: bytes) -> str:
    """Return a drawing as the address of an ``img``."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg).decode('ascii')}"
