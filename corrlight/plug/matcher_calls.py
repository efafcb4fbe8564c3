"""What a Hungarian matcher of transformers was given and gave back.

A loss of transformers builds its criterion and matcher anew at every call, so the matcher is seen
by a hook on all modules that lasts as long as the call.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from corrlight.plug.positives import Indices

__all__ = ["MATCHER", "EnoughError", "MatcherCall", "matching", "num_denoising"]

# How the names of the matchers end.
MATCHER = "HungarianMatcher"


@dataclass(frozen=True, slots=True, kw_only=True)
class MatcherCall:
    """One call of the matcher.

    Attributes:
        matcher: It.
        outputs: ``logits`` and ``pred_boxes`` of the layer, and what else the criterion passes.
        targets: Of the batch.
        group_queries: Number of groups that were matched apart.
        indices: Queries and objects of every image.
    """

    matcher: nn.Module
    outputs: dict[str, Any]
    targets: Sequence[Mapping[str, Any]]
    group_queries: int = 1
    indices: Indices = field(default_factory=list)

    def ordinary(self, split: tuple[int, int] | None, training: bool) -> MatcherCall:
        """Return the matching of the ordinary queries; the same call wherever it is one already.

        Args:
            split: Numbers of denoising and of ordinary queries, None without the former.
            training: Whether the detector is in training mode.
        """
        logits, boxes = self.outputs["logits"], self.outputs["pred_boxes"]
        if split is not None and logits.shape[1] == sum(split):
            # Up to 4.57 the last layer is matched with its denoising queries, which know the label:
            # every object goes to one of them.
            return self._again(logits[:, split[0] :], boxes[:, split[0] :])
        if self.group_queries > 1 and not training:
            # The criterion of LW-DETR is always in training mode: it splits the one group there is.
            return self._again(logits, boxes)
        return self

    def _again(self, logits: Tensor, boxes: Tensor) -> MatcherCall:
        """Return the matching of other queries, in one group."""
        outputs = {**self.outputs, "logits": logits, "pred_boxes": boxes}
        takes = inspect.signature(self.matcher.forward).parameters
        more = {"group_detr": 1} if "group_detr" in takes else {}
        return MatcherCall(
            matcher=self.matcher,
            outputs=outputs,
            targets=self.targets,
            indices=self.matcher(outputs, self.targets, **more),
        )


class EnoughError(Exception):
    """The matcher was seen; nothing else of the loss is wanted."""


@contextmanager
def matching(calls: list[MatcherCall], stop: bool = False) -> Iterator[None]:
    """Collect the calls of every Hungarian matcher in this thread.

    Args:
        calls: What they are added to.
        stop: Raise :class:`EnoughError` after the first.
    """
    thread = threading.get_ident()

    def see(module: nn.Module, args: tuple[Any, ...], kwargs: Any, indices: Any) -> None:
        # Replicas of nn.DataParallel compute their losses at the same time.
        if threading.get_ident() != thread or not type(module).__name__.endswith(MATCHER):
            return
        given = inspect.signature(module.forward).bind(*args, **kwargs).arguments
        calls.append(
            MatcherCall(
                matcher=module,
                outputs=given["outputs"],
                targets=given["targets"],
                group_queries=given.get("group_detr", 1),
                indices=indices,
            )
        )
        if stop:
            raise EnoughError

    hook = register_module_forward_hook(see, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


def num_denoising(given: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return the numbers of denoising and of ordinary queries, None without the former.

    Args:
        given: Arguments of a loss of transformers by name.
    """
    meta = given.get("denoising_meta_values")
    if meta is None:
        return None
    noisy, ordinary = meta["dn_num_split"]
    return int(noisy), int(ordinary)
