import warnings

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from corrlight.reporting.names import font_families, font_file, is_drawable, plain


@pytest.mark.parametrize(
    "name", ["5$ to 10$", "$$", "a_b^c", r"\frac{$x$", "$\\nothing$", "two\nlines", "\U0010fffd"]
)
def test_every_name_can_be_drawn(name):
    figure = Figure()
    FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.text(0.5, 0.5, plain(name))
        figure.canvas.draw()


def test_dollar_signs_are_letters_and_lines_one():
    assert plain("5$ and\n10$") == r"5\$ and 10\$"
    assert plain("cat") == "cat"


def test_a_glyph_that_no_font_has():
    assert not is_drawable("cat \U0010fffd")  # for private use
    assert plain("cat \U0010fffd") == "cat ?"
    assert is_drawable("Ärger, привет")


def test_the_usual_font_comes_first_and_alone_where_it_is_enough():
    assert font_families(["cat", "привет"]) == ["DejaVu Sans"]
    assert font_families(["cat \U0010fffd"]) == ["DejaVu Sans"]
    assert font_families([])[0] == "DejaVu Sans"


def test_a_file_of_a_font_has_every_letter_or_says_which_not():
    from matplotlib.font_manager import get_font

    path, text = font_file("Ärger, привет")
    assert text == "Ärger, привет"
    assert {ord(c) for c in text if c != " "} <= set(get_font(path).get_charmap())
    assert font_file("a \U0010fffd")[1] == "a ?"
