"""A table from nothing to Markdown, and what it says about wrong input."""

import csv
import json

import pytest

from experiments import table_3_1, table_5_4, table_5_5
from experiments.harness.command import main
from experiments.table_5_5 import read_server_result
from tests.experiments.tiny import TINY


@pytest.fixture
def options(tmp_path):
    return [
        *TINY,
        f"paths.runs_dir={tmp_path / 'runs'}",
        f"paths.data_dir={tmp_path / 'data'}",
        "--out",
        str(tmp_path / "out"),
    ]


@pytest.mark.slow
def test_a_whole_table_runs_what_is_missing_once(options, tmp_path, capfd):
    """Trainings and their tests; the same command again starts nothing."""
    table = table_3_1.TABLE
    options = ["--toy", "--rows", "atss-none,atss-alrp-none,atss-rs-none", *options]
    assert main(table, ["--format", "md,csv,latex,html", *options]) == 0
    first = capfd.readouterr().out
    results = [*(tmp_path / "runs").glob("*/*/metrics.json")]
    results += (tmp_path / "runs").glob("*/*/test/metrics.json")
    made = {path: path.stat().st_mtime_ns for path in results}
    assert len(made) == 6
    with (tmp_path / "out" / "table_3_1.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 3
    for line in lines:
        lower, ap, upper = (float(line[name]) for name in ("AP_lower_img", "AP", "AP_upper_img"))
        assert 0 <= lower <= upper <= 100
        assert 0 <= ap <= 100
    assert any(float(line["AP50_upper_img"]) > 0 for line in lines)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {f"table_3_1.{end}" for end in ("md", "csv", "tex", "html", "png")}
    assert main(table, options) == 0
    again = capfd.readouterr().out
    assert "jobs" not in again  # No sweep was started,
    assert "tests;" not in again  # and no test.
    assert again in first
    assert {path: path.stat().st_mtime_ns for path in made} == made


def test_a_dry_run_prints_commands_and_cost_and_makes_nothing(options, tmp_path, capsys):
    assert main(table_5_4.TABLE, ["--toy", "--dry-run", "--rows", "atss-rs-none", *options]) == 0
    out = capsys.readouterr().out
    assert "python run.py detector=atss_small" in out
    assert "loss=rank_sort" in out
    assert "1 to run" in out
    assert "minutes" in out
    assert not list(tmp_path.iterdir())


def test_collecting_without_runs_prints_dashes(options, capsys):
    arguments = ["--toy", "--collect", "--rows", "atss-none,atss-concordance", *options]
    assert main(table_5_4.TABLE, arguments) == 0
    line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("| ATSS + "))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[2:4] == ["-", "39.8"]
    assert cells[-1] == "not run"


def test_collecting_says_that_data_are_missing(options, capsys):
    arguments = ["--collect", "--rows", "atss-none", "--out", options[-1], options[-4]]
    assert main(table_5_4.TABLE, [*arguments, "data.root=/nowhere"]) == 0
    note = capsys.readouterr().err.splitlines()[-1]
    assert note.startswith("note: ")
    assert "/nowhere" in note


def test_a_row_without_its_baseline_has_no_gain(options, capsys):
    arguments = ["--toy", "--collect", "--rows", "atss-concordance", *options]
    assert main(table_5_4.TABLE, arguments) == 0
    assert "| ATSS + Concordance" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows", "atss-concordnce"], "Did you mean 'atss-concordance'?"),
        (["--seeds", "0"], "Expected `--seeds`"),
        (["--format", "pdf"], "Expected `--format`"),
        (["--rows", "atss-none", "sede=1"], "Did you mean 'seed'?"),
        (["--rows", "atss-none", "--", "data.root=/nowhere"], "atss-none cannot run"),
    ],
)
def test_wrong_input_is_one_line(arguments, message, capsys, tmp_path):
    arguments = [*arguments, f"paths.runs_dir={tmp_path / 'runs'}"]
    assert main(table_5_4.TABLE, arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
    assert not list(tmp_path.iterdir())


SERVER_ROW = "sparse_rcnn_r101_dcn-spearman"
SUMMARY = """
 Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=100 ] = 0.496
 Average Precision  (AP) @[ IoU=0.50      | area=   all | maxDets=100 ] = 0.678
 Average Precision  (AP) @[ IoU=0.75      | area=   all | maxDets=100 ] = 0.541
 Average Precision  (AP) @[ IoU=0.50:0.95 | area= small | maxDets=100 ] = 0.292
 Average Precision  (AP) @[ IoU=0.50:0.95 | area=medium | maxDets=100 ] = 0.523
 Average Precision  (AP) @[ IoU=0.50:0.95 | area= large | maxDets=100 ] = 0.649
 Average Recall     (AR) @[ IoU=0.50:0.95 | area=   all | maxDets=  1 ] = 0.381
"""
WANTED = {"AP": 0.496, "AP50": 0.678, "AP75": 0.541, "AP_small": 0.292, "AP_medium": 0.523,
          "AP_large": 0.649}  # fmt: skip
SERVER = {"AP": 0.496, "AP_50": 0.678, "AP_75": 0.541, "AP_small": 0.292, "AP_medium": 0.523,
          "AP_large": 0.649, "AR_1": 0.381}  # fmt: skip


def test_server_results_in_every_form(tmp_path):
    for text in (SUMMARY, json.dumps(SERVER), "\n".join(f"{k}: {v}" for k, v in SERVER.items())):
        (tmp_path / "server.txt").write_text(text)
        assert read_server_result(tmp_path / "server.txt") == WANTED


def test_a_server_result_is_in_its_row(tmp_path, capsys):
    file = tmp_path / "server.txt"
    file.write_text(SUMMARY)
    arguments = ["--collect", "--rows", f"{SERVER_ROW},{SERVER_ROW}_rank"]
    arguments += ["--server-result", f"{SERVER_ROW}={file}", "--out", str(tmp_path / "out")]
    assert main(table_5_5.TABLE, arguments) == 0
    lines = [x for x in capsys.readouterr().out.splitlines() if x.startswith("| ours")]
    with_result = [line for line in lines if "no server result" not in line]
    assert len(lines) == 2
    assert len(with_result) == 1
    assert "49.6" in with_result[0]
    # AP on val2017 is another column, and stays a dash.
    cells = [cell.strip() for cell in with_result[0].strip("|").split("|")]
    assert cells[10] == "-"


def test_toy_rows_of_table_5_5_claim_neither_val2017_nor_its_epochs(options, capsys):
    assert main(table_5_5.TABLE, ["--toy", "--collect", *options]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert "val2017 AP" not in printed[2]
    ours = [line.strip("|").split("|") for line in printed if line.startswith("| ours")]
    assert [cells[3].strip() for cells in ours] == ["-"] * len(table_5_5.TABLE.rows)
    notes = [line for line in printed if line.startswith("- ")]
    assert len(notes) == len(set(notes))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["x.json"], "ROW=FILE with one of the rows sparse_rcnn_r101_dcn-spearman, "),
        (["sparse_rcnn_r101=x"], "Did you mean 'sparse_rcnn_r101_dcn"),
        (["x.json", "--rows", f"{SERVER_ROW},{SERVER_ROW}_rank"], f"{SERVER_ROW}_rank, but got"),
    ],
)
def test_wrong_server_results_are_one_line(given, message, capsys):
    assert main(table_5_5.TABLE, ["--collect", "--server-result", *given]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_server_result_alone_is_that_of_the_one_selected_row(tmp_path, capsys):
    file = tmp_path / "server.json"
    file.write_text(json.dumps(SERVER))
    arguments = ["--rows", SERVER_ROW, "--collect", "--out", str(tmp_path / "out")]
    assert main(table_5_5.TABLE, [*arguments, "--server-result", str(file)]) == 0
    (line,) = (x for x in capsys.readouterr().out.splitlines() if x.startswith("| ours"))
    assert " 49.6 " in line
    twice = ["--server-result", str(file), "--server-result", f"{SERVER_ROW}={file}"]
    assert main(table_5_5.TABLE, [*arguments, *twice]) == 2
    assert f"but got two of {SERVER_ROW}." in capsys.readouterr().err


def test_incomplete_server_results_are_refused(tmp_path):
    file = tmp_path / "server.json"
    file.write_text('{"AP": 0.5}')
    with pytest.raises(ValueError, match="AP50"):
        read_server_result(file)
    file.write_text(json.dumps({**SERVER, "AP": 49.6}))
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        read_server_result(file)
