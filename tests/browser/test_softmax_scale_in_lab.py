"""SoftmaxScale in a real JupyterLab: the numbers of Python, mouse and keyboard, hostile names."""

import harness
import numpy as np
import pytest
from harness import assert_python_hears, in_kernel, next_frame, numbers, show
from playwright.sync_api import expect

from course_utils.widgets import SoftmaxScale
from course_utils.widgets.softmax_scale import median_slopes, over_temperatures, soft_targets, softmax_row

pytestmark = pytest.mark.browser

SCALE = "from course_utils.widgets import SoftmaxScale\nw = SoftmaxScale({})\nw"
HOSTILE = ["</script><script>window.hacked = 1</script>", '"><img src=x onerror="window.hacked = 1">',
           "\u202eabc\u200f", "nul\x00nul", "\U0001f600\U0001f469\u200d\U0001f4bb",
           "long" * 2500, "__proto__", "$x^2$ <b>bold</b>"]
TEACHER, STUDENT = [9.1, 0.3, 3.9, 5.2, -1.5], [3.0, 1.2, 0.4, 1.9, -0.3]


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


@pytest.mark.parametrize("student", [None, STUDENT])
def test_soft_targets_are_those_of_python_at_every_temperature(page, student):
    widget = show(page, SCALE.format(f"logits={TEACHER}, student={student}, tokens=list('abcde')"))
    for key, temperature in ((None, 4.0), ("End", 20.0), ("Home", 1.0), ("ArrowRight", 1.1)):
        if key:
            press(widget.get_by_label("temperature T"), page, key)
        found = numbers(widget)
        assert found["temperature"] == temperature
        for name, value in soft_targets(TEACHER, temperature, student).items():
            np.testing.assert_allclose(found[name], value, rtol=1e-9, err_msg=name)
        np.testing.assert_allclose(found["lines"], over_temperatures(TEACHER, student), rtol=1e-9)
    assert_python_hears(page, "w.temperature", "1.1")
    assert widget.get_by_label("head size d_k").count() == 0
    assert ("gradient × T²" in widget.inner_text()) == (student is not None)


def test_soft_targets_are_told_and_stand_where_their_powers_of_ten_are(page):
    widget = show(page, SCALE.format(f"logits={TEACHER}, student={STUDENT}, tokens=list('abcde')"))
    told = widget.locator(".rta-readout")
    expect(told).to_contain_text("T = 4: the other classes together have 0.454 of the probability, 0.025 at T = 1.")
    expect(told).to_contain_text("d is 3.7 times as likely as c at T = 1, here 1.4 times. At twice this temperature")
    assert widget.locator(".rta-scale-row").nth(5).inner_text().split() == ["e", "2×10⁻⁵", "0.039", "0.131", "0.37"]
    places = widget.locator(".rta-scale-row").nth(5).evaluate("""(row) => {
        const track = row.querySelector(".rta-scale-track").getBoundingClientRect();
        return ["hard", "now", "student"].map((kind) => {
            const mark = row.querySelector(`.rta-soft-${kind}`).getBoundingClientRect();
            return (mark.left + mark.width / 2 - track.left) / track.width;
        });
    }""")
    row = soft_targets(TEACHER, 4.0, STUDENT)
    wanted = [1 + np.log10(row[name][4]) / 5 for name in ("hard", "soft", "student")]
    np.testing.assert_allclose(places, wanted, atol=0.02)
    in_kernel(page, "w.temperature = 20.0")
    expect(told).to_contain_text("T = 20:")
    widget = show(page, SCALE.format("logits=[2000.0, 0.0, 1.0], student=[2000.0, 0.0, 1.0]"))
    told = widget.locator(".rta-readout")
    expect(told).to_contain_text("have 2×10⁻²¹⁷ of the probability, 0 at T = 1.")
    expect(told).to_contain_text("class 2 is 2.7 times as likely as class 1 at T = 1, here 1.3 times.")


def test_many_classes_get_one_row_for_all_but_the_likeliest(page):
    widget = show(page, "import numpy as np\nfrom course_utils.widgets import SoftmaxScale\n"
                        "SoftmaxScale(logits=np.random.default_rng(0).normal(size=3000) * 3)")
    rows = widget.locator(".rta-scale-row[role=row]").all_inner_texts()
    found = numbers(widget)
    assert len(rows) == 12 and rows[-1].startswith("2,990 others")
    listed = sum(found["soft"][place] for place in found["listed"])
    assert rows[-1].split()[-1] == f"{1 - listed:.3f}"


@pytest.mark.parametrize(("name", "arguments"), [
    ("row", ""), ("soft", "logits=[float(i) for i in range(8)], student=[0.0] * 8, "),
])
def test_hostile_names_stay_text_and_fit(page, name, arguments):
    widget = show(page, SCALE.format(f"{arguments}tokens={HOSTILE!r}"))
    page.set_viewport_size({"width": 820, "height": 1000})
    next_frame(page)
    assert widget.locator("img, script").count() == 0
    assert widget.evaluate("(card) => card.scrollWidth <= card.clientWidth")
    assert page.evaluate("window.hacked") is None
    assert "__proto__" in widget.inner_text()
    harness.keep_picture(page, widget, f"softmax-scale-hostile-{name}")
