from corrlight.datasets.progress import progress


def test_nothing_is_drawn_where_there_is_no_terminal(capsys):
    with progress("writing", 3) as step:
        for _ in range(3):
            step()
    assert capsys.readouterr() == ("", "")
