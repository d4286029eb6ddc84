"""The figures: one PNG, one style, Korean without a system font, clear errors."""

import io
import warnings

import numpy as np
import pytest
from matplotlib import image
from matplotlib.figure import Figure

from course_utils import figures


def pixels(figure):
    return image.imread(io.BytesIO(figures.png(figure)), format="png")


def test_the_same_figure_gives_the_same_bytes():
    one, two = (figures.png(figures.curves([1, 2, 3], {"a": [1, 2, 3]}, title="t")) for _ in range(2))
    assert one == two and one.startswith(b"\x89PNG")


def test_korean_is_drawn_and_not_replaced_by_boxes():
    def title(text):
        figure, axes = figures.new_figure(3, 1)
        axes.set_axis_off()
        axes.set_title(text)
        return figure

    with warnings.catch_warnings():
        warnings.simplefilter("error")                   # a missing glyph is a warning in matplotlib
        cat, dog = pixels(title("고양이")), pixels(title("강아지"))
    assert cat.shape == dog.shape and not np.array_equal(cat, dog)


def test_masked_lengths_and_shapes_are_refused_in_one_sentence():
    for shape in ((3,), (0, 2)):
        with pytest.raises(ValueError, match="needs a matrix with at least one cell"):
            figures.heatmap(np.zeros(shape))
    with pytest.raises(ValueError, match="2 values for 3 positions"):
        figures.curves([1, 2, 3], {"a": [1, 2]})
    with pytest.raises(ValueError, match="1 labels for 2 values"):
        figures.bars(["a"], [1, 2])


def test_a_heatmap_puts_large_on_dark_and_signed_around_zero():
    light, dark = figures.WEIGHTS(0.0), figures.WEIGHTS(1.0)
    assert sum(light[:3]) > 2.8 and sum(dark[:3]) < 0.8
    figure = figures.heatmap([[-1.0, 0.0], [0.0, 2.0]], rows=["a", "b"], columns=["c", "d"], signed=True, numbers=True)
    mesh = figure.axes[0].collections[0]
    assert (mesh.norm.vmin, mesh.norm.vmax) == (-2.0, 2.0)
    assert [text.get_text() for text in figure.axes[0].texts] == ["-1.00", "0.00", "0.00", "2.00"]


def test_curves_draw_the_median_every_run_and_the_range():
    figure = figures.curves([1, 2], {"a": [[0, 0], [1, 2], [5, 9]]})
    axes = figure.axes[0]
    assert list(axes.lines[-1].get_ydata()) == [1, 2] and len(axes.lines) == 4 and len(axes.collections) == 1


def test_every_run_is_a_dot_and_the_median_is_written():
    axes = figures.every_run({"one": [0.2, 0.9, 0.4], "two": [0.5]}, title="t").axes[0]
    marked = [line.get_xdata().tolist() for line in axes.lines if line.get_marker() == "o"]
    assert marked == [[0.2, 0.9, 0.4], [0.5]]
    assert [text.get_text() for text in axes.texts] == ["0.40", "0.50"]
    with pytest.raises(ValueError, match="at least one finite value"):
        figures.every_run({"one": [float("nan")]})


def test_a_figure_is_no_pyplot_figure():
    import sys

    figure, axes = figures.new_figure(columns=2)
    assert type(figure) is Figure and axes.shape == (2,)
    if "matplotlib.pyplot" in sys.modules:               # seaborn imports it
        assert sys.modules["matplotlib.pyplot"].get_fignums() == []
