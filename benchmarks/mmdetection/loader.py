"""The peer of ``benchmarks/data/loader.py``: the pipeline of mmdetection 3.3.0, to batches.

    PEER/bin/python benchmarks/mmdetection/loader.py FOLDER

The environment is that of ``worker.py``.
"""

import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
sys.path.insert(0, str(Path(__file__).parents[2]))

import torch  # noqa: E402
from mmdet.datasets import CocoDataset  # noqa: E402
from mmdet.models import DetDataPreprocessor  # noqa: E402
from mmdet.utils import register_all_modules  # noqa: E402
from mmengine.dataset import pseudo_collate  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402

from benchmarks.data.loader import BATCH_SIZE, LONG, MEAN, SHORT, STD  # noqa: E402
from benchmarks.harness.worker import serve  # noqa: E402


def main() -> None:
    """Read the annotations and serve."""
    import cv2

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    register_all_modules()
    root = Path(sys.argv[1])
    data = CocoDataset(
        ann_file=str(root / "annotations/instances_train2017.json"),
        data_prefix={"img": str(root / "train2017")},
        metainfo={"classes": tuple(f"class {c}" for c in range(1, 81))},
        pipeline=[
            {"type": "LoadImageFromFile"},
            {"type": "LoadAnnotations", "with_bbox": True},
            {"type": "Resize", "scale": (LONG, SHORT), "keep_ratio": True},
            {"type": "RandomFlip", "prob": 0.5},
            {"type": "PackDetInputs"},
        ],
    )
    loader = DataLoader(data, BATCH_SIZE, shuffle=True, collate_fn=pseudo_collate)
    preprocessor = DetDataPreprocessor(MEAN, STD, bgr_to_rgb=True, pad_size_divisor=32)

    def epoch() -> None:
        for batch in loader:
            preprocessor(batch, training=True)

    serve({"epoch": epoch})


if __name__ == "__main__":
    main()
