"""Whether the parts beside a detector find what they read in its predictions."""

from __future__ import annotations

from typing import Any

__all__ = ["check_needs"]


def check_needs(detector: Any, **parts: Any) -> None:
    """Check that a detector gives what its assigner, criterion and postprocessor need.

    A part says so in two attributes, both optional: ``needs``, those of the optional fields
    (``PredictionField``) that it reads, and ``activation``, what scores have to be made with.

    Args:
        detector: Has ``gives`` and ``activation``.
        **parts: Name of the argument and the part.

    Raises:
        ValueError: The message names the part and what it misses.
    """
    kind = type(detector).__name__
    for name, part in parts.items():
        wanted = getattr(part, "activation", None)
        if wanted is not None and wanted != detector.activation:
            raise ValueError(
                f"Expected `{name}` to be for scores made by {detector.activation}, the "
                f"detector's, but got one for {wanted}: another choice of "
                f"`{'loss' if name == 'criterion' else name}` fits."
            )
        missing = sorted({*getattr(part, "needs", ())} - {*detector.gives})
        if missing:
            raise ValueError(
                f"Expected `detector` to give {', '.join(missing)}, which its `{name}` "
                f"{type(part).__name__} needs, but {kind} gives "
                f"{', '.join(detector.gives) or 'none of them'}: another `{name}` fits, or `gives` "
                f"of {kind} is incomplete."
            )
