"""AttentionView in a real JupyterLab: cells, heads and words by mouse and keyboard, masks, own sentences, bad input."""

import json

import numpy as np
import pytest
from harness import assert_python_hears, choose_theme, in_kernel, keep_picture, next_frame, numbers, show
from playwright.sync_api import expect

from course_utils.widgets.attention_view import EXAMPLE, example_weights

pytestmark = pytest.mark.browser

VIEW = "from course_utils.widgets import AttentionView\nw = AttentionView({})\nw"
HOSTILE = ["</script><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "\u202eabc", "\x00", "\U0001f600",
           "x" * 10_000, "__proto__", "constructor", "$a$", "שלום"]
ALIGNED = """
import numpy as np
from course_utils.widgets import AttentionView
english = ["<plain>", "I", "see", "a", "small", "cat", "in", "the", "park", "<eos>"]
korean = ["나", "+는", "공원", "+에서", "작은", "고양이", "+를", "봐"]
scores = np.zeros((8, 10))
for row, column in enumerate([1, 1, 8, 6, 4, 5, 5, 2]):
    scores[row, column] = 4
weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
w = AttentionView(weights, korean, english, form="lines")
w
"""
LARGE = """
import numpy as np
from course_utils.widgets import AttentionView
scores = 2 * np.random.default_rng(0).normal(size=(12, 12, 128, 128))
weights = np.exp(scores).astype(np.float32)
weights /= weights.sum(-1, keepdims=True)
w = AttentionView(weights, [f"token{number}" for number in range(128)])
w
"""
ASKED = """
import numpy as np
from course_utils.widgets import AttentionView
def explain(text):
    words = text.split()
    if "dragon" in words:
        raise ValueError("The model does not know the word 'dragon'.")
    mask = np.tri(len(words), dtype=bool)
    return np.tile(mask / mask.sum(-1, keepdims=True), (2, 3, 1, 1)), words, None, mask
w = AttentionView(explain=explain, examples=["the cat sat", "I love you"], layer=1, head=2)
w
"""


def view(page, arguments=""):
    return show(page, VIEW.format(arguments))


def picture(widget):
    return widget.locator(".rta-heads + div .rta-stage")


def heads(widget):
    return widget.locator(".rta-heads .rta-stage")


def readout(widget):
    return widget.locator(".rta-readout")


def place(widget, row, column):
    """Middle of a cell of the matrix, in pixels from the picture's corner. −1 is the label in front."""
    layout = numbers(widget)["layout"]
    return {"x": layout["left"] + (column + 0.5) * layout["wide"] if column >= 0 else layout["left"] - 20,
            "y": layout["above"] + (row + 0.5) * layout["tall"] if row >= 0 else layout["above"] - 12}


def head_place(layer, head):
    """Middle of a thumbnail of the example."""
    return {"x": 22 + 56 * head + 24, "y": 40 + 56 * layer + 24}


def cell(widget):
    found = numbers(widget)
    return found["row"], found["column"]


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


def shown(widget):
    found = numbers(widget)
    return np.array(found["weights"], dtype=float).reshape(found["shape"])        # None becomes NaN


# ---- cells -----------------------------------------------------------------------------------------------------------


def test_hovering_previews_clicking_locks_and_escape_or_a_second_click_unlocks(page):
    widget, weights = view(page, "numbers=True"), example_weights()[0]
    np.testing.assert_allclose(shown(widget), weights[0, 1], atol=1e-6)
    picture(widget).hover(position=place(widget, 4, 6))
    assert cell(widget) == (4, 6)
    expect(readout(widget)).to_contain_text(
        f"query 'on' → key 'mat': {weights[0, 1, 4, 6]:.3f}, largest in its row and column · layer 1 head 2")
    picture(widget).click(position=place(widget, 1, 2))
    picture(widget).hover(position=place(widget, 6, 0))
    assert cell(widget) == (1, 2) and numbers(widget)["locked"] == [1, 2]
    assert_python_hears(page, "w.query, w.key", "(1, 2)")
    press(page, "Escape")
    assert numbers(widget)["locked"] is None
    picture(widget).click(position=place(widget, 3, 2))
    picture(widget).click(position=place(widget, 3, 2))
    assert numbers(widget)["locked"] is None and cell(widget) == (3, 2)
    picture(widget).hover(position=place(widget, 4, -1))              # a word: where it looks most
    assert cell(widget) == (4, 6)


def test_the_keyboard_alone_reads_locks_and_unlocks(page):
    widget, weights = view(page), example_weights()[0][0, 1]
    picture(widget).focus()
    assert cell(widget) == (2, 3)
    press(page, "ArrowDown", "ArrowLeft")
    assert cell(widget) == (3, 2)
    expect(readout(widget)).to_contain_text(f"query 'sat' → key 'cat': {weights[3, 2]:.3f}, largest in its row")
    press(page, "End")
    assert cell(widget) == (3, len(EXAMPLE) - 1)
    press(page, "Home", "Enter", "ArrowUp")
    assert cell(widget) == (2, 0) and numbers(widget)["locked"] == [2, 0]
    expect(readout(widget)).to_contain_text("locked: Escape or a second click unlocks")
    press(page, "Escape")
    assert numbers(widget)["locked"] is None and cell(widget) == (2, 0)


def test_masked_cells_are_not_called_zero_and_empty_rows_are_named(page):
    widget = show(page, """
import numpy as np
from course_utils.widgets import AttentionView
mask = np.tri(3, dtype=bool)
mask[1] = False
w = AttentionView(np.array([[1, 0, 0], [0, 0, 0], [0.5, 0, 0.5]]), ["a", "b", "c"], mask=mask, query=0)
w
""")
    picture(widget).focus()
    press(page, "End")
    expect(readout(widget)).to_contain_text("query 'a' → key 'c': masked: may not be looked at")
    assert widget.locator(".rta-masked-word").count() == 2
    press(page, "ArrowDown")
    expect(readout(widget)).to_contain_text("may look at nothing: all weights zero")
    expect(widget.locator(".rta-side-note")).to_have_text("may look at nothing: all weights zero")
    expect(widget.locator(".rta-note").first).to_contain_text("each row sums to 1, or is empty")
    press(page, "ArrowDown", "ArrowLeft")
    expect(readout(widget)).to_contain_text("query 'c' → key 'b': 0.000")


def test_the_direction_turns_the_list_round(page):
    widget, weights = view(page), example_weights()[0][0, 1]
    expect(widget.locator(".rta-attention-side")).to_contain_text("what 'cat' looks at")
    listed = [float(text) for text in widget.locator(".rta-attention-side .rta-bars .rta-mono").all_inner_texts()]
    np.testing.assert_allclose(listed, weights[2], atol=0.0051)
    widget.get_by_role("button", name="key → query").click()
    expect(widget.locator(".rta-attention-side")).to_contain_text("who looks at 'sat'")
    listed = [float(text) for text in widget.locator(".rta-attention-side .rta-bars .rta-mono").all_inner_texts()]
    np.testing.assert_allclose(listed, weights[:, 3], atol=0.0051)
    assert_python_hears(page, "w.direction", "'key'")


def test_special_tokens_can_be_left_out(page):
    widget, weights = view(page), example_weights()[0][0, 1]
    expect(widget.locator(".rta-note").first).to_contain_text("each row sums to 1")
    widget.get_by_label("hide [CLS]").check()
    found = numbers(widget)
    assert found["rows"] == found["columns"] == list(range(1, 8))
    expect(widget.locator(".rta-note").first).to_contain_text("rows sum to less than 1")
    expect(widget.locator(".rta-side-note")).to_have_text(f"sum {weights[2, 1:].sum():.2f} without the hidden tokens")
    picture(widget).focus()
    press(page, "Home")
    assert cell(widget) == (2, 1)


def test_numbers_stand_in_cells_that_are_large_enough(page):
    widget = view(page)
    before = picture(widget).locator("canvas").evaluate("(canvas) => canvas.toDataURL()")
    widget.get_by_label("numbers in the cells").check()
    assert picture(widget).locator("canvas").evaluate("(canvas) => canvas.toDataURL()") != before
    assert_python_hears(page, "w.numbers", "True")


# ---- heads -----------------------------------------------------------------------------------------------------------


def test_heads_by_mouse_and_keyboard_and_one_alone(page):
    widget, weights = view(page), example_weights()[0]
    heads(widget).click(position=head_place(0, 2))
    page.wait_for_function("document.querySelector('.rta').numbers().exact")
    np.testing.assert_allclose(shown(widget), weights[0, 2], atol=1e-6)
    heads(widget).focus()
    press(page, "ArrowRight", "ArrowDown")
    expect(readout(widget)).to_contain_text("layer 2 head 4")
    page.wait_for_function("document.querySelector('.rta').numbers().exact")
    np.testing.assert_allclose(np.nan_to_num(shown(widget)), weights[1, 3], atol=1e-6)
    assert_python_hears(page, "w.layer, w.head", "(1, 3)")
    wide = numbers(widget)["layout"]["wide"]
    press(page, "Enter")
    assert numbers(widget)["solo"] and numbers(widget)["layout"]["wide"] > wide
    expect(heads(widget)).to_be_hidden()
    press(page, "Enter")                                              # the focus is on the way back
    expect(heads(widget)).to_be_visible()
    heads(widget).dblclick(position=head_place(0, 1))
    assert numbers(widget)["solo"] and numbers(widget)["head"] == 1
    widget.get_by_role("button", name="All heads").click()
    assert not numbers(widget)["solo"]
    in_kernel(page, "w.layer = 1")
    expect(readout(widget)).to_contain_text("layer 2 head 2")


def test_twelve_times_twelve_heads_come_as_colours_and_their_numbers_on_demand(page):
    widget = show(page, LARGE)
    page.wait_for_function("document.querySelector('.rta').numbers().whole")
    heads(widget).focus()
    press(page, *["ArrowDown"] * 5, "End")
    page.wait_for_function("document.querySelector('.rta').numbers().exact")
    found = numbers(widget)
    assert (found["layer"], found["head"]) == (5, 11)
    wanted = json.loads(in_kernel(page, "print(weights[5, 11, 40].tolist())"))
    np.testing.assert_allclose(shown(widget)[40], wanted, atol=1e-6)
    picture(widget).click(position=place(widget, 40, 99))
    assert cell(widget) == (40, 99)
    expect(readout(widget)).to_contain_text(f"query 'token40' → key 'token99': {wanted[99]:.3f}")
    expect(widget.get_by_label("numbers: cells too small")).to_be_disabled()
    keep_picture(page, widget, "attention-view-large")


def test_without_a_kernel_the_colours_go_on_working_and_say_so(page):
    widget = show(page, LARGE)
    page.wait_for_function("document.querySelector('.rta').numbers().whole")
    in_kernel(page, "w.unobserve_all()")                              # Python hears no choice any more
    heads(widget).focus()
    press(page, "ArrowRight")
    found = numbers(widget)
    wanted = json.loads(in_kernel(page, "print(weights[0, 1, 3].tolist())"))
    assert not found["exact"]
    np.testing.assert_allclose(shown(widget)[3], wanted, atol=0.003)
    expect(readout(widget)).to_contain_text("≈")


# ---- lines -----------------------------------------------------------------------------------------------------------


def test_lines_between_korean_and_english_words(page):
    widget = show(page, ALIGNED)
    expect(heads(widget)).to_be_hidden()
    expect(widget.get_by_role("button", name="Solo")).to_be_hidden()
    page.wait_for_function("document.querySelector('.rta').numbers().layout")
    assert any("고양이" in text for text in picture(widget).locator("text").all_text_contents())
    layout = numbers(widget)["layout"]
    picture(widget).hover(position={"x": layout["x"][0] - 20, "y": layout["above"] + 7.5 * layout["pitch"][0]})
    expect(readout(widget)).to_contain_text("query '봐' → key 'see': ")
    picture(widget).click(position={"x": layout["x"][1] + 20, "y": layout["above"] + 8.5 * layout["pitch"][1]})
    expect(readout(widget)).to_contain_text("query '공원' → key 'park': ")
    assert_python_hears(page, "w.query, w.key", "(None, 8)")
    keep_picture(page, widget, "attention-view-lines")
    widget.get_by_role("button", name="Matrix").click()
    assert numbers(widget)["layout"]["form"] == "matrix"
    assert_python_hears(page, "w.form", "'matrix'")


# ---- own sentences ---------------------------------------------------------------------------------------------------


def test_a_sentence_of_ones_own_and_one_line_for_what_the_function_refuses(page):
    widget = show(page, ASKED)
    field = widget.get_by_label("Your own sentence")
    assert field.input_value() == "the cat sat" and numbers(widget)["shape"] == [3, 3]
    field.fill("we see a small cat")
    page.wait_for_function("document.querySelector('.rta').numbers().shape[0] === 5")
    np.testing.assert_allclose(np.nan_to_num(shown(widget)), np.tri(5) / np.arange(1, 6)[:, None], atol=1e-6)
    assert np.isnan(shown(widget)).sum() == 10
    field.fill("a dragon")
    expect(widget.locator(".rta-error")).to_have_text("The model does not know the word 'dragon'.")
    assert numbers(widget)["shape"] == [5, 5]
    field.fill("")
    expect(widget.locator(".rta-error")).to_contain_text("Type a sentence")
    widget.get_by_label("Examples").select_option(label="I love you")
    page.wait_for_function("document.querySelector('.rta').numbers().shape[0] === 3")
    expect(widget.locator(".rta-error")).to_be_hidden()
    found = numbers(widget)
    assert (found["text"], found["layer"], found["head"]) == ("I love you", 1, 2)


# ---- looks and hostile input -----------------------------------------------------------------------------------------


def test_the_dark_theme_turns_the_colours_round(page):
    widget = view(page, "layer=1")
    corner = """(stage) => { const { left, above } = stage.closest(".rta").numbers().layout;
        const scale = window.devicePixelRatio;
        return [...stage.querySelector("canvas").getContext("2d")
            .getImageData((left + 8) * scale, (above + 52) * scale, 1, 1).data].slice(0, 3); }"""
    light = picture(widget).evaluate(corner)
    choose_theme(page, dark=True)
    next_frame(page)
    dark = picture(widget).evaluate(corner)
    assert sum(light) > 600 and sum(dark) < 250, (light, dark)
    keep_picture(page, widget, "attention-view-dark")


def test_hostile_tokens_are_only_text(page):
    widget = show(page, f"""
import numpy as np
from course_utils.widgets import AttentionView
tokens = {HOSTILE!r}
w = AttentionView(np.full((2, len(tokens), len(tokens)), 1 / len(tokens)), tokens, names=["<b>layer</b>"])
w
""")
    assert widget.locator("img, script").count() == 0
    picture(widget).focus()
    press(page, *["ArrowUp"] * 9)
    for token in ("</script><script>alert(1)</script>", '"><img␣src=x␣onerror=alert(1)>', "U+202Eabc", "␀"):
        expect(readout(widget)).to_contain_text(f"query '{token}'")
        press(page, "ArrowDown")
    press(page, *["ArrowDown"] * 2, "End", *["ArrowLeft"] * 3)
    expect(readout(widget)).to_contain_text("key '__proto__'")
    assert len(readout(widget).inner_text()) < 600
    box = widget.bounding_box()
    assert box["width"] <= 1080 and box["height"] <= 620
    expect(widget.locator(".rta-note").first).to_contain_text("<b>layer</b> · layer 1 · head 1")
    keep_picture(page, widget, "attention-view-hostile")
