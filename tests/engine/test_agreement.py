import pytest

from corrlight.engine.agreement import RankMismatchError, check_agreement


def test_equal_records_agree():
    check_agreement([{"seed": "0"}, {"seed": "0"}])


def test_the_message_names_the_rank_and_the_options():
    records = [{"seed": "0", "lr": "1"}, {"seed": "0", "lr": "1"}, {"seed": "1", "x": "2"}]
    with pytest.raises(
        RankMismatchError,
        match=r"rank 2 differs from rank 0 in lr \(1, None\), seed \(0, 1\), x \(None, 2\)\.",
    ):
        check_agreement(records)
