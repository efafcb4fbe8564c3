import importlib.util
import json
import math
import sqlite3

import pytest

from corrlight.callbacks import trackio_logger
from corrlight.callbacks.loggers import trackio as module
from tests.callbacks.loggers.offline import check_history, offline, two_jobs  # noqa: F401

# To import it here would decide where it writes.
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("trackio") is None, reason="needs the extra trackio"
)


@pytest.mark.usefixtures("offline")
def test_a_resumed_run_is_one_in_trackio(tmp_path, monkeypatch, capsys):
    # Trackio decides where it writes once in a process.
    for name in ("TRACKIO_DIR", "TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_TOKEN", "hf_of_someone")  # Trackio would ask whose it is.
    run = tmp_path / "atss-none-coco" / "0123456789ab"
    two_jobs(trackio_logger, run)
    assert json.loads((run / "trackio.json").read_text()) == {"id": "atss-none-coco 0123456789ab"}
    assert "*" not in capsys.readouterr().out
    with sqlite3.connect(run / "trackio" / "corrlight.db") as database:
        rows = database.execute("SELECT run_name, step, metrics FROM metrics ORDER BY id")
        found = [(name, step, json.loads(text)) for name, step, text in rows]
        configs = database.execute("SELECT config FROM configs").fetchall()
    assert {name for name, *_ in found} == {"atss-none-coco 0123456789ab"}
    history = {}
    for _, step, measures in found:
        for name, value in measures.items():
            history.setdefault(name, []).append((step, math.nan if value == "NaN" else value))
    check_history(history)
    assert json.loads(configs[0][0])["corr"]["coefficient"] == "concordance"

    other = trackio_logger(save_dir=str(tmp_path / "other" / "ba9876543210"))
    with pytest.raises(ValueError, match="Expected one place for `logger`=trackio in a process"):
        other.log_hyperparams({})
    assert module.os.environ.get("TRACKIO_DIR") is None
