"""The benchmark of GPUs, tried out small on CPU."""

import json

import pytest
import torch

from benchmarks.gpu import main, measure, parse

TINY = ["--device", "cpu", "--size", "64", "64", "--batch-sizes", "1", "2", "--turns", "1"]
TINY += ["--options", "backbone=resnet18_small", "+detector.net.num_convs=1"]


@pytest.mark.slow
def test_rows_become_a_table(tmp_path, capsys):
    out = tmp_path / "table.md"
    which = ["--detectors", "atss", "--precisions", "fp32", "bf16", "--compiled", "no"]
    main([*TINY, *which, "--out", str(out)])
    rows = json.loads(out.with_suffix(".json").read_text())
    assert [(r["batch_size"], r["precision"]) for r in rows] == [
        *((1, "fp32"), (2, "fp32"), (1, "bf16"), (2, "bf16"))
    ]
    for row in rows:
        assert row["train"] > 0
        assert row["infer"] > 0
        assert row["memory"] is None
        assert row["waits"] > 0
        assert row["own_waits"] == 0
    lines = out.read_text().splitlines()
    assert lines[0].startswith("CPU, torch ")
    assert len(lines) == 2 + 2 + 4
    assert out.read_text() in capsys.readouterr().out


def test_a_setting_without_memory_is_a_dash(monkeypatch):
    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("no")

    monkeypatch.setattr("benchmarks.gpu.Subject", full)
    setting = {"detector": "atss", "batch_size": 1, "precision": "fp32", "compiled": False}
    row = measure(parse(TINY), **setting)
    assert row.train is row.infer is row.memory is row.share is row.waits is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens without a GPU")
def test_without_a_gpu_it_says_so(capsys):
    with pytest.raises(SystemExit):
        parse([])
    assert "Expected a GPU, but there is none" in capsys.readouterr().err
