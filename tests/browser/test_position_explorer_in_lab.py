"""PositionExplorer in a real JupyterLab: the numbers of Python, mouse and keyboard, extremes and hostile names."""

import harness
import numpy as np
import pytest
from harness import assert_python_hears, next_frame, numbers, show
from playwright.sync_api import expect
from test_widgets_in_lab import OVERLAPS, TOO_WIDE

from course_utils.widgets.position_explorer import rotation, similarities, sinusoidal_table, wavelengths

pytestmark = pytest.mark.browser

EXPLORER = "from course_utils.widgets import PositionExplorer\nw = PositionExplorer({})\nw"
TRAINED = "import numpy as np\nlearned = np.random.default_rng(0).normal(size=(20, 7))\n"
HOSTILE = '</script><img src=x onerror="window.hacked = 1">\u202e \x00 __proto__ ' + "long" * 2500


def explorer(page, arguments="", before=""):
    return show(page, before + EXPLORER.format(arguments))


def move(slider, value):
    """Drag a range to a value, as one input event."""
    slider.evaluate("(range, value) => { range.value = value; range.dispatchEvent(new Event('input')); }", str(value))


def assert_computes(widget):
    """The browser's table, similarities, waves and rotation are Python's, with the settings that the browser has."""
    found = numbers(widget)
    table = np.reshape(found["table"], (found["length"], found["d_model"]))
    wanted = sinusoidal_table(found["length"], found["d_model"], found["base"])
    np.testing.assert_allclose(table, wanted, atol=1e-6)
    np.testing.assert_allclose(found["similar"], similarities(wanted, found["position"]), atol=1e-6)
    np.testing.assert_allclose(found["waves"], wavelengths(found["d_model"], found["base"]), rtol=1e-6)
    matrix = rotation(found["pair"], found["shift"], found["d_model"], found["base"])
    np.testing.assert_allclose(found["matrix"], matrix, atol=1e-6)
    assert found["error"] < 1e-12
    return found


def test_the_browser_computes_what_python_computes(page):
    widget = explorer(page)
    assert_computes(widget)
    for label, value in (("length", 200), ("d_model", 256), ("base", 5), ("position p", 150), ("dimension", 201),
                         ("shift k", -17)):
        move(widget.get_by_label(label, exact=True), value)
    found = assert_computes(widget)
    assert [found[name] for name in ("base", "position", "dimension", "pair", "shift")] == [100, 150, 201, 100, -17]
    move(widget.get_by_label("length", exact=True), 20)
    found = assert_computes(widget)
    assert found["position"] == 19                     # the last there is
    assert_python_hears(page, "w.length, w.d_model, w.base, w.position, w.shift", "(20, 256, 100.0, 150, -17)")


def test_arrow_keys_choose_position_and_dimension_and_are_read_out(page):
    widget = explorer(page)
    told = widget.locator(".rta-readout")
    expect(told).to_contain_text("position 10, dimension 4 (pair 2, sine): −0.613")
    widget.locator(".rta-stage[tabindex]").focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    expect(told).to_contain_text("position 12, dimension 5 (pair 2, cosine): 0.894")
    page.keyboard.press("End")
    assert numbers(widget)["position"] == 49
    expect(told).to_contain_text("dot product with position 52: past the end")
    page.keyboard.press("Home")
    assert numbers(widget)["position"] == 0
    assert page.evaluate("document.activeElement.matches('.rta-stage')"), "the picture lost the focus"


def test_the_pointer_looks_and_a_click_chooses(page):
    widget = explorer(page, "length=10, d_model=8, position=0, dimension=0")
    stage = widget.locator(".rta-stage[tabindex]")
    box = stage.bounding_box()
    pitch = (box["width"] - 56) / 10
    place = (box["x"] + 46 + 7.5 * pitch, box["y"] + 22 + 140 * 2.5 / 8)
    page.mouse.move(*place)
    expect(widget.locator(".rta-readout")).to_contain_text("position 7, dimension 2 (pair 1, sine): 0.644")
    assert numbers(widget)["position"] == 0
    page.mouse.click(*place)
    found = numbers(widget)
    assert (found["position"], found["dimension"]) == (7, 2)
    waves = widget.locator(".rta-stage[aria-label^=Wave]").bounding_box()
    page.mouse.click(waves["x"] + waves["width"] - 20, waves["y"] + 80)
    assert numbers(widget)["dimension"] == 6           # pair 3, its sine as before


def test_the_hands_stand_where_sine_and_cosine_put_them(page):
    widget = explorer(page, "position=5, dimension=6, shift=9")
    hands = widget.locator("[data-hand]").evaluate_all("""(hands) => hands.map((hand) => {
        const ring = hand.ownerSVGElement.querySelector("circle.line");
        const read = (node) => ["cx", "cy", "r"].map((name) => Number(node.getAttribute(name)));
        const [[x, y], [cx, cy, r]] = [read(hand), read(ring)];
        return [(x - cx) / r, (cy - y) / r];
    })""")
    table = sinusoidal_table(15, 64)
    np.testing.assert_allclose(hands, [table[5, 6:8], table[14, 6:8]], atol=1e-6)


def test_a_trained_table_has_no_rotation_and_ends(page):
    widget = explorer(page, "kind='learned', learned=learned", before=TRAINED)
    table = np.random.default_rng(0).normal(size=(20, 7)).astype(np.float32)
    found = numbers(widget)
    assert (found["length"], found["d_model"]) == (20, 7)
    np.testing.assert_allclose(found["similar"], similarities(table, 10), atol=1e-6)
    expect(widget).to_contain_text("No wavelengths, no rotation. Each position has a row of its own")
    expect(widget).to_contain_text("The table ends at position 19.")
    widget.get_by_role("button", name="cosine").click()
    np.testing.assert_allclose(numbers(widget)["similar"], similarities(table, 10, cosine=True), atol=1e-6)
    widget.get_by_role("button", name="None").click()
    assert not any(numbers(widget)["table"])
    expect(widget.locator("svg").first).to_contain_text("attention cannot tell positions apart")
    widget.get_by_role("button", name="Sinusoidal").click()
    assert_computes(widget)
    assert explorer(page).get_by_role("button", name="Learned").count() == 0


@pytest.mark.parametrize("settings", [
    "length=1, d_model=2, base=2", "length=200, d_model=256, base=1e6, position=199, dimension=255, shift=50",
    "length=12, base=2, position=11, dimension=63, shift=-1", "kind='none', length=3",
    "kind='learned', learned=1e-5 * learned, position=19, shift=-4",
])
def test_extremes_are_drawn_without_one_text_over_another(page, settings):
    widget = explorer(page, settings, before=TRAINED)
    for width in (1280, 1080, 820):
        page.set_viewport_size({"width": width, "height": 1000})
        next_frame(page)
        assert widget.evaluate(OVERLAPS) == []
        assert widget.evaluate(TOO_WIDE) == []
        assert widget.locator(".rta-error").inner_text() == ""


def test_a_hostile_name_stays_text_and_fits(page):
    widget = explorer(page, f"name={HOSTILE!r}")
    assert widget.locator("img, script").count() == 0
    assert widget.evaluate("(card) => card.scrollWidth <= card.clientWidth")
    assert page.evaluate("window.hacked") is None
    harness.keep_picture(page, widget, "position-explorer-hostile")
