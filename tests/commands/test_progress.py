from corrlight.commands.progress import Progress


def test_lines_outside_a_terminal(capsys):
    with Progress("pictures", 3, seconds=0) as progress:
        for _ in range(3):
            progress.advance()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("1 of 3 pictures, ")
    assert lines[0].endswith(" s left")
    assert lines[2].startswith("3 of 3 pictures, ")
    assert lines[2].endswith(" a second")


def test_nothing_is_said_of_a_short_job(capsys):
    with Progress("pictures", 3) as progress:
        progress.advance()
    assert capsys.readouterr().err == ""
