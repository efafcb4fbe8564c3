"""A trained detector on pictures, prepared as in the evaluation of its run."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from corrlight.arguments import check_at_least
from corrlight.data.collate import Collate
from corrlight.data.transforms import Sample, Transform, apply_transforms
from corrlight.detectors.base import Detector
from corrlight.postprocess.base import Postprocessor
from corrlight.predict.pictures import Picture, as_sample, read_pixels
from corrlight.predict.prediction import Prediction
from corrlight.structures import Detections, Targets

__all__ = ["Found", "Model", "Unreadable"]

# Threads that read pictures, and batches that they read ahead.
_READERS, _AHEAD = 2, 3


@dataclass(frozen=True, slots=True)
class Found:
    """A picture of a stream and what was found in it.

    Attributes:
        index: Its place in the stream.
        pixels: ``(H, W, 3)`` uint8 RGB.
        prediction: What was found.
    """

    index: int
    pixels: npt.NDArray[Any]
    prediction: Prediction


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A picture of a stream that cannot be read.

    Attributes:
        index: Its place in the stream.
        reason: One line that names it.
    """

    index: int
    reason: str


class Model:
    """A detector with what its run prepared pictures with (:func:`corrlight.predict.load.load`).

    Args:
        detector: Images to predictions; it is put into evaluation mode.
        postprocessor: Predictions to detections.
        collate: Normalises and pads.
        transforms: Steps of the evaluation, such as resizing.
        class_names: Name of every class.
        category_ids: Category id of every class.
        batch_size: Pictures at a time.
        bit_depth: Bits that pictures of more than 8 bits really use.
        autocast: Type that the run evaluates in where it is not float32.
        checkpoint: Where the weights come from.
        epoch: The epoch that they are of, from 0, or None where that is unknown.
        config: The run's configuration, as plain containers.
    """

    def __init__(
        self,
        detector: Detector,
        postprocessor: Postprocessor,
        collate: Collate,
        transforms: Sequence[Transform] = (),
        *,
        class_names: Sequence[str],
        category_ids: Sequence[int],
        batch_size: int = 1,
        bit_depth: int | None = None,
        autocast: torch.dtype | None = None,
        checkpoint: Path | None = None,
        epoch: int | None = None,
        config: dict[str, Any] | None = None,
    ) -> None:
        self.detector, self.postprocessor = detector.eval(), postprocessor
        self.collate, self.transforms = collate, tuple(transforms)
        self.class_names, self.category_ids = tuple(class_names), tuple(category_ids)
        self.batch_size, self.bit_depth, self.autocast = batch_size, bit_depth, autocast
        self.checkpoint, self.epoch, self.config = checkpoint, epoch, config or {}

    @property
    def device(self) -> torch.device:
        """Where the detector is."""
        return next(self.detector.parameters()).device

    def predict(
        self,
        pictures: Picture | Sequence[Picture],
        batch_size: int | None = None,
        score_threshold: float = 0.0,
    ) -> list[Prediction]:
        """Return what is found in pictures, one prediction a picture.

        Args:
            pictures: One or several paths, PIL images, arrays or tensors
                (:func:`corrlight.predict.pictures.read_pixels`); ``(B, 3, H, W)`` are B.
            batch_size: Pictures at a time; by default as in the run's evaluation.
            score_threshold: Detections that score less are left out.

        Raises:
            ValueError: A picture cannot be read.
        """
        several = pictures
        if isinstance(pictures, str | os.PathLike | Image.Image) or (
            isinstance(pictures, np.ndarray | Tensor) and pictures.ndim < 4
        ):
            several = [pictures]
        predictions = []
        for found in self.stream(several, batch_size):  # type: ignore[arg-type]
            if isinstance(found, Unreadable):
                raise ValueError(found.reason)
            predictions.append(found.prediction.above(score_threshold))
        return predictions

    def stream(
        self, pictures: Iterable[Picture], batch_size: int | None = None
    ) -> Iterator[Found | Unreadable]:
        """Yield what is found, in the order of the pictures; a few are in memory at a time.

        Threads read pictures ahead while the detector works. Pictures share a batch where each
        would be padded to the same size by itself: what is found in one depends on no other.

        Args:
            pictures: Of any number.
            batch_size: Pictures at a time, at most; by default as in the run's evaluation.

        Raises:
            ValueError: ``batch_size`` is not positive, or a detection is not finite.
        """
        size = self.batch_size if batch_size is None else batch_size
        check_at_least(1, batch_size=size)
        pool = ThreadPoolExecutor(_READERS)
        try:
            group: list[_Read] = []
            for read in self._read_ahead(pool, enumerate(pictures), _AHEAD * size):
                if isinstance(read, Unreadable):
                    yield from self._batch(group)
                    group = []
                    yield read
                    continue
                # Padded more than by itself, a picture would have other detections.
                if group and self._padded(group[0]) != self._padded(read):
                    yield from self._batch(group)
                    group = []
                group.append(read)
                if len(group) == size:
                    yield from self._batch(group)
                    group = []
            yield from self._batch(group)
        finally:
            pool.shutdown(cancel_futures=True)

    def _read_ahead(
        self, pool: ThreadPoolExecutor, numbered: Iterator[tuple[int, Picture]], window: int
    ) -> Iterator[_Read | Unreadable]:
        waiting: deque[Future[_Read | Unreadable]] = deque(
            pool.submit(self._read, *job) for job in islice(numbered, window)
        )
        while waiting:
            done = waiting.popleft().result()
            waiting.extend(pool.submit(self._read, *job) for job in islice(numbered, 1))
            yield done

    def _read(self, index: int, picture: Picture) -> _Read | Unreadable:
        try:
            pixels = read_pixels(picture, self.bit_depth)
        except ValueError as error:
            return Unreadable(index, str(error))
        # As a data set without a seed does, should a step of the evaluation be random.
        rng = np.random.Generator(np.random.PCG64(0))
        return _Read(index, pixels, apply_transforms(self.transforms, as_sample(pixels), rng))

    def _padded(self, read: _Read) -> tuple[int, int]:
        return self.collate.padded_size(read.sample.size)

    def _batch(self, group: Sequence[_Read]) -> Iterator[Found]:
        if not group:
            return
        batch = self.collate([read.sample for read in group]).to(self.device)
        half = contextlib.nullcontext()
        if self.autocast is not None:
            half = torch.autocast(self.device.type, self.autocast)  # type: ignore[assignment]
        with torch.inference_mode(), half:
            detections = self.postprocessor(self.detector(batch)[-1], batch.valid_sizes)
        for read, targets, own in zip(group, batch.targets, detections, strict=True):
            yield Found(read.index, read.pixels, self._prediction(own, targets))

    def _prediction(self, detections: Detections, targets: Targets) -> Prediction:
        final = detections.to_original(targets)
        boxes, scores = final.boxes.float().cpu(), final.scores.float().cpu()
        if not (boxes.isfinite().all() and scores.isfinite().all()):
            raise ValueError(
                f"Expected finite boxes and scores, but {self.checkpoint} gives others: its "
                "training diverged?"
            )
        labels = final.labels.cpu()
        return Prediction(
            boxes=boxes.clone(),  # A tensor of inference mode takes no part in anything else.
            scores=scores.clone(),
            labels=labels.clone(),
            class_names=tuple(self.class_names[k] for k in labels.tolist()),
            category_ids=tuple(self.category_ids[k] for k in labels.tolist()),
            size=targets.original_size,
            rles=final.masks,
        )


@dataclass(frozen=True, slots=True)
class _Read:
    index: int
    pixels: npt.NDArray[Any]
    sample: Sample
