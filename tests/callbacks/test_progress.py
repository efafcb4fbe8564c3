"""The epoch's line, and a bar on terminals only."""

import re
import warnings

import pytest
import rich

from corrlight.callbacks.progress import EpochProgress, format_seconds
from tests.callbacks.small import Batches, PerfectDetector, make_trainer

LINE = re.compile(r"epoch 1/3  loss 1\.500  AP 0\.250  beta_cls -  lr 0\.02  \d+\.\d s  ETA \d+ s")


@pytest.fixture(autouse=True)
def _fresh_console(monkeypatch):
    """Rich keeps one console for the process; another test may have replaced it."""
    monkeypatch.setattr(rich, "_console", None)


def _fit(folder, module=None, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = make_trainer(folder, EpochProgress(), **options)
        trainer.fit(module or PerfectDetector(), datamodule=Batches())


def test_one_plain_line_an_epoch(tmp_path, capsys):
    _fit(tmp_path, epochs=3)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert LINE.fullmatch(lines[0]), lines[0]
    assert lines[2].startswith("epoch 3/3  ")
    assert "ETA" not in lines[2]


def test_measures_of_an_earlier_epoch_are_not_repeated(tmp_path, capsys):
    _fit(tmp_path, epochs=3, check_val_every_n_epoch=2)
    with_measures = ["AP" in line for line in capsys.readouterr().out.splitlines()]
    assert with_measures == [False, True, False]


def test_sanity_check_is_no_validation(tmp_path, capsys):
    _fit(tmp_path, epochs=1, num_sanity_val_steps=2, limit_val_batches=2, check_val_every_n_epoch=5)
    assert "AP" not in capsys.readouterr().out


def test_unknown_measures_are_left_out(tmp_path, capsys):
    _fit(tmp_path, PerfectDetector(measures=(("AP", 0.5), ("other", 0.1))), epochs=1)
    line = capsys.readouterr().out
    assert "AP 0.500" in line
    assert "other" not in line
    assert "beta_img" not in line


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3600, "1 h 0 min"), (90061, "1 d 1 h")],
)
def test_format_seconds(seconds, text):
    assert format_seconds(seconds) == text


def test_log_holds_no_control_characters(tmp_path, capfd):
    _fit(tmp_path, epochs=2)
    out = capfd.readouterr().out
    assert "\x1b" not in out
    assert "\r" not in out
    assert out.count("\n") == 2


def test_terminal_shows_a_bar_and_keeps_the_lines(tmp_path, capsys, monkeypatch):
    # What rich reads instead of asking the operating system.
    for name, value in {"TTY_COMPATIBLE": "1", "TTY_INTERACTIVE": "1", "COLUMNS": "160"}.items():
        monkeypatch.setenv(name, value)
    _fit(tmp_path, PerfectDetector(seconds=0.15), epochs=2)
    text = capsys.readouterr().out
    assert "\x1b[2K" in text  # redrawn in place
    assert "4/4" in text
    lines = re.findall(r"epoch \d/2  loss 1\.500  AP 0\.250  beta_cls -  lr 0\.02", text)
    assert len(lines) == 2
    assert re.search(r"ETA: \d+ s", text)  # known from the first epoch on


def test_long_epochs_have_lines_in_between(tmp_path, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = make_trainer(tmp_path, EpochProgress(line_seconds=1e-9), epochs=1)
        trainer.fit(PerfectDetector(), datamodule=Batches())
    lines = capsys.readouterr().out.splitlines()
    total = trainer.num_training_batches
    assert lines[0].startswith(f"epoch 1/1  batch 1/{total}")
    assert any(line.startswith("epoch 1/1  validation batch 1/") for line in lines)
    assert sum("ETA" in line or " s" in line[-4:] for line in lines) >= 1


def test_an_epoch_without_a_positive_is_said(tmp_path, capsys):
    module = PerfectDetector()
    module.positives_in_epoch = 0
    _fit(tmp_path, module, epochs=2)
    assert capsys.readouterr().out.count("WARNING: no positive in this epoch") == 2
    module = PerfectDetector()
    module.positives_in_epoch = 3
    _fit(tmp_path / "b", module, epochs=1)
    assert "WARNING" not in capsys.readouterr().out


def test_seconds_between_lines_are_checked():
    with pytest.raises(ValueError, match="`line_seconds` to be a finite number > 0, but got 0"):
        EpochProgress(line_seconds=0)


def test_the_line_leads_with_the_measure_that_is_followed(tmp_path, capsys):
    found = (("AP", 0.25), ("mask_AP", 0.125), ("mask_AP50", 0.5), ("oLRP", 0.75))
    for followed, shown in {
        "val/mask_AP": "  mask_AP 0.125  mask_AP50 0.500  AP 0.250  lr",
        "val/oLRP": "  oLRP 0.750  AP 0.250  lr",
        "train/loss": "  AP 0.250  lr",
    }.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer = make_trainer(tmp_path, EpochProgress(followed=followed), epochs=1)
            trainer.fit(PerfectDetector(measures=found), datamodule=Batches(1))
        assert shown in capsys.readouterr().out
