"""SamplingPlayground in a real JupyterLab: Python's numbers and choices, writing, the cache, bad and hostile input."""

import re

import harness
import numpy as np
import pytest
from harness import assert_python_hears, in_kernel, keep_picture, next_frame, numbers, show
from playwright.sync_api import expect

from course_utils.widgets.sampling_playground import Settings, choose, distribution

pytestmark = pytest.mark.browser

# An untrained model that is sure of itself: its distributions are as steep as those of a trained one.
SOURCE = """
import torch
from course_utils.data.subword import load_tokenizer
from course_utils.models.gpt import GPT, GPTConfig
from course_utils.widgets import SamplingPlayground

torch.set_num_threads(1)
torch.manual_seed(0)
model = GPT(GPTConfig(2000, d_model=16, n_heads=2, n_layers=3, max_length=20))
model.words.weight.data.mul_(40)
w = SamplingPlayground(model, load_tokenizer("bpe"), {})
w
"""
HOSTILE = ["</script><script>window.hacked = 1</script>", '"><img src=x onerror="window.hacked = 1">',
           "\u202eabc\u200f", "nul\x00nul", "\U0001f600\U0001f469\u200d", "__proto__ $x^2$ <b>b</b>"]


def playground(page, settings="", context=20):
    """The widget on the page, and the same one in this process."""
    source = SOURCE.replace("{}", settings).replace("max_length=20", f"max_length={context}")
    scope = {}
    exec(source, scope)
    return show(page, source), scope["w"]


def move(widget, label, value):
    """Drag a range to a value, as one input event."""
    widget.get_by_label(label, exact=True).evaluate(
        "(range, value) => { range.value = value; range.dispatchEvent(new Event('input')); }", str(value))


def step(widget, times=1):
    for _ in range(times):
        before = len(numbers(widget)["written"])
        widget.get_by_role("button", name="Step").click()
        expect(widget.locator(".rta-sp-chip[data-place]")).to_have_count(before + 1)


def assert_computes(widget, like):
    """The scores are those of a model like the kernel's; distribution and next token are what Python makes of them."""
    found = numbers(widget)
    logits, ids = np.float32(found["logits"]), found["ids"]
    np.testing.assert_allclose(logits, like.reader.read(ids, cached=False).logits, atol=1e-3)
    settings = Settings(*(found[name] for name in ("temperature", "top_k", "top_p", "penalty")))
    wanted = distribution(logits, settings, ids)
    assert found["order"] == wanted.order.tolist()
    for name, values in (("own", wanted.model), ("before", wanted.before), ("after", wanted.after)):
        np.testing.assert_allclose(found[name], values, rtol=1e-9, atol=1e-300, err_msg=name)
    assert (found["kept"], found["by_k"], found["by_p"]) == (wanted.kept, wanted.by_k, wanted.by_p)
    assert found["draw"] == like.uniforms[found["seed"], len(found["written"])]
    assert found["next"] == choose(logits, settings, found["draw"], ids)
    return found


def test_the_browser_computes_and_chooses_what_python_does(page):
    widget, like = playground(page)
    assert_computes(widget, like)
    for label, value in (("temperature", 0.6), ("top-k", 6), ("top-p", 0.8), ("penalty", 1.5), ("seed", 7),
                         ("temperature", 2), ("top-k", 3), ("top-p", 0.05), ("temperature", 0), ("temperature", 0.05)):
        move(widget, label, value)
        assert_computes(widget, like)
    assert numbers(widget)["top_k"] == 5 and numbers(widget)["top_p"] == 0.05
    assert_python_hears(page, "w.temperature, w.top_k, w.top_p, w.penalty, w.seed", "(0.05, 5, 0.05, 1.5, 7)")
    assert in_kernel(page, "print(w.request)") == "{}\n"                         # none of this asked the kernel


def test_steps_write_what_python_writes_with_and_without_the_cache(page):
    widget, like = playground(page, "temperature=1.3, top_k=300, top_p=0.95, penalty=1.2, seed=3")
    step(widget, 4)
    widget.get_by_role("button", name="no cache").click()
    expect(widget.locator(".rta-sp-memory")).to_contain_text("all 6 tokens read again")
    step(widget, 3)
    like.write(7)
    found = numbers(widget)
    assert found["written"] == like.written and found["cache"] is None
    np.testing.assert_allclose(found["chances"], [row[1:] for row in like.answer["written"]], rtol=1e-4)
    assert_python_hears(page, "w.written", str(like.written))
    assert widget.locator("circle.sp-cost-kept, polygon.sp-cost-kept").count() == 4 + 1        # and one of the legend
    assert widget.locator("circle.sp-cost-full, polygon.sp-cost-full").count() == 4 + 1


def test_the_cache_grows_by_one_token_a_step(page):
    widget, _ = playground(page, "'Return the list'")
    memory = widget.locator(".rta-sp-memory")
    expect(memory).to_contain_text("2 × 3 layers × 2 heads × 3 tokens × 8= 288 numbers, 1 kB")
    expect(memory).to_contain_text("Last step: 3 tokens read in")
    step(widget)
    expect(memory).to_contain_text("2 × 3 layers × 2 heads × 4 tokens × 8= 384 numbers, 2 kB")
    expect(memory).to_contain_text("Last step: 1 new token read in")
    widget.get_by_role("button", name="Back").click()
    expect(memory).to_contain_text("3 tokens × 8")
    assert numbers(widget)["read"] == 1


def test_back_and_reset_take_tokens_away_and_the_same_ones_come_again(page):
    widget, _ = playground(page, "temperature=2, steps=5")
    written = numbers(widget)["written"]
    back, chips = widget.get_by_role("button", name="Back"), widget.locator(".rta-sp-chip[data-place]")
    for left in (4, 3):
        back.click()
        expect(chips).to_have_count(left)
    step(widget, 2)
    assert numbers(widget)["written"] == written
    widget.get_by_role("button", name="Reset").click()
    expect(chips).to_have_count(0)
    back.click(force=True)                                                       # nothing is left to take
    step(widget, 5)
    assert numbers(widget)["written"] == written
    move(widget, "seed", 4)
    widget.get_by_role("button", name="Reset").click()
    expect(chips).to_have_count(0)
    step(widget, 5)
    assert numbers(widget)["written"] != written


def test_running_fills_the_context_and_then_says_so(page):
    widget, like = playground(page, "temperature=2")
    running = widget.get_by_role("button", name="Run")
    running.click()
    expect(widget.get_by_role("button", name="Stop")).to_be_visible()
    full = "The context is full: the model reads at most 20 tokens"
    expect(widget.locator(".rta-sp-about")).to_contain_text(full)
    expect(running).to_be_visible()
    like.write(18)
    assert numbers(widget)["written"] == like.written
    for name in ("Step", "Run", "Step"):
        widget.get_by_role("button", name=name).click(force=True)                # they look as if they were off
    expect(widget.locator(".rta-readout")).to_contain_text("The context is full.")
    expect(running).to_be_visible()
    assert numbers(widget)["written"] == like.written and numbers(widget)["next"] is None
    assert widget.locator(".rta-sp-drawn").count() == 0
    widget.get_by_role("button", name="Back").click()
    expect(widget.locator(".rta-sp-about")).to_contain_text("T = 19 of 20")
    assert numbers(widget)["next"] == like.written[-1]


def test_stop_stops(page):
    widget, _ = playground(page)
    widget.get_by_role("button", name="Run").click()
    expect(widget.locator(".rta-sp-chip[data-place='1']")).to_be_visible()
    widget.get_by_role("button", name="Stop").click()
    expect(widget).to_have_attribute("aria-busy", "false")
    written = numbers(widget)["written"]
    assert 2 <= len(written) < 18
    page.wait_for_timeout(600)                                                   # two tokens' time
    assert numbers(widget)["written"] == written


def test_quick_presses_of_step_write_as_many_tokens(page):
    widget, like = playground(page)
    button = widget.get_by_role("button", name="Step")
    button.evaluate("(button) => { for (let press = 0; press < 6; press += 1) button.click(); }")
    expect(widget.locator(".rta-sp-chip[data-place]")).to_have_count(6)
    like.write(6)
    assert numbers(widget)["written"] == like.written


def test_a_prompt_of_ones_own_starts_anew(page):
    widget, like = playground(page, "steps=2")
    field = widget.get_by_label("Prompt")
    field.fill("Raise an error")
    expect(widget.locator(".rta-sp-text")).to_have_text("Raise an error")
    assert numbers(widget)["written"] == []
    field.press("Shift+Enter")
    field.press_sequentially("if")
    typed = "Raise an error\nif"
    expect(widget.locator(".rta-sp-about")).to_contain_text(f"prompt, {len(like.tokenizer.encode(typed))} tokens")
    assert field.input_value() == numbers(widget)["text"] == typed
    field.fill("안녕")
    field.press("Enter")
    assert field.input_value() == "안녕"
    expect(widget.locator(".rta-sp-text")).to_have_text("안녕")
    assert assert_computes(widget, like)["ids"] == like.tokenizer.encode("안녕").ids


def test_step_right_after_typing_writes_on_from_what_was_typed(page):
    widget, like = playground(page)
    widget.get_by_label("Prompt").evaluate("""(field) => {
        field.value = "Raise an error";
        field.dispatchEvent(new Event("input"));
        [...field.closest(".rta").querySelectorAll("button")].find((one) => one.textContent === "Step").click();
    }""")
    expect(widget.locator(".rta-sp-chip[data-place]")).to_have_count(1)
    like.answer = {**like.respond("Raise an error"), "id": 0}
    like.write()
    assert (numbers(widget)["text"], numbers(widget)["written"]) == ("Raise an error", like.written)


@pytest.mark.parametrize(("typed", "message"), [
    ("", "Type a prompt: the model needs at least one token"),
    (" the list" * 30, "The prompt has 60 tokens; the model's context is 20."),
    ("\u202e\U0001f600" * 5000, "the model's context is 20."),
    ("a" * 30_000, "30,000 characters are too many for a prompt."),
])
def test_a_bad_prompt_leaves_the_last_good_text(page, typed, message):
    widget, like = playground(page, "steps=3")
    field, error = widget.get_by_label("Prompt"), widget.locator(".rta-error[role=alert]")
    field.fill(typed)
    expect(error).to_contain_text(message)
    widget.get_by_role("button", name="Step").click()                            # still no prompt
    expect(error).to_contain_text(message)
    assert numbers(widget)["written"] == like.written
    assert widget.evaluate("(card) => card.scrollWidth <= card.clientWidth")
    move(widget, "temperature", 0.5)
    assert_computes(widget, like)
    field.fill("Return the name")
    expect(error).to_be_hidden()
    expect(widget.locator(".rta-sp-text")).to_have_text("Return the name")


def test_a_model_that_computes_nan_leaves_the_last_good_text(page):
    widget, like = playground(page, "steps=1")
    in_kernel(page, "with torch.no_grad(): model.positions.weight[4:] = float('nan')")
    step(widget)                                                                 # the fourth place is the last good one
    widget.get_by_role("button", name="Run").click()
    error = "With this text the model computes numbers that are NaN or infinite"
    expect(widget.locator(".rta-error[role=alert]")).to_contain_text(error)
    expect(widget.get_by_role("button", name="Run")).to_be_visible()
    assert len(numbers(widget)["written"]) == 2 == len(like.written) + 1


def test_a_written_token_tells_its_probability_by_mouse_and_keyboard(page):
    widget, like = playground(page, "top_k=20, steps=4")
    told = widget.locator(".rta-readout")
    expect(told).to_contain_text("Next token: the draw")
    widget.locator(".rta-sp-chip[data-place='1']").hover()
    _, own, after = like.answer["written"][1]
    expect(told).to_contain_text("Token 2: ")
    expect(told).to_contain_text(f"had probability {own:.3f} in the model and {after:.3f} in the draw")
    widget.get_by_role("button", name="Reset").hover()
    expect(told).to_contain_text("Next token: the draw")
    text = widget.locator(".rta-sp-text")
    text.focus()
    seen = []
    for key in ("ArrowLeft", "ArrowLeft", "Home", "ArrowLeft", "ArrowRight", "End", "ArrowRight"):
        page.keyboard.press(key)
        seen.append(re.match(r"Token (\d+)", told.inner_text())[1])
    assert seen == ["4", "3", "1", "1", "2", "4", "4"]
    page.keyboard.press("Tab")
    expect(told).to_contain_text("Next token: the draw")


def test_the_cut_off_lines_stand_behind_the_last_token_that_is_kept(page):
    widget, like = playground(page, "top_k=30, top_p=0.8")
    found = assert_computes(widget, like)
    labels = widget.locator("text.sp-cut")
    assert sorted(labels.all_text_contents()) == ["top-k: 30", f"top-p 0.80: {found['by_p']} tokens"]
    lines = widget.locator(".rta-sp-main svg line.mark:not(:last-of-type)").evaluate_all(
        "(lines) => lines.map((line) => Number(line.getAttribute('x1'))).sort((a, b) => a - b)")
    width = widget.locator(".rta-sp-main .rta-stage svg").first.evaluate("(svg) => svg.clientWidth")
    wanted = [44 + np.log(count + 1) / np.log(2001) * (width - 54) for count in sorted((30, found["by_p"]))]
    np.testing.assert_allclose(lines[:2], wanted, atol=0.5)
    move(widget, "top-p", 1)
    expect(labels).to_have_text(["top-k: 30"])
    move(widget, "temperature", 0)
    expect(widget.locator(".rta-sp-main")).to_contain_text("temperature 0: only the likeliest is left")


def test_the_table_shows_the_likeliest_tokens_before_and_after(page):
    widget, like = playground(page, "top_k=4, temperature=0.8")
    found = like.next_distribution()
    rows = widget.locator(".rta-sp-table [role=row]").all_inner_texts()
    for rank, row in enumerate(rows[1:10]):
        cells = row.split("\n")
        assert cells[0] == str(rank + 1)
        assert float(cells[-2].replace("<", "0")) == pytest.approx(found.model[rank], abs=0.0006)
        assert cells[-1] == ("–" if rank >= 4 else f"{found.after[rank]:.3f}")
    move(widget, "top-k", 100)                                                   # off
    move(widget, "temperature", 2)
    for seed in range(20):
        move(widget, "seed", seed)
        drawn = widget.locator(".rta-sp-drawn [role=rowheader]")
        assert drawn.get_attribute("data-token") == str(numbers(widget)["next"])


def test_python_moves_the_picture_and_writes(page):
    widget, like = playground(page)
    in_kernel(page, "w.temperature = 0.3; w.top_k = 37")
    expect(widget.get_by_label("temperature")).to_have_value("0.3")
    expect(widget.locator(".rta-sp-sliders output").nth(1)).to_have_text("37")
    assert_computes(widget, like)
    in_kernel(page, "w.write(3)")
    expect(widget.locator(".rta-sp-chip[data-place]")).to_have_count(3)
    like.write(3)
    assert numbers(widget)["written"] == like.written
    step(widget)
    in_kernel(page, "w.use_cache = False")
    expect(widget.get_by_role("button", name="no cache")).to_have_attribute("aria-pressed", "true")
    expect(widget.locator(".rta-sp-memory")).to_contain_text("Nothing is kept")


def test_two_views_show_the_same_text(page):
    show(page, SOURCE.replace("{}", ""), "w")
    first, second = (page.locator(".rta").nth(number) for number in range(2))
    step(second, 2)
    expect(first.locator(".rta-sp-chip[data-place]")).to_have_count(2)
    step(first)
    assert numbers(second)["written"] == numbers(first)["written"]


def test_a_character_in_pieces_is_shown_as_bytes(page):
    widget, _ = playground(page)
    in_kernel(page, """
ids = w.tokenizer.encode("é한").ids
w.request = {"id": 77, "prompt": "Return", "written": [[number, 0.5, 0.5] for number in ids]}""")
    chips = widget.locator(".rta-sp-chip[data-place]")
    expect(chips.first).to_have_text(r"\xc3")
    assert all(re.fullmatch(r"(\\x[0-9a-f]{2})+", text) for text in chips.all_inner_texts())


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_prompts_stay_text(page, text):
    widget, _ = playground(page, f"{text!r}, examples={HOSTILE!r}", context=40)
    assert widget.locator("img, script, iframe, b b").count() == 0
    assert page.evaluate("window.hacked") is None
    assert "\u202e" not in widget.locator(".rta-sp-text").inner_text() and "\x00" not in widget.inner_text()
    widget.get_by_label("Examples").select_option(index=2)
    expect(widget.locator(".rta-sp-text")).to_have_text(HOSTILE[1])
    assert widget.evaluate("(card) => card.scrollWidth <= card.clientWidth")


def test_hostile_tokens_stay_text(page):
    code = SOURCE.replace("{}", "").replace('load_tokenizer("bpe")', "Odd()").replace("2000,", "6,") + f"""
from types import SimpleNamespace
class Odd:
    decoder, hostile = None, {HOSTILE!r}
    def encode(self, text, add_special_tokens=True):
        return SimpleNamespace(ids=[0, 1])
    def id_to_token(self, number):
        return self.hostile[number]
    def token_to_id(self, text):
        return None
    def decode(self, ids, skip_special_tokens=True):
        return "".join(map(self.id_to_token, ids))
"""
    *head, tail = code.split("from types import")
    widget = show(page, "from types import" + tail, head[0])
    step(widget, 6)
    assert widget.locator("img, script, iframe, b b").count() == 0
    assert page.evaluate("window.hacked") is None
    assert widget.evaluate("(card) => card.scrollWidth <= card.clientWidth")
    assert "\u202e" not in widget.inner_text() and "\x00" not in widget.inner_text()
    keep_picture(page, widget, "sampling-playground-hostile")


def test_a_slider_answers_in_the_same_frame(page):
    """The whole vocabulary is sorted, filtered and drawn before the event ends: nothing is asked for, nothing waits."""
    widget, _ = playground(page)
    seen = widget.get_by_label("top-k", exact=True).evaluate("""(range) => {
        const card = range.closest(".rta");
        const before = card.numbers().kept;
        range.value = 4;
        range.dispatchEvent(new Event("input"));
        return [before, card.numbers().kept, card.querySelectorAll("text.sp-cut").length];
    }""")
    assert seen == [2000, 7, 1]


@pytest.mark.parametrize("dark", [False, True])
def test_it_can_be_read_beside_the_file_list(page, dark):
    widget, _ = playground(page, "steps=12, temperature=1.2, top_k=50, top_p=0.9, penalty=1.3, examples=['a']")
    harness.choose_theme(page, dark)
    for width in (1280, 1010, 820, 600):
        page.set_viewport_size({"width": width, "height": 1200})
        next_frame(page)
        assert widget.evaluate("(card) => card.scrollWidth <= card.clientWidth")
        keep_picture(page, widget, f"sampling-playground-{'dark' if dark else 'light'}-{width}")


def test_it_fits_a_slide_with_its_code_whatever_the_prompt(page):
    page.set_viewport_size({"width": 1280, "height": 720})
    widget, _ = playground(page, "'a\\n' * 9, steps=12, temperature=1.2, top_k=50, top_p=0.9", context=60)
    assert widget.get_by_label("Prompt").input_value().count("\n") == 9
    assert widget.bounding_box()["height"] <= 650
