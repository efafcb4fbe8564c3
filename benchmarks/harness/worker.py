"""One side of a comparison: builds something once, then runs what stdin asks for.

A worker prints ``ready``, reads a line such as ``train`` or ``infer``, runs one iteration and
prints one line of JSON with its wall and CPU seconds. So two workers can take turns in one sitting.
"""

import json
import resource
import sys
import time
from collections.abc import Callable, Mapping

__all__ = ["serve"]


def serve(actions: Mapping[str, Callable[[], Mapping[str, object] | None]]) -> None:
    """Run the actions that stdin names until it ends.

    Args:
        actions: By name. ``info`` returns fields to print instead of being timed; those of others
            are printed beside the times. A line ``memory`` is answered with the largest resident
            memory of the process so far, in MB.
    """
    print("ready", flush=True)
    for line in sys.stdin:
        name = line.strip()
        if name == "info":
            print(json.dumps(actions[name]()), flush=True)
            continue
        if name == "memory":
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(json.dumps({"peak_mb": round(peak)}), flush=True)
            continue
        cpu, start = time.process_time(), time.perf_counter()
        fields = actions[name]()
        seconds = {"wall": time.perf_counter() - start, "cpu": time.process_time() - cpu}
        print(json.dumps({**seconds, **(fields or {})}), flush=True)
