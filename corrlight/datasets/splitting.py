"""Train, validation and test pictures: the source's, or drawn."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from corrlight.datasets.pictures import split_name
from corrlight.datasets.records import Ledger, Picture
from corrlight.datasets.stratify import stratified

__all__ = ["SPLITS", "divided", "parse_splits", "relative_names", "with_new_splits"]

SPLITS = ("train", "val", "test")


def parse_splits(text: str) -> dict[str, list[str]]:
    """Return "train=trainval,val=test" or "train=train+val" as names of the source by ours.

    Raises:
        ValueError: It is not of this form.
    """
    result: dict[str, list[str]] = {}
    for item in text.split(","):
        ours, equals, theirs = item.partition("=")
        names = (theirs if equals else ours).split("+")
        if ours not in SPLITS or ours in result or not all(names):
            raise ValueError(
                "Expected `--splits` to be like train=trainval,val=test or train=train+val, but "
                f"got {text!r}."
            )
        result[ours] = names
    return result


def divided(
    pictures: Sequence[Picture], splits: Mapping[str, list[str]] | None, ledger: Ledger
) -> tuple[dict[str, list[Picture]], dict[str, list[str]]]:
    """Return the pictures of each split, and what the source calls it.

    Args:
        pictures: All of them.
        splits: Ours -> the source's; None takes those of the same meaning, and all pictures for
            training where the source has no splits.
        ledger: Where pictures of no split are counted.

    Raises:
        ValueError: A split is not there, or nobody knows what it is.
    """
    found = sorted({name for p in pictures for name in p.splits})
    if not found and splits is None:
        return {"train": list(pictures)}, {"train": []}
    wanted = _default_splits(found, ledger) if splits is None else dict(splits)
    for name in (n for names in wanted.values() for n in names):
        if name not in found:
            has = f"has {', '.join(found)}" if found else "has none"
            raise ValueError(f"Expected `--splits` of the source, which {has}, but got {name!r}.")
    parts: dict[str, list[Picture]] = {split: [] for split in SPLITS if split in wanted}
    for picture in pictures:
        mine = [split for split in parts if picture.splits & set(wanted[split])]
        if not mine:
            ledger.drop("pictures of no split that is taken", picture.path)
        if len(mine) > 1:
            ledger.change(f"pictures in {' and '.join(mine)}, as the source has it", picture.path)
        for split in mine:
            parts[split].append(picture)
    return parts, wanted


def _default_splits(found: Sequence[str], ledger: Ledger) -> dict[str, list[str]]:
    lower = {name.lower(): name for name in found}
    if "trainval" in lower and "test" in lower:
        # The protocol of Pascal VOC.
        if "train" in lower and "val" in lower:
            ledger.note(
                "train and val are the source's trainval and test, as Pascal VOC is used "
                "(--splits train,val,test for its three lists)"
            )
        return {"train": [lower["trainval"]], "val": [lower["test"]]}
    wanted: dict[str, list[str]] = {}
    for name in found:
        ours = "train" if name.lower() in ("trainval", "default") else split_name(name)
        if name.lower() == "trainval" and "train" in lower:
            continue  # The sum of two others.
        if ours is None:
            raise ValueError(
                f"Expected splits called train, val and test, but the source has "
                f"{', '.join(found)} (--splits train=NAME,val=NAME)."
            )
        wanted.setdefault(ours, []).append(name)
    return wanted


def with_new_splits(
    parts: dict[str, list[Picture]], shares: Mapping[str, float], seed: int
) -> dict[str, list[Picture]]:
    """Return the splits after shares of the training pictures became others, by class.

    Raises:
        ValueError: The source has such a split, or there are too few pictures.
    """
    new = {split: share for split, share in shares.items() if share}
    for split in new:
        if parts.get(split):
            raise ValueError(
                f"Expected no `--{split}`, since the source has a split {split} "
                f"(--splits train=train+{split} joins it to train first)."
            )
    members = parts.get("train", [])
    # By path below what is common: the same draw wherever the folder lies.
    names = relative_names([p.path for p in members])
    part = stratified(
        {name: {a.label for a in p.annotations} for name, p in zip(names, members, strict=True)},
        [1 - sum(new.values()), *new.values()],
        seed,
    )
    made = {split: list[Picture]() for split in ("train", *new)}
    for name, picture in zip(names, members, strict=True):
        made[("train", *new)[part[name]]].append(picture)
    together = {**parts, **made}
    return {split: together[split] for split in SPLITS if split in together}


def relative_names(paths: Sequence[Path]) -> list[str]:
    """Return paths relative to the deepest folder that holds all, with ``/``."""
    if not paths:
        return []
    absolute = [os.path.abspath(p) for p in paths]
    common = os.path.commonpath([os.path.dirname(p) for p in absolute])
    return [Path(os.path.relpath(p, common)).as_posix() for p in absolute]
