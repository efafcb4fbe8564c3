"""Docstrings for the docs site: references (``:func:`name```) as links, examples as code."""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:func|class|meth|mod|data|attr):`(~?)([\w.]+)(?:\(\))?`")

_FORMULA = re.compile(r":math:(?=`)")
_EXAMPLE = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)


class Roles(griffe.Extension):
    """Turns each role into a link where the site has its target, else into code."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring is None:
            return

        def link(match: re.Match[str]) -> str:
            short, name = match.groups()
            shown = name.rpartition(".")[2] if short else name
            full = name
            if not name.startswith("corrlight."):
                try:
                    full = obj.resolve(name)
                except griffe.NameResolutionError:
                    return f"`{shown}`"
            return f"[`{shown}`][{full}]" if full.startswith("corrlight.") else f"`{shown}`"

        text = _ROLE.sub(link, _FORMULA.sub("", obj.docstring.value))
        # Elsewhere than in an `Example:` section brackets of an output would be read as links.
        obj.docstring.value = _EXAMPLE.sub(lambda m: f"```pycon\n{m[0]}\n```", text)
