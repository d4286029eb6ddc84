"""SoftmaxScale in a real JupyterLab: the numbers of Python, mouse and keyboard, hostile names."""

import harness
import numpy as np
import pytest
from harness import assert_python_hears, in_kernel, next_frame, numbers, show
from playwright.sync_api import expect

from course_utils.widgets import SoftmaxScale
from course_utils.widgets.softmax_scale import median_slopes, softmax_row

pytestmark = pytest.mark.browser

SCALE = "from course_utils.widgets import SoftmaxScale\nw = SoftmaxScale({})\nw"
HOSTILE = ["</script><script>window.hacked = 1</script>", '"><img src=x onerror="window.hacked = 1">',
           "\u202eabc\u200f", "nul\x00nul", "\U0001f600\U0001f469\u200d\U0001f4bb",
           "long" * 2500, "__proto__", "$x^2$ <b>bold</b>"]


def assert_computes(widget, like):
    """The browser's row and medians are Python's, with the settings that the browser has now."""
    found = numbers(widget)
    setting = {name: found[name] for name in ("d_k", "temperature", "scaled")}
    wanted = softmax_row(like.draws[found["draw"]], **setting)
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6, atol=1e-300, err_msg=name)
    medians = median_slopes(like.noise, like.lengths, found["temperature"])
    np.testing.assert_allclose(found["medians"], medians, rtol=1e-6)
    return found


def press(slider, page, key, times=1):
    slider.focus()
    for _ in range(times):
        page.keyboard.press(key)


def test_the_browser_computes_what_python_computes(page):
    widget, like = show(page, SCALE.format("d_k=16, seed=2")), SoftmaxScale(d_k=16, seed=2)
    assert_computes(widget, like)
    press(widget.get_by_label("head size d_k"), page, "ArrowRight", 4)
    press(widget.get_by_label("temperature"), page, "ArrowLeft", 7)
    widget.get_by_role("button", name="not divided").click()
    widget.get_by_role("button", name="New draw").click()
    found = assert_computes(widget, like)
    assert [found[name] for name in ("d_k", "temperature", "scaled", "draw")] == [256, 0.45, False, 1]
    press(widget.get_by_label("head size d_k"), page, "End")
    press(widget.get_by_label("temperature"), page, "Home")
    found = assert_computes(widget, like)
    assert (found["d_k"], found["temperature"]) == (1024, 0.1)
    assert_python_hears(page, "w.d_k, w.temperature, w.scaled, w.draw", "(1024, 0.1, False, 1)")


def test_bars_lie_on_the_side_of_their_sign_and_are_as_long_as_their_scores(page):
    widget = show(page, SCALE.format("[8.0, -4.0, 0.0], d_k=16, tokens=['a', 'b', 'c']"))
    tracks = widget.locator(".rta-scale-row [role=cell]:nth-child(2)").evaluate_all("""(cells) => cells.map((cell) => {
        const parts = [".rta-scale-track", ".rta-scale-bar"].map((name) => cell.querySelector(name));
        const [track, bar] = parts.map((part) => part.getBoundingClientRect());
        if (parts[1].hidden) return [0, 0];
        const middle = track.left + track.width / 2;
        return [(bar.left - middle) / track.width, (bar.right - middle) / track.width];
    })""")
    np.testing.assert_allclose(tracks, [[0, 0.5], [-0.25, 0], [0, 0]], atol=0.02)
    rows = widget.locator(".rta-scale-row").all_inner_texts()
    assert rows[1].split() == ["a", "8.00", "2.00", "0.844"]


def test_it_says_that_the_division_lowers_the_slope_of_a_small_head(page):
    widget = show(page, SCALE.format("d_k=4"))
    told = widget.locator(".rta-readout")
    expect(told).to_contain_text("d_k = 4: each score is divided by √4")
    expect(told).to_contain_text("the division lowers the slope, to about 0.5 of it")
    press(widget.get_by_label("head size d_k"), page, "End")
    expect(told).to_contain_text("the division makes the slope about 3000 times as large")


def test_python_moves_the_picture(page):
    widget = show(page, SCALE.format("d_k=64"))
    in_kernel(page, "w.d_k = 4; w.scaled = False")
    expect(widget.locator(".rta-readout")).to_contain_text("d_k = 4: the scores are not divided")
    assert widget.get_by_label("head size d_k").input_value() == "2"


def test_hostile_names_stay_text_and_fit(page):
    widget = show(page, SCALE.format(f"tokens={HOSTILE!r}"))
    page.set_viewport_size({"width": 820, "height": 1000})
    next_frame(page)
    assert widget.locator("img, script").count() == 0
    assert widget.evaluate("(card) => card.scrollWidth <= card.clientWidth")
    assert page.evaluate("window.hacked") is None
    assert "__proto__" in widget.inner_text()
    harness.keep_picture(page, widget, "softmax-scale-hostile")
