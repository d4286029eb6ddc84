"""MaskBuilder in a real JupyterLab: the numbers and code of Python, painting by mouse and keyboard, hostile tokens."""

import harness
import numpy as np
import pytest
from harness import assert_python_hears, in_kernel, keep_picture, numbers, show
from playwright.sync_api import expect
from test_widgets_in_lab import HOSTILE, OVERLAPS, TOO_WIDE

from course_utils.widgets import MaskBuilder
from course_utils.widgets.mask_builder import FORMS, PRESETS, bigbird_cells, weights_before_and_after

pytestmark = pytest.mark.browser

KOREAN = "['<sos>', '나', '+는', '학생', '+이다'], ['I', 'am', 'a', 'student', 'in', 'the', 'park']"


def builder(page, arguments=""):
    return show(page, f"from course_utils.widgets import MaskBuilder\nw = MaskBuilder({arguments})\nw")


def grid(widget):
    return widget.locator(".rta-mask-editor .rta-stage")


def cell(widget, row, column):
    """The middle of a cell of the large grid, in pixels from its top left corner."""
    return widget.evaluate("(card, [row, column]) => { const { x, y, wide, high } = card.numbers().place;"
                           " return { x: x + (column + 0.5) * wide, y: y + (row + 0.5) * high }; }", [row, column])


def move(slider, value):
    """Drag a range to a value, as one input event."""
    slider.evaluate("(range, value) => { range.value = value; range.dispatchEvent(new Event('input')); }", str(value))


def assert_same(found, python):
    """Mask, weights and code in the browser are Python's."""
    before, after = weights_before_and_after(python.scores, python.mask)
    np.testing.assert_array_equal(found["mask"], python.mask)
    np.testing.assert_allclose(found["before"], before, atol=1e-12)
    np.testing.assert_allclose(found["after"], after, atol=1e-12)
    np.testing.assert_array_equal(found["masked"], np.where(python.mask, python.scores, -np.inf))
    assert found["empty"] == np.flatnonzero(~python.mask.any(axis=1)).tolist()
    assert (found["code"], found["shape"]) == (python.code, python.shape)


def assert_python_has(page, widget):
    """What was painted reaches Python."""
    assert_python_hears(page, "w.mask.astype(int).tolist()", str(numbers(widget)["mask"]))


# ---- the same as in Python -------------------------------------------------------------------------------------------


def test_every_preset_and_combination_is_pythons(page):
    """All pairs, both combinations, a batch, and both forms of the code; the browser is told by Python."""
    widget = builder(page, "5, 7, lengths=[3, 6], mask=[[(i * j) % 3 != 1 for j in range(7)] for i in range(5)]")
    python = MaskBuilder(5, 7, lengths=[3, 6], mask=[[(i * j) % 3 != 1 for j in range(7)] for i in range(5)],
                         presets=[name for name in PRESETS if name != "bigbird"])
    in_kernel(page, "w.offers = ['all', 'causal', 'padding', 'window', 'cross', 'own']")
    names = python.offers
    cases = [(one, other, combine) for one in names for other in (*names, "none") for combine in ("and", "or")]
    states = [{"first": one, "second": other, "combine": combine, "window": index % 3, "sequence": index % 2,
               "form": FORMS[index % 4 // 2]} for index, (one, other, combine) in enumerate(cases)]
    script = "(card, states) => states.map((state) => { card.choose(state); return card.numbers(); })"
    for state, found in zip(states, widget.evaluate(script, states), strict=True):
        for name, value in state.items():
            setattr(python, name, value)
        assert_same(found, python)
    assert widget.get_by_label("The mask as code").input_value() == python.code


def test_bigbird_draws_the_keys_that_python_draws(page):
    widget = builder(page, "16, preset='bigbird'")
    python = MaskBuilder(16, preset="bigbird")
    cases = [("bigbird", "none", "and"), ("bigbird", "causal", "and"), ("padding", "bigbird", "or"),
             ("own", "bigbird", "and"), ("bigbird", "bigbird", "or")]
    states = [{"first": one, "second": other, "combine": combine, "window": draw % 4, "n_global": draw % 3,
               "n_random": draw % 5 + 1, "draw": draw, "form": FORMS[draw % 2]}
              for (one, other, combine), draw in zip(cases, (0, 1, 9, 998, 999), strict=True)]
    script = "(card, states) => states.map((state) => { card.choose(state); return card.numbers(); })"
    for state, found in zip(states, widget.evaluate(script, states), strict=True):
        for name, value in state.items():
            setattr(python, name, value)
        assert_same(found, python)
        assert found["settings"]["randomKeys"] == python.random_keys
    assert_python_hears(page, "w.code", repr(python.code))


def test_bigbird_counts_its_cells_and_draws_again(page):
    widget = builder(page, "12, preset='bigbird', n_global=2")
    growth = widget.locator(".rta-mask-growth")
    cells = bigbird_cells(4096, 1, 2, 1)
    expect(growth).to_contain_text(f"82 of 144 cells (57 %). With the same settings at T = 4,096: 0.2 %, {cells:,} of")
    expect(growth).to_contain_text("Twice as long: 2.0 times the cells")
    assert widget.locator("circle.random").count() == 10
    first = numbers(widget)["settings"]["randomKeys"]
    widget.get_by_role("button", name="Draw again").click()
    assert numbers(widget)["settings"]["randomKeys"] != first
    for name, value in (("global", 0), ("random", 2), ("reach", 0)):
        move(widget.get_by_label(name, exact=True), value)
    assert numbers(widget)["code"] == MaskBuilder(12, preset="bigbird", window=0, n_global=0, n_random=2, draw=1).code
    expect(growth).to_contain_text("36 of 144 cells (25 %)")
    assert_python_hears(page, "w.draw, w.n_global, w.n_random, w.window", "(1, 0, 2, 0)")
    widget.get_by_label("First mask, A").select_option("causal")
    expect(growth).to_be_hidden()
    expect(widget.get_by_role("button", name="Draw again")).to_be_hidden()


def test_queries_without_a_key_are_flagged_and_explained(page):
    widget = builder(page, "preset=('causal', 'padding'), lengths=2")
    assert widget.locator(".of-empty").count() == 0
    move(widget.get_by_label("real keys"), 0)
    assert numbers(widget)["empty"] == [0, 1, 2, 3, 4, 5]
    assert np.all(np.array(numbers(widget)["after"]) == 0)
    expect(widget.locator(".rta-mask-alert")).to_contain_text("6 queries may attend to nothing. Softmax of a row of −∞")
    expect(widget.locator(".rta-mask-alert")).to_contain_text("nn.MultiheadAttention gives NaN")
    assert widget.locator(".rta-mask-editor text.empty").all_text_contents() == ["! [PAD]"] * 6
    keep_picture(page, widget, "mask-builder-empty")


def test_or_is_said_to_let_the_future_and_padding_through(page):
    widget = builder(page, "preset=('causal', 'padding'), lengths=[4, 6]")
    expect(widget.locator(".rta-mask-told")).to_contain_text("AND is usually wanted")
    widget.get_by_role("button", name="OR", exact=True).click()
    expect(widget.locator(".rta-mask-told")).to_contain_text("6 cells of the future and 3 cells of padding")
    widget.get_by_label("Sequence of the batch").select_option("1")
    expect(widget.locator(".rta-mask-told")).to_contain_text("here 15 cells of the future.")


# ---- painting --------------------------------------------------------------------------------------------------------


def test_a_drag_paints_the_value_of_its_first_cell(page):
    widget = builder(page)
    wanted = np.tril(np.ones((6, 6), dtype=int))
    wanted[1, 2:6] = 1                                       # begins on a forbidden cell, so it allows
    box = grid(widget).bounding_box()
    places = [cell(widget, 1, column) for column in (2, 5)]
    page.mouse.move(box["x"] + places[0]["x"], box["y"] + places[0]["y"])
    page.mouse.down()
    page.mouse.move(box["x"] + places[1]["x"], box["y"] + places[1]["y"])        # a fast hand: one event
    page.mouse.up()
    np.testing.assert_array_equal(numbers(widget)["mask"], wanted)
    grid(widget).click(position=cell(widget, 5, 0))
    wanted[5, 0] = 0
    np.testing.assert_array_equal(numbers(widget)["mask"], wanted)
    assert numbers(widget)["layers"] == ["own"]
    assert_python_has(page, widget)
    widget.get_by_label("First mask, A").select_option("causal")
    assert numbers(widget)["code"] == "causal_mask(6)"
    widget.get_by_label("First mask, A").select_option("own")          # the drawing is still there
    np.testing.assert_array_equal(numbers(widget)["mask"], wanted)


def test_everything_can_be_painted_with_the_keyboard(page):
    widget = builder(page, "4, preset=('causal', 'padding'), lengths=4")
    grid(widget).focus()
    for key in ("Home", "ArrowUp", "ArrowUp", "ArrowRight", "Space", "Shift+ArrowRight", "Shift+ArrowDown", "Enter"):
        page.keyboard.press(key)
    wanted = np.tril(np.ones((4, 4), dtype=int))
    wanted[0, 1:3] = 1                                       # row 1, column 2 was painted on, and taken back by Enter
    np.testing.assert_array_equal(numbers(widget)["mask"], wanted)
    assert (numbers(widget)["row"], numbers(widget)["column"]) == (1, 2)
    expect(widget.locator(".rta-readout")).to_contain_text("2 → 3: masked")
    assert widget.locator(".rta-stage[tabindex='0']").count() == 1
    assert_python_has(page, widget)


def test_hovering_shows_both_rows_of_a_query(page):
    widget = builder(page, "preset=('causal', 'padding')")
    grid(widget).hover(position=cell(widget, 4, 1))
    found = numbers(widget)
    assert (found["row"], found["column"]) == (4, 1)
    texts = widget.locator(".rta-mask-numbers text.number").all_text_contents()
    for part in ("before", "after"):
        shown = [f"{value:.2f}" if part == "before" or value else "0" for value in found[part][4]]
        assert any(texts[start:start + 6] == shown for start in range(len(texts))), part
    assert texts.count("−∞") == 2 and texts.count("Σ 1.00") == 2


# ---- code ------------------------------------------------------------------------------------------------------------


def test_code_can_be_copied_and_is_selected_where_copying_is_refused(page):
    widget = builder(page, "preset=('causal', 'padding'), lengths=[4, 2]")
    code = "combine_masks(causal_mask(6), padding_mask([4, 2], 6))"
    page.evaluate("""() => {
        window.copied = [];
        const writeText = (text) => { window.copied.push(text); return Promise.resolve(); };
        Object.defineProperty(navigator, "clipboard", { configurable: true, value: { writeText } });
    }""")
    widget.get_by_role("button", name="Copy").click()
    expect(widget.locator(".rta-readout")).to_have_text("The code is in the clipboard.")
    assert page.evaluate("window.copied") == [code]
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('refused')); }")
    widget.get_by_role("button", name="Copy").click()
    expect(widget.locator(".rta-readout")).to_contain_text("The code is selected")
    assert page.evaluate("() => { const field = document.activeElement;"
                         " return field.value.slice(field.selectionStart, field.selectionEnd); }") == code
    widget.get_by_role("button", name="True = NOT allowed").click()
    assert widget.get_by_label("The mask as code").input_value() == (
        "attn_mask = ~causal_mask(6)\nkey_padding_mask = ~padding_mask([4, 2], 6)[:, 0, 0]")
    expect(widget.locator(".rta-mask-code")).to_contain_text("nn.MultiheadAttention")


# ---- looks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "arguments"), [
    ("cross", f"{KOREAN}, preset='cross', lengths=6"), ("one", "1"),
    ("large", "24, preset=('bigbird', 'causal'), window=2, n_random=3"),
    ("hostile", f"{HOSTILE!r}, preset=('causal', 'padding')"),
])
def test_other_sizes_and_tokens_fit_light_and_dark(page, name, arguments):
    widget = builder(page, arguments)
    for dark in (False, True):
        harness.choose_theme(page, dark)
        assert widget.evaluate(TOO_WIDE) == []
        if name == "one":                                    # turned labels overlap by their boxes, not by their ink
            assert widget.evaluate(OVERLAPS) == []
        keep_picture(page, widget, f"mask-builder-{name}-{'dark' if dark else 'light'}")
    harness.choose_theme(page, dark=False)
    assert widget.locator("img, script, iframe").count() == 0
    assert page.evaluate("window.hacked") is None
    assert page.errors == []
