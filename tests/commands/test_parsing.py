import errno
import os
import signal

import pytest

from corrlight.commands.parsing import Parser, guarded


def raising(error):
    def command(options):
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ValueError("one\nline"), 2, "error: one line"),
        (PermissionError(13, "Permission denied", "out"), 2, "Permission denied"),
        (OSError(errno.ENOSPC, "No space", "out"), 2, "No space: 'out'. Make room there, or"),
        (OSError(errno.EDQUOT, "Quota exceeded"), 2, "Quota exceeded. Make room there, or"),
        (OSError("no network"), 2, "error: no network"),
        (KeyboardInterrupt(), 130, "nothing was written"),
    ],
)
def test_errors_are_one_line_and_a_code(error, code, said, capsys):
    assert guarded(Parser(prog="x").parse_args, [], raising(error)) == code
    text = capsys.readouterr().err
    assert said in text
    assert text.count("\n") == 1


def test_sigterm_unwinds_and_the_handler_is_that_of_before(capsys):
    unwound = []

    def command(options):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            unwound.append(True)

    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert guarded(Parser(prog="x").parse_args, [], command) == 143
    assert unwound
    assert capsys.readouterr().err == "Stopped; nothing was written.\n"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_the_command_says_the_code_and_wrong_options_are_2(capsys):
    assert guarded(Parser(prog="x").parse_args, [], lambda options: 1) == 1
    assert guarded(Parser(prog="x").parse_args, ["--what"], lambda options: 1) == 2
    assert "x --help" in capsys.readouterr().err


def test_other_errors_are_faults_of_ours():
    with pytest.raises(ZeroDivisionError):
        guarded(Parser(prog="x").parse_args, [], lambda options: 1 // 0)


@pytest.mark.parametrize(("may_leave", "code"), [(True, 0), (False, 2)])
def test_a_reader_who_leaves_ends_a_summary_and_is_an_error_elsewhere(
    may_leave, code, capsys, monkeypatch
):
    redirected = []
    monkeypatch.setattr("os.dup2", lambda *files: redirected.append(files))
    monkeypatch.setattr("sys.stdout.fileno", lambda: 1, raising=False)
    command = raising(BrokenPipeError(32, "Broken pipe"))
    parse = Parser(prog="x").parse_args
    assert guarded(parse, [], command, reader_may_leave=may_leave) == code
    assert bool(redirected) == may_leave
    assert ("Broken pipe" in capsys.readouterr().err) == (not may_leave)
