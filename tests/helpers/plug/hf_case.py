"""What the bars need of a detector of transformers."""

from __future__ import annotations

import tempfile
from typing import Any

import torch
from torch import Tensor

from corrlight.boxes import xyxy_to_cxcywh
from tests.helpers.plug.drawn import shapes
from tests.helpers.plug.hf_zoo import HF_ZOO, NUM_CLASSES, SIDE, hf_batch

__all__ = ["DENOISING", "HuggingFaceCase"]

QUERIES = {"layers": "last"}
# RT-DETR and its kin: the loss is computed of denoising queries too.
DENOISING = ("RTDetr", "RTDetrV2", "DFine", "Deimv2")


class HuggingFaceCase:
    num_classes = NUM_CLASSES
    # `ref_point_head` places the queries, which the scores are computed from too.
    box_heads = r"bbox|enc_out.*coord|reg_conf_none"
    one_positive = QUERIES
    max_layers = 3

    def __init__(self, name: str) -> None:
        self.name, self.make = name, HF_ZOO[name]
        # The backbone of these has hooks of the library's own that pickle refuses (5.23.0).
        self.pickles = name not in ("LwDetr", "RfDetr")
        self.options: tuple[dict[str, Any], ...] = (QUERIES, {"group_by": "image"})
        self.foreign: tuple[dict[str, Any], ...] = ({"scores": "class"},)
        if name in DENOISING:
            self.options = (*self.options, {"denoising": True})
        else:
            self.foreign = (*self.foreign, {"denoising": True})
        if name in ("LwDetr", "RfDetr"):
            self.one_positive = {**QUERIES, "group_queries": "first"}
            self.options = (*self.options, {"group_queries": "first"})
        else:
            self.foreign = (*self.foreign, {"group_queries": "first"})

    def attached(self, model: Any) -> Any:
        return model

    def batch(self, kind: str) -> Any:
        return hf_batch(kind)

    def drawn(self, number: int) -> Any:
        """Return a batch of drawn shapes."""
        images, labels = [], []
        for image, boxes, classes in shapes(number, SIDE, SIDE):
            images.append(image)
            labels.append({"class_labels": classes, "boxes": xyxy_to_cxcywh(boxes) / SIDE})
        return torch.stack(images), labels

    def joined(self, *batches: Any) -> Any:
        """Return a batch of the images of others."""
        images, labels = zip(*batches, strict=True)
        return torch.cat(images), [one for part in labels for one in part]

    def reloaded(self, model: Any) -> Any:
        """Return the detector from the folder that this one was saved in."""
        with tempfile.TemporaryDirectory() as folder:
            try:
                model.save_pretrained(folder)
            except RuntimeError:
                # Shared weights, which 4.50 cannot save, with the loss or without.
                other = self.make()
                other.load_state_dict(model.state_dict())
                return other
            return type(model).from_pretrained(folder)

    def step(self, model: Any, batch: Any) -> tuple[Tensor, Tensor | None]:
        images, labels = batch
        output = model(pixel_values=images, labels=labels)
        return output.loss, output.loss_dict.get("loss_correlation")

    validate = step
