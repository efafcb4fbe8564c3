"""One call for the detectors of torchvision, transformers and rfdetr."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import Any

from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from corrlight.losses import CorrelationLoss
from corrlight.losses.correlation import (
    Backprop,
    Coefficient,
    CoefficientFunction,
    GroupBy,
    GroupReduction,
)
from corrlight.plug.handle import Correlation
from corrlight.plug.options import GroupQueries, Layers, Options, Scores

__all__ = ["correlate", "correlation_of"]

LIBRARIES = ("rfdetr", "torchvision", "transformers")


def correlate(
    model: nn.Module,
    weight: float = 0.2,
    coefficient: Coefficient | CoefficientFunction = "concordance",
    *,
    group_by: GroupBy = "batch",
    reduction: GroupReduction = "mean",
    backprop: Backprop = "classification",
    min_positives: int = 2,
    sync: bool = False,
    regularization_strength: float | None = None,
    relative_strength: float | None = None,
    layers: Layers | None = None,
    denoising: bool | None = None,
    group_queries: GroupQueries | None = None,
    scores: Scores | None = None,
) -> Correlation:
    """Add Correlation Loss to a detector of torchvision, transformers or rfdetr.

    The detector then returns its losses with one more, ``weight`` times 1 - rho of the scores and
    IoUs of the positives that its own training matched; its trainer needs no change. Nothing is
    matched or computed twice, and parameters, buffers and state dict stay as they are.

    Args:
        model: The detector, or its wrapper of ``torch.nn.parallel`` or ``torch.compile``; for
            rfdetr a ``RFDETRModelModule`` or its criterion.
        weight: lambda_corr, >= 0.
        coefficient: As for :class:`~corrlight.losses.CorrelationLoss`, like all options up to
            ``relative_strength``.
        group_by: 'batch', 'image' or 'level' (one level where there is no pyramid).
        reduction: 'mean' or 'sum' over the groups.
        backprop: 'classification', 'localization' or 'both'. With the first no box head gets
            gradient.
        min_positives: Smaller groups have no correlation.
        sync: Correlate over the positives of all ranks.
        regularization_strength: Of 'spearman' only.
        relative_strength: Of 'spearman_rank' only.
        layers: Detectors with queries: 'all' (default) adds the loss of every decoder layer that
            the detector's own loss sees, as it does itself; 'last' only that of the last.
        denoising: RT-DETR and its kin: whether denoising queries count as positives. They do not by
            default: their input holds the label.
        group_queries: LW-DETR and RF-DETR: positives of 'all' (default) groups of queries, or of
            the 'first', which is the one used at inference.
        scores: FCOS: 'class' (default) or 'ranking', the square root of class score times
            centerness; then the box tower, which centerness is computed from, learns too.

    Returns:
        A handle: ``value``, ``num_positives`` and ``beta`` of the last step, ``weight`` that may be
        set, ``validation`` and ``remove()``.

    Raises:
        ValueError: An option is out of range or means nothing for this detector, the detector is of
            no known kind, has the loss already, or is not as expected in this version of its
            library.
    """
    options = Options(
        layers=layers, denoising=denoising, group_queries=group_queries, scores=scores
    )
    loss = CorrelationLoss(
        coefficient,
        weight,
        group_by,
        reduction,
        backprop,
        min_positives,
        sync,
        regularization_strength=regularization_strength,
        relative_strength=relative_strength,
    )
    inner = unwrapped(model)
    library = library_of(inner)
    handle = Correlation(loss, f"{library} {version(library)}")
    # Named when it is needed: none of the libraries is one of ours.
    handle.seam = import_module(f"corrlight.plug.{library}").attach(inner, handle, options)
    return handle


def correlation_of(model: nn.Module) -> Correlation | None:
    """Return the handle of the loss in a detector, None without one.

    A copy (``copy.deepcopy``, an average of weights) or a detector from a pickle has the loss with
    a handle of its own, which nobody holds yet.

    Args:
        model: As for :func:`correlate`.

    Raises:
        ValueError: The detector is of no known kind.
    """
    inner = unwrapped(model)
    found: Correlation | None = import_module(f"corrlight.plug.{library_of(inner)}").find(inner)
    return found


def unwrapped(model: Any) -> Any:
    """Return the model that wrappers of PyTorch hold."""
    while True:
        if isinstance(model, DataParallel | DistributedDataParallel):
            model = model.module
        elif type(model).__name__ == "OptimizedModule":
            model = model._orig_mod
        else:
            return model


def library_of(model: Any) -> str:
    """Return the library that the nearest class of ``model`` comes from.

    Raises:
        ValueError: None that is known.
    """
    for cls in type(model).__mro__:
        library = cls.__module__.partition(".")[0]
        if library in LIBRARIES:
            return library
    raise ValueError(
        f"Expected `model` to be a detector of {', '.join(LIBRARIES)}, but got a "
        f"{type(model).__name__}: docs/plug_in.md says what to do with others."
    )
