import pytest

from corrlight.datasets.parsing import Parser, guarded


def raising(error):
    def command(options):
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ValueError("one\nline"), 2, "error: one line"),
        (PermissionError(13, "Permission denied", "out"), 2, "Permission denied"),
        (KeyboardInterrupt(), 130, "nothing was written"),
    ],
)
def test_errors_are_one_line_and_a_code(error, code, said, capsys):
    assert guarded(Parser(prog="x"), [], raising(error)) == code
    text = capsys.readouterr().err
    assert said in text
    assert text.count("\n") == 1


def test_the_command_says_the_code_and_wrong_options_are_2(capsys):
    assert guarded(Parser(prog="x"), [], lambda options: 1) == 1
    assert guarded(Parser(prog="x"), ["--what"], lambda options: 1) == 2
    assert "x --help" in capsys.readouterr().err


def test_other_errors_are_faults_of_ours():
    with pytest.raises(ZeroDivisionError):
        guarded(Parser(prog="x"), [], lambda options: 1 // 0)
