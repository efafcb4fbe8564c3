"""A callback that trains in double precision, where rounding is below 1e-10."""

from dataclasses import fields, is_dataclass, replace

import lightning.pytorch as pl
from lightning.pytorch.plugins.precision import DoublePrecision
from torch import Tensor


class Doubles(pl.Callback):
    """Makes the network and its batches float64."""

    def setup(self, trainer, pl_module, stage):
        trainer.strategy.precision_plugin = _DoubleBatches()


class _DoubleBatches(DoublePrecision):
    # Lightning's own takes no frozen dataclass.
    def convert_input(self, data):
        return _doubled(data)


def _doubled(value):
    if isinstance(value, Tensor):
        return value.double() if value.is_floating_point() else value
    if isinstance(value, tuple):
        return tuple(_doubled(item) for item in value)
    if is_dataclass(value):
        return replace(value, **{f.name: _doubled(getattr(value, f.name)) for f in fields(value)})
    return value
