import signal
import subprocess
import sys
import time

import pytest
from lightning.pytorch.utilities.exceptions import SIGTERMException

from corrlight.engine import stopping
from corrlight.engine.checkpoint import AtomicCheckpointIO, load_checkpoint
from corrlight.engine.stopping import RunStopped, StopSignals, end_ranks, stopped_by
from corrlight.runs.folder import RunFolder
from tests.callbacks.small import Batches, PerfectDetector, make_trainer


def test_what_lightning_says_of_a_signal():
    assert stopped_by(SIGTERMException()).signum == signal.SIGTERM
    stopped = stopped_by(SystemExit(1))
    assert (stopped.signum, stopped.code) == (signal.SIGINT, 130)


class Asked(StopSignals):
    """Is asked to stop at a moment, as a signal would do it."""

    def __init__(self, folder, hook):
        super().__init__(folder)
        self.hook = hook
        setattr(self, hook, self._strike)

    def _strike(self, trainer, *args):
        self.received = signal.SIGUSR1
        return getattr(super(), self.hook)(trainer, *args)


@pytest.mark.parametrize(
    ("hook", "step"),
    [("on_train_batch_end", 1), ("on_validation_start", 3), ("on_validation_batch_start", None)],
)
def test_a_run_that_is_asked_saves_and_stops(tmp_path, hook, step):
    folder = RunFolder(tmp_path)
    folder.create()
    trainer = make_trainer(
        tmp_path, Asked(folder, hook), plugins=[AtomicCheckpointIO()], num_sanity_val_steps=0
    )
    with pytest.raises(RunStopped) as stopped:
        trainer.fit(PerfectDetector(), Batches(3))
    assert stopped.value.code == 128 + signal.SIGUSR1
    # Within a validation it is the signal that saves, not the hook.
    assert folder.last_checkpoint.exists() == (step is not None)
    if step is not None:
        assert load_checkpoint(folder.last_checkpoint)["global_step"] == step


def test_ranks_that_wait_are_ended_and_those_that_end_are_let(monkeypatch):
    monkeypatch.setattr(stopping, "_RANK_SECONDS", 0.3)
    waits = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    ends = subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    ends.wait()
    monkeypatch.setattr(stopping, "started_ranks", lambda trainer: [waits, ends])
    started = time.monotonic()
    end_ranks(None)
    assert (waits.wait(), ends.wait()) == (-signal.SIGKILL, 3)
    assert time.monotonic() - started < 30
