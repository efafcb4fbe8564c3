"""The demo: both trainings through the launcher, then their comparison."""

import pytest

from experiments import demo
from tests.experiments.tiny import TINY


@pytest.mark.slow
def test_two_runs_and_their_comparison(tmp_path, capfd):
    options = [*TINY, f"paths.runs_dir={tmp_path / 'runs'}", f"paths.data_dir={tmp_path / 'data'}"]
    assert demo.main(["--out", str(tmp_path / "out"), *options]) == 0
    assert len(list((tmp_path / "runs").glob("*/*/metrics.json"))) == 2
    printed = capfd.readouterr().out
    assert "2 of 2 jobs are finished." in printed
    assert "beta_cls" in printed
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"comparison.md", "score_iou.png"} <= names


def test_wrong_input_is_one_line(tmp_path, capsys):
    assert demo.main(["sede=1", f"paths.runs_dir={tmp_path}"]) == 2
    error = capsys.readouterr().err
    assert "Did you mean 'seed'?" in error
    assert error.count("\n") == 1
    with pytest.raises(SystemExit):
        demo.main(["--seeds", "0"])
