"""Memory that a step frees stays with the process for the next step."""

from __future__ import annotations

import ctypes

from corrlight.ops.switch import is_on

__all__ = ["keep_freed_memory"]

# Parameters of glibc's mallopt (malloc.h), and the largest threshold that it accepts.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST_MMAP_THRESHOLD = 32 * 2**20
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Tell the C library not to return freed blocks to the system after every training step.

    Each step frees and asks for the same activations and gradients; fresh pages would have to be
    mapped and zeroed again, which costs some 5 % of a training step on CPU. Equals PyTorch without
    this call: results do not change, and peak memory hardly does, since what was needed once is
    kept.

    Returns:
        Whether the setting was made: not if it is switched off, nor where the C library has none
        (glibc does; others are left as they are).
    """
    if not is_on("allocator"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # Not glibc; None is no library on Windows.
        return False
    accepted = mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
    return bool(accepted and mallopt(_TRIM_THRESHOLD, _NEVER))
