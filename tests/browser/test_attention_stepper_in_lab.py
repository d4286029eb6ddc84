"""AttentionStepper in a real JupyterLab: the numbers of Python, editing, mouse and keyboard, matrices, empty rows."""

import harness
import numpy as np
import pytest
from harness import assert_python_hears, in_kernel, keep_picture, next_frame, numbers, show
from playwright.sync_api import expect

from course_utils.widgets import AttentionStepper, attention_steps

pytestmark = pytest.mark.browser

STEPPER = "from course_utils.widgets import AttentionStepper\nw = AttentionStepper({})\nw"
PARTS = ("score", "scaled", "masked", "weights", "output")
BIG = """import numpy as np
draw = np.random.default_rng(0)
query, keys, values = (draw.normal(size=(10, 6)).round(2) * 9 for _ in range(3))
"""


def stepper(page, arguments="", before=""):
    return show(page, before + STEPPER.format(arguments))


def press(widget, name):
    widget.get_by_role("button", name=name, exact=True).click()


def go_to(widget, step):
    widget.get_by_role("group", name="The five steps").get_by_role("button").nth(step - 1).click()


def edit(page, widget, part, row, number, text):
    """Click a number, type another one and press Enter."""
    widget.locator(f"[data-part='{part}'][data-row='{row}'][data-number='{number}']").click()
    page.keyboard.type(text)
    page.keyboard.press("Enter")
    next_frame(page)


def assert_computes(widget, wanted):
    """The browser's numbers are Python's, for every query. wanted: what `attention_steps` gave."""
    found = numbers(widget)
    for part in PARTS:
        values = np.array([[-np.inf if value is None else value for value in row] for row in found[part]])
        np.testing.assert_allclose(values, wanted[part], rtol=1e-9, atol=1e-9, err_msg=part)


def python_numbers(found):
    scores = found["given"] or None
    return attention_steps(found["q"], found["k"], found["v"], scores, np.array(found["mask"], dtype=bool),
                           found["scale"])


def formula(widget):
    return widget.locator(".rta-as-step-formula").inner_text()


# ---- the numbers -----------------------------------------------------------------------------------------------------


def test_the_browser_computes_what_python_computes_in_every_example(page):
    widget = stepper(page)
    labels = {"cat": "the cat: scores given", "vectors": "four words: vectors",
              "causal": "four words: causal mask", "empty": "an empty row: padding first"}
    for preset, label in labels.items():
        widget.get_by_label("Example").select_option(label=label)
        assert_computes(widget, AttentionStepper(preset=preset).run())
        for view in ("One query", "All queries"):
            press(widget, view)
            for step in range(1, 6):
                go_to(widget, step)
                assert "NaN" not in widget.inner_text(), (preset, view, step)
            keep_picture(page, widget, f"attention-stepper-{preset}-{'one' if view[0] == 'O' else 'all'}")
    assert_python_hears(page, "w.preset, w.view, w.step", "('empty', 'matrix', 5)")


def test_many_large_numbers_and_a_mask_are_pythons_too(page):
    widget = stepper(page, "query, keys, values, mask=np.tri(10, dtype=bool), row=4", BIG)
    assert_computes(widget, python_numbers(numbers(widget)))
    for view in ("One query", "All queries"):
        press(widget, view)
        go_to(widget, 5)
        assert widget.evaluate("(card) => card.scrollWidth <= card.clientWidth")


def test_the_table_shows_the_numbers_with_their_formula(page):
    widget = stepper(page, "row=2")
    wanted = [("0.80", "q·k3 / √dk = 0.80"), ("0.80", "already divided"),
              ("✓ 0.80", "s3 = 0.80: sat may attend to sat"),
              ("0.217", "= 2.226 / 10.269 = 0.217"), ("0.433", "= 0.217 · [0.0, 2.0] = [0.000, 0.433]")]
    for step, (number, text) in enumerate(wanted, 1):
        go_to(widget, step)
        assert number in widget.locator(".rta-as-result[data-column='2']").all_inner_texts()
        assert text in formula(widget)
    assert "output, number 1 = 0.119·0.0 + 0.265·1.0 + 0.217·0.0" in formula(widget)
    go_to(widget, 4)
    assert "e0.80 / (e0.20 + e1.00 + e0.80 + e0.10 + e0.30 + e0.50)" in formula(widget)


def test_dot_products_stand_in_the_formula_factor_by_factor(page):
    widget = stepper(page, "preset='vectors'")
    assert formula(widget) == "q·k3 = 2.0·0.5 + 0.0·0.5 = 1.00"
    go_to(widget, 2)
    assert formula(widget) == "s3 = 1.00 / √dk = 1.00 / 1.414 = 0.707"
    widget.get_by_label("divide by").uncheck()
    assert formula(widget).startswith("s3 = 1.00")
    assert_computes(widget, AttentionStepper(preset="vectors", scale=False).run())


def test_scores_that_would_overflow_are_lowered_first(page):
    widget = stepper(page, "scores=[1000, 999, -500], values=[[1], [2], [3]], step=4")
    assert "The largest score is subtracted first" in widget.inner_text()
    assert "e0.00 / (e0.00 + e−1.00 + e−1500.00) = 1.000 / 1.368 = 0.731" in formula(widget)


# ---- changing numbers ------------------------------------------------------------------------------------------------


def test_every_kind_of_number_can_be_changed_and_reset(page):
    widget = stepper(page, "preset='vectors'")
    before = numbers(widget)
    for part, row, number in (("q", 2, 1), ("k", 0, 1), ("v", 3, 0)):
        edit(page, widget, part, row, number, "-1.25")
        assert numbers(widget)[part][row][number] == -1.25
        assert_computes(widget, python_numbers(numbers(widget)))
    assert numbers(widget)["output"] != before["output"]
    assert_python_hears(page, "float(w.q[2, 1]), float(w.k[0, 1]), float(w.v[3, 0])", "(-1.25, -1.25, -1.25)")
    press(widget, "Reset")
    assert numbers(widget) == before | {"key": 3}                     # the last one that was changed stays chosen
    assert_python_hears(page, "float(w.q[2, 1]), float(w.k[0, 1]), float(w.v[3, 0])", "(0.0, 0.0, 1.0)")


@pytest.mark.parametrize("text", ["", "e", "1e999", "-2000000"])
def test_bad_input_gives_one_line_and_leaves_the_last_good_number(page, text):
    widget = stepper(page)
    before = numbers(widget)
    cell = widget.locator("[data-part='scores'][data-number='2']")
    cell.click()
    page.keyboard.press("Delete")
    page.keyboard.type(text)
    page.keyboard.press("Enter")
    expect(widget.locator(".rta-error")).to_contain_text("The last good one stays.")
    assert cell.inner_text() == "0.80"
    assert numbers(widget)["output"] == before["output"]
    edit(page, widget, "scores", 0, 2, "2")
    expect(widget.locator(".rta-error")).to_be_empty()
    assert numbers(widget)["given"][0][2] == 2


def test_a_click_elsewhere_keeps_what_was_typed_and_counts_as_a_click(page):
    widget = stepper(page, "preset='vectors', step=3")
    widget.locator("[data-part='k'][data-row='1'][data-number='0']").click()
    page.keyboard.type("3")
    widget.locator("[data-part='mask'][data-number='3']").click()
    found = numbers(widget)
    assert (found["k"][1][0], found["mask"][2], found["key"]) == (3, [1, 1, 1, 0], 3)


def test_mask_cells_turn_round_and_an_empty_row_gets_zeros(page):
    widget = stepper(page, "step=4")
    for key in range(6):
        cell = widget.locator(f"[data-part='mask'][data-number='{key}'] button")
        expect(cell).to_have_attribute("aria-pressed", "true")
        cell.click()
        expect(cell).to_have_attribute("aria-pressed", "false")
        assert_computes(widget, python_numbers(numbers(widget)))
    assert numbers(widget)["weights"] == [[0] * 6] and numbers(widget)["output"] == [[0, 0]]
    assert "All weights are 0" in widget.inner_text() and "NaN" not in widget.inner_text()


def test_numbers_set_in_python_reach_the_picture(page):
    widget = stepper(page, "preset='vectors'")
    in_kernel(page, "w.k = [[1.0, 1.0]] * 4\nw.row = 0")
    expect(widget.get_by_label("Query", exact=True)).to_have_value("0")
    assert numbers(widget)["weights"][0] == [0.25] * 4


# ---- mouse and keyboard ----------------------------------------------------------------------------------------------


def test_everything_can_be_done_with_the_keyboard(page):
    widget = stepper(page)
    widget.locator(".rta-as-sheet").focus()
    for key in ("End", "ArrowLeft"):
        page.keyboard.press(key)
    assert numbers(widget)["key"] == 4
    page.keyboard.press("Enter")
    page.keyboard.type("0.9")
    page.keyboard.press("ArrowUp")                                    # of the number input, not of the table
    page.keyboard.press("Escape")
    assert numbers(widget)["given"][0][4] == 0.3
    page.keyboard.press("Enter")
    page.keyboard.type("0.9")
    page.keyboard.press("Enter")
    assert numbers(widget)["given"][0][4] == 0.9
    for key in ("ArrowDown", "Space"):
        page.keyboard.press(key)
    assert numbers(widget)["mask"][0] == [1, 1, 1, 1, 0, 1]
    expect(widget.locator(".rta-readout")).to_contain_text("cat → the: score 0.90")
    assert widget.locator("[tabindex='0']").count() == 1


def test_back_step_and_play_go_through_the_five_steps(page):
    widget = stepper(page)
    press(widget, "Step")
    press(widget, "Step")
    press(widget, "Back")
    assert numbers(widget)["step"] == 2
    go_to(widget, 4)
    press(widget, "Play")
    expect(widget.get_by_role("button", name="Play", exact=True)).to_be_visible()       # at the end it stops by itself
    assert numbers(widget)["step"] == 5


def test_the_matrices_choose_query_and_key_with_arrows_and_take_changes(page):
    widget = stepper(page, "preset='vectors', view='matrix', step=4")
    widget.locator(".rta-as-sheet").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowRight")
    assert (numbers(widget)["row"], numbers(widget)["key"]) == (1, 3)
    expect(widget.locator(".rta-readout")).to_contain_text("drink → tea")
    go_to(widget, 1)
    edit(page, widget, "k", 3, 1, "2.5")
    assert_computes(widget, python_numbers(numbers(widget)))
    go_to(widget, 3)
    widget.locator("[data-part='mask'][data-row='0'][data-number='2'] button").click()
    assert numbers(widget)["mask"][0] == [1, 1, 0, 1] and numbers(widget)["weights"][0][2] == 0


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_one_query_has_no_matrices_and_says_so(page, key):
    widget = stepper(page, "view='matrix'")
    expect(widget).to_contain_text("The matrices need a query for every word")
    widget.get_by_role("button", name="Show the four words").focus()
    page.keyboard.press(key)
    expect(widget.locator(".rta-as-matrix")).to_have_count(3)
    expect(widget.locator(".rta-as-sheet")).to_be_focused()
    for dark in (False, True):
        harness.choose_theme(page, dark)
        keep_picture(page, widget, f"attention-stepper-matrix-{'dark' if dark else 'light'}")
