import ctypes
import platform
import subprocess
import sys

import pytest

from corrlight.engine.allocator import keep_freed_memory

# Page faults of a loop that frees and asks for 16 MB again and again.
LOOP = """
import resource, sys, torch
from corrlight.engine.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
torch.ones(2**22)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(2**22)
    torch.ones(2**21)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _page_faults(kind: str) -> int:
    done = subprocess.run([sys.executable, "-c", LOOP, kind], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_freed_blocks_are_used_again():
    assert _page_faults("kept") < 20 * 2**24 / 4096 / 4


def test_other_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert keep_freed_memory() is False
