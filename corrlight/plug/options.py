"""Options that only some detectors have."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args

from corrlight.arguments import check_choice

__all__ = ["GroupQueries", "Layers", "Options", "Scores"]

Layers = Literal["all", "last"]
GroupQueries = Literal["all", "first"]
Scores = Literal["class", "ranking"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a user asked for; None where nothing was said.

    Attributes:
        layers: Decoder layers that get the loss.
        denoising: Whether denoising queries count as positives.
        group_queries: Whether the queries of all groups count, or those used at inference.
        scores: Scores that are correlated.
    """

    layers: Layers | None = None
    denoising: bool | None = None
    group_queries: GroupQueries | None = None
    scores: Scores | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        for name, choices in (
            ("layers", Layers),
            ("group_queries", GroupQueries),
            ("scores", Scores),
        ):
            value = getattr(self, name)
            if value is not None:
                check_choice(name, value, get_args(choices))
        if self.denoising is not None and not isinstance(self.denoising, bool):
            raise ValueError(f"Expected `denoising` to be a bool, but got {self.denoising!r}.")

    def check(self, detector: str, **known: bool) -> None:
        """Check that the detector has what was asked for.

        Args:
            detector: What it is called.
            **known: Options by name, and whether it has them; others it has not.

        Raises:
            ValueError: One was given that means nothing there.
        """
        for option in fields(self):
            value = getattr(self, option.name)
            if value is not None and not known.get(option.name, False):
                raise ValueError(
                    f"Expected no `{option.name}` for {detector}, which has nothing of the kind, "
                    f"but got {value!r}."
                )
