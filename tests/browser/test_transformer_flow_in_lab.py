"""TransformerFlow in a real JupyterLab: the sentence on its way, opened parts, switches, own sentences."""

import functools

import harness
import numpy as np
import pytest
from harness import in_kernel, keep_picture, next_frame, numbers, show
from playwright.sync_api import expect

from course_utils.widgets.base import unpack

pytestmark = pytest.mark.browser

SOURCE = """
import torch
from course_utils.data.translation import vocabularies
from course_utils.models.transformer import Transformer
from course_utils.widgets import TransformerFlow
torch.manual_seed(1)
source, target = vocabularies()
model = Transformer(len(source), len(target), 16, 2, 32, 2, tied=False)
w = TransformerFlow(model, "I love you", examples=["you love me"])
w
"""
ENCODER, DECODER = 2 + 2 * 6, 2 + 2 * 9 + 2      # stations: words, positions, two layers, and linear and softmax
CROSS = "decoder.blocks.1.cross_attention"
OWN = "decoder.blocks.0.self_attention"


@functools.cache
def here(off=()):
    """The same widget in this process."""
    scope = {}
    exec(SOURCE.replace("examples", f"off={list(off)!r}, examples"), scope)
    return scope["w"]


def opened(**settings):
    """The code of a widget that opens at a token or a part."""
    return SOURCE.replace("examples", "".join(f"{name}={value!r}, " for name, value in settings.items()) + "examples")


def weights_of(widget, name):
    [part] = [part for part in widget.answer["parts"] if part["name"] == name]
    place, flat = part["weights"], unpack(widget.answer["numbers"])
    return flat[place["at"] : place["at"] + np.prod(place["shape"])].reshape(place["shape"])


def press(widget, name, times=1):
    for _ in range(times):
        widget.get_by_role("button", name=name, exact=True).click()


def part(widget, name):
    return widget.locator(f"[data-part='{name}']")


def test_the_encoder_once_and_then_the_decoder_for_every_token(page):
    widget, other = show(page, SOURCE), here()
    names = [part["name"] for part in other.answer["parts"] if not part["name"].endswith("hidden")]
    assert len(names) + 1 == ENCODER + DECODER
    seen = widget.evaluate("""(card, times) => {
        const step = [...card.querySelectorAll("button")].find((button) => button.textContent === "Step");
        return [card.numbers(), ...Array.from({ length: times }, () => { step.click(); return card.numbers(); })];
    }""", ENCODER + DECODER)
    assert [state["station"] for state in seen] == [*names, "softmax", "decoder.words"]
    assert [state["token"] for state in seen] == [-1] * ENCODER + [0] * DECODER + [1]
    for state in seen[:-2]:
        if state["form"] == "values":
            wanted = other.tensor(state["part"])[: len(state["values"])]
            np.testing.assert_allclose(state["values"], wanted, atol=1e-6)
            assert len(state["values"]) == (1 if state["side"] == "decoder" else 4)
    assert [state["written"] for state in seen[-3:]] == [[], *[other.answer["target"][:1]] * 2]
    told = f"word vectors · decoder · token 2 of {len(other.answer['target'])}"
    expect(widget.locator(".rta-readout")).to_contain_text(told)
    press(widget, "Back")
    assert numbers(widget)["station"] == "softmax"
    assert widget.bounding_box()["height"] <= 600


def test_by_token_it_stops_after_the_encoder_and_after_every_token(page):
    widget, other = show(page, SOURCE), here()
    press(widget, "by token")
    stations = []
    for _ in range(3):
        press(widget, "Step")
        state = numbers(widget)
        stations.append((state["station"], state["written"]))
    target = other.answer["target"]
    assert [written for _, written in stations] == [[], target[:1], target[:2]]
    assert [station for station, _ in stations] == [
        "encoder.blocks.1.around_feed_forward.norm", "softmax", "softmax"]
    bars = widget.locator(".rta-tf-next .rta-bars > :nth-child(3n + 1)").all_inner_texts()
    assert [text.rstrip("…") for text in bars] == [token[: len(text.rstrip("…"))] for token, text in
                                                   zip(other.answer["top"][1], bars, strict=True)]
    press(widget, "Back", 2)
    assert numbers(widget)["written"] == []


def test_cross_attention_lights_up_the_source_words(page):
    widget, other = show(page, opened(token=2)), here()
    weights = weights_of(other, CROSS)
    words = widget.locator(".rta-tf-lit")
    assert words.locator("small").all_inner_texts() == [f"{value:.2f}" for value in weights[1].mean(0)]
    shares = words.evaluate_all("(words) => words.map((word) => +word.style.getPropertyValue('--share'))")
    np.testing.assert_allclose(shares, weights[1].mean(0), atol=1e-4)
    part(widget, CROSS).click()
    np.testing.assert_allclose(numbers(widget)["values"], weights[:2].mean(1), atol=1e-6)
    widget.get_by_role("group", name="Head").get_by_role("button", name="2").click()
    np.testing.assert_allclose(numbers(widget)["values"], weights[:2, 1], atol=1e-6)
    assert words.locator("small").all_inner_texts() == [f"{value:.2f}" for value in weights[1, 1]]
    expect(widget.locator(".rta-tf-name").first).to_contain_text("looks at, layer 2 head 2")
    press(widget, "Step")
    expect(words).to_have_count(0)                     # the next token has not come there yet


def test_parts_open_by_mouse_and_keyboard_and_show_their_numbers(page):
    widget, other = show(page, opened(token=3)), here()
    part(widget, "encoder.blocks.1.feed_forward").click()
    state = numbers(widget)
    assert state["part"] == "encoder.blocks.1.feed_forward" and state["station"] == "softmax"
    np.testing.assert_allclose(state["values"], other.tensor(state["part"]), atol=1e-6)
    widget.get_by_role("button", name="hidden layer").click()
    np.testing.assert_allclose(numbers(widget)["values"], other.tensor(f"{state['part']}.hidden"), atol=1e-6)
    expect(widget.locator(".rta-tf-shape")).to_have_text("(B 1, S 4, d_ff 32)")
    diagram = widget.locator(".rta-tf-diagram")
    diagram.focus()
    page.keyboard.press("Home")
    expect(widget.locator(".rta-readout")).to_contain_text("word vectors · encoder · (1, 4, 16)")
    page.keyboard.press("ArrowRight")
    for _ in range(2):
        page.keyboard.press("ArrowUp")
    expect(widget.locator(".rta-readout")).to_contain_text("decoder, layer 1 folded")
    page.keyboard.press("Enter")
    expect(widget.locator(".rta-readout")).to_contain_text("masked self-attention · decoder layer 1")
    page.keyboard.press("Enter")
    assert numbers(widget)["part"] == OWN
    shown, weights = np.array(numbers(widget)["values"], float), weights_of(other, OWN)[:3, :, :3].mean(1)
    assert np.isnan(shown[0, 1:]).all() and np.isnan(shown[1, 2])
    np.testing.assert_allclose(shown, weights, atol=1e-6)
    expect(widget.locator(".rta-masked-key")).to_be_visible()
    page.keyboard.press("Escape")
    assert numbers(widget)["part"] == "softmax"
    page.keyboard.press("End")
    expect(widget.locator(".rta-readout")).to_contain_text("softmax, pick")


def test_the_numbers_can_be_read_out(page):
    widget, other = show(page, opened(token=3, part="decoder.positions")), here()
    stage = widget.locator(".rta-stage")
    stage.focus()
    for key in ("End", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
    row = other.tensor("decoder.positions")[1]
    told = widget.locator(".rta-readout").inner_text().replace("\u2212", "-")
    assert f"feature 15 of 16: {row[14]:.3f} · this token’s ‖x‖ = {np.linalg.norm(row):.3f}" in told
    part(widget, CROSS).click()
    box = stage.bounding_box()
    page.mouse.move(box["x"] + 90, box["y"] + 60)
    cell = weights_of(other, CROSS)[0].mean(0)[0]
    expect(widget.locator(".rta-readout")).to_have_text(
        f"query <sos> → key <plain>, mean of the heads: {cell:.3f}")


def test_switching_the_mask_off_changes_earlier_rows(page):
    widget, other = show(page, opened(token=3, part=OWN)), here(("mask",))
    expect(widget.locator(".rta-tf-marks")).to_have_text("= row as one step before")
    widget.get_by_role("checkbox", name="mask").uncheck()
    expect(widget.locator(".rta-tf-marks")).to_have_text("≠ row changed by the new token")
    state = numbers(widget)
    assert state["off"] == ["mask"] and state["full"] == here().answer["target"]
    np.testing.assert_allclose(state["values"], weights_of(other, OWN)[3:6, :, :3].mean(1), atol=1e-6)
    assert part(widget, OWN).locator(".tf-struck").text_content() == "masked"
    widget.get_by_role("button", name="output").click()
    np.testing.assert_allclose(numbers(widget)["values"], other.tensor(OWN)[3:6], atol=1e-6)
    press(widget, "by token")
    press(widget, "Back")
    np.testing.assert_allclose(numbers(widget)["values"], other.tensor(OWN)[1:3], atol=1e-6)


def test_what_is_off_is_drawn_as_off_and_the_first_other_token_is_marked(page):
    widget, other = show(page, opened(token=2)), here(("positions", "residual", "norm"))
    for name in ("positions", "residual", "norm"):
        widget.get_by_role("checkbox", name=name).uncheck()
    expect(widget.locator("circle.tf-off")).to_have_count(2 + 2 + 3)          # positions twice, sums of one layer each
    expect(widget.locator("rect.tf-norm.tf-off")).to_have_count(2 + 3)
    assert numbers(widget)["off"] == ["positions", "residual", "norm"]
    differs = other.answer["differs"]
    full = widget.locator(".rta-tf-full .rta-tf-word")
    assert full.count() == len(here().answer["target"])
    assert numbers(widget)["differs"] == differs == 0
    assert widget.locator(".rta-tf-target .rta-tf-differs").inner_text().startswith("✗ ")
    assert "rta-tf-differs" in full.nth(differs).get_attribute("class")
    assert widget.bounding_box()["height"] <= 620
    keep_picture(page, widget, "transformer-flow-off")


def test_a_sentence_of_ones_own(page):
    widget = show(page, SOURCE)
    field, error = widget.get_by_label("English sentence"), widget.locator(".rta-error[role=alert]")
    field.fill("You love a cat")
    expect(widget.locator(".rta-tf-source")).to_contain_text("cat")
    press(widget, "polite")
    expect(widget.locator(".rta-tf-source")).to_contain_text("<polite>")
    assert in_kernel(page, "print(w.text, w.polite)") == "You love a cat True\n"
    for typed, told in (("", "Type an English sentence"), ("I love zeppelins", "zeppelins"),
                        (" ".join(["very"] * 30), "30 words are too many"), ("<img src=x onerror=alert(1)>", "img")):
        field.fill(typed)
        expect(error).to_contain_text(told)
        expect(error).not_to_contain_text("The grammar covers")
        assert numbers(widget)["text"] == "You love a cat"
    widget.get_by_label("Examples").select_option(label="you love me")
    expect(error).to_be_hidden()
    expect(field).to_have_value("you love me")
    assert numbers(widget)["position"] == 0


def test_playing_runs_to_the_end_and_python_can_open_a_part(page):
    widget = show(page, opened(token=14))
    press(widget, "Back")
    press(widget, "Play")
    expect(widget.get_by_role("button", name="Play", exact=True)).to_be_visible()
    assert len(numbers(widget)["written"]) == 14
    in_kernel(page, f"w.token = 2; w.part = {CROSS!r}")
    expect(widget.locator(".rta-tf-title")).to_contain_text("cross-attention decoder layer 2")
    assert len(numbers(widget)["written"]) == 2


def test_the_longest_sentence_fits_in_the_dark(page):
    text = "the student loves the long song now but she does not go to the small station by bus"
    harness.choose_theme(page, dark=True)
    widget = show(page, opened(token=14, part=OWN).replace("I love you", text))
    next_frame(page)
    assert widget.evaluate("(card) => card.scrollWidth <= card.clientWidth")
    assert widget.bounding_box()["height"] <= 640
    keep_picture(page, widget, "transformer-flow-long-dark")
