import ctypes
import os
import platform
import subprocess
import sys

import pytest

from corrlight.ops.allocator import keep_freed_memory
from corrlight.ops.switch import fast_ops

# Page faults of steps that ask for 64 MB in eight blocks and free all of them.
LOOP = """
import resource, sys
import numpy as np
from corrlight.ops.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
def step():
    blocks = [np.ones(2**21, np.float32) for _ in range(8)]
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _page_faults(kind: str) -> int:
    # Without this the library sometimes keeps blocks by chance; the setting has to overrule it.
    env = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(
        [sys.executable, "-c", LOOP, kind], capture_output=True, text=True, env=env
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_freed_blocks_are_used_again():
    assert _page_faults("kept") < _page_faults("plain") / 10


def test_other_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert keep_freed_memory() is False


def test_switched_off_it_asks_for_nothing(monkeypatch):
    asked = []
    monkeypatch.setattr(ctypes, "CDLL", asked.append)
    with fast_ops([]):
        assert keep_freed_memory() is False
    assert asked == []
