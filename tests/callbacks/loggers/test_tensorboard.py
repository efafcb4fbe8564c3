import pytest

pytest.importorskip("tensorboard", reason="needs the extra tensorboard")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from corrlight.callbacks import tensorboard_logger
from tests.callbacks.loggers.offline import check_history, offline, two_jobs  # noqa: F401


@pytest.mark.usefixtures("offline")
def test_a_resumed_run_is_one_in_tensorboard(tmp_path):
    run = tmp_path / "atss-none-coco" / "0123456789ab"
    two_jobs(tensorboard_logger, run)
    files = list((run / "tensorboard").iterdir())
    assert len(files) == 2
    assert all(".tfevents." in path.name for path in files)
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    check_history(
        {
            name: [(event.step, event.value) for event in events.Scalars(name)]
            for name in events.Tags()["scalars"]
        }
    )
    (text, *_) = events.Tensors("config/text_summary")
    assert b"      coefficient: concordance" in text.tensor_proto.string_val[0]
