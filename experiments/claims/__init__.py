"""Every numbered claim and observation of the thesis, on the runs that there are.

Run: ``python -m experiments.claims [--toy] [--seeds K] [run.py options ...]``

Nothing is trained: a claim whose rows have not run is not measured. Beside ours stands what the
thesis' own printed numbers say, which is not always what its text says.
"""

from experiments.claims.command import CLAIMS, claims_grid, main

__all__ = ["CLAIMS", "claims_grid", "main"]
