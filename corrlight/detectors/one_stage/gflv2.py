"""GFLv2 (Li et al., 2021): GFL whose scores know how certain the boxes are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from corrlight.arguments import check_at_least
from corrlight.backbones import FPN, ResNet
from corrlight.detectors.one_stage.gfl import GFL
from corrlight.detectors.toolbox_names import NameTable

__all__ = ["GFLv2", "product_logit"]


def product_logit(first: Tensor, second: Tensor) -> Tensor:
    r"""Return the logit of the product of two sigmoid scores, broadcast, in float32.

    :math:`-\log(e^{-a} + e^{-b} + e^{-a - b})`: no score is formed, so none is rounded to 0 or 1;
    values and gradients are finite for every finite logit.
    """
    first, second = first.float(), second.float()
    # What depends on the second alone, usually the smaller one, is computed before broadcasting.
    return -torch.logaddexp(F.softplus(-second) - first, -second)


class GFLv2(GFL):
    """GFL with a score of two factors: that of the class, and one read off the box's distribution.

    The ``num_top`` largest probabilities of each side and their mean go through two layers to one
    logit, the same for all classes (Eq. 5 and 6). The product is the class score, in ``logits`` as
    its own logit: it is what the quality focal loss trains, what ranks the detections, and so what
    Correlation Loss and beta_img see. It is no ``quality``, which would enter a second time.

    As published, the score's gradient passes through the probabilities into the box branch, that
    of a Correlation Loss on classification too; ``detach_statistics`` keeps both out.

    Args:
        backbone: Images to maps; has ``out_channels``.
        neck: ``out_channels`` of the backbone to a pyramid with ``strides`` levels.
        num_classes: Foreground classes C.
        num_top: Probabilities k of a side, at most ``num_bins`` + 1.
        quality_channels: Width p of the hidden layer.
        detach_statistics: Whether the probabilities are constants for the score.
        num_bins: Largest distance K in strides.
        **options: Further arguments of :class:`GFL`.

    Raises:
        ValueError: An argument is out of range.
    """

    toolbox_names: ClassVar[NameTable] = (
        *GFL.toolbox_names,
        ("bbox_head.reg_conf.{p}", "quality_predictor.{p}"),
    )

    def __init__(
        self,
        backbone: ResNet,
        neck: Callable[[Sequence[int]], FPN],
        num_classes: int,
        num_top: int = 4,
        quality_channels: int = 64,
        detach_statistics: bool = False,
        num_bins: int = 16,
        **options: Any,
    ) -> None:
        check_at_least(1, num_top=num_top, quality_channels=quality_channels)
        if num_top > num_bins + 1:
            raise ValueError(
                f"Expected `num_top` to be at most {num_bins + 1}, the probabilities of a side "
                f"with `num_bins` {num_bins}, but got {num_top}."
            )
        super().__init__(backbone, neck, num_classes, num_bins, **options)
        self.num_top, self.detach_statistics = num_top, detach_statistics
        self.quality_predictor = nn.Sequential(
            nn.Conv2d(4 * (num_top + 1), quality_channels, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(quality_channels, 1, 1),
        )
        for conv in (self.quality_predictor[0], self.quality_predictor[2]):
            nn.init.normal_(conv.weight, std=0.01)  # type: ignore[arg-type]
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def head(self, levels: Sequence[Tensor], priors: Tensor, level_idx: Tensor) -> dict[str, Any]:
        """Return what GFL's head does; the logits are those of the product."""
        found = super().head(levels, priors, level_idx)
        quality = self.quality_predictor(self._statistics(found["distribution"]))  # (B, 1, N, 1)
        found["logits"] = product_logit(found["logits"], quality.squeeze(1))
        return found

    def _statistics(self, distribution: Tensor) -> Tensor:
        """Return the ``(B, 4 (k + 1), N, 1)`` largest probabilities of each side and their mean.

        A column of pixels: the layers are convolutions, as in the published checkpoints.
        """
        if self.detach_statistics:
            distribution = distribution.detach()
        top = distribution.float().softmax(-1).topk(self.num_top, -1).values  # (B, N, 4, k)
        statistics = torch.cat([top, top.mean(-1, keepdim=True)], -1).flatten(2)
        return statistics.mT.unsqueeze(-1)
