"""Parameter names of the toolbox's checkpoints."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

__all__ = ["from_toolbox_names"]


def from_toolbox_names(
    state: Mapping[str, Tensor], rules: Sequence[tuple[str, str]]
) -> dict[str, Tensor]:
    """Return a state dict under our names.

    Args:
        state: Tensors under the toolbox's names.
        rules: Pairs of a regular expression for a whole name of theirs and its replacement; the
            first that matches counts.

    Returns:
        The same tensors, renamed.

    Raises:
        ValueError: A name matches no rule, or two names become the same.
    """
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        found = ((re.fullmatch(pattern, name), ours) for pattern, ours in rules)
        ours = next((match.expand(ours) for match, ours in found if match is not None), None)
        if ours is None:
            raise ValueError(f"Expected `state` to hold known names, but got '{name}'.")
        if ours in renamed:
            raise ValueError(f"Expected `rules` to keep names apart, but two become '{ours}'.")
        renamed[ours] = tensor
    return renamed
