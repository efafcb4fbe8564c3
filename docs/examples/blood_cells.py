"""A small RT-DETR v2 of transformers on blood cells, without and with Correlation Loss.

    git clone https://github.com/Shenggan/BCCD_Dataset
    corrlight data import voc BCCD_Dataset/BCCD --out bccd
    python docs/examples/blood_cells.py bccd --weights FOLDER

Image processor, detector and Trainer are those of transformers. corrlight adds the two lines with
``correlate`` and ``CocoCallback``. FOLDER is what ``save_pretrained`` wrote; without one the
detector starts from random weights.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn
from transformers import (
    RTDetrImageProcessor,
    RTDetrResNetConfig,
    RTDetrV2Config,
    RTDetrV2ForObjectDetection,
    Trainer,
    TrainingArguments,
    set_seed,
)

from corrlight.plug import CocoCallback, correlate

SHOWN = ("AP", "AP50", "oLRP", "beta_cls", "beta_img")


class Pictures(torch.utils.data.Dataset):
    """Pictures of a COCO file, as the processor makes them."""

    def __init__(self, root: Path, split: str, processor: Any) -> None:
        self.folder, self.processor = root / split, processor
        content = json.loads((root / "annotations" / f"{split}.json").read_text())
        self.images = content["images"]
        self.names = {c["id"]: c["name"] for c in content["categories"]}
        label_of = {category: k for k, category in enumerate(self.names)}
        self.objects: dict[int, list[dict[str, Any]]] = {i["id"]: [] for i in self.images}
        for one in content["annotations"]:
            self.objects[one["image_id"]].append(
                {**one, "category_id": label_of[one["category_id"]]}
            )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image = self.images[index]
        objects = {"image_id": image["id"], "annotations": self.objects[image["id"]]}
        with Image.open(self.folder / image["file_name"]) as picture:
            made = self.processor(picture.convert("RGB"), annotations=objects, return_tensors="pt")
        return {"pixel_values": made["pixel_values"][0], "labels": made["labels"][0]}


def batch(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the pictures in one tensor and the labels in a list."""
    return {
        "pixel_values": torch.stack([item["pixel_values"] for item in items]),
        "labels": [item["labels"] for item in items],
    }


def detector(names: list[str], weights: Path | None) -> nn.Module:
    """Return the detector from its folder, or a narrow one with random weights."""
    labels = {"id2label": dict(enumerate(names)), "label2id": {n: k for k, n in enumerate(names)}}
    if weights is not None:
        return RTDetrV2ForObjectDetection.from_pretrained(
            weights, ignore_mismatched_sizes=True, **labels
        )
    backbone = RTDetrResNetConfig(
        embedding_size=16,
        hidden_sizes=[16, 32, 64, 96],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    heads = {"encoder_attention_heads": 4, "decoder_attention_heads": 4}
    channels = {"encoder_in_channels": [32, 64, 96], "decoder_in_channels": [64, 64, 64]}
    config = RTDetrV2Config(
        backbone_config=backbone,
        freeze_backbone_batch_norms=False,
        encoder_hidden_dim=64,
        encoder_ffn_dim=128,
        d_model=64,
        decoder_ffn_dim=128,
        decoder_layers=3,
        num_queries=60,
        initializer_bias_prior_prob=0.01,
        initializer_range=0.1,
        **heads,
        **channels,
        **labels,
    )
    model = RTDetrV2ForObjectDetection(config)
    for module in model.modules():
        # RT-DETR v2 draws these scales around 0, for a checkpoint to replace.
        if isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
    return model


def train(options: argparse.Namespace, weight: float) -> dict[str, float | None]:
    """Train with a weight of the loss, 0 for none; return the last evaluation."""
    set_seed(options.seed)
    processor = RTDetrImageProcessor(size={"height": options.size, "width": options.size * 4 // 3})
    data = {split: Pictures(options.root, split, processor) for split in ("train", "val")}
    model = detector(list(data["val"].names.values()), options.weights)
    # With weight 0 nothing is learned from it, and beta_img is measured all the same.
    handle = correlate(model, weight=weight)
    folder = options.out / ("with" if weight else "without")
    annotations = options.root / "annotations" / "val.json"
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(folder),
            num_train_epochs=options.epochs,
            per_device_train_batch_size=8,
            per_device_eval_batch_size=8,
            learning_rate=1e-4 if options.weights else 1e-3,
            max_grad_norm=1.0,
            warmup_steps=20,
            eval_strategy="epoch",
            save_strategy="no",
            prediction_loss_only=True,
            remove_unused_columns=False,
            label_names=["labels"],
            report_to=[],
            use_cpu=not torch.cuda.is_available(),
            seed=options.seed,
        ),
        data_collator=batch,
        train_dataset=data["train"],
        eval_dataset=data["val"],
        callbacks=[CocoCallback(model, processor, annotations, handle=handle, folder=folder)],
    )
    trainer.train()
    return trainer.evaluate()


def main() -> None:
    """Train both and print them side by side."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", type=Path, help="folder that `corrlight data import` wrote")
    parser.add_argument("--weights", type=Path, help="folder that save_pretrained wrote")
    parser.add_argument("--weight", type=float, default=0.2, help="lambda of the loss")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--size", type=int, default=192, help="height of the pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/blood_cells"))
    options = parser.parse_args()
    found = [train(options, weight) for weight in (0.0, options.weight)]
    print(f"{'':10} {'without':>8} {'with':>8}")
    for name in SHOWN:
        values = (one[f"eval_{name}"] for one in found)
        print(f"{name:10}", *(f"{'-' if v is None else f'{100 * v:.1f}':>8}" for v in values))


if __name__ == "__main__":
    main()
