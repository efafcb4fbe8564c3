"""How often intervals hold what they promise: samples of drawn populations.

    python benchmarks/intervals/coverage.py   # the table of docs/measures.md
    python benchmarks/intervals/coverage.py --sorts pareto --sizes 250 --samples 200 --draws 200

A population of images with objects and the detections of two detectors is drawn; its measures are
the truth. Samples of some images are analysed as ``corrlight analyze --bootstrap`` does it, and it
is counted how often the intervals of both detectors, and of their difference, hold the truth.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from corrlight.analysis.intervals import (
    Samples,
    bootstrap,
    difference_estimates,
    difference_intervals,
    estimates,
    intervals,
)
from corrlight.analysis.results_file import Analysis
from corrlight.metrics import Evaluation
from corrlight.metrics.functional.resampling import ResampledMeasures

MEASURES = ("AP", "AP50", "AP75", "oLRP", "oLRP_Loc", "oLRP_FP", "oLRP_FN", "beta_cls")
_CELLS, _CELL = 8, 80  # objects of an image stand in cells of their own, so that matching is plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Sort:
    """What a population is like.

    Attributes:
        shares: "equal", "geometric" or "pareto": how often classes are.
        classes: How many.
        objects: Of an image, in the mean.
        clumped: Variance of the mean number of objects between images, in squared means.
        false: False positives of an image, in the mean.
        informative: How much the score knows of the IoU.
        related: How much better the frequent classes are found than the rare ones.
    """

    shares: str
    classes: int
    objects: float
    clumped: float
    false: float
    informative: float
    related: float


SORTS = {
    "equal": Sort(shares="equal", classes=12, objects=4, clumped=0.2, false=6, informative=1.5,
                  related=0),
    "geometric": Sort(shares="geometric", classes=20, objects=4, clumped=0.7, false=6,
                      informative=1.5, related=0.3),
    "pareto": Sort(shares="pareto", classes=15, objects=5, clumped=1.2, false=8, informative=0.3,
                   related=0.5),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """Objects and detections by image, as COCO records."""

    categories: list[dict[str, object]]
    annotations: list[list[dict[str, object]]]
    detections: tuple[list[list[dict[str, object]]], ...]


def population(sort: Sort, num_images: int, rng: np.random.Generator) -> Population:
    """Draw a population and two detectors on it."""
    count = sort.classes
    shares = {
        "equal": np.ones(count),
        "geometric": 0.8 ** np.arange(count),
        "pareto": np.sort(rng.pareto(1.0, count) + 0.2)[::-1],
    }[sort.shares]
    shares = shares / shares.sum()
    easy_class = rng.normal(0, 0.6, count) + sort.related * np.linspace(1, -1, count)
    mean = rng.gamma(1 / sort.clumped, sort.clumped * sort.objects, num_images)
    numbers = np.minimum(rng.poisson(mean), _CELLS**2)
    annotations: list[list[dict[str, object]]] = []
    found: tuple[list[list[dict[str, object]]], ...] = ([], [])
    for i, number in enumerate(numbers.tolist()):
        easy_image = rng.normal(0, 0.6)
        # Two in five objects are of the class that the image shows most.
        labels = np.where(
            rng.random(number) < 0.4,
            rng.choice(count, p=shares),
            rng.choice(count, number, p=shares),
        )
        cells = rng.permutation(_CELLS**2)[:number]
        boxes = np.stack(
            [cells % _CELLS * _CELL, cells // _CELLS * _CELL, *rng.uniform(20, 70, (2, number))], 1
        )
        easy = easy_image + rng.normal(0, 0.7, number) + easy_class[labels]
        annotations.append(
            [
                {"image_id": i, "category_id": c, "bbox": b, "area": b[2] * b[3], "iscrowd": 0}
                for c, b in zip(labels.tolist(), boxes.tolist(), strict=True)
            ]
        )
        for skill, mine in zip((0.0, 0.15), found, strict=True):
            z = easy + skill + rng.normal(0, 0.6, number)
            seen = rng.random(number) < _logistic(z + 1.6)
            iou = 0.97 * _logistic(0.9 * z + 1.6 + rng.normal(0, 0.4, number))
            score = 2 * sort.informative * (iou - 0.7) + 0.3 * z + rng.normal(0, 0.7, number)
            boxes_found = boxes.copy()
            boxes_found[:, 2] *= iou  # the IoU with the object is this factor
            wrong = rng.poisson(sort.false * np.exp(-0.3 * easy_image))
            often = shares if rng.random() < 0.5 else np.sqrt(shares) / np.sqrt(shares).sum()
            label_wrong = rng.choice(count, wrong, p=often)
            score_wrong = rng.normal(-1.5, 0.9, wrong) - 0.3 * easy_class[label_wrong]
            boxes_wrong = np.concatenate(
                [rng.uniform(0, 600, (wrong, 2)), rng.uniform(4, 40, (wrong, 2))], 1
            )
            mine.append(
                [
                    {"image_id": i, "category_id": c, "bbox": b, "score": s}
                    for c, b, s in zip(
                        np.concatenate([labels[seen], label_wrong]).tolist(),
                        np.concatenate([boxes_found[seen], boxes_wrong]).tolist(),
                        _logistic(np.concatenate([score[seen], score_wrong])).tolist(),
                        strict=True,
                    )
                ]
            )
    categories: list[dict[str, object]] = [{"id": c, "name": str(c)} for c in range(count)]
    return Population(categories=categories, annotations=annotations, detections=found)


def analyses(whole: Population, images: list[int]) -> list[Analysis]:
    """Return the two detectors on some images of a population."""
    objects = [a for i in images for a in whole.annotations[i]]
    truth = {
        "images": [{"id": i, "width": 640, "height": 640} for i in images],
        "categories": whole.categories,
        "annotations": [a | {"id": k} for k, a in enumerate(objects, 1)],
    }
    measured = []
    for of_detector in whole.detections:
        evaluation = Evaluation.from_coco(truth, [d for i in images for d in of_detector[i]])
        resampled = ResampledMeasures(evaluation, ("all",))
        values = resampled(np.ones(len(images), np.int64))
        measured.append(
            Analysis(
                name="", path=Path(), metrics=dict(values), per_class=[], figures={},
                prefixes=("",), resampled={"": resampled}, warnings=[], seconds={},
            )
        )  # fmt: skip
    return measured


@dataclass(slots=True)
class Counts:
    """What was held, by measure; differences have " -" behind it."""

    held: dict[str, float]
    thin: int = 0
    outside: int = 0


def coverage(
    sort: Sort, size: int, *, samples: int, draws: int, num_images: int, seed: int,
    per_population: int = 20,
) -> Counts:  # fmt: skip
    """Return the share of intervals that hold the value of the population.

    Args:
        sort: Of the populations.
        size: Images of a sample.
        samples: How many.
        draws: Of the bootstrap.
        num_images: Of a population.
        seed: Of all.
        per_population: Samples of the same population.
    """
    rng = np.random.default_rng(seed)
    names = [*MEASURES, *(f"{m} -" for m in MEASURES)]
    counts = Counts(dict.fromkeys(names, 0.0))
    truth: list[dict[str, float]] = []
    for number in range(samples):
        if number % per_population == 0:
            whole = population(sort, num_images, rng)
            everything = analyses(whole, list(range(num_images)))
            truth = [{m: float(a.metrics[m] or 0) for m in MEASURES} for a in everything]
        picked = np.sort(rng.choice(num_images, size, replace=False)).tolist()
        drawn = bootstrap(analyses(whole, picked), size, draws, seed=number)
        for mine, true in zip(drawn, truth, strict=True):
            ends = intervals(mine)
            for name in MEASURES:
                held, outside = _holds(ends[name], true[name], mine, name)
                counts.held[name] += held / (2 * samples)
                counts.outside += outside
        found = estimates(drawn[0])["AP"]
        counts.thin += found is not None and found.thin > 1 / 3
        ends = difference_intervals(*drawn)
        both = difference_estimates(*drawn)
        for name in MEASURES:
            interval, gain = ends[name], truth[1][name] - truth[0][name]
            if interval is not None and both[name] is not None:
                counts.held[f"{name} -"] += (interval[0] <= gain <= interval[1]) / samples
    return counts


def _holds(
    interval: tuple[float, float] | None, true: float, samples: Samples, name: str
) -> tuple[bool, bool]:
    if interval is None:
        return False, False
    value = samples.metrics[name]
    outside = value is not None and not interval[0] <= value <= interval[1]
    return interval[0] <= true <= interval[1], outside


def _logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sorts", nargs="+", choices=list(SORTS), default=list(SORTS))
    parser.add_argument("--sizes", nargs="+", type=int, default=[150, 300, 600])
    parser.add_argument("--samples", type=int, default=60)
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--images", type=int, default=8_000, help="of a population")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print("| sort | images | | " + " | ".join(MEASURES) + " | thin |")
    print("|---|---:|---" + "|---:" * (len(MEASURES) + 1) + "|")
    for sort in options.sorts:
        for size in options.sizes:
            started = time.perf_counter()
            found = coverage(
                SORTS[sort], size, samples=options.samples, draws=options.draws,
                num_images=options.images, seed=options.seed,
            )  # fmt: skip
            for what, end in (("value", ""), ("difference", " -")):
                cells = " | ".join(f"{found.held[m + end]:.2f}" for m in MEASURES)
                print(f"| {sort} | {size} | {what} | {cells} | {found.thin} |", flush=True)
            print(
                f"  {time.perf_counter() - started:.0f} s, outside of their own: {found.outside}",
                flush=True,
            )


if __name__ == "__main__":
    main()
