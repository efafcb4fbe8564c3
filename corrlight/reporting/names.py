"""Names of classes and runs as matplotlib can draw them: no formulas, only glyphs that exist."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

__all__ = ["ERROR_TYPES", "font_families", "font_file", "is_drawable", "plain"]

# TIDE's types of errors in the order of tables and figures; measures are ``dAP_<type>``.
ERROR_TYPES = ("classification", "localisation", "both", "duplicate", "background", "missed")

_DEFAULT = "DejaVu Sans"  # comes with matplotlib: Latin, Greek, Cyrillic and some more


def plain(text: str) -> str:
    r"""Return a name as matplotlib draws it letter by letter, on one line.

    Two dollar signs would make a formula of what is between them; a glyph that no installed font
    has becomes a question mark.

    Example:
        >>> plain("5$ and 10$")
        '5\\$ and 10\\$'
    """
    shown = "".join(c if is_drawable(c) else "?" for c in " ".join(text.split()))
    return shown.replace("$", r"\$")


def is_drawable(text: str) -> bool:
    """Return whether an installed font has every glyph of a text."""
    return all(_family(ord(c)) is not None for c in text if not c.isspace())


def font_families(texts: Iterable[str]) -> list[str]:
    """Return the fonts that draw some texts together: the usual one, and others where it lacks."""
    families = {_DEFAULT: None}
    for code in {ord(c) for text in texts for c in text if not c.isspace()}:
        family = _family(code)
        if family is not None:
            families[family] = None
    return list(families)


def font_file(text: str) -> tuple[str, str]:
    """Return the file of an installed font for a text, and the text as it can draw it.

    The usual font comes first, then one that has every glyph. Where none has, those that the usual
    one lacks become question marks.
    """
    codes = {ord(c) for c in text if not c.isspace()}
    usual = _path_of_default()
    for path in (usual, *(path for _, path in _others())):
        if codes <= _glyphs(path):
            return path, text
    known = _glyphs(usual)
    return usual, "".join(c if c.isspace() or ord(c) in known else "?" for c in text)


@cache
def _family(code: int) -> str | None:
    """Return the first installed font that has a glyph, the usual one before all others."""
    if code in _glyphs(_path_of_default()):
        return _DEFAULT
    for name, path in _others():
        if code in _glyphs(path):
            return name
    return None


@cache
def _path_of_default() -> str:
    from matplotlib import font_manager

    return str(font_manager.findfont(_DEFAULT))


@cache
def _others() -> tuple[tuple[str, str], ...]:
    from matplotlib.font_manager import fontManager

    upright = [f for f in fontManager.ttflist if f.style == "normal"]
    # Fonts of a single form ("Last Resort") have a box for every letter.
    return tuple(sorted({(f.name, f.fname) for f in upright if "Last Resort" not in f.name}))


@cache
def _glyphs(path: str) -> frozenset[int]:
    from matplotlib.font_manager import get_font

    try:
        return frozenset(get_font(path).get_charmap())
    except (OSError, RuntimeError):  # a font that was removed or is broken
        return frozenset()
