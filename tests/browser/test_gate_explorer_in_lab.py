"""GateExplorer in a real JupyterLab: the numbers of Python, mouse and keyboard, bad and hostile input."""

import re

import harness
import numpy as np
import pytest
from harness import assert_python_hears, in_kernel, keep_picture, next_frame, numbers, show
from playwright.sync_api import expect

from course_utils.widgets.gate_explorer import (
    CUE,
    EXAMPLE,
    GATES,
    gate_run,
    gate_weights,
    letters,
    read_symbols,
    recorded_models,
)

pytestmark = pytest.mark.browser

EXPLORER = "from course_utils.widgets import GateExplorer\nw = GateExplorer({})\nw"
LAST = len(EXAMPLE) + 1


@pytest.fixture(scope="module")
def nets():
    return {name: gate_weights(model) for name, model in recorded_models().items()}


def explorer(page, arguments=""):
    return show(page, EXPLORER.format(arguments))


def assert_computes(widget, nets, symbols, forced, start):
    """The browser's gates, states and answers are Python's, for every net."""
    found = numbers(widget)
    assert (found["inputs"], found["forced"], found["start"]) == ([*read_symbols(symbols), CUE], forced, start)
    for name, (kind, weights) in nets.items():
        own = {gate: value for gate, value in forced.items() if gate in GATES[kind]}
        wanted = gate_run(kind, weights, found["inputs"], own, start)
        assert found["runs"][name].keys() == wanted.keys()
        for part, values in wanted.items():
            np.testing.assert_allclose(found["runs"][name][part], values, atol=1e-6, err_msg=f"{name}, {part}")


def move(slider, value):
    """Drag a range to a value, as one input event."""
    slider.evaluate("(range, value) => { range.value = value; range.dispatchEvent(new Event('input')); }", str(value))


def press(widget, name):
    widget.get_by_role("button", name=name, exact=True).click()


def verdicts(widget):
    return widget.locator("[data-verdict]").all_inner_texts()


def answer(widget, name):
    return np.array(numbers(widget)["runs"][name]["probabilities"])


# ---- the numbers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("symbols", "forced", "start"), [
    (EXAMPLE, {}, 1),
    ("hab", {"f": 1.0, "i": 0.0, "z": 1.0}, 2),
    ("abcdefgh" * 7 + "hgfed", {"f": 0.9, "o": 0.25, "z": 0.4, "r": 0.0}, 7),
    ("ccccccccccc", {"i": 0.33, "r": 1.0}, 40),
])
def test_the_browser_computes_what_python_computes(page, nets, symbols, forced, start):
    widget = explorer(page, f"symbols={symbols!r}, forced={forced!r}, start={start}")
    assert_computes(widget, nets, symbols, forced, start)


def test_the_bars_show_the_answers_and_frame_the_first_symbol(page, nets):
    widget = explorer(page)
    shown = widget.locator(".rta-answer-cell").evaluate_all("(cells) => cells.map((cell) => ({ ...cell.dataset }))")
    for name in nets:
        found = [float(cell["probability"]) for cell in shown if cell["name"] == name]
        np.testing.assert_allclose(found, answer(widget, name))
    assert widget.locator(".rta-asked > .rta-mono").inner_text() == EXAMPLE[0]
    assert verdicts(widget) == ["b right", "b right", "g wrong"]


def test_a_net_that_all_but_guesses_is_told_to_have_no_idea(page):
    widget = explorer(page)
    for preset, wanted in (("Frozen", ["no idea", "no idea", "g wrong"]),
                           ("Write once, keep", ["b right", "b right", "g wrong"]),
                           ("Forget all", ["a wrong", "b right", "g wrong"])):
        press(widget, preset)
        assert verdicts(widget) == wanted, preset


def test_bars_and_numbers_keep_apart(page):
    widget = explorer(page)
    cells = widget.locator(".rta-answer-cell").evaluate_all("""(cells) => cells.map((cell) =>
        [...cell.children].map((part) => part.getBoundingClientRect()).map(({ left, right }) => [left, right]))""")
    assert len(cells) == 24
    assert all(bar[1] <= text[0] for bar, text in cells)


# ---- mouse and keyboard ----------------------------------------------------------------------------------------------


def test_presets_force_the_gates_of_both_gated_cells_and_leave_the_plain_net_alone(page, nets):
    widget = explorer(page)
    plain, gated = answer(widget, "RNN"), answer(widget, "LSTM")
    for name, forced, start in (
        ("Frozen", {"f": 1, "i": 0, "z": 1}, 1), ("Write once, keep", {"f": 1, "i": 0, "z": 1}, 2),
        ("Keep 0.9", {"f": 0.9, "z": 0.9}, 1), ("Forget all", {"f": 0, "z": 0}, 1),
        ("Like an RNN", {"f": 0, "i": 1, "o": 1, "z": 0, "r": 1}, 1),
    ):
        press(widget, name)
        assert_computes(widget, nets, EXAMPLE, forced, start)
        np.testing.assert_array_equal(answer(widget, "RNN"), plain)
        assert not np.allclose(answer(widget, "LSTM"), gated)
        expect(widget.get_by_role("group", name="Presets").locator("[aria-pressed=true]")).to_have_text([name])
        keep_picture(page, widget, f"gate-explorer-{re.sub('[ ,]+', '-', name.lower())}")
    press(widget, "As trained")
    assert_computes(widget, nets, EXAMPLE, {}, 1)
    press(widget, "Write once, keep")
    expect(widget).to_have_attribute("data-state", "ready")
    assert_python_hears(page, "w.forced, w.start", "({'f': 1, 'i': 0, 'z': 1}, 2)")


def test_a_gate_is_forced_by_keyboard_and_freed_again(page, nets):
    widget = explorer(page)
    gate = widget.get_by_role("slider", name="forget gate f", exact=True)
    free = widget.get_by_role("checkbox", name="forget gate f is free")
    expect(free).to_be_checked()
    expect(gate).to_have_attribute("aria-valuetext", re.compile("^free, 0.[0-9]{2} on average$"))
    gate.focus()
    page.keyboard.press("Home")
    assert_computes(widget, nets, EXAMPLE, {"f": 0}, 1)
    page.keyboard.press("ArrowRight")
    assert_computes(widget, nets, EXAMPLE, {"f": 0.01}, 1)
    expect(free).not_to_be_checked()
    expect(gate).to_be_focused()
    expect(gate).to_have_attribute("aria-valuetext", "0.01")
    page.keyboard.press("Shift+Tab")
    expect(free).to_be_focused()
    page.keyboard.press("Space")
    assert_computes(widget, nets, EXAMPLE, {}, 1)
    page.keyboard.press("Space")                   # not free: forced to where the slider stands, its mean
    mean = round(float(np.mean(numbers(widget)["runs"]["LSTM"]["f"])), 2)
    assert numbers(widget)["forced"] == {"f": mean}


def test_gates_of_each_cell_can_be_forced_and_a_plain_net_has_none(page):
    widget = explorer(page)
    lstm = ["forget gate f", "input gate i", "output gate o"]
    for name, gates in (("GRU", ["update gate z", "reset gate r"]), ("LSTM", lstm), ("RNN", [])):
        press(widget, name)
        assert numbers(widget)["shown"] == name
        sliders = widget.locator(".rta-gate input[type=range]")
        assert [sliders.nth(index).get_attribute("aria-label") for index in range(sliders.count())] == gates
    expect(widget).to_contain_text("No gate, nothing to force.")


def test_forcing_may_begin_at_any_step(page, nets):
    widget = explorer(page)
    press(widget, "Frozen")
    start = widget.get_by_label("forced from step")
    assert start.get_attribute("max") == str(LAST)
    move(start, 8)
    assert_computes(widget, nets, EXAMPLE, {"f": 1, "i": 0, "z": 1}, 8)
    cell = np.array(numbers(widget)["runs"]["LSTM"]["cell"])
    assert (cell[6:] == cell[6]).all()
    move(widget.get_by_label("gap", exact=True), 4)         # six steps are left, so it begins at the last of them
    assert_computes(widget, nets, EXAMPLE[:5], {"f": 1, "i": 0, "z": 1}, 6)


def test_heatmap_is_one_tab_stop_with_arrow_keys_and_a_read_out(page):
    widget = explorer(page)
    maps = widget.locator(".rta-stage[tabindex='0']")
    assert maps.count() == 1
    maps.focus()
    for key in ("Home", "ArrowRight", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    found = numbers(widget)
    assert (found["step"], found["unit"]) == (3, 1)
    run = found["runs"]["LSTM"]
    text = (f"t = 3 reads {EXAMPLE[2]} · unit 1: f {run['f'][2][1]:.2f} i {run['i'][2][1]:.2f} o {run['o'][2][1]:.2f}"
            f" · c {run['cell'][1][1]:.3f} → {run['cell'][2][1]:.3f}")
    expect(widget.locator(".rta-readout")).to_contain_text(text.replace("-", "−"))
    page.keyboard.press("End")
    expect(widget.locator(".rta-readout")).to_contain_text(f"t = {LAST} reads ? (the cue)")
    for _ in range(20):
        page.keyboard.press("ArrowDown")
    assert numbers(widget)["unit"] == 15
    press(widget, "RNN")
    expect(widget.locator(".rta-readout")).to_contain_text(f"t = {LAST} reads ? (the cue) · unit 15: h ")


def test_a_click_picks_step_and_unit_in_every_map(page):
    widget = explorer(page)
    maps = widget.locator(".rta-stage[tabindex='0']")
    box, frame = maps.bounding_box(), maps.locator("rect.line")
    assert frame.count() == 5
    for index in range(frame.count()):
        row = frame.nth(index).bounding_box()
        x, y = (4 + index + 0.5) * box["width"] / LAST, row["height"] * (3 + index + 0.5) / 16
        page.mouse.click(box["x"] + x, row["y"] + y)
        assert (numbers(widget)["step"], numbers(widget)["unit"]) == (5 + index, 3 + index)
    page.mouse.click(box["x"] + 5, box["y"] + box["height"] - 30)          # the line of what is left: a step, no unit
    assert (numbers(widget)["step"], numbers(widget)["unit"]) == (1, 7)


def test_each_of_many_units_can_be_chosen(page):
    widget = show(page, """
import torch
from course_utils.models.recurrent import GRUCell, SequenceReader
from course_utils.widgets import GateExplorer
torch.manual_seed(0)
w = GateExplorer({"large": SequenceReader(9, 64, 8, GRUCell)}, symbols="abc")
w
""")
    expect(widget).to_contain_text("rows: 1 in 3 of 64 units, columns: steps")
    maps = widget.locator(".rta-stage[tabindex='0']")
    row = maps.locator("rect.line").first.bounding_box()
    page.mouse.click(row["x"] + 5, row["y"] + row["height"] - 1)
    assert (numbers(widget)["step"], numbers(widget)["unit"]) == (1, 63)
    maps.focus()
    page.keyboard.press("ArrowUp")
    value = numbers(widget)["runs"]["large"]["hidden"][0][62]
    expect(widget.locator(".rta-readout")).to_contain_text(f"h 0.000 → {value:.3f}".replace("-", "−"))


# ---- symbols ---------------------------------------------------------------------------------------------------------


def test_typed_symbols_are_read_at_once(page, nets):
    widget = explorer(page)
    widget.get_by_label("Symbols").fill("H, a b C")
    assert_computes(widget, nets, "habc", {}, 1)
    assert widget.get_by_label("gap", exact=True).input_value() == "3"
    assert_python_hears(page, "w.symbols", "[7, 0, 1, 2]")
    assert in_kernel(page, "print(w)") == (
        "GateExplorer(models=['LSTM', 'GRU', 'RNN'], hidden_size=16, steps=5, forced={})\n"
    )


@pytest.mark.parametrize(("typed", "message"), [
    ("", "Type at least 3 letters"),
    ("ab", "Type at least 3 letters"),
    ("a" * 62, "62 letters are too many: the picture holds 61"),
    ("abi", "i is no symbol: type the letters a to h"),
    ("</script><img src=x onerror=alert(1)>", "< is no symbol"),
    ("ab\u202ec", "U+202E is no symbol"),
    ("\U0001f600", "\U0001f600 is no symbol"),
    ("long" * 2500, "l is no symbol"),
    ("abcd" * 2500, "10000 letters are too many"),
])
def test_bad_symbols_leave_the_last_good_picture(page, nets, typed, message):
    widget = explorer(page)
    widget.get_by_label("Symbols").fill(typed)
    expect(widget.locator(".rta-error")).to_contain_text(message)
    assert_computes(widget, nets, EXAMPLE, {}, 1)
    assert widget.locator("img, script, iframe").count() == 0
    widget.get_by_label("Symbols").fill("badge")
    expect(widget.locator(".rta-error")).to_be_hidden()
    assert_computes(widget, nets, "badge", {}, 1)


def test_a_gap_made_shorter_and_longer_again_holds_the_same_symbols(page):
    widget = explorer(page)
    gap = widget.get_by_label("gap", exact=True)
    move(gap, 60)
    longest = letters(numbers(widget)["inputs"][:-1])
    assert (longest[:21], len(longest)) == (EXAMPLE, 61)
    move(gap, 2)
    assert letters(numbers(widget)["inputs"]) == EXAMPLE[:3] + "?"
    move(gap, 60)
    assert letters(numbers(widget)["inputs"]) == longest + "?"
    assert widget.get_by_label("Symbols").input_value() == longest


def test_new_symbols_come_at_a_press(page):
    widget = explorer(page)
    for _ in range(3):
        before = numbers(widget)["inputs"]
        press(widget, "New first")
        after = numbers(widget)["inputs"]
        assert (after[0] != before[0], after[1:]) == (True, before[1:])
    press(widget, "New rest")
    now = numbers(widget)["inputs"]
    assert (now[0], len(now), now[-1]) == (after[0], len(after), CUE) and now != after


def test_what_a_busy_kernel_hears_late_does_not_undo_what_the_reader_did_since(page, tmp_path):
    widget = explorer(page)
    page.evaluate("""(code) => {
        window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestExecute({ code });
    }""", f"import pathlib, time\nwhile not pathlib.Path({str(tmp_path / 'go')!r}).exists(): time.sleep(0.01)")
    press(widget, "New first")
    page.wait_for_timeout(200)                    # by now the change is on its way to the kernel
    new_rest = widget.get_by_role("button", name="New rest").element_handle()
    (tmp_path / "go").touch()
    new_rest.evaluate("(button) => button.click()")
    last = numbers(widget)["inputs"]
    assert_python_hears(page, "w.symbols", repr(last[:-1]))
    next_frame(page)
    assert numbers(widget)["inputs"] == last


# ---- what is said ----------------------------------------------------------------------------------------------------


def test_what_is_left_of_step_1_is_told_for_the_chosen_step(page):
    widget = explorer(page)
    press(widget, "Keep 0.9")
    facts = widget.locator(".rta-gates-facts")
    expect(facts).to_contain_text("Product of f: 0.11 of what step 1 wrote is left in unit 0 after 21 steps, 0.11 on")
    widget.locator(".rta-stage[tabindex]").focus()
    page.keyboard.press("Home")
    expect(facts).to_contain_text("1.00 of what step 1 wrote is left in unit 0 after 0 steps")
    page.keyboard.press("ArrowRight")
    expect(facts).to_contain_text("0.90 of what step 1 wrote is left in unit 0 after 1 step,")
    press(widget, "Forget all")
    expect(facts).to_contain_text("Product of f: nothing of what step 1 wrote is left")
    expect(widget).to_contain_text("exactly 0 from here on")


def test_a_frozen_cell_is_told_from_a_plain_net(page):
    widget = explorer(page)
    facts = widget.locator(".rta-gates-facts")
    press(widget, "Frozen")
    expect(facts).to_contain_text("Nothing is ever written: c = 0, so h = o ⊙ tanh(0) = 0.")
    press(widget, "Write once, keep")
    runs = numbers(widget)["runs"]
    moves = {name: np.abs(np.diff(np.array(runs[name]["hidden"])[1:], axis=0)).max() for name in ("LSTM", "RNN")}
    expect(facts).to_contain_text("c is frozen after step 1.")
    expect(facts).to_contain_text(f"still moves with o, by up to {moves['LSTM']:.2g} a step")
    expect(facts).to_contain_text(f"A plain RNN's h moves on, by up to {moves['RNN']:.2g}.")
    press(widget, "GRU")
    expect(facts).to_contain_text("h is frozen after step 1. The GRU has no output gate")
    press(widget, "Like an RNN")
    expect(facts).to_contain_text("Exactly a plain RNN")


# ---- Python, hostile names, size ------------------------------------------------------------------------------------


def test_settings_made_in_python_are_drawn_and_bad_ones_are_refused(page, nets):
    widget = explorer(page)
    in_kernel(page, "w.forced = {'o': 0.5}; w.symbols = [1, 2, 3]; w.shown = 'GRU'")
    expect(widget.locator(".rta-readout")).to_contain_text("t = 4 reads ? (the cue) · unit 0: z ")
    assert_computes(widget, nets, "bcd", {"o": 0.5}, 1)
    for code, message in (("w.forced = {'f': 2}", "f cannot be 2"), ("w.symbols = [9]", "ids from 0 to 7"),
                          ("w.start = 0", "start=0 is no step"), ("w.shown = 'x'", "none of the models")):
        with pytest.raises(AssertionError, match=f"TraitError: .*{re.escape(message)}"):
            in_kernel(page, code)
    assert_computes(widget, nets, "bcd", {"o": 0.5}, 1)


@pytest.mark.parametrize("name", [
    "nul\x00nul", "\u202eabc\u200f", "\U0001f469\u200d\U0001f4bb", "long" * 2500, "__proto__",
    "$x^2$ `code` &amp; <b>bold</b>",
])
def test_any_name_of_a_model_stays_text(page, name):
    widget = show(page, f"""
from course_utils.widgets import GateExplorer
from course_utils.widgets.gate_explorer import recorded_models
GateExplorer(dict(zip([{name!r}, "other"], recorded_models().values())), shown="other")
""")
    widget.locator(".rta-controls button").first.click()
    assert numbers(widget)["shown"] == name
    assert widget.locator("b b, img").count() == 0
    assert widget.evaluate("(card) => card.scrollWidth <= card.clientWidth")


@pytest.mark.parametrize("cell", ["LSTM", "GRU", "RNN"])
def test_it_fits_on_a_slide_whatever_is_shown(page, cell):
    widget = explorer(page, f"shown={cell!r}, symbols='abcdefgh' * 7 + 'abcde'")
    for name in ("As trained", "Frozen", "Write once, keep", "Keep 0.9", "Forget all", "Like an RNN"):
        press(widget, name)
        next_frame(page)
        assert widget.bounding_box()["height"] <= 625
    keep_picture(page, widget, f"gate-explorer-{cell}-longest")


def test_colours_of_the_maps_follow_the_theme(page):
    widget = explorer(page)
    pixels = "(card) => card.querySelector('.rta-stage canvas').toDataURL()"
    light = widget.evaluate(pixels)
    harness.choose_theme(page, dark=True)
    assert widget.evaluate(pixels) != light
    harness.choose_theme(page, dark=False)
    assert widget.evaluate(pixels) == light
