"""TeacherForcing in a real JupyterLab: the lanes by mouse and keyboard, the slider without a kernel, own sentences."""

import re

import harness
import numpy as np
import pytest
from harness import assert_python_hears, in_kernel, keep_picture, next_frame, numbers, show
from playwright.sync_api import expect

from course_utils.data.translation import split, translate
from course_utils.widgets.base import unpack

pytestmark = pytest.mark.browser

# A model that knows only which word follows which. It says 고양이 where 너 is right, and after 고양이 all goes wrong.
SOURCE = """
import torch
from torch import nn
from course_utils.data.translation import vocabularies
from course_utils.data.vocabulary import SOS_ID
from course_utils.widgets import TeacherForcing

class Chain(nn.Module):
    def __init__(self, *sentences):
        super().__init__()
        torch.manual_seed(0)
        table = torch.randn(len(target), len(target))
        for sentence in sentences:
            ids = target.encode(sentence.split())
            for word, following in zip(ids, ids[1:]):
                table[word, following] = 9.0
        self.table = nn.Parameter(table)

    def encode(self, source, lengths):
        return torch.zeros(len(source))

    def step(self, tokens, state):
        return self.table[tokens], state

source, target = vocabularies()
model = Chain("<sos> 나 +는 고양이 +가 커 <eos>", "너 +를 사랑해 <eos>", "<sos> 나", "<unk> 나")
w = TeacherForcing(model, source, target, "I love you", examples=["I love a cat", "you love me"], seed=4)
w
"""
FIRST = 3                         # the step of the wrong word, counted from 1
LONG = "the student loves the long song now but she does not go to the small station by bus"


def here():
    """The same widget in this process."""
    scope = {}
    exec(SOURCE, scope)
    return scope["w"]


def lanes_of(widget):
    return {name: unpack(packed) for name, packed in widget.answer["lanes"].items()}


def assert_lane(steps, lanes, number):
    """The steps that the browser shows are those of row `number` of Python's arrays."""
    assert len(steps) == lanes["length"][number]
    for t, step in enumerate(steps):
        assert (step["input"], step["chosen"]) == (lanes["input"][number, t], lanes["chosen"][number, t])
        assert step["forced"] == bool(lanes["forced"][number, t])
        np.testing.assert_allclose(step["loss"], lanes["loss"][number, t], rtol=1e-6)
        np.testing.assert_allclose([value for _, value in step["top"]], lanes["probability"][number, t], rtol=1e-6)


def show_all(page, code=SOURCE):
    """The widget at its last step."""
    widget = show(page, code)
    widget.locator(".rta-lanes").press("End")
    return widget


def words(widget, row):
    return [text.strip() for text in widget.locator(f"[data-row={row}][data-column]").all_inner_texts()]


def ratio(widget, value):
    widget.get_by_label("ratio p").evaluate(
        "(range, value) => { range.value = value; range.dispatchEvent(new Event('input')); }", str(value))


def test_both_lanes_and_the_first_wrong_word(page):
    widget = show_all(page)
    assert words(widget, "right") == words(widget, "freeRight") == ["나", "+는", "너", "+를", "사랑해", "<eos>"]
    assert words(widget, "forcedReads") == ["<sos>", "나", "+는", "너", "+를", "사랑해"]
    assert words(widget, "forcedSays") == ["나", "+는", "✗ 고양이", "+를", "사랑해", "<eos>"]
    assert words(widget, "freeReads") == ["<sos>", "나", "+는", "✗ 고양이", "✗ +가", "✗ 커"]
    assert words(widget, "freeSays") == ["나", "+는", "✗ 고양이", "✗ +가", "✗ 커", "<eos>"]
    expect(widget.locator(".rta-flag")).to_have_text(f"first divergence: step {FIRST}")
    expect(widget.locator(".rta-first-off")).to_have_text("✗ 고양이")
    expect(widget.locator(".rta-first-off")).to_have_attribute("title", "고양이: differs from the right word")
    expect(widget.locator("[data-row=forcedText]")).to_contain_text(
        "나는 고양이를 사랑해 ✗ differs from the right word at 1 of 6 steps")
    expect(widget.locator("[data-row=freeText]")).to_contain_text(
        "나는 고양이가 커 ✗ differs from the right word at 3 of 6 steps")
    found, lanes = numbers(widget), lanes_of(here())
    assert_lane(found["forced"], lanes, -1)
    assert_lane(found["free"], lanes, 0)
    for row, number in (("forcedText", -1), ("freeText", 0)):
        mean = np.nanmean(lanes["loss"][number])
        expect(widget.locator(f"[data-row={row}]")).to_contain_text(f"mean loss {mean:.2f}")
    assert widget.bounding_box()["height"] <= 620


def test_the_bars_are_the_likeliest_words_and_the_right_one_is_bold(page):
    widget = show_all(page)
    widget.locator(f"[data-row=freeReads][data-column='{FIRST - 1}']").click()
    lanes, side = lanes_of(here()), widget.locator(".rta-forcing-side > div").last
    bars = side.locator(".rta-bar").evaluate_all(
        "(bars) => bars.map(({ dataset }) => [+dataset.id, +dataset.probability])")
    assert [number for number, _ in bars[:5]] == lanes["top"][0, FIRST - 1].tolist()
    np.testing.assert_allclose([value for _, value in bars[:5]], lanes["probability"][0, FIRST - 1], rtol=1e-6)
    expect(side.locator(".rta-bars b").first).to_have_text("너")
    assert bars[5][1] == pytest.approx(np.exp(-lanes["loss"][0, FIRST - 1]), rel=1e-5)
    assert widget.locator("[data-row=freeBars] .rta-bar").count() == 5 * 6


def test_the_slider_answers_without_the_kernel_at_every_ratio(page):
    widget = show_all(page)
    other = here()
    lanes, coins = lanes_of(other), unpack(other.answer["drawn"])
    for number in range(11):
        ratio(widget, number / 10)
        found = numbers(widget)
        assert found["ratio"] == number / 10
        assert_lane(found["free"], lanes, number)
        assert_lane(found["forced"], lanes, -1)
        given = sum(coins[1 : len(found["free"])] < number / 10)
        assert widget.locator("[data-row=coin].rta-heads").count() == given
        assert widget.locator("[data-row=freeReads].rta-given").count() == given
    assert words(widget, "freeReads") == words(widget, "forcedReads")
    ratio(widget, 0.4)
    expect(widget.locator(".rta-lane-line[data-row=free]")).to_contain_text("Ratio 0.4 each step reads the right word")
    widget.get_by_label("ratio p").press("ArrowRight")
    assert numbers(widget)["ratio"] == 0.5
    assert_python_hears(page, "w.ratio, w.request", "(0.5, {})")
    in_kernel(page, "w.ratio = 1")
    expect(widget.get_by_label("ratio p")).to_have_value("1")
    assert_lane(numbers(widget)["free"], lanes, 10)


def test_new_coins_come_from_the_kernel_and_the_sentence_stays(page):
    widget = show_all(page)
    ratio(widget, 0.5)
    before = words(widget, "coin")
    widget.get_by_role("button", name="New coins").click()
    expect(widget.locator("[data-row=coin]").nth(1)).not_to_have_text(before[1])
    other = here()
    other.request = {"id": 1, "source": "I love you", "polite": False, "coins": 1}
    drawn = unpack(other.answer["drawn"])
    assert words(widget, "coin") == ["start", *(f"{coin:.2f}" for coin in drawn[1 : len(words(widget, "coin"))])]
    assert_lane(numbers(widget)["free"], lanes_of(other), 5)
    for _ in range(2):
        widget.get_by_role("button", name="Back").click()
    step = numbers(widget)["position"]
    widget.get_by_role("button", name="New coins").click()
    expect(widget.locator("[data-row=coin]").nth(1)).not_to_have_text(f"{drawn[1]:.2f}")
    assert (numbers(widget)["position"], numbers(widget)["shown"]) == (step, step)


def test_it_opens_at_the_first_step_and_says_how_to_go_on(page):
    widget = show(page, SOURCE)
    for answer in ("I love you", "you love me"):
        expect(widget.locator(".rta-forcing-pair")).to_contain_text(answer)
        assert (numbers(widget)["position"], numbers(widget)["shown"]) == (1, 1)
        assert [len(words(widget, row)) for row in ("forcedReads", "forcedSays", "freeSays", "coin", "loss")] == [1] * 5
        assert len(words(widget, "right")) == 6
        expect(widget.locator(".rta-go-on")).to_contain_text("Step, Play or the → key")
        widget.locator(".rta-lanes").press("ArrowRight")
        assert numbers(widget)["shown"] == 2
        widget.locator(".rta-lanes").press("End")
        expect(widget.locator(".rta-go-on")).to_have_count(0)
        widget.get_by_label("English sentence").fill("you love me")


def test_stepping_shows_the_future_only_when_it_comes(page):
    widget = show(page, SOURCE)
    back, step = (widget.get_by_role("button", name=name) for name in ("Back", "Step"))
    step.click()
    step.click()
    assert widget.locator(".rta-flag").count() == 1
    back.click()
    assert (numbers(widget)["position"], len(words(widget, "freeSays"))) == (2, 2)
    assert widget.locator(".rta-flag").count() == 0
    assert words(widget, "right")[-1] == "<eos>"
    step.click()
    expect(widget.locator(".rta-flag")).to_have_text(f"first divergence: step {FIRST}")
    step.click()
    assert (numbers(widget)["position"], widget.locator(".rta-flag").count()) == (4, 1)
    expect(widget.locator("[data-row=freeText]")).to_contain_text("나는 고양이가 …")


def test_playing_runs_from_the_first_step_to_the_last(page):
    widget = show(page, SOURCE)
    widget.get_by_role("button", name="Play").click()
    expect(widget).to_have_attribute("data-position", "1")
    expect(widget).to_have_attribute("data-position", "6")
    expect(widget.get_by_role("button", name="Play")).to_be_visible()


def test_arrow_keys_and_clicks_look_at_a_step(page):
    widget = show(page, SOURCE)
    strip = widget.locator(".rta-lanes")
    assert widget.locator("[tabindex='0']").count() == 1
    strip.focus()
    at = []
    for name in ("Home", "ArrowLeft", "ArrowRight", "End", "ArrowRight", "ArrowUp"):
        page.keyboard.press(name)
        at.append(numbers(widget)["position"])
    assert at == [1, 1, 2, 6, 6, 6]
    loss = numbers(widget)["free"][5]["loss"]
    expect(widget.locator(".rta-readout")).to_contain_text(
        f"Step 6 · Forced reads 사랑해, says ✓ <eos>, loss {numbers(widget)['forced'][5]['loss']:.3f}"
        f" · Free-running reads 커 (its own), says ✓ <eos>, loss {loss:.3f}")
    widget.locator("[data-row=freeReads][data-column='3']").click()
    assert (numbers(widget)["position"], numbers(widget)["shown"]) == (4, 6)
    expect(widget.locator(".rta-forcing-side")).to_contain_text("Free-running: top 5after 고양이")


def test_a_sentence_of_ones_own_is_translated(page):
    widget = show(page, SOURCE)
    field = widget.get_by_label("English sentence")
    field.fill("You love a cat")
    expect(widget.locator(".rta-forcing-pair")).to_have_text("You love a cat → 너는 고양이를 사랑해")
    widget.get_by_role("button", name="polite").click()
    expect(widget.locator(".rta-forcing-pair")).to_have_text("You love a cat → 당신은 고양이를 사랑해요")
    assert numbers(widget)["polite"] is True
    widget.get_by_label("Examples").select_option(label="I love a cat")
    expect(widget.locator(".rta-forcing-pair")).to_have_text("I love a cat → 저는 고양이를 사랑해요")
    expect(field).to_have_value("I love a cat")
    assert in_kernel(page, "print(w)") == "TeacherForcing('I love a cat', polite=True, ratio=0, steps=6)\n"


@pytest.mark.parametrize(("typed", "message"), [
    ("", "Type an English sentence"),
    ("I love zeppelins", "zeppelins"),
    (" ".join(["very"] * 41), "41 words are too many"),
    ("</script><img src=x onerror=alert(1)>", "img"),
    ("\u202e\U0001f600" * 5000, "\U0001f600"),
])
def test_a_bad_sentence_leaves_the_last_good_one(page, typed, message):
    widget = show(page, SOURCE)
    widget.get_by_label("English sentence").fill(typed)
    error = widget.locator(".rta-error[role=alert]")
    expect(error).to_contain_text(message)
    expect(error).not_to_contain_text("The grammar covers")
    field = widget.get_by_label("English sentence").bounding_box()
    assert error.bounding_box()["y"] - field["y"] - field["height"] <= 16
    expect(widget.locator(".rta-forcing-pair")).to_have_text("I love you → 나는 너를 사랑해")
    assert_lane(numbers(widget)["free"], lanes_of(here()), 0)
    assert widget.evaluate("(card) => card.scrollWidth <= card.clientWidth")
    widget.get_by_label("English sentence").fill("you love me")
    expect(widget.locator(".rta-error[role=alert]")).to_be_hidden()


def test_what_the_grammar_covers_is_a_tooltip(page):
    widget = show(page, SOURCE)
    widget.get_by_label("English sentence").fill("I love zeppelins")
    error = widget.locator(".rta-error[role=alert]")
    expect(error).to_have_text('the grammar does not know the word "zeppelins".')
    assert error.get_attribute("title").startswith("The grammar covers statements like")


def test_a_sentence_longer_than_any_in_training_is_called_so(page):
    widget = show(page, SOURCE)
    note = widget.get_by_text("longer than any sentence in training")
    expect(note).to_be_hidden()
    widget.get_by_label("English sentence").fill(LONG)
    expect(note).to_be_visible()
    widget.get_by_label("English sentence").fill("you love me")
    expect(note).to_be_hidden()


@pytest.mark.parametrize("source", ["hot milk is delicious and the singer is happy today",
                                    "now there is a small chair at the small library",
                                    "my friend does not eat cold bread in the park"])
def test_a_middle_sentence_fits_the_card_of_a_wide_page(page, source):
    knows = f"""
ids = target.encode({[*split(translate(source)), "<eos>"]!r})
model = Chain()
rows = 9 * torch.eye(len(target))[ids]
model.step = lambda tokens, state: (rows[int(state[0])].expand(len(tokens), -1), state + 1)"""
    widget = show_all(page, re.sub(r"^model = .*$", knows, SOURCE.replace("I love you", source), flags=re.MULTILINE))
    page.set_viewport_size({"width": 1280, "height": 720})
    next_frame(page)
    assert widget.locator(".rta-lanes").evaluate("(strip) => strip.scrollWidth <= strip.clientWidth")
    expect(widget.locator(".rta-cut")).to_be_hidden()
    assert widget.bounding_box()["height"] <= 620


def test_the_losses_have_a_scale(page):
    widget = show_all(page)
    lanes = lanes_of(here())
    largest = int(np.ceil(np.nanmax(lanes["loss"])))
    assert widget.locator(".rta-loss-scale span").all_inner_texts() == [str(largest), "0"]
    height = widget.locator("[data-row=loss]").first.bounding_box()["height"]
    bar = widget.locator(f"[data-row=loss][data-column='{FIRST - 1}'] .rta-loss-forced").bounding_box()["height"]
    assert bar == pytest.approx(height * lanes["loss"][-1, FIRST - 1] / largest, abs=1.1)


@pytest.mark.parametrize("dark", [False, True])
def test_a_long_sentence_scrolls_within_the_card_and_the_step_stays_in_sight(page, dark):
    widget = show(page, SOURCE.replace("I love you", LONG))
    harness.choose_theme(page, dark)
    strip = widget.locator(".rta-lanes")
    for width in (1280, 820):
        page.set_viewport_size({"width": width, "height": 1200})
        next_frame(page)
        assert widget.evaluate("(card) => card.scrollWidth <= card.clientWidth")
        assert strip.evaluate("(strip) => strip.scrollWidth > strip.clientWidth")
        for name in ("End", "Home"):
            strip.focus()
            page.keyboard.press(name)
            next_frame(page)
            assert widget.locator(".rta-cut").is_visible() == (name == "Home")
            assert strip.evaluate("(strip) => strip.classList.contains('rta-cut-left')") == (name == "End")
            frame, now = strip.bounding_box(), widget.locator(".rta-now").first.bounding_box()
            assert frame["x"] <= now["x"] and now["x"] + now["width"] <= frame["x"] + frame["width"]
        keep_picture(page, widget, f"teacher-forcing-long-{'dark' if dark else 'light'}-{width}")


def test_lines_join_the_supplier_to_what_is_read(page):
    widget = show_all(page)
    wires = widget.locator(".rta-lanes svg path")
    assert (widget.locator("path.given").count(), widget.locator("path.own").count()) == (5, 5)
    ratio(widget, 1)
    assert (widget.locator("path.given").count(), widget.locator("path.own").count()) == (5, 0)
    boxes = wires.evaluate_all("(paths) => paths.map((path) => path.getBBox().width)")
    assert all(width > 5 for width in boxes)


HOSTILE = [
    "</script><script>window.hacked = 1</script>", '"><img src=x onerror="window.hacked = 1">', "\u202eabc\u200f",
    "nul\x00nul", "\U0001f600\U0001f469\u200d\U0001f4bb", "long" * 2500, "$x^2$ `code` &amp; <b>bold</b>", "+는",
]


def test_two_views_of_one_widget_show_the_same_sentence(page):
    show(page, SOURCE, "w")
    first, second = (page.locator(".rta").nth(number) for number in range(2))
    field = second.get_by_label("English sentence")
    field.fill("you love me")
    field.press("Enter")
    expect(first.get_by_label("English sentence")).to_have_value("you love me")
    expect(first).to_contain_text("너는 나를 사랑해")


def test_hostile_tokens_stay_text(page):
    code = SOURCE.replace("source, target = vocabularies()", f"""
from course_utils.data.vocabulary import SPECIAL, UNK, Vocabulary
hostile = {HOSTILE!r}
source, target = vocabularies()[0], Vocabulary([*SPECIAL, *hostile], UNK)""")
    code = re.sub(r"^model = .*$", "model = Chain()", code, flags=re.MULTILINE)
    code = re.sub(r"examples=\[.*?\], seed=4", "examples=hostile, reference=hostile", code)
    widget = show(page, code)
    assert words(widget, "right")[0].startswith("</script>")
    for value in (0.3, 0.7, 1):
        ratio(widget, value)
        widget.locator(".rta-lanes").focus()
        page.keyboard.press("ArrowRight")
    assert widget.locator("img, script, iframe, b b").count() == 0
    assert page.evaluate("window.hacked") is None
    assert widget.evaluate("(card) => card.scrollWidth <= card.clientWidth")
    assert "\u202e" not in widget.inner_text() and "\x00" not in widget.inner_text()
    keep_picture(page, widget, "teacher-forcing-hostile")
