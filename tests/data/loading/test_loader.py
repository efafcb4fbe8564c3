"""Lightning's own loop over the training loader, stopped at every kind of moment and resumed."""

import contextlib
import multiprocessing
import os
import signal

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from corrlight.data import CocoDataModule, RandomHorizontalFlip
from corrlight.data.images import BadImageError
from corrlight.data.loading.loader import EvalLoader, LoaderStalledError, leave_signals

NUM_EPOCHS, NUM_BATCHES = 3, 5


class StopError(Exception):
    pass


class Recorder(pl.LightningModule):
    """Notes the batches of every epoch."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen = []

    def training_step(self, batch, batch_idx):
        ids = [t.image_id for t in batch.targets]
        self.seen.append((self.current_epoch, batch_idx, ids, batch.images.sum().item()))
        return self.weight * 0

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class StopAt(Callback):
    def __init__(self, hook, step):
        self.hook, self.step = hook, step

    def on_train_batch_start(self, trainer, *_):
        if self.hook == "batch" and trainer.global_step == self.step:
            raise StopError

    def on_validation_start(self, trainer, *_):
        if self.hook == "validation" and trainer.global_step == self.step:
            raise StopError

    def on_train_epoch_start(self, trainer, *_):
        if self.hook == "epoch" and trainer.global_step == self.step:
            raise StopError


def run(data, folder, checkpoint=None, callbacks=(), **saving):
    module = Recorder()
    trainer = pl.Trainer(
        max_epochs=NUM_EPOCHS,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        callbacks=[*callbacks, ModelCheckpoint(folder, save_last=True, save_top_k=1, **saving)],
    )
    with contextlib.suppress(StopError):
        trainer.fit(module, datamodule=data, ckpt_path=checkpoint)
    return module.seen


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("workers", [0, 2])
def test_resumed_runs_see_the_batches_that_are_left(make_folder, tmp_path, workers):
    root = make_folder(num_train=9, num_val=2)

    def data():
        return CocoDataModule(
            root,
            "train",
            "annotations/train.json",
            "val",
            "annotations/val.json",
            batch_size=2,
            num_workers=workers,
            train_transforms={"flip": RandomHorizontalFlip()},
        )

    whole = run(data(), tmp_path / "whole", every_n_epochs=1)
    assert [(e, b) for e, b, *_ in whole] == [
        (e, b) for e in range(NUM_EPOCHS) for b in range(NUM_BATCHES)
    ]
    by_epoch = [[s[2] for s in whole if s[0] == e] for e in range(NUM_EPOCHS)]
    assert by_epoch[0] != by_epoch[1]

    steps, epochs = {"every_n_train_steps": 1}, {"every_n_epochs": 1}
    ends = {"every_n_epochs": 1, "save_on_train_epoch_end": True}
    # (where the run dies, how it saves) -> batches of the last checkpoint
    cases = [
        (("batch", 3), steps, 3),
        (("batch", 7), steps, 7),
        (("validation", 5), steps, 5),
        (("epoch", 5), steps, 5),
        (("batch", 7), epochs, 5),
        (("batch", 7), ends, 5),
        (("epoch", 10), ends, 10),
    ]
    for k, (stop, saving, done) in enumerate(cases if workers == 0 else cases[1:2]):
        folder = tmp_path / f"run{k}"
        before = run(data(), folder, callbacks=[StopAt(*stop)], **saving)
        assert before == whole[: stop[1]]
        after = run(data(), folder, checkpoint=str(folder / "last.ckpt"), **saving)
        assert after == whole[done:], (stop, saving)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2])
def test_loader_processes_leave_stop_signals_to_the_training_process(make_folder, number):
    root = make_folder(num_val=6)
    files = ("train", "annotations/train.json", "val", "annotations/val.json")
    loader = CocoDataModule(root, *files, num_workers=1).val_dataloader()
    batches = iter(loader)
    count = len(next(batches).targets)
    (worker,) = loader._iterator._workers
    os.kill(worker.pid, number)
    count += sum(len(batch.targets) for batch in batches)
    assert count == len(loader.dataset)
    assert worker.is_alive()
    loader._iterator._shutdown_workers()
    assert not worker.is_alive()


class Stuck(torch.utils.data.Dataset):
    """Its first sample comes, its second never does or kills its process."""

    def __init__(self, dies):
        self.dies = dies

    def __len__(self):
        return 2

    def __getitem__(self, index):
        if index:
            if self.dies:
                os.kill(os.getpid(), signal.SIGKILL)
            while True:  # Also where a signal wakes it.
                signal.pause()
        return index


@pytest.mark.parametrize(
    ("dies", "message"),
    [(False, r"gave no batch for 1 s \(data\.loader_seconds\)"), (True, "died")],
)
def test_a_loader_that_gives_nothing_ends_with_one_line(dies, message):
    before = multiprocessing.active_children()
    loader = iter(
        EvalLoader(
            Stuck(dies), batch_size=1, num_workers=1, timeout=1, worker_init_fn=leave_signals
        )
    )
    with pytest.raises(LoaderStalledError, match=f"A loader process {message}.*num_workers=0") as e:
        list(loader)
    assert "\n" not in str(e.value)
    # Python ends what it started by SIGTERM, which loader processes ignore, and waits for them.
    assert multiprocessing.active_children() == before


class Damaged(torch.utils.data.Dataset):
    """Its only sample cannot be read."""

    def __len__(self):
        return 1

    def __getitem__(self, index):
        try:
            raise OSError("broken data stream")
        except OSError as error:
            raise BadImageError("Expected a.png to be a complete image.") from error


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_picture_is_one_line_whoever_reads_it(workers):
    with pytest.raises(BadImageError, match=r"^Expected a\.png to be a complete image\.$"):
        list(EvalLoader(Damaged(), num_workers=workers))


def test_the_modules_loaders_wait_for_a_stated_time(make_folder):
    data = CocoDataModule(make_folder(), None, None, None, None, num_workers=1, loader_seconds=7)
    assert data.train_dataloader().timeout == data.val_dataloader().timeout == 7
    data = CocoDataModule(data.root, None, None, None, None, num_workers=0)
    assert data.train_dataloader().timeout == 0
