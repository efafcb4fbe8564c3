"""Reads the golden vectors; cases and names come from the files' own index."""

import json
from functools import lru_cache

import numpy as np
import torch

from tests.helpers.paths import golden_root


class Golden:
    def __init__(self, name):
        with np.load(golden_root() / f"{name}.npz") as archive:
            self.arrays = {key: archive[key] for key in archive.files}
        index = json.loads(str(self.arrays["__index__"]))
        self.cases = index["cases"]
        self.header = index["header"]
        names, values = self.arrays["__scalar_names__"], self.arrays["__scalar_values__"]
        self.scalars = dict(zip(names.tolist(), values.tolist(), strict=True))

    def has(self, case, name):
        return f"{case['id']}/{name}" in self.arrays or f"{case['id']}/{name}" in self.scalars

    def array(self, case, name):
        return self.arrays[f"{case['id']}/{name}"]

    def tensor(self, case, name, dtype=torch.float64):
        tensor = torch.from_numpy(self.array(case, name))
        return tensor.to(dtype) if tensor.is_floating_point() else tensor.long()

    def expected(self, case, name):
        """Return an array or scalar as an array."""
        key = f"{case['id']}/{name}"
        return self.arrays[key] if key in self.arrays else np.asarray(self.scalars[key])


@lru_cache
def load(name):
    return Golden(name)


def identifier(case):
    return case["id"]


def assert_close(actual, expected, dtype, what, rtol=None, scale=1.0):
    """Compare with 1e-9 relative in float64 and 1e-4 in float32.

    An absolute part a thousand times smaller than that, relative to ``scale`` or the largest
    expected value, covers numbers that are rounding themselves.
    """
    rtol = rtol or {torch.float64: 1e-9, torch.float32: 1e-4}[dtype]
    actual = actual.detach().double().numpy() if isinstance(actual, torch.Tensor) else actual
    largest = max(float(np.abs(expected).max()) if np.size(expected) else 0.0, scale)
    np.testing.assert_allclose(
        actual, expected, rtol=rtol, atol=1e-3 * rtol * largest, err_msg=what
    )
