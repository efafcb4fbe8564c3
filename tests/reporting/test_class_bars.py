from corrlight.reporting.class_bars import class_bars_figure


def row(name, ap, beta=None, **more):
    return {"name": name, "AP": ap, "beta_cls": beta, **more}


def test_bars_are_sorted_by_the_first_measure_and_undefined_ones_are_said():
    figure = class_bars_figure(
        [row("b", 0.5, 0.1), row("a", 0.9, -0.2), row("c", None)], ("AP", "beta_cls")
    )
    ap, beta = figure.axes
    assert [label.get_text() for label in ap.get_yticklabels()] == ["c", "b", "a"]
    assert [bar.get_width() for bar in ap.patches] == [0, 0.5, 0.9]
    assert [bar.get_width() for bar in beta.patches] == [0, 0.1, -0.2]
    assert [text.get_text().strip() for text in beta.texts] == ["undefined"]


def test_measures_that_no_class_defines_are_left_out():
    assert len(class_bars_figure([row("a", 0.9)], ("AP", "beta_cls")).axes) == 1
    assert class_bars_figure([row("a", None)], ("AP", "beta_cls")) is None
    assert class_bars_figure([], ("AP",)) is None


def test_many_classes_are_cut_to_the_largest():
    rows = [row(f"class {k}", 0.5, num_objects=k) for k in range(200)]
    figure = class_bars_figure(rows, ("AP",))
    names = {label.get_text() for label in figure.axes[0].get_yticklabels()}
    assert len(names) == 80
    assert "class 199" in names
    assert "class 0" not in names
