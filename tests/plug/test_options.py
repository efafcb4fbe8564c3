"""Options that only some detectors have."""

import pytest

from corrlight.plug.options import Options


@pytest.mark.parametrize(
    ("option", "value"),
    [("layers", "first"), ("group_queries", "last"), ("scores", "quality"), ("denoising", 1)],
)
def test_values_are_checked(option, value):
    with pytest.raises(ValueError, match=rf"^Expected `{option}` to be .*{value!r}"):
        Options(**{option: value})


def test_what_means_nothing_is_refused():
    options = Options(layers="last", denoising=False)
    options.check("A", layers=True, denoising=True)
    with pytest.raises(ValueError, match=r"^Expected no `denoising` for B, .* but got False\.$"):
        options.check("B", layers=True, denoising=False)
    with pytest.raises(ValueError, match=r"^Expected no `layers` for C"):
        options.check("C")
    Options().check("D")  # nothing was said
