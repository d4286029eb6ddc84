"""FillInTheBlank in a real JupyterLab: hiding words, both contexts, own sentences, without a kernel, hostile input."""

import functools

import harness
import pytest
from harness import assert_python_hears, in_kernel, keep_picture, next_frame, numbers, show
from playwright.sync_api import expect

from course_utils.widgets.base import unpack

pytestmark = pytest.mark.browser

# The first model knows nothing but each word's neighbours: before "in" it expects "items", whatever stands on the left.
SOURCE = """
import torch
from torch import nn
from course_utils.data.subword import load_tokenizer
from course_utils.models.bert import BERTConfig, PretrainingBERT
from course_utils.widgets import FillInTheBlank

tokenizer = load_tokenizer("wordpiece")

class Neighbours(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.out = nn.Embedding(3000, 8), nn.Linear(8, 3000)

    def forward(self, ids, lengths, segments):
        after = torch.cat([ids[:, 1:], ids.new_zeros(len(ids), 1)], 1)
        before = torch.cat([ids.new_zeros(len(ids), 1), ids[:, :-1]], 1)
        logits = self.out(self.table(before) + self.table(after))
        logits[..., tokenizer.token_to_id("items")] += 9.0 * (after == tokenizer.token_to_id("in"))
        return logits, torch.zeros(len(ids), 2)

torch.manual_seed(0)
small = PretrainingBERT(BERTConfig(3000, 16, 2, 32, 1, 48))
models = {"neighbours": Neighbours(), "untrained": small}
sentences = ["Return the number of items in the list.", "The tokenizer splits a string."]
w = FillInTheBlank(models, tokenizer, sentences)
w
"""
TEXT = "Return the number of items in the list."
ITEMS = 4


@functools.cache
def here():
    """The same widget in this process."""
    scope = {}
    exec(SOURCE, scope)
    return scope["w"]


def opened(**settings):
    """The code of a widget that opens with these settings."""
    return SOURCE.replace("sentences)", "sentences, " + ", ".join(f"{name}={value!r}" for name, value in
                                                                  settings.items()) + ")")


def word(widget, number):
    return widget.locator(f"button[data-word='{number}']")


def assert_hidden(page, numbers):
    assert_python_hears(page, "w.hidden", repr(numbers))


def assert_shows(widget, answer):
    """The browser holds the numbers of an answer as Python computes it, at the latest when it has heard of it."""
    script = """(card, [text, hidden, blanks]) => {
        const found = card.numbers();
        return found.text === text && String(found.hidden) === String(hidden) && found.blanks.length === blanks;
    }"""
    asked = [answer["text"], answer["hidden"], len(answer["blanks"])]
    widget.page.wait_for_function(f"([card, asked]) => ({script})(card, asked)", arg=[widget.element_handle(), asked])
    found, arrays = numbers(widget), {name: unpack(answer[name]) for name in ("probability", "chance", "rank")}
    assert (found["text"], found["hidden"]) == (answer["text"], answer["hidden"])
    assert len(found["blanks"]) == len(answer["blanks"])
    for number, blank in enumerate(found["blanks"]):
        assert {name: blank[name] for name in ("word", "piece", "of", "truth")} == answer["blanks"][number]
        for model, said in enumerate(blank["models"]):
            for context, told in enumerate(said["contexts"]):
                place = (number, model, context)
                assert [piece for piece, _ in told["top"]] == answer["top"][number][model][context]
                assert [value for _, value in told["top"]] == pytest.approx(arrays["probability"][place], rel=1e-3)
                if blank["truth"] is not None:
                    assert told["chance"] == pytest.approx(arrays["chance"][place], rel=1e-3)
                    assert told["rank"] == arrays["rank"][place]


def test_a_clicked_word_is_hidden_and_every_model_fills_it(page):
    widget = show(page, SOURCE)
    expect(widget.locator(".rta-fb-empty")).to_contain_text("Click a word above")
    assert widget.locator(".rta-fb-special").all_inner_texts() == ["[CLS]", "[SEP]"]
    word(widget, ITEMS).click()
    expect(word(widget, ITEMS)).to_have_attribute("aria-pressed", "true")
    assert word(widget, ITEMS).inner_text().split() == ["[MASK]", "items"]
    assert_hidden(page, [ITEMS])
    assert_shows(widget, here().respond(TEXT, [ITEMS]))
    first = widget.locator(".rta-fb-model").first
    expect(first.locator(".rta-fb-name")).to_have_text("neighbours")
    expect(first.locator(".rta-bars b").first).to_have_text("✓ items")
    expect(first.locator(".rta-marked")).to_have_count(1)
    expect(first.locator(".rta-fb-truth")).to_contain_text("✓ items rank 1 of 3,000")
    untrained = here().respond(TEXT, [ITEMS])
    rank, chance = (unpack(untrained[name])[0, 1, 0] for name in ("rank", "chance"))
    truth = widget.locator(".rta-fb-model").nth(1).locator(".rta-fb-truth")
    expect(truth).to_contain_text(f"items rank {rank:,} of 3,000")
    assert rank > 8 and chance < 0.0005
    expect(truth).to_contain_text("×10⁻⁴")
    expect(widget.locator(".rta-readout")).to_contain_text("items · neighbours: ✓ items")
    word(widget, ITEMS).click()
    expect(widget.locator(".rta-fb-empty")).to_be_visible()
    assert_hidden(page, [])


def test_words_are_one_tab_stop_and_keys_hide_them(page):
    widget = show(page, SOURCE)
    stops = widget.locator(".rta-fb-strip [tabindex='0']")
    assert stops.count() == 1
    stops.focus()
    for key in ("ArrowRight", "ArrowRight", "Space", "End", "ArrowLeft", "Enter"):
        page.keyboard.press(key)
    assert_hidden(page, [2, 7])
    assert_shows(widget, here().respond(TEXT, [2, 7]))
    expect(word(widget, 7)).to_be_focused()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowLeft")
    expect(word(widget, 0)).to_be_focused()
    assert stops.count() == 1
    assert in_kernel(page, "print(w)") == "FillInTheBlank(models=2, words=9, hidden=2)\n"
    widget.get_by_role("button", name="Show all words").click()
    assert_hidden(page, [])
    expect(widget.get_by_role("button", name="Show all words")).to_be_disabled()


def test_the_left_part_stands_beside_the_full_sentence(page):
    widget = show(page, opened(hidden=[ITEMS]))
    widget.get_by_role("button", name="full and left part").click()
    contexts = widget.locator(".rta-fb-model").first.locator(".rta-fb-contexts > div")
    expect(contexts).to_have_count(2)
    expect(contexts.nth(1)).to_contain_text("left part only")
    expect(contexts.nth(1).locator("s")).to_have_text("in the list .")
    expect(contexts.nth(0).locator("s")).to_have_count(0)
    expect(contexts.nth(0).locator(".rta-fb-truth")).to_contain_text("✓ items rank 1")
    rank = unpack(here().respond(TEXT, [ITEMS])["rank"])[0, 0, 1]
    assert rank > 100
    expect(contexts.nth(1).locator(".rta-fb-truth")).to_contain_text(f"items rank {rank:,}")
    expect(widget.locator(".rta-readout")).to_contain_text("left part only")
    assert_python_hears(page, "w.left", "True")
    in_kernel(page, "w.left = False")
    expect(contexts).to_have_count(1)


def test_a_word_of_two_pieces_is_two_blanks(page):
    widget = show(page, SOURCE)
    widget.get_by_label("Examples").select_option(label="The tokenizer splits a string.")
    expect(word(widget, 1)).to_have_text("tokenizertoken ##izer")
    word(widget, 1).click()
    assert_hidden(page, [1])
    assert_shows(widget, here().respond("The tokenizer splits a string.", [1]))
    widget.get_by_role("button", name="full and left part").click()
    read = widget.locator(".rta-fb-blank").last.locator(".rta-fb-reading").nth(1)
    assert read.inner_text() == "[CLS] The [MASK] [MASK] splits a string ."
    expect(read.locator("s")).to_have_text("splits a string .")
    blanks = widget.locator(".rta-fb-blank .rta-caption")
    expect(blanks.first).to_contain_text("piece 1 of 2: token · each piece is filled without knowing the others")
    expect(blanks.last).to_contain_text("piece 2 of 2: ##izer")
    assert word(widget, 1).inner_text().split() == ["[MASK]", "[MASK]", "tokenizer"]


def test_all_words_may_be_hidden(page):
    widget = show(page, opened(hidden=list(range(9))))
    expect(widget.locator(".rta-fb-told")).to_contain_text("Every word is hidden")
    assert_shows(widget, here().respond(TEXT, range(9)))
    assert widget.bounding_box()["height"] <= 640
    word(widget, 0).click()
    expect(widget.locator(".rta-fb-told")).not_to_contain_text("Every word is hidden")
    word(widget, 0).click()
    expect(widget.locator(".rta-fb-blank").first).to_be_in_viewport()


def test_a_sentence_of_ones_own_keeps_the_hidden_words_that_stay(page):
    widget = show(page, opened(hidden=[ITEMS]))
    field = widget.get_by_label("Sentence")
    field.fill(f"Always {TEXT.lower()} 한국어")
    expect(widget.locator(".rta-fb-told")).to_contain_text("‘한국어’: no pieces in the vocabulary, read as [UNK]")
    assert numbers(widget)["hidden"] == []             # "return" is not "Return", and the end is new too
    field.fill(TEXT)
    assert_python_hears(page, "w.text", repr(TEXT))
    expect(widget.locator(".rta-fb-told")).not_to_contain_text("한국어")
    word(widget, ITEMS).click()
    field.fill(f"Always {TEXT}")
    assert_hidden(page, [ITEMS + 1])
    assert_shows(widget, here().respond(f"Always {TEXT}", [ITEMS + 1]))
    field.fill("Return the [MASK] of items")
    expect(widget.locator(".rta-fb-truth").first).to_contain_text("you typed [MASK]")
    assert_shows(widget, here().respond("Return the [MASK] of items", []))


@pytest.mark.parametrize(("typed", "told"), [
    ("", "Type a sentence: without words"), ("\u202e\u200f", "finds no word"), ("a " * 41, "41 words and signs"),
    ("x" * 10_000, "10,000 characters are too many"), ("reinitializes " * 12, "reads 48"),
    ("a [SEP] b", "[SEP] cannot"),
])
def test_bad_input_is_told_in_one_line_and_the_last_answer_stays(page, typed, told):
    widget = show(page, opened(hidden=[ITEMS]))
    field, error = widget.get_by_label("Sentence"), widget.locator(".rta-error[role=alert]")
    field.fill(typed)
    expect(error).to_contain_text(told)
    assert_shows(widget, here().respond(TEXT, [ITEMS]))
    word(widget, 2).click()                            # the sentence on the screen can still be used …
    assert_hidden(page, [2, ITEMS])
    expect(widget.locator(".rta-fb-blank")).to_have_count(2)
    expect(error).to_contain_text(told)                # … and what was typed is still there, and still refused
    assert field.input_value() == typed
    field.fill("Return a list")
    expect(error).to_be_hidden()
    expect(widget.locator(".rta-fb-word")).to_have_count(5)


def test_a_model_that_computes_nan_is_told_and_the_words_are_as_before(page):
    widget = show(page, opened(hidden=[ITEMS]))
    in_kernel(page, "kept = small.word_bias.data.clone(); small.word_bias.data.fill_(float('nan'))")
    word(widget, 2).click()
    word(widget, 3).click()
    expect(widget.locator(".rta-error[role=alert]")).to_contain_text("'untrained' computes numbers that are NaN")
    assert_shows(widget, here().respond(TEXT, [ITEMS]))
    expect(word(widget, 2)).to_have_attribute("aria-pressed", "false")
    in_kernel(page, "small.word_bias.data.copy_(kept)")
    word(widget, 2).click()
    expect(widget.locator(".rta-error[role=alert]")).to_be_hidden()
    assert_shows(widget, here().respond(TEXT, [2, ITEMS]))


def test_hostile_words_and_names_stay_text(page):
    hostile = '</script><img src=x onerror="window.hacked = 1"> \u202eabc \u200f'
    code = opened(text=hostile, hidden=[0, 1, 2], left=True).replace('"neighbours"', repr(hostile + "long" * 2500))
    widget = show(page, code)
    assert widget.locator("img, script, iframe").count() == 0
    assert page.evaluate("window.hacked") is None
    assert "script" in widget.inner_text()
    assert widget.evaluate("(card) => card.scrollWidth <= card.clientWidth")
    keep_picture(page, widget, "fill-in-the-blank-hostile")


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_beside_the_file_list(page, dark):
    harness.choose_theme(page, dark)
    widget = show(page, opened(text=TEXT, hidden=[1, ITEMS], left=True))
    for width in (1280, 960, 700):
        page.set_viewport_size({"width": width, "height": 1200})
        next_frame(page)
        assert widget.evaluate("(card) => card.scrollWidth <= card.clientWidth")
        keep_picture(page, widget, f"fill-in-the-blank-both-{'dark' if dark else 'light'}-{width}")
    assert widget.bounding_box()["height"] <= 860


def test_it_fits_a_slide_with_its_code_whatever_is_hidden(page):
    page.set_viewport_size({"width": 1280, "height": 720})
    widget = show(page, opened(text="a " * 40, hidden=list(range(40)), left=True))
    assert widget.bounding_box()["height"] <= 620
    last = word(widget, 39)
    last.focus()                                       # the words scroll, and what is focused is seen
    strip, seen = (part.bounding_box() for part in (widget.locator(".rta-fb-strip"), last))
    assert strip["y"] <= seen["y"] and seen["y"] + seen["height"] <= strip["y"] + strip["height"]


def test_single_blanks_of_the_first_sentence_need_no_kernel(page, lab):
    show(page, opened(hidden=[ITEMS]))
    copy = "work/saved-blanks.ipynb"
    (lab.folder / "work").mkdir(exist_ok=True)
    (lab.folder / copy).write_bytes(harness.save_with_widget(page).read_bytes())
    harness.close_tabs(page)
    harness.start_kernel(page, copy)
    harness.command(page, "docmanager:open", path=copy)
    widget = page.locator(".rta[data-kind=fill-in-the-blank]").first
    expect(widget).to_be_visible()
    assert_shows(widget, here().respond(TEXT, [ITEMS]))
    word(widget, ITEMS).click()
    expect(widget.locator(".rta-fb-empty")).to_be_visible()
    word(widget, 2).click()
    expect(widget.locator(".rta-fb-blank")).to_contain_text("‘number’")
    assert_shows(widget, here().respond(TEXT, [2]))
    assert widget.get_attribute("aria-busy") != "true"
    word(widget, 7).click()                            # two blanks were not sent in advance
    expect(widget.locator(".rta-error[role=alert]")).to_contain_text("No answer from the kernel")
    expect(word(widget, 7)).to_have_attribute("aria-pressed", "false")
    assert_shows(widget, here().respond(TEXT, [2]))
    harness.close_tabs(page)
