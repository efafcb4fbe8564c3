"""The data module of COCO-format folders."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import lightning.pytorch as pl
import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch.utils.data import DataLoader

from corrlight.coco.findings import summarize
from corrlight.data.coco import CocoAnnotations, InvalidBoxes, load_annotations
from corrlight.data.collate import Collate
from corrlight.data.dataset import Cache, CocoDataset, OnBadImage
from corrlight.data.fitting.layout import complete_layout
from corrlight.data.fitting.object_sizes import input_sizes, object_sizes
from corrlight.data.foreign_transforms import as_steps
from corrlight.data.images import CheckImages, image_problems, range_notes
from corrlight.data.loading.loader import EvalLoader, TrainLoader, leave_signals
from corrlight.data.loading.samplers import EvalBatchSampler, TrainBatchSampler
from corrlight.data.loading.shared_memory import workers_that_fit
from corrlight.data.loading.workers import workers_for
from corrlight.data.transforms import Transform

__all__ = ["CocoDataModule", "TestSplit"]

TestSplit = Literal["test", "test-dev"]

log = logging.getLogger(__name__)

_MOST_BITS = 32
_MAY_BE_NONE = ("num_classes", "max_train_images", "max_val_images", "bit_depth")


class CocoDataModule(pl.LightningDataModule):
    """Any folder with images and COCO annotation files.

    Nothing is read before a property or a loader needs it; :meth:`setup` reads and checks
    everything that its stage needs.

    Args:
        root: The folder; the other paths are relative to it.
        train_images: Folder of the training images; None, here and for the next three, is found
            (:func:`corrlight.data.fitting.layout.find_layout`).
        train_annotations: Annotation file of the training images.
        val_images: Folder of the validation images.
        val_annotations: Annotation file of the validation images.
        test_images: Folder of the test images; those of validation by default.
        test_annotations: Annotation file of the test images; that of validation by default.
        split: Images of a test: "test", or "test-dev", which has no annotations and needs no other
            files.
        test_dev_images: Folder of the test-dev images.
        test_dev_annotations: File with the test-dev images and the categories.
        size: Longer side of the pictures, which the transforms of ``conf/data/coco_custom.yaml``
            read; here it is only shown.
        num_classes: Expected number of classes; None takes the file's.
        batch_size: Training images of all ranks together in one step.
        eval_batch_size: Validation images of one rank in one step.
        num_workers: Loader processes of each rank, at most its share of the CPUs; 0 loads in the
            training process.
        seed: Seed of order and augmentation.
        mean: Channel means of values 0..255, RGB.
        std: Channel standard deviations.
        size_divisor: Images are padded to a multiple of it.
        train_transforms: Steps of the training images, by name, in order.
        eval_transforms: Steps of validation and test images.
        filter_empty: Whether to train without the images that have no annotation at all.
        group_by_aspect: Whether a training batch is either all landscape or all portrait.
        invalid_boxes: "error", "drop" or "cut" (see :func:`corrlight.data.coco.load_annotations`).
        check_images: How image files are checked before training: "quick", "decode" or "none" (see
            :func:`corrlight.data.images.image_problems`).
        on_bad_image: What happens with damage that the check missed: "raise" or "skip" (see
            :class:`CocoDataset`).
        bit_depth: Bits that pictures of more than 8 bits really use; None takes the file's.
        loader_seconds: A loader process that gives no batch for so long ends the run.
        cache: "ram" keeps the decoded images in memory, "none" decodes on demand.
        load_masks: Whether targets carry masks.
        train_ignore_crowd: Whether targets carry the crowd regions, for assigners to ignore.
        max_train_images: Use the first so many only, for debugging.
        max_val_images: The same for validation and test.

    Raises:
        ValueError: If an option is out of range; from :meth:`setup`, if data are missing or bad.
    """

    # Ranks may see different numbers of evaluation batches, none included.
    allow_zero_length_dataloader_with_multiple_devices = True

    def __init__(
        self,
        root: str | Path,
        train_images: str | None = "train2017",
        train_annotations: str | None = "annotations/instances_train2017.json",
        val_images: str | None = "val2017",
        val_annotations: str | None = "annotations/instances_val2017.json",
        test_images: str | None = None,
        test_annotations: str | None = None,
        *,
        split: TestSplit = "test",
        test_dev_images: str = "test2017",
        test_dev_annotations: str = "annotations/image_info_test-dev2017.json",
        size: int | None = None,
        num_classes: int | None = None,
        batch_size: int = 16,
        eval_batch_size: int = 1,
        num_workers: int = 0,
        seed: int = 0,
        mean: Sequence[float] = (123.675, 116.28, 103.53),
        std: Sequence[float] = (58.395, 57.12, 57.375),
        size_divisor: int = 32,
        train_transforms: Mapping[str, Transform] | None = None,
        eval_transforms: Mapping[str, Transform] | None = None,
        filter_empty: bool = True,
        group_by_aspect: bool = False,
        invalid_boxes: InvalidBoxes = "error",
        check_images: CheckImages = "quick",
        on_bad_image: OnBadImage = "raise",
        bit_depth: int | None = None,
        loader_seconds: int = 600,
        cache: Cache = "none",
        load_masks: bool = False,
        train_ignore_crowd: bool = False,
        max_train_images: int | None = None,
        max_val_images: int | None = None,
    ) -> None:
        super().__init__()
        for name, value, choices in (
            ("invalid_boxes", invalid_boxes, get_args(InvalidBoxes)),
            ("check_images", check_images, get_args(CheckImages)),
            ("cache", cache, get_args(Cache)),
            ("on_bad_image", on_bad_image, get_args(OnBadImage)),
            ("split", split, get_args(TestSplit)),
        ):
            if value not in choices:
                shown = ", ".join(repr(c) for c in choices)
                raise ValueError(f"Expected `{name}` to be one of {shown}, but got {value!r}.")
        for name, number, low in (
            ("num_classes", num_classes, 1),
            ("batch_size", batch_size, 1),
            ("eval_batch_size", eval_batch_size, 1),
            ("num_workers", num_workers, 0),
            ("bit_depth", bit_depth, 1),
            ("loader_seconds", loader_seconds, 1),
            ("seed", seed, 0),
            ("max_train_images", max_train_images, 1),
            ("max_val_images", max_val_images, 1),
        ):
            if number is None and name in _MAY_BE_NONE:
                continue
            if type(number) is not int or number < low:
                raise ValueError(
                    f"Expected `{name}` to be an int of at least {low}, but got {number!r}."
                )
        if bit_depth is not None and bit_depth > _MOST_BITS:
            raise ValueError(
                f"Expected `bit_depth` to be at most {_MOST_BITS}, the bits of the deepest "
                f"pictures, but got {bit_depth}."
            )
        self._root, self.size = Path(root), size
        train, val = (
            complete_layout(self._root, split, images, annotations)
            for split, images, annotations in (
                ("train", train_images, train_annotations),
                ("val", val_images, val_annotations),
            )
        )
        self._images = {
            "train": train.images,
            "val": val.images,
            "test": test_images or val.images,
        }
        self._files = {
            "train": train.annotations,
            "val": val.annotations,
            "test": test_annotations or val.annotations,
        }
        self._test_split = split
        if split == "test-dev":
            # Only these two are needed; the others have to be of the same categories or absent.
            self._images = dict.fromkeys(self._images, test_dev_images)
            self._files = dict.fromkeys(self._files, test_dev_annotations)
        self._expected_classes = num_classes
        self.batch_size, self.eval_batch_size = batch_size, eval_batch_size
        self.num_workers, self.seed = num_workers, seed
        self.mean, self.std = tuple(map(float, mean)), tuple(map(float, std))
        self._collate = Collate(self.mean, self.std, size_divisor, keep_crowds=train_ignore_crowd)
        self._transforms = {
            "train": as_steps(train_transforms, "train_transforms"),
            "eval": as_steps(eval_transforms, "eval_transforms"),
        }
        self._filter_empty, self._group_by_aspect = filter_empty, group_by_aspect
        self._invalid_boxes, self._check_images = invalid_boxes, check_images
        self._cache, self._load_masks = cache, load_masks
        self._on_bad_image, self._bit_depth = on_bad_image, bit_depth
        self.loader_seconds = loader_seconds
        self._limits = {"train": max_train_images, "val": max_val_images, "test": max_val_images}
        self._annotations: dict[Path, CocoAnnotations] = {}
        self._datasets: dict[str, CocoDataset] = {}

    # Lightning's own text would make every loader, and so read or draw all data.
    def __str__(self) -> str:
        return f"{type(self).__name__}(root={self._root})"

    # Paths and classes, available without a trainer.

    @property
    def root(self) -> Path:
        """The data's folder."""
        return self._root

    @property
    def train_annotation_file(self) -> Path:
        """Annotation file of the training images."""
        return self.root / self._files["train"]

    @property
    def val_annotation_file(self) -> Path:
        """Annotation file of the validation images."""
        return self.root / self._files["val"]

    @property
    def test_annotation_file(self) -> Path:
        """Annotation file of the test images."""
        return self.root / self._files["test"]

    @property
    def test_split(self) -> TestSplit:
        """Name of the test images: "test" or "test-dev"."""
        return self._test_split

    @property
    def test_annotated(self) -> bool:
        """Whether the test images have annotations."""
        return self._test_split == "test"

    @property
    def annotation_files(self) -> list[Path]:
        """Every annotation file once: what a run's fingerprint is made of."""
        self._check_layout()
        files = (self.train_annotation_file, self.val_annotation_file, self.test_annotation_file)
        return list(dict.fromkeys(files))

    @property
    def image_folders(self) -> list[Path]:
        """Every folder of pictures once, for the fingerprint as well."""
        self._check_layout()
        folders = (self.root / self._images[split] for split in ("train", "val", "test"))
        return list(dict.fromkeys(folders))

    @property
    def category_ids(self) -> tuple[int, ...]:
        """The validation file's category id of each label, ascending."""
        return self._read("val").category_ids

    @property
    def test_category_ids(self) -> tuple[int, ...]:
        """The test file's category id of each label: names decide, ids are those of a file."""
        return self._read("test").category_ids

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each label."""
        return self._read("val").class_names

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.category_ids)

    @property
    def num_train_images(self) -> int:
        """Number of images in a training epoch."""
        return len(self._dataset("train"))

    @property
    def num_val_images(self) -> int:
        """Number of validation images."""
        return len(self._dataset("val"))

    @property
    def usable_workers(self) -> int:
        """Loader processes of this rank: those asked for, at most its share of the CPUs."""
        ranks = 1 if self.trainer is None else int(self.trainer.num_devices)
        return workers_for(self.num_workers, ranks)

    def picture_sizes(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return the ``(n, 2)`` sizes of the validation pictures as files and after resizing."""
        dataset = self._dataset("val")
        return input_sizes(dataset, ()), input_sizes(dataset, self._transforms["eval"])

    def train_object_sizes(self) -> npt.NDArray[Any]:
        """Return the ``(m, 2)`` sides of the training objects as evaluation sees them."""
        return object_sizes(self._dataset("train"), self._transforms["eval"])

    # Lightning's hooks.

    def setup(self, stage: str | None = None) -> None:
        """Read and check the annotation and image files of a stage; again is cheap.

        Args:
            stage: "fit" for training and validation, "validate", "test", or None for all.

        Raises:
            ValueError: If something is missing or wrong with the data.
        """
        splits = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}
        for split in splits.get(stage or "", ("train", "val", "test")):
            self._dataset(split)

    def train_dataloader(self) -> TrainLoader:
        """Return this rank's shuffled training batches, from the trainer's current epoch on."""
        dataset = self._dataset("train")
        rank, world_size = self._rank_and_world_size()
        groups = [int(w > h) for h, w in dataset.sizes] if self._group_by_aspect else None
        sampler = TrainBatchSampler(
            len(dataset),
            self.batch_size,
            self.seed,
            rank=rank,
            world_size=world_size,
            groups=groups,
        )
        if self.trainer is not None:
            # Lightning starts to load before it sets the epoch of a resumed run.
            progress: Any = self.trainer.fit_loop.epoch_progress.current
            sampler.set_epoch(progress.processed)
        options = self._loader_options(dataset, self.batch_size // world_size)
        return TrainLoader(dataset, batch_sampler=sampler, **options)

    def val_dataloader(self) -> DataLoader[Any]:
        """Return this rank's share of the validation batches."""
        return self._eval_loader("val")

    def test_dataloader(self) -> DataLoader[Any]:
        """Return this rank's share of the test batches."""
        return self._eval_loader("test")

    def _eval_loader(self, split: str) -> DataLoader[Any]:
        dataset = self._dataset(split)
        rank, world_size = self._rank_and_world_size()
        sampler = EvalBatchSampler(
            len(dataset), self.eval_batch_size, rank=rank, world_size=world_size
        )
        options = self._loader_options(dataset, self.eval_batch_size)
        return EvalLoader(dataset, batch_sampler=sampler, **options)

    def _loader_options(self, dataset: CocoDataset, batch_size: int) -> dict[str, Any]:
        workers = workers_that_fit(self.usable_workers, dataset, self._collate, batch_size)
        return {
            "collate_fn": self._collate,
            "num_workers": workers,
            "worker_init_fn": leave_signals,
            "persistent_workers": workers > 0,
            "timeout": self.loader_seconds if workers else 0,
            "pin_memory": torch.cuda.is_available(),
            # A generator of its own: a loader must not move the global one of the model.
            "generator": torch.Generator().manual_seed(self.seed),
        }

    def _rank_and_world_size(self) -> tuple[int, int]:
        if self.trainer is not None:
            return self.trainer.global_rank, self.trainer.world_size
        if dist.is_available() and dist.is_initialized():
            return dist.get_rank(), dist.get_world_size()
        return 0, 1

    # Reading and checking.

    def _check_layout(self) -> None:
        """Raise ``ValueError`` that describes the expected folders if one is missing."""
        root = self.root
        files = [root / self._files[split] for split in ("train", "val", "test")]
        folders = [root / self._images[split] for split in ("train", "val", "test")]
        found = [root.is_dir(), *(f.is_file() for f in files), *(f.is_dir() for f in folders)]
        if all(found):
            return
        missing = [root, *files, *folders][found.index(False)]
        layout = ", ".join(
            dict.fromkeys([*self._files.values(), *(f"{f}/" for f in self._images.values())])
        )
        raise ValueError(
            f"Expected `data.root`={root} to hold {layout}, but {missing} does not exist."
        )

    def _read(self, split: str) -> CocoAnnotations:
        self._check_layout()
        path = self.root / self._files[split]
        if path not in self._annotations:
            data = load_annotations(
                path,
                invalid_boxes=self._invalid_boxes,
                load_masks=self._load_masks,
                annotated=self.test_annotated,
            )
            expected = self._expected_classes
            if expected is not None and len(data.category_ids) != expected:
                raise ValueError(
                    f"Expected `num_classes`={expected} categories in {path}, "
                    f"but got {len(data.category_ids)}."
                )
            if path != self.val_annotation_file:
                # Labels are those of the validation file, whichever file is read first.
                data = data.with_classes_of(self._read("val"))
            self._annotations[path] = data
        return self._annotations[path]

    def _check_objects(self, split: str, data: CocoAnnotations) -> None:
        """Refuse training pictures without an object, and warn of validation pictures without."""
        if split == "test" or (data.usable & ~data.crowd).any():
            return
        if split == "train":
            raise ValueError(
                f"Expected objects to train on in {data.path}, but all {len(data.labels):,} "
                "annotations are crowds (iscrowd 1)."
            )
        log.warning("%s: no picture has an object, so AP is undefined", data.path.name)

    def _dataset(self, split: str) -> CocoDataset:
        if split == "test" and all(p["test"] == p["val"] for p in (self._images, self._files)):
            split = "val"  # One cache for both.
        if split in self._datasets:
            return self._datasets[split]
        data, folder = self._read(split), self.root / self._images[split]
        indices = np.arange(len(data))
        if split == "train" and self._filter_empty:
            indices = np.flatnonzero(np.diff(data.offsets))
            if len(indices) < len(data):
                without = len(data) - len(indices)
                text = "%s: %s images without annotations left out"
                log.info(text, data.path.name, f"{without:,}")
        indices = indices[: self._limits[split]]
        if not len(indices):
            raise ValueError(f"Expected images with annotations in {data.path}, but found none.")
        self._check_objects(split, data)
        names = [data.file_names[k] for k in indices]
        sizes = [(int(h), int(w)) for h, w in data.sizes[indices]]
        problems = image_problems(folder, names, sizes, self._check_images)
        if problems:
            raise summarize(f"readable images in {folder}", problems)
        if self._check_images != "none":
            for note in range_notes(folder, names, self._bit_depth):
                log.warning("%s: data.bit_depth= says how many bits are used.", note)
        self._datasets[split] = CocoDataset(
            data,
            folder,
            self._transforms["train" if split == "train" else "eval"],
            indices=indices.tolist(),
            cache=self._cache,
            load_masks=self._load_masks,
            bit_depth=self._bit_depth,
            on_bad_image=self._on_bad_image,
        )
        if split != "test":
            self._warn_of_shared()
        return self._datasets[split]

    def _warn_of_shared(self) -> None:
        """Warn of pictures in both splits; those of folders of their own are ``data check``'s."""
        both = [self._datasets[k] for k in ("train", "val") if k in self._datasets]
        if len(both) == 2 and both[0].image_folder == both[1].image_folder:
            names = [{d.annotations.file_names[k] for k in d.indices} for d in both]
            if shared := names[0] & names[1]:
                text = "%s validation pictures are trained on as well (first: %s)"
                log.warning(text, f"{len(shared):,}", min(shared))
