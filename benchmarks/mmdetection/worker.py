"""The peer of ``benchmarks/detectors.py``: mmdetection 3.3.0 in an environment of its own.

    PEER/bin/python benchmarks/mmdetection/worker.py atss|detr|faster_rcnn|fcos|... [HEIGHT WIDTH]

The environment needs torch, torchvision, safetensors, mmdet 3.3.0, mmengine and mmcv-lite, with
mmcv's compiled operators replaced by torchvision's, and scikit-learn for PAA. It is a measuring
stick, never a dependency. The gradient of a deformable convolution (TOOD, VFNet) is torchvision's
too, which our side runs without mmcv's detour through buffers; VFNet's is our own operator's.
"""

import os
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")
sys.path.insert(0, str(Path(__file__).parents[2]))

import mmdet  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from mmdet.registry import MODELS  # noqa: E402
from mmdet.structures import DetDataSample  # noqa: E402
from mmdet.structures.mask import BitmapMasks  # noqa: E402
from mmdet.utils import register_all_modules  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.logging import MessageHub  # noqa: E402
from mmengine.structures import InstanceData  # noqa: E402

from benchmarks.harness.objects import LABELS, SIZE, boxes_in  # noqa: E402
from benchmarks.harness.optimizers import make_optimizer  # noqa: E402
from benchmarks.harness.worker import serve  # noqa: E402
from benchmarks.mmdetection import dump, two_stage  # noqa: E402
from benchmarks.mmdetection_fixtures import replace_operators  # noqa: E402

CONFIGS = {name: path for name, (path, _) in dump.CONFIGS.items()} | {
    "fcos": "fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py",
    "gfl": "gfl/gfl_r50_fpn_1x_coco.py",
    "vfnet": "vfnet/vfnet_r50_fpn_1x_coco.py",
    "tood": "tood/tood_r50_fpn_1x_coco.py",
    "faster_rcnn": "faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py",
    "mask_rcnn": "mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py",
    "deformable_detr": "deformable_detr/deformable-detr_r50_16xb2-50e_coco.py",
}


def main() -> None:
    """Build the model and serve."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    torch.manual_seed(0)
    register_all_modules()
    replace_operators()
    two_stage.replace_operators()
    size = (int(sys.argv[2]), int(sys.argv[3])) if len(sys.argv) > 2 else SIZE
    boxes = boxes_in(size)
    image = torch.randn(1, 3, *size)
    configs = Path(mmdet.__file__).parent / ".mim" / "configs"
    config = Config.fromfile(str(configs / CONFIGS[sys.argv[1]])).model
    config.backbone.init_cfg = None
    model = MODELS.build(config)
    model.init_weights()
    # TOOD after its first epochs, with its own assigner; it asks the hub of the newest instance.
    MessageHub.get_instance("worker")
    MessageHub.get_current_instance().update_info("epoch", 12)
    sizes = dict.fromkeys(("img_shape", "pad_shape", "ori_shape", "batch_input_shape"), size)
    sample = DetDataSample(metainfo={**sizes, "scale_factor": (1.0, 1.0)})
    sample.gt_instances = InstanceData(bboxes=torch.tensor(boxes), labels=torch.tensor(LABELS))
    masks = np.zeros((len(boxes), *size), dtype=np.uint8)
    for mask, (left, top, right, bottom) in zip(masks, np.intp(boxes), strict=True):
        mask[top:bottom, left:right] = 1
    sample.gt_instances.masks = BitmapMasks(masks, *size)
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer, max_norm = make_optimizer(sys.argv[1], trainable)

    def train() -> None:
        model.train()
        optimizer.zero_grad()
        total = 0
        for name, value in model.loss(image, [sample]).items():
            if "loss" in name:
                parts = value if isinstance(value, list | tuple) else [value]
                total = total + sum(part.mean() for part in parts)
        total.backward()
        if max_norm is not None:
            torch.nn.utils.clip_grad_norm_(trainable, max_norm)
        optimizer.step()
        total.item()

    def infer() -> None:
        model.eval()
        with torch.no_grad():
            model.predict(image, [sample], rescale=False)

    serve({"train": train, "infer": infer, "info": lambda: {"torch": torch.__version__}})


if __name__ == "__main__":
    main()
