"""Classes by name: which output of a checkpoint is which class of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["class_order"]


def class_order(
    checkpoint: Mapping[str, Any], category_ids: Sequence[int], class_names: Sequence[str]
) -> list[int] | None:
    """Return which output of a checkpoint each class of the data is, found by name.

    Names decide: ids are a matter of the annotation file. Only where one side names no classes are
    the ids compared.

    Args:
        checkpoint: Its "class_names" and "category_ids" in the order of its outputs, where it has
            them.
        category_ids: Of the data, in the order of the labels.
        class_names: Of the data, likewise.

    Returns:
        The output of every label; None where they are the same, or nothing can be compared.

    Raises:
        ValueError: The checkpoint was trained for other classes.
    """
    stored, wanted = _listed(checkpoint, "class_names", str), list(class_names)
    if not stored or not wanted:
        ids = _listed(checkpoint, "category_ids", int)
        if ids and category_ids and ids != list(category_ids):
            raise ValueError(
                f"Expected a checkpoint trained for the category ids {_shown(category_ids)}, "
                f"but got {_shown(ids)}."
            )
        return None
    if stored == wanted:
        return None
    missing = [name for name in wanted if name not in stored]
    beyond = [name for name in stored if name not in wanted]
    if missing or beyond or len({*wanted}) < len(wanted) or len(stored) != len(wanted):
        sides = [f"{_shown(missing)} in the data alone"] if missing else []
        sides += [f"{_shown(beyond)} in the checkpoint alone"] if beyond else []
        way = (
            " (corrlight convert --annotations FILE takes those of the data)" if not missing else ""
        )
        raise ValueError(
            "Expected a checkpoint trained for the classes of the data, but "
            f"{' and '.join(sides) or 'names repeat'}{way}."
        )
    return [stored.index(name) for name in wanted]


def _listed(checkpoint: Mapping[str, Any], key: str, kind: type) -> list[Any]:
    """Return a list of the checkpoint, empty where it has none or something else."""
    found = checkpoint.get(key)
    if not isinstance(found, (list, tuple)) or not all(isinstance(item, kind) for item in found):
        return []
    return list(found)


def _shown(items: Sequence[Any]) -> str:
    more = f", ... ({len(items)})" if len(items) > 5 else ""
    return "[" + ", ".join(map(repr, items[:5])) + more + "]"
