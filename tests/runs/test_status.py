import json

from corrlight.runs.status import JobStatus, format_seconds, read_status, report_status


def test_status_round_trip(tmp_path, monkeypatch):
    file = tmp_path / "1.status.json"
    monkeypatch.setenv("CORRLIGHT_STATUS", str(file))
    assert read_status(file) is None
    status = JobStatus(folder="runs/a", epoch=1, epochs=3, seconds_left=4.0, ap=0.25)
    report_status(status)
    assert read_status(file) == status
    file.write_text('{"folder": "x", "epo')
    assert read_status(file) is None
    file.write_text(json.dumps({"folder": "x", "unknown": 1}))
    assert read_status(file) is None
    assert format_seconds(80) == "1 min 20 s"


def test_without_a_sweep_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CORRLIGHT_STATUS", raising=False)
    report_status(JobStatus(folder="runs/a"))
    assert list(tmp_path.iterdir()) == []
