"""The same results from any number of processes, of a whole detector with aLRP and synced loss."""

import json
import os

import lightning.pytorch as pl
import pytest
import torch.distributed as dist
import torch.multiprocessing as mp
from lightning.fabric.plugins.environments import LightningEnvironment

from corrlight.config.build import build_data, build_module
from corrlight.config.compose import compose_config
from corrlight.data.drawn.shapes import ShapesOptions, write_shapes
from corrlight.metrics import DetectionEvaluator, ImageCorrelation
from corrlight.metrics.class_correlation import ClassCorrelation
from corrlight.metrics.coco_evaluate import CocoEvaluate
from corrlight.runs.folder import RunFolder
from corrlight.runs.results import write_results
from tests.integration.ranks.ports import free_port

NUM_IMAGES = (5, 7, 16)


def composed(data_dir):
    overrides = [
        "detector=atss_small",
        "loss=alrp",
        "corr=concordance",
        "corr.sync=true",
        f"paths.data_dir={data_dir}",
        "data.num_train=2",
        "data.image_size=64",
        "data.eval_batch_size=2",
        "detector.postprocessor.score_thresh=0.001",  # it is not trained
    ]
    return compose_config(overrides).config


def evaluate(config, folder, world):
    """Validate with Lightning on this rank and write what rank 0 found."""
    for images in NUM_IMAGES:
        config.data.num_val = images
        pl.seed_everything(0, verbose=False)
        data = build_data(config)
        evaluator = DetectionEvaluator(
            data.val_annotation_file,
            data.category_ids,
            [CocoEvaluate(), ImageCorrelation(), ClassCorrelation()],
        )
        module = build_module(
            config,
            evaluator=evaluator,
            category_ids=data.category_ids,
            class_names=data.class_names,
        )
        trainer = pl.Trainer(
            accelerator="cpu",
            devices=1,
            num_nodes=world,
            strategy="ddp" if world > 1 else "auto",
            plugins=[LightningEnvironment()],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            default_root_dir=folder,
        )
        trainer.validate(module, datamodule=data, verbose=False)
        if trainer.is_global_zero:
            write_results(RunFolder(folder / str(images)), module.evaluation)


def run_rank(rank, world, port, config, folder):
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "NODE_RANK": str(rank),
        "LOCAL_RANK": "0",
    }
    evaluate(config, folder, world)
    if dist.is_initialized():
        dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_one_two_and_three_processes_find_the_same(tmp_path, data_dir):
    for images in NUM_IMAGES:
        write_shapes(
            data_dir / "shapes",
            ShapesOptions(num_train=2, num_val=images, image_size=64),
            num_workers=1,
        )
    config = composed(data_dir)
    for world in (1, 2, 3):
        # Forked: the children need no second import of torch.
        arguments = (world, free_port(), config, tmp_path / str(world))
        mp.start_processes(run_rank, arguments, nprocs=world, start_method="fork")
    for images in NUM_IMAGES:
        alone = tmp_path / "1" / str(images)
        metrics = json.loads((alone / "metrics.json").read_text())
        assert metrics["num_images"] == images
        assert metrics["num_detections"] > 0
        assert metrics["num_images_beta_img"] > 0
        for world in ("2", "3"):
            for name in ("detections.json", "metrics.json", "per_class.csv"):
                other = tmp_path / world / str(images) / name
                assert other.read_bytes() == (alone / name).read_bytes(), (world, images, name)
