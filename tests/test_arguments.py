import math

import pytest

from corrlight.arguments import check_at_least, check_choice, check_number, check_share


def test_what_fits_passes():
    check_at_least(1, one=1, more=2.5)
    check_at_least(0, nothing=0)
    check_choice("x", "a", ("a", None))
    check_choice("x", None, ("a", None))
    check_share(low=0, high=1.0)
    assert check_number("x", 0) == 0.0
    assert check_number("x", 2.5, above=1.0) == 2.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: check_at_least(1, a=1, b=0), "`b` to be at least 1, but got 0."),
        (lambda: check_choice("x", "b", ("a", None)), "`x` to be one of 'a', None, but got 'b'."),
        (lambda: check_choice("x", None, ("a",)), "`x` to be one of 'a', but got None."),
        (lambda: check_choice("x", ["a"], ("a",)), r"one of 'a', but got \['a'\]."),
        (lambda: check_share(p=1.5), r"`p` to be in \[0, 1\], but got 1.5."),
        (lambda: check_share(p=math.nan), "but got nan."),
        (lambda: check_number("x", -1), "`x` to be a finite number >= 0, but got -1."),
        (lambda: check_number("x", math.inf), "but got inf."),
        (lambda: check_number("x", True), "but got True."),
        (lambda: check_number("x", "1"), "but got '1'."),
        (lambda: check_number("x", 0, above=0.0), "`x` to be a finite number > 0, but got 0."),
    ],
)
def test_what_does_not_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
