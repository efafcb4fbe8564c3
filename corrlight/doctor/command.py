"""``corrlight doctor``: whether this installation works, and what it finds on this machine."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from corrlight import __version__
from corrlight.data.loading.shared_memory import free_shared_memory
from corrlight.data.loading.workers import available_cpus
from corrlight.ops.switch import OPERATORS, VARIABLE, operators_on

__all__ = ["Finding", "examine", "main"]

# What a package raises whose compiled parts do not fit: to each other, to numpy, to the driver.
_BROKEN = (ImportError, OSError, RuntimeError, AttributeError, TypeError, ValueError)
# A container has so much unless told otherwise.
_LITTLE_SHARED_MEMORY = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        name: What was looked at.
        said: What was found.
        broken: Whether corrlight does not work because of it.
    """

    name: str
    said: str
    broken: bool = False

    def line(self) -> str:
        """Return the line that is printed."""
        return f"{'error: ' if self.broken else ''}{self.name:<13} {self.said}".rstrip()


def main(argv: Sequence[str] | None = None) -> int:
    """Print what was found; return 0, or 1 if something is broken (on stderr too)."""
    parser = argparse.ArgumentParser(
        prog="corrlight doctor",
        description="Versions, devices and folders; every compiled part is called once.",
        epilog="Exit code 0: everything that is needed works; 1: lines that begin with 'error:' "
        "name what does not.",
    )
    parser.parse_args(sys.argv[2:] if argv is None else argv)
    broken = 0
    for finding in examine():
        print(finding.line(), file=sys.stderr if finding.broken else sys.stdout, flush=True)
        broken += finding.broken
    return 1 if broken else 0


def examine() -> Iterator[Finding]:
    """Yield one finding after the other; importing torch takes seconds."""
    yield Finding("corrlight", f"{__version__} in {Path(__file__).parents[1]}")
    yield Finding("python", f"{platform.python_version()}, {sys.executable}")
    yield Finding("platform", platform.platform())
    for package, module, use in _PACKAGES:
        yield _package(package, module, use)
    yield _torchsort()
    yield from _gpus()
    yield Finding("cores", f"{available_cpus()} usable of {os.cpu_count()}{_threads()}")
    yield _shared_memory()
    yield _fast_cpu()
    yield from _folders()


def _package(package: str, module: str, use: Callable[[], None] | None) -> Finding:
    try:
        found = version(package)
    except PackageNotFoundError:
        return Finding(package, f"is not installed (pip install {package})", True)
    try:
        import_module(module)
        if use is not None:
            use()
    except _BROKEN as error:
        return Finding(package, f"{found} does not work: {_reason(error)}", True)
    return Finding(package, found)


def _use_torch() -> None:
    import torch

    if float(torch.ones(2, 2).matmul(torch.ones(2, 2)).sum()) != 8:
        raise RuntimeError("a product of two matrices is wrong")


def _use_torchvision() -> None:
    # A build for another torch imports, but has no operators.
    import torch
    from torchvision.ops import nms

    if nms(torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 2]]), torch.ones(2), 0.5).tolist() != [0]:
        raise RuntimeError("nms keeps a box twice")


def _use_pycocotools() -> None:
    import numpy as np
    from pycocotools import mask

    if int(mask.area(mask.encode(np.ones((3, 2), np.uint8, order="F")))) != 6:
        raise RuntimeError("the area of a mask is wrong")


_PACKAGES: tuple[tuple[str, str, Callable[[], None] | None], ...] = (
    ("torch", "torch", _use_torch),
    ("torchvision", "torchvision", _use_torchvision),
    ("lightning", "lightning.pytorch", None),
    ("hydra-core", "hydra", None),
    ("pycocotools", "pycocotools.mask", _use_pycocotools),
    ("numpy", "numpy", None),
    ("scipy", "scipy.optimize", None),
    ("pillow", "PIL.Image", None),
    ("matplotlib", "matplotlib", None),
    ("wandb", "wandb", None),
)


def _torchsort() -> Finding:
    """An optional extra, but one that is installed has to fit the torch that it runs with."""
    try:
        found = version("torchsort")
    except PackageNotFoundError:
        return Finding("torchsort", "is not installed (optional: make env, with a C++ compiler)")
    try:
        import torch
        from torchsort import soft_rank

        ranks = soft_rank(torch.tensor([[3.0, 1.0, 2.0]]), regularization_strength=0.01)
        if ranks.round().tolist() != [[3, 1, 2]]:
            raise RuntimeError("three numbers are ranked wrongly")
    except _BROKEN as error:
        return Finding(
            "torchsort",
            f"{found} was compiled for another torch ({_reason(error)}); make env compiles it anew",
            True,
        )
    return Finding("torchsort", f"{found}, its compiled part works")


def _gpus() -> Iterator[Finding]:
    try:
        import torch

        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        build = f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else (
            "torch is built without CUDA"
        )  # fmt: skip
    except _BROKEN:
        return  # Said already.
    for k in range(count):
        try:
            properties = torch.cuda.get_device_properties(k)
            said = (
                f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, compute "
                f"capability {properties.major}.{properties.minor}; {build}"
            )
            torch.ones(2, 2, device=f"cuda:{k}").matmul(torch.ones(2, 2, device=f"cuda:{k}")).cpu()
        except _BROKEN as error:
            yield Finding(f"gpu {k}", f"cannot be used: {_reason(error)}", True)
        else:
            yield Finding(f"gpu {k}", said)
    if count:
        return
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if hidden:
        yield Finding("gpu", f"none, CUDA_VISIBLE_DEVICES hides them; {build}")
    elif any(Path("/dev").glob("nvidia[0-9]*")):
        yield Finding("gpu", f"there is one that torch cannot use: {build}", True)
    elif torch.backends.mps.is_available():
        yield Finding("gpu", "Apple's (device mps)")
    else:
        yield Finding("gpu", f"none; {build}")


def _threads() -> str:
    try:
        import torch
    except _BROKEN:
        return ""
    return f", torch uses {torch.get_num_threads()} threads"


def _shared_memory() -> Finding:
    free = free_shared_memory()
    if free is None:
        return Finding("/dev/shm", "none on this system")
    said = f"{free / 2**20:,.0f} MiB free"
    if free <= _LITTLE_SHARED_MEMORY:
        said += ": few loader processes have room (a container gets more by --shm-size=8g)"
    return Finding("/dev/shm", said)


def _fast_cpu() -> Finding:
    try:
        on = operators_on()
    except ValueError as error:
        return Finding("fast_cpu", str(error), True)
    if len(on) == len(OPERATORS):
        return Finding("fast_cpu", "on")
    return Finding("fast_cpu", f"{', '.join(on) or 'off'} ({VARIABLE}={os.environ.get(VARIABLE)})")


def _folders() -> Iterator[Finding]:
    """Caches: a folder that cannot be written costs time or weights, a temporary one everything."""
    temporary = Path(tempfile.gettempdir())
    try:
        with tempfile.NamedTemporaryFile(dir=temporary):
            free = shutil.disk_usage(temporary).free
        yield Finding("temporary", f"{temporary}, {free / 2**30:,.1f} GiB free")
    except OSError as error:
        yield Finding("temporary", f"{temporary} cannot be written: {error.strerror}", True)
    for name, folder in (("weights", _weights_folder), ("fonts", _matplotlib_folder)):
        try:
            path = folder()
        except _BROKEN:
            continue  # Said already.
        nearest = next(p for p in (path, *path.parents) if p.exists())
        note = "" if os.access(nearest, os.W_OK) else " cannot be written"
        yield Finding(name, f"{path}{note}")


def _weights_folder() -> Path:
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints"


def _matplotlib_folder() -> Path:
    import matplotlib

    return Path(matplotlib.get_cachedir())


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
