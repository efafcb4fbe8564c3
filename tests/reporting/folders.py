"""Run folders for the tests of reporting."""

import json

import numpy as np
import yaml


def make_run(root, name, run_id, *, config=None, metrics=None, dots=None):
    """Write a run folder ``root/name/run_id`` and return its path."""
    folder = root / name / run_id
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config or {}))
    (folder / "metrics.json").write_text(json.dumps(metrics or {}))
    if dots is not None:
        scores = np.random.default_rng(dots).random((2, dots))
        np.savez(
            folder / "score_iou.npz",
            scores=scores[0],
            best_ious=scores[1],
            labels=np.zeros(dots, int),
        )
    return folder
