import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch.distributed as dist
import torch.multiprocessing as mp

from corrlight.json_files import JsonFileError
from corrlight.metrics import (
    ClassCorrelation,
    DetectionEvaluator,
    GroundTruth,
    ImageRecord,
    MetricResult,
)
from tests.metrics.coco_oracle import NAMES, coco_numbers, random_dataset, with_masks


def make_records(gt, dt, positives=True):
    """Turn a results list into one record an image."""
    rng = np.random.default_rng(0)
    label_of = {c: k for k, c in enumerate(sorted(c["id"] for c in gt["categories"]))}
    records = []
    for image in (i["id"] for i in gt["images"]):
        mine = [d for d in dt if d["image_id"] == image]
        boxes = np.array([d["bbox"] for d in mine], dtype=float).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        scores, ious, quality = rng.random((3, 20 if positives else 0))
        records.append(
            ImageRecord(
                image_id=image,
                boxes=boxes,
                scores=np.array([d["score"] for d in mine]),
                labels=np.array([label_of[d["category_id"]] for d in mine], dtype=np.int64),
                positive_scores=scores,
                positive_ious=ious,
                positive_ranking_scores=scores * quality,
            )
        )
    return records, sorted(label_of)


@pytest.fixture
def case(tmp_path):
    gt, dt = random_dataset(np.random.default_rng(3), 7, 3, ties=False, crowds=True)
    file = tmp_path / "instances.json"
    file.write_text(json.dumps(gt))
    return gt, dt, file


def test_all_measures_of_some_images(case):
    gt, dt, file = case
    records, category_ids = make_records(gt, dt)
    evaluator = DetectionEvaluator(file, category_ids)
    evaluator.update(records[:2])
    evaluator.update(records[2:5])
    result = evaluator.compute()

    # Only the five images that were evaluated count.
    seen = {r.image_id for r in records[:5]}
    part = {
        **gt,
        "images": [i for i in gt["images"] if i["id"] in seen],
        "annotations": [a for a in gt["annotations"] if a["image_id"] in seen],
    }
    # The written detections give the same numbers as those in memory.
    written = json.loads(json.dumps(result.detections))
    for name, value in coco_numbers(part, written).items():
        assert result.metrics[name] == (None if value is None else pytest.approx(value, abs=1e-12))
    assert [d["image_id"] for d in written] == sorted(d["image_id"] for d in written)
    assert set(result.metrics) == {
        *NAMES,
        *("num_classes_AP", "beta_img", "num_images_beta_img", "beta_img_ranking"),
        *("num_images_beta_img_ranking", "beta_cls", "num_classes_beta_cls"),
        *("oLRP", "oLRP_Loc", "oLRP_FP", "oLRP_FN", "oLRP_small", "oLRP_medium", "oLRP_large"),
        *("num_classes_oLRP", "num_classes_oLRP_Loc", "num_classes_oLRP_FP"),
        *("num_images", "num_objects", "num_detections"),
    }
    assert result.metrics["num_images"] == result.metrics["num_images_beta_img"] == 5
    assert result.metrics["num_detections"] == len(result.detections) == len(result.score_iou.ious)
    assert result.metrics["beta_img"] != result.metrics["beta_img_ranking"]
    assert [r["category_id"] for r in result.per_class] == category_ids
    assert sum(r["num_objects"] for r in result.per_class) == result.metrics["num_objects"]
    json.dumps([result.metrics, result.per_class])  # plain numbers only


def test_order_and_repetition_of_images_do_not_matter(case):
    gt, dt, file = case
    records, category_ids = make_records(gt, dt)
    evaluator = DetectionEvaluator(file, category_ids)
    evaluator.update(records)
    first = evaluator.compute()
    evaluator.reset()
    evaluator.update(records[::-1])
    evaluator.update(records[:3])
    second = evaluator.compute()
    assert second.metrics == first.metrics
    assert second.detections == first.detections
    assert second.per_class == first.per_class


def test_chosen_metrics_no_positives_no_detections(case):
    gt, _, file = case
    records, category_ids = make_records(gt, [], positives=False)
    evaluator = DetectionEvaluator(file, category_ids)
    evaluator.update(records)
    metrics = evaluator.compute().metrics
    assert metrics["AP"] == 0.0
    assert metrics["beta_img"] is metrics["beta_cls"] is metrics["beta_img_ranking"] is None
    assert metrics["num_images_beta_img"] == metrics["num_classes_beta_cls"] == 0
    evaluator = DetectionEvaluator(file, category_ids, [ClassCorrelation()])
    evaluator.update(records)
    assert "AP" not in evaluator.compute().metrics


def test_masks_carry_a_prefix(case):
    gt, dt, file = case
    gt, shapes = with_masks(gt, dt, np.random.default_rng(0))
    file.write_text(json.dumps(gt))
    records, category_ids = make_records(gt, dt)
    encoded = [
        [s["segmentation"] for s in shapes if s["image_id"] == record.image_id]
        for record in records
    ]
    records = [replace(r, masks=m) for r, m in zip(records, encoded, strict=True)]
    evaluator = DetectionEvaluator(file, category_ids, masks=True)
    evaluator.update(records)
    result = evaluator.compute()
    written = json.loads(json.dumps(result.detections))
    for name, value in coco_numbers(gt, written).items():
        assert result.metrics[name] == pytest.approx(value, abs=1e-12)
    without_boxes = [{k: v for k, v in d.items() if k != "bbox"} for d in written]
    for name, value in coco_numbers(gt, without_boxes, "segm").items():
        assert result.metrics[f"mask_{name}"] == pytest.approx(value, abs=1e-12)
    assert {"mask_oLRP", "mask_beta_cls"} <= set(result.metrics)
    assert "mask_beta_img" not in result.metrics
    assert result.per_class[0]["mask_AP"] != result.per_class[0]["AP"]

    evaluator.reset()
    evaluator.update([replace(records[0], masks=None), *records[1:]])
    with pytest.raises(ValueError, match="Expected masks for all of"):
        evaluator.compute()


class Count:
    """A metric of a user: a callable, and nothing more."""

    def __call__(self, evaluation):
        return MetricResult(values={"count": len(evaluation.results)})


def test_a_metric_may_be_any_callable_with_masks_too(case):
    gt, dt, file = case
    gt, _ = with_masks(gt, dt, np.random.default_rng(0))
    file.write_text(json.dumps(gt))
    records, category_ids = make_records(gt, [])
    evaluator = DetectionEvaluator(file, category_ids, [Count()], masks=True)
    evaluator.update([replace(record, masks=[]) for record in records])
    metrics = evaluator.compute().metrics
    assert metrics["count"] == metrics["mask_count"] == 0


def test_no_images(case):
    _, _, file = case
    result = DetectionEvaluator(file, [GroundTruth.load(file).category_ids[0]]).compute()
    assert (result.metrics["num_images"], result.metrics["AP"]) == (0, None)
    assert result.detections == []


def test_errors(case, tmp_path):
    gt, dt, file = case
    records, category_ids = make_records(gt, dt)
    evaluator = DetectionEvaluator(file, category_ids)
    record = next(r for r in records if len(r.scores) > 1)
    for name in ("scores", "boxes", "positive_ious"):
        broken = getattr(record, name).copy()
        broken[1] = np.nan
        fields = {f: getattr(record, f) for f in ImageRecord.__slots__} | {name: broken}
        message = rf"finite `{name}`, but got .*nan.* in row 1 of image {record.image_id}"
        with pytest.raises(ValueError, match=message):
            evaluator.update([ImageRecord(**fields)])
    fields = {f: getattr(record, f) for f in ImageRecord.__slots__}
    short = ImageRecord(**fields | {"labels": record.labels[1:]})
    with pytest.raises(ValueError, match=f"detections of image {record.image_id}, but got"):
        evaluator.update([short])
    evaluator.update([ImageRecord(**fields | {"labels": record.labels + 50})])
    with pytest.raises(ValueError, match=r"labels in \[0, 3\), but got 5\d in image"):
        evaluator.compute()
    with pytest.raises(ValueError, match="`annotation_file` to be a file"):
        DetectionEvaluator(tmp_path / "nothing.json", category_ids)


def _run_rank(rank, world, folder, fail):
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/store{world}{fail}", rank=rank, world_size=world
    )
    gt, dt, category_ids = json.loads((folder / "case.json").read_text())
    records, _ = make_records(gt, dt)
    evaluator = DetectionEvaluator(folder / "instances.json", category_ids)
    # As a distributed sampler does: interleaved, the last images repeated to equal lengths.
    mine = [
        records[i % len(records)] for i in range(rank, -(-len(records) // world) * world, world)
    ]
    if fail and rank == 0:
        fields = {f: getattr(mine[0], f) for f in ImageRecord.__slots__}
        mine[0] = ImageRecord(**fields | {"labels": mine[0].labels + 9})
    evaluator.update(mine)
    try:
        result = evaluator.compute()
        out = {
            "metrics": result.metrics,
            "per_class": result.per_class,
            "detections": result.detections,
        }
    except ValueError as error:
        out = {"error": str(error)}
    (folder / f"{world}_{rank}_{fail}.json").write_text(json.dumps(out))


def in_processes(world, folder, fail):
    # Forked: the children need no second import of torch, and run no parallel code. They end
    # without destroying their group, which can wait for ever there (torch 2.6).
    mp.start_processes(_run_rank, (world, folder, int(fail)), nprocs=world, start_method="fork")


FAILURES = (
    OSError(28, "No space left on device"), KeyError("score"), MemoryError(),
    ZeroDivisionError("0"),
    JsonFileError("Expected x to be a JSON file, but it is cut off.", "it is cut off"),
)  # fmt: skip


class Failing:
    def __init__(self, error):
        self.error = error

    def __call__(self, evaluation):
        raise self.error


def _run_failing_rank(rank, world, folder):
    # Where a rank waits for a result that does not come, it gives up in time.
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/failing", rank=rank, world_size=world,
        timeout=timedelta(seconds=30),
    )  # fmt: skip
    _, _, category_ids = json.loads((folder / "case.json").read_text())
    raised = []
    for error in FAILURES:
        evaluator = DetectionEvaluator(folder / "instances.json", category_ids, [Failing(error)])
        try:
            evaluator.compute()
        except Exception as caught:
            raised.append([type(caught).__name__, str(caught)])
    (folder / f"failing_{rank}.json").write_text(json.dumps(raised))


def test_a_failure_of_any_kind_reaches_every_rank(case, tmp_path: Path):
    gt, dt, _ = case
    _, category_ids = make_records(gt, dt)
    (tmp_path / "case.json").write_text(json.dumps([gt, dt, category_ids]))
    mp.start_processes(_run_failing_rank, (2, tmp_path), nprocs=2, start_method="fork")
    first, second = (json.loads((tmp_path / f"failing_{r}.json").read_text()) for r in range(2))
    assert first == [[type(error).__name__, str(error)] for error in FAILURES]
    told = "Rank 0 failed while it computed the measures:"
    assert second == [
        ["RuntimeError", f"{told} OSError [Errno 28] No space left on device"],
        ["RuntimeError", f"{told} KeyError 'score'"],
        ["RuntimeError", f"{told} MemoryError"],
        ["RuntimeError", f"{told} ZeroDivisionError 0"],
        ["ValueError", str(FAILURES[-1])],
    ]


def test_same_results_from_1_2_and_3_processes(case, tmp_path: Path):
    gt, dt, _ = case
    records, category_ids = make_records(gt, dt)
    (tmp_path / "case.json").write_text(json.dumps([gt, dt, category_ids]))
    evaluator = DetectionEvaluator(tmp_path / "instances.json", category_ids)
    evaluator.update(records)
    alone = evaluator.compute()
    for world in (2, 3):
        in_processes(world, tmp_path, fail=False)
        for rank in range(world):
            found = json.loads((tmp_path / f"{world}_{rank}_0.json").read_text())
            assert found["metrics"] == alone.metrics
            assert found["per_class"] == alone.per_class
            assert found["detections"] == (alone.detections if rank == 0 else [])


def test_an_error_reaches_every_rank(case, tmp_path: Path):
    gt, dt, _ = case
    _, category_ids = make_records(gt, dt)
    (tmp_path / "case.json").write_text(json.dumps([gt, dt, category_ids]))
    in_processes(2, tmp_path, fail=True)
    errors = [json.loads((tmp_path / f"2_{r}_1.json").read_text())["error"] for r in range(2)]
    assert errors[0] == errors[1]
    assert "Expected labels in [0, 3)" in errors[0]
