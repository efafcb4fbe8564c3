"""A method of one object replaced, and put back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Override"]

_ABSENT = "absent"


class Override:
    """Replaces a method of one object, not of its class.

    Holds no bound method of the object, so that the object can be copied and pickled with it.

    Args:
        owner: The object.
        name: Of the method.
        replacement: What is called instead.
    """

    def __init__(self, owner: Any, name: str, replacement: Callable[..., Any]) -> None:
        self.owner, self.name, self.replacement = owner, name, replacement
        # An earlier replacement, such as a user's own.
        self._earlier = vars(owner).get(name, _ABSENT)
        setattr(owner, name, replacement)

    def original(self, *args: Any, **kwargs: Any) -> Any:
        """Call what was replaced."""
        if self._earlier != _ABSENT:
            return self._earlier(*args, **kwargs)
        return getattr(type(self.owner), self.name)(self.owner, *args, **kwargs)

    def remove(self) -> None:
        """Put back what was replaced.

        Raises:
            ValueError: Somebody else has replaced it again.
        """
        if vars(self.owner).get(self.name) != self.replacement:
            raise ValueError(
                f"Expected `{type(self.owner).__name__}.{self.name}` to be as the loss left it, "
                "but it was replaced again: undo that first."
            )
        if self._earlier == _ABSENT:
            delattr(self.owner, self.name)
        else:
            setattr(self.owner, self.name, self._earlier)
