"""Override lists to the distinct jobs of a sweep, checked before anything starts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from corrlight.config.checks import check_options
from corrlight.config.compose import ComposedConfig, EmptyChoiceError, compose_config
from corrlight.config.ranks import ranks_per_node
from corrlight.runs.fingerprint import data_fingerprint
from corrlight.runs.known_data import KnownData, recall_data
from corrlight.runs.locate import folder_of_run
from corrlight.sweeps.job import Job
from corrlight.sweeps.resources import visible_gpus

__all__ = ["plan_jobs"]


def plan_jobs(
    overrides: Sequence[Sequence[str]], names: Sequence[str] | None = None, *, remote: bool = False
) -> tuple[list[Job], list[int], Path]:
    """Return the distinct jobs, the job of every override list, and the folder of the runs.

    Args:
        overrides: Of ``run.py``, one list a job.
        names: Of the jobs; by default the overrides in which they differ.
        remote: Whether the jobs run on other machines than this process.

    Raises:
        ValueError: The message names the job.
    """
    if not overrides:
        raise ValueError("Expected at least one job in a sweep, but got none.")
    names = list(names) if names is not None else _differences(overrides)
    jobs: list[Job] = []
    indices: list[int] = []
    known: dict[Path, int] = {}
    prepared: dict[str, KnownData] = {}
    runs_dir = Path("runs")
    for name, given in zip(names, overrides, strict=True):
        try:
            kept, note, composed = _compose(given, overrides)
            job = _job(name, kept, note, composed, prepared, remote)
        except (ValueError, OSError) as error:
            raise ValueError(f"Job '{name}': {error}") from error
        runs_dir = Path(composed.config.paths.runs_dir)
        if job.folder not in known:
            known[job.folder] = len(jobs)
            jobs.append(job)
        indices.append(known[job.folder])
    return jobs, indices, runs_dir


def _compose(
    given: Sequence[str], everything: Sequence[Sequence[str]]
) -> tuple[list[str], str, ComposedConfig]:
    """Compose a job; an option of a group that the sweep also switches off is left out there.

    ``corr=none,concordance corr.weight=0.1,0.3`` means three runs: without Correlation Loss there
    is no weight. Where nothing switches it off, the same option is an error.
    """
    kept, dropped = list(given), list[str]()
    while True:
        try:
            composed = compose_config([*kept, "hydra.mode=RUN"])
        except EmptyChoiceError as error:
            group = f"{error.option.split('.', 1)[0]}="
            choices = {o for job in everything for o in job if o.startswith(group)}
            if len(choices) < 2:
                raise
            left = [o for o in kept if o.partition("=")[0] != error.option]
            dropped += [o for o in kept if o not in left]
            kept = left
            continue
        note = f"without {', '.join(dropped)}" if dropped else ""
        return kept, note, composed


def _job(
    name: str,
    kept: Sequence[str],
    note: str,
    composed: ComposedConfig,
    prepared: dict[str, KnownData],
    remote: bool,
) -> Job:
    config = composed.config
    check_options(config)
    if config.mode != "train":
        raise ValueError(f"Expected `mode` to be train in a sweep, but got '{config.mode}'.")
    if config.trainer.num_nodes != 1 and not remote:
        raise ValueError(
            f"Expected `trainer.num_nodes` to be 1 in a sweep on one machine, "
            f"but got {config.trainer.num_nodes}."
        )
    if remote and config.trainer.devices in ("auto", -1, "-1"):
        raise ValueError(
            f"Expected `trainer.devices` to be a number where jobs run on other machines, "
            f"but got {config.trainer.devices!r}."
        )
    data = _data(config, prepared)
    OmegaConf.update(config, "data.num_classes", data.num_classes, force_add=True)
    folder = folder_of_run(composed, data.fingerprint)
    finished = folder.finished and not config.rerun
    ap = folder.read_json("metrics.json").get("AP") if finished else None
    return Job(
        name=name,
        overrides=tuple(kept),
        folder=folder.path,
        ranks=ranks_per_node(config),
        nodes=int(config.trainer.num_nodes),
        gpu=_wants_gpu(config, remote),
        finished=finished,
        ap=float(ap) if isinstance(ap, (int, float)) else None,
        note=note,
    )


def _data(config: DictConfig, prepared: dict[str, KnownData]) -> KnownData:
    """Return what is known of a job's data, which are drawn and checked if they are new."""
    key = json.dumps(OmegaConf.to_container(config.data, resolve=True), sort_keys=True)
    if key not in prepared:
        known = recall_data(config)
        if known is None:
            # torch takes seconds to import: misspelt options should not wait for it.
            from corrlight.config.build import build_data

            data = build_data(config, list(config.get("allow_targets") or []))
            data.prepare_data()  # Once, before the jobs would all do it at the same time.
            fingerprint = data_fingerprint(data.annotation_files, data.image_folders)
            known = KnownData(fingerprint, config.data.num_classes)
        prepared[key] = known
    return prepared[key]


def _wants_gpu(config: DictConfig, remote: bool) -> bool:
    if config.trainer.accelerator == "auto":
        # What another machine has is not known here.
        return remote or bool(visible_gpus())
    return config.trainer.accelerator in ("gpu", "cuda")


def _differences(overrides: Sequence[Sequence[str]]) -> list[str]:
    """Return for every job the overrides that not all jobs share."""
    common = set.intersection(*(set(job) for job in overrides))
    names = [" ".join(o for o in job if o not in common) for job in overrides]
    return [name or f"job {k}" for k, name in enumerate(names, 1)]
