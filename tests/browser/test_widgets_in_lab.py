"""Every widget in a real JupyterLab: draws, answers mouse and keyboard, survives bad and hostile input."""

import json
import re

import harness
import numpy as np
import pytest
from harness import in_kernel, keep_picture, next_frame, numbers, show
from playwright.sync_api import expect

from course_utils.widgets import gradient_flow
from course_utils.widgets.rnn_unroller import tiny_example, unroll

pytestmark = pytest.mark.browser

UNROLLER = "from course_utils.widgets import RNNUnroller\nw = RNNUnroller(text='hello world', position=4)\nw"
FLOW = "from course_utils.widgets import GradientFlow\nw = GradientFlow(length=30)\nw"
GATES = "from course_utils.widgets import GateExplorer\nw = GateExplorer()\nw"
QUIZ = """
from course_utils.widgets import Quiz
answers = []
w = Quiz(
    [
        {"text": "Which matrix carries the past?", "choices": [
            {"text": "`W_x`", "correct": False, "why": "It reads the input of this step."},
            {"text": "`W_h`", "correct": True, "why": "It reads the state of the step before."},
            {"text": "`b`", "correct": False, "why": "It is the same whatever came before."}]},
        {"text": "How many times is `W_h` stored?", "choices": [
            {"text": "Once", "correct": True, "why": "All steps share it."},
            {"text": "Once for each step", "correct": False, "why": "That is only how it is drawn."}]},
    ],
    name="01-opening", on_answer=lambda *answer: answers.append(answer),
)
w
"""
CHAPTERS = [
    {"number": f"{number:02d}", "file": f"{number:02d}_x.ipynb", "title": f"Chapter {number}", "title_ko": "장",
     "solves": "One problem is solved", "leaves": "Another is left", "exercises": 4, "questions": 6}
    for number in (0, 1, 2, 97)
]
MAP = f"""
from course_utils.widgets import CourseMap
w = CourseMap({CHAPTERS!r}, {{"01": {{"passed": {{"01.1"}}, "answered": {{"01-opening": {{0: True, 1: False}}}}}}}})
w
"""
INDEX = """
from course_utils.widgets import ConceptIndex
def place(chapter, cell, heading):
    return {"chapter": chapter, "cell": cell, "heading": heading}
names = [("gradient", "기울기(그레이디언트)"), ("vanishing gradient", "기울기 소실"),
         ("dot-product attention", "내적 어텐션"), ("padding", "패딩")]
words = [dict(id=english, chapter=f"{number:02d}", english=english, korean=korean, definition="What it means.",
              taught=[place("01", "cell-50", "A section")], shown=[place("01", "cell-9", "`code` elsewhere")],
              asked=[place("01", "cell-7", "Exercise 01.1 · First")]) for number, (english, korean) in enumerate(names)]
questions = [dict(question="Why does my RNN forget?", chapter="01", about=["vanishing gradient"],
                  answered=[place("01", "cell-50", "A section")])]
w = ConceptIndex(words=words, questions=questions)
w
"""
FORCING = """
import torch
from course_utils.data.translation import vocabularies
from course_utils.models.seq2seq import EncoderDecoder
from course_utils.widgets import TeacherForcing
torch.manual_seed(0)
source, target = vocabularies()
model = EncoderDecoder(len(source), len(target), 8, 16)
TeacherForcing(model, source, target, "my friend does not eat bread in the park")
"""
MACHINE = """
import torch
from course_utils.data.translation import vocabularies
from course_utils.models.transformer import Transformer
from course_utils.widgets import TransformerFlow
torch.manual_seed(0)
source, target = vocabularies()
model = Transformer(len(source), len(target), 16, 2, 32, 2)
TransformerFlow(model, "my friend does not eat bread in the park", token=3)
"""
BLANKS = """
import torch
from course_utils.models.bert import BERTConfig, PretrainingBERT
from course_utils.widgets import FillInTheBlank
torch.manual_seed(0)
models = {name: PretrainingBERT(BERTConfig(3000, 16, 2, 32, 1, 64)) for name in ("short", "long")}
FillInTheBlank(models, text="Return the tokenizer of a file.", hidden=[2, 3], left=True)
"""
PATCHES = """
import numpy as np, torch
from course_utils.models.vit import ViT, ViTClassifier, ViTConfig
from course_utils.widgets import PatchExplorer
torch.manual_seed(0)
images = {name: np.random.default_rng(seed).random((8, 8)) for seed, name in enumerate(("one", "two"))}
PatchExplorer(images, ViTClassifier(ViT(ViTConfig(8, 2, 1, 16, 2, 32, 2)), 10))
"""
PLAYGROUND = """
import torch
from course_utils.data.subword import load_tokenizer
from course_utils.models.gpt import GPT, GPTConfig
from course_utils.widgets import SamplingPlayground
torch.manual_seed(0)
model = GPT(GPTConfig(2000, d_model=16, n_heads=2, n_layers=2, max_length=40))
model.words.weight.data.mul_(40)
SamplingPlayground(model, load_tokenizer("bpe"), temperature=1.5, top_k=50, top_p=0.9, steps=12)
"""
SCALE = "from course_utils.widgets import SoftmaxScale\nw = SoftmaxScale()\nw"
BUILDER = "from course_utils.widgets import MaskBuilder\nw = MaskBuilder(preset=('causal', 'padding'))\nw"
STEPPER = "from course_utils.widgets import AttentionStepper\nw = AttentionStepper()\nw"
POSITIONS = "from course_utils.widgets import PositionExplorer\nw = PositionExplorer()\nw"
VIEW = "from course_utils.widgets import AttentionView\nw = AttentionView()\nw"
EVERY_WIDGET = {"attention-view": VIEW, "attention-stepper": STEPPER, "mask-builder": BUILDER,
                "rnn-unroller": UNROLLER, "gradient-flow": FLOW, "quiz": QUIZ, "course-map": MAP,
                "concept-index": INDEX, "gate-explorer": GATES, "teacher-forcing": FORCING, "softmax-scale": SCALE,
                "position-explorer": POSITIONS, "transformer-flow": MACHINE, "fill-in-the-blank": BLANKS,
                "sampling-playground": PLAYGROUND, "patch-explorer": PATCHES}


@pytest.fixture(autouse=True, scope="session")
def chapter_files(lab):
    for chapter in CHAPTERS[:2]:
        lab.write_notebook(["1 + 1"], f"work/{chapter['file']}", kernel=None)


def move(slider, value):
    """Drag a range to a value, as one input event."""
    slider.evaluate("(range, value) => { range.value = value; range.dispatchEvent(new Event('input')); }", str(value))


# ---- RNNUnroller -----------------------------------------------------------------------------------------------------


def expected_step(text, t):
    model, vocabulary = tiny_example()
    _, states, probabilities = unroll(model, vocabulary.encode(text))
    return states[t - 1], probabilities[t - 1]


def assert_shows(widget, text, t):
    found = numbers(widget)
    states, probabilities = expected_step(text, t)
    assert (found["text"], found["position"]) == (text, t)
    np.testing.assert_allclose(found["state"], states, atol=1e-6)
    np.testing.assert_allclose(found["probabilities"], probabilities, atol=1e-6)


def test_unroller_steps_by_mouse_and_keyboard(page):
    widget = show(page, UNROLLER)
    assert_shows(widget, "hello world", 4)
    widget.get_by_role("button", name="Step").click()
    assert_shows(widget, "hello world", 5)
    widget.get_by_role("button", name="Back").click()
    assert_shows(widget, "hello world", 4)
    states = widget.locator(".rta-stage[tabindex]")
    states.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert_shows(widget, "hello world", 5)
    expect(widget.locator(".rta-readout")).to_contain_text("t = 5 reads o · unit 1")
    page.keyboard.press("Home")
    assert_shows(widget, "hello world", 1)
    box = states.bounding_box()
    page.mouse.click(box["x"] + box["width"] - 20, box["y"] + 30)
    assert numbers(widget)["position"] == 11
    expect(widget.locator(".rta-readout")).to_contain_text("the text ends here")


def test_unroller_plays_to_the_end_and_stops(page):
    widget = show(page, UNROLLER.replace("position=4", "position=9"))
    widget.get_by_role("button", name="Play").click()
    expect(widget.get_by_role("button", name="Pause")).to_be_visible()
    expect(widget).to_have_attribute("data-position", "11")
    expect(widget.get_by_role("button", name="Play")).to_be_visible()


def test_unroller_reads_a_typed_text_with_the_kernel(page):
    widget = show(page, UNROLLER)
    widget.get_by_label("Text to read").fill("the hat")
    expect(widget).to_have_attribute("data-position", "7")
    assert_shows(widget, "the hat", 7)
    assert in_kernel(page, "print(w.text, w)") == "the hat RNNUnroller(steps=7, hidden_size=32, vocabulary=28)\n"


@pytest.mark.parametrize(("typed", "message"), [
    ("", "Type at least one character"),
    ("a" * 201, "201 characters are too many"),
    ("héllo", "not in the vocabulary: 'é'"),
    ("</script><img src=x onerror=alert(1)>", "not in the vocabulary: '(', ')', '/', '1', '<'"),
    ("\u202e\U0001f600" * 5000, "10000 characters are too many"),
])
def test_unroller_keeps_the_last_good_picture_after_bad_input(page, typed, message):
    widget = show(page, UNROLLER)
    widget.get_by_label("Text to read").fill(typed)
    expect(widget.locator(".rta-error")).to_contain_text(message)
    assert_shows(widget, "hello world", 4)
    widget.get_by_label("Text to read").fill("cat")
    expect(widget).to_have_attribute("data-position", "3")
    expect(widget.locator(".rta-error")).to_be_hidden()


def test_unroller_drops_late_answers(page):
    widget = show(page, UNROLLER)
    widget.get_by_label("Text to read").fill("cat")
    expect(widget).to_have_attribute("data-position", "3")
    in_kernel(page, "w.answer = {**w.respond('hello'), 'id': w.request['id'] - 1}")
    in_kernel(page, "w.problem = {'message': 'late', 'id': w.request['id'] - 1}")
    next_frame(page)
    assert_shows(widget, "cat", 3)
    expect(widget.locator(".rta-error")).to_be_hidden()


def test_unroller_draws_a_trained_model_and_visible_control_characters(page):
    widget = show(page, """
import torch
from course_utils.models.recurrent import RecurrentLanguageModel
from course_utils.widgets import RNNUnroller
class Letters:
    tokens = ["a", "b", " ", chr(10), chr(0), chr(0x202e)]
    def encode(self, text):
        return [self.tokens.index(letter) for letter in text]
torch.manual_seed(0)
model = RecurrentLanguageModel(6, 5, 7)
w = RNNUnroller(model, Letters(), "ab" + chr(10) + " " + chr(0) + "b")
w
""")
    found = numbers(widget)
    wanted = json.loads(in_kernel(page, """
import json
logits, state = model(torch.tensor([[0, 1, 3, 2, 4, 1]]))
print(json.dumps([state[0, 0].tolist(), logits[0, -1].softmax(-1).tolist()]))
"""))
    np.testing.assert_allclose(found["state"], wanted[0], atol=1e-6)
    np.testing.assert_allclose(found["probabilities"], wanted[1], atol=1e-6)
    assert {"␣", "↵", "␀", "U+202E"} <= set(widget.locator(".rta-bars .rta-mono").all_inner_texts())


def test_unroller_keeps_the_last_good_picture_when_the_model_gives_nan(page):
    widget = show(page, UNROLLER)
    in_kernel(page, """
row = w.model.embedding.weight.data[w.vocabulary.ids["z"]]
kept = row.clone()
row.fill_(float("nan"))
""")
    try:
        widget.get_by_label("Text to read").fill("zoo")
        expect(widget.locator(".rta-error")).to_contain_text("NaN or infinite, so there is nothing to draw")
        assert_shows(widget, "hello world", 4)
        widget.get_by_role("button", name="Step").click()
        assert_shows(widget, "hello world", 5)
        widget.get_by_label("Text to read").fill("cat")
        expect(widget).to_have_attribute("data-position", "3")
        expect(widget.locator(".rta-error")).to_be_hidden()
    finally:
        in_kernel(page, "row.copy_(kept)")            # the kernel's example is shared with the other tests


@pytest.mark.parametrize(("wish", "pause"), [("no-preference", 800), ("reduce", 1600)])
def test_unroller_plays_slower_for_readers_who_want_less_motion(page, wish, pause):
    page.emulate_media(reduced_motion=wish)
    widget = show(page, UNROLLER)
    page.evaluate("""() => {
        window.pauses = [];
        window.usualInterval = window.setInterval;
        window.setInterval = (callback, pause) => {
            window.pauses.push(pause);
            return window.usualInterval(callback, pause);
        };
    }""")
    try:
        widget.get_by_role("button", name="Play").click()
        assert pause in page.evaluate("window.pauses")
        expect(widget).to_have_attribute("data-position", "5")         # it plays all the same
        widget.get_by_role("button", name="Pause").click()
    finally:
        page.evaluate("() => { window.setInterval = window.usualInterval; }")
        page.emulate_media(reduced_motion="no-preference")


LARGE = """
import torch
from course_utils.data.vocabulary import Vocabulary
from course_utils.models.recurrent import RecurrentLanguageModel
from course_utils.widgets import RNNUnroller
vocabulary = Vocabulary("\ufffdabcdefghijklmnopqrstuvwxyz", unknown="\ufffd")
torch.manual_seed(0)
w = RNNUnroller(RecurrentLanguageModel(len(vocabulary), 8, 192), vocabulary, "hello", position=3)
w
"""


def test_unroller_lets_the_reader_pick_each_of_many_units(page):
    widget = show(page, LARGE)
    expect(widget).to_contain_text("Every 6th of 192 hidden units over the text")
    cell = widget.locator(".rta-stage").first.locator("rect.mark").last.bounding_box()
    assert min(cell["width"], cell["height"]) >= 3
    page.mouse.click(cell["x"] + cell["width"] / 2 + 5, cell["y"] + cell["height"] / 2 + 10)      # cells are 5 px wide
    assert numbers(widget)["unit"] == 24 + 2                       # one column of 24 units and two rows farther
    widget.locator(".rta-stage[tabindex]").focus()
    page.keyboard.press("ArrowDown")
    assert numbers(widget)["unit"] == 27
    value = numbers(widget)["state"][27]
    expect(widget.locator(".rta-readout")).to_contain_text(f"→ {value:.3f}".replace("-", "−"))
    below = widget.locator(".rta-stage[tabindex]").bounding_box()
    page.mouse.click(below["x"] + 90, below["y"] + 3 * 4 + 1)
    assert (numbers(widget)["unit"], numbers(widget)["position"]) == (24, 1)


def test_unroller_tells_which_characters_it_does_not_know(page):
    widget = show(page, LARGE)
    note = widget.get_by_text("not in the vocabulary")
    expect(note).to_be_hidden()
    widget.get_by_label("Text to read").fill("hé 42")
    expect(note).to_have_text("4 characters are not in the vocabulary and are read as �")
    widget.get_by_label("Text to read").fill("hé")
    expect(note).to_have_text("1 character is not in the vocabulary and is read as �")


# ---- GradientFlow ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["tanh", "relu", "identity"])
def test_flow_computes_what_python_computes(page, activation):
    widget = show(page, FLOW)
    widget.get_by_role("button", name=activation, exact=True).click()
    for radius, length in ((0.1, 200), (0.9, 50), (1.0, 2), (1.37, 120), (2.0, 200)):
        move(widget.get_by_label("spectral radius ρ"), radius)
        move(widget.get_by_label("length T"), length)
        found = np.array(numbers(widget)["norms"], dtype=float)
        np.testing.assert_allclose(found, gradient_flow(radius, length, activation), rtol=1e-6)


def test_flow_answers_mouse_and_keyboard(page):
    widget = show(page, FLOW)
    chart = widget.locator(".rta-stage[tabindex]")
    chart.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
    assert numbers(widget)["step"] == 2
    value = gradient_flow(1.0, 30)[1]
    expect(widget.locator(".rta-readout")).to_contain_text(f"t = 2, 28 steps before the end: ‖∂L/∂h2‖ = {value:.4g}")
    box = chart.bounding_box()
    page.mouse.click(box["x"] + box["width"] - 12, box["y"] + 60)
    assert numbers(widget)["step"] == 30
    widget.get_by_label("spectral radius ρ").focus()
    page.keyboard.press("ArrowUp")
    assert widget.get_by_label("spectral radius ρ").input_value() == "1.01"


def test_flow_says_what_the_gradient_does(page):
    widget = show(page, FLOW)
    widget.get_by_role("button", name="identity").click()
    move(widget.get_by_label("length T"), 100)
    for radius, word in ((0.5, "it vanishes"), (1.0, "it survives"), (1.5, "it explodes")):
        move(widget.get_by_label("spectral radius ρ"), radius)
        expect(widget.locator(".rta-readout")).to_contain_text(word)


def test_flow_hides_the_curve_until_the_reader_has_guessed(page):
    widget = show(page, FLOW)
    widget.get_by_role("button", name="Predict first").click()
    assert widget.locator(".curve").count() == 1          # the one in the legend
    move(widget.get_by_label("my guess at t = 1"), -3)
    keep_picture(page, widget, "gradient-flow-predict")
    widget.get_by_role("button", name="Reveal").click()
    assert widget.locator(".curve").count() == 2
    off = abs(np.log10(gradient_flow(1.0, 30)[0]) + 3)
    expect(widget.locator(".rta-readout")).to_contain_text(f"my guess at t = 1 was 10⁻³: {off:.1f} powers of ten off")
    move(widget.get_by_label("spectral radius ρ"), 1.4)
    assert widget.locator(".curve").count() == 1


def test_flow_keeps_the_last_good_setting(page):
    widget = show(page, FLOW)
    with pytest.raises(AssertionError, match="TraitError: length=100000 is not a whole number from 1 to 200"):
        in_kernel(page, "w.length = 100000")              # refused where it is set, before the widget hears of it
    assert len(numbers(widget)["norms"]) == 30
    in_kernel(page, "w.length = 1")                       # a network of one step exists, but the slider begins at 2
    expect(widget.locator(".rta-error")).to_contain_text("length = 1 is not between 2 and 200")
    assert len(numbers(widget)["norms"]) == 30
    in_kernel(page, "w.length = 40")
    expect(widget.locator(".rta-error")).to_be_hidden()
    assert len(numbers(widget)["norms"]) == 40


FREE_LABELS = """(card) => {
    const box = (node) => node.getBoundingClientRect();
    const curve = card.querySelector(".rta-stage path.curve");
    const share = curve.getTotalLength() / 399;
    const places = Array.from({ length: 400 }, (_, index) => curve.getPointAtLength(index * share));
    const origin = box(curve.ownerSVGElement);
    return [...card.querySelectorAll(".rta-stage text")].filter((text) => places.some(({ x, y }) => {
        const { left, right, top, bottom } = box(text);
        return x + origin.x > left && x + origin.x < right && y + origin.y > top && y + origin.y < bottom;
    })).map((text) => text.textContent).filter((text) => /^(explodes|vanishes)/.test(text));
}"""


@pytest.mark.parametrize(("settings", "zones"), [
    ("0.1, 200, 'tanh'", ["vanishes"]), ("0.1, 200, 'relu'", ["vanishes"]), ("2.0, 200, 'identity'", ["explodes"]),
    ("1.0, 50, 'tanh'", ["explodes", "vanishes"]),
])
def test_flow_names_a_zone_where_there_is_room_and_no_curve(page, settings, zones):
    widget = show(page, f"from course_utils.widgets import GradientFlow\nGradientFlow({settings})")
    texts = widget.locator(".rta-stage text").all_text_contents()
    assert [text.split(":")[0] for text in texts if text.startswith(("explodes", "vanishes"))] == zones
    assert widget.evaluate(FREE_LABELS) == []


# ---- Quiz ------------------------------------------------------------------------------------------------------------


def test_quiz_explains_a_wrong_choice_and_lets_the_reader_try_again(page):
    widget = show(page, QUIZ)
    expect(widget.get_by_role("button", name="Check")).to_be_disabled()
    widget.locator("input[type=radio]").first.focus()
    page.keyboard.press("Space")
    widget.get_by_role("button", name="Check").click()
    expect(widget.locator(".rta-choice").first).to_contain_text("Not this one.It reads the input of this step.")
    assert widget.locator(".rta-why").count() == 1        # nothing about the other choices
    keep_picture(page, widget, "quiz-tried")
    page.keyboard.press("ArrowDown")                      # from the next open choice, W_h, to b
    page.keyboard.press("Enter")
    expect(widget.locator(".rta-why")).to_have_count(2)
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    expect(widget.locator(".rta-solved")).to_contain_text("Right.It reads the state of the step before.")
    keep_picture(page, widget, "quiz-solved")
    widget.get_by_role("button", name="Next question").click()
    widget.get_by_label("Once", exact=True).check()
    widget.get_by_role("button", name="Check").click()
    widget.get_by_role("button", name="Summary").click()
    expect(widget).to_contain_text("1 of 2 right at the first try.")
    keep_picture(page, widget, "quiz-summary")
    assert in_kernel(page, "print(answers)") == "[(0, 0, False), (0, 2, False), (0, 1, True), (1, 0, True)]\n"


def test_quiz_looks_the_same_for_right_and_wrong_choices_before_checking(page):
    widget = show(page, QUIZ)
    script = "(row) => [row.className, getComputedStyle(row).borderColor, getComputedStyle(row).background]"
    for chosen in range(3):
        widget.locator("input[type=radio]").nth(chosen).check()
        rows = widget.locator(".rta-choice")
        looks = [rows.nth(index).evaluate(script) for index in range(3) if index != chosen]
        assert looks[0] == looks[1]
        assert widget.locator(".rta-why").count() == 0


def test_quiz_shows_a_right_answer_in_green_and_wastes_no_line(page):
    widget = show(page, QUIZ)
    assert widget.locator(".rta-readout").bounding_box()["height"] == 0
    widget.get_by_label("W_h").check()
    widget.get_by_role("button", name="Check").click()
    script = "(row, name) => getComputedStyle(row).getPropertyValue(name)"
    solved = widget.locator(".rta-solved")
    open_one = widget.locator(".rta-choice").first
    assert solved.evaluate(script, "border-top-color") == open_one.evaluate(script, "border-top-color")
    assert solved.evaluate(script, "border-left-color") == widget.locator(".rta-why b").evaluate(script, "color")
    radio = solved.locator("input").bounding_box()
    assert radio["width"] == radio["height"] == 14


def test_quiz_tells_when_an_answer_could_not_be_stored(page):
    widget = show(page, QUIZ.replace("answers.append(answer)", "1 / 0"))
    widget.get_by_label("W_h").check()
    widget.get_by_role("button", name="Check").click()
    expect(widget.locator(".rta-error")).to_contain_text("This answer was not stored: ZeroDivisionError")
    expect(widget.locator(".rta-solved")).to_have_count(1)


# ---- CourseMap -------------------------------------------------------------------------------------------------------


def test_map_shows_progress_and_what_is_still_to_come(page):
    widget = show(page, MAP)
    expect(widget.locator(".rta-stop[data-number='01']")).to_contain_text("3 of 10")
    expect(widget.locator(".rta-stop[data-number='97']")).to_contain_text("to come")
    assert widget.locator("a.rta-stop[data-number='97']").count() == 0
    widget.locator(".rta-stop[data-number='01']").focus()
    expect(widget.locator(".rta-readout")).to_contain_text("01 Chapter 1 · 1 of 4 exercises · 2 of 6 questions")


@pytest.mark.parametrize("by", ["Enter", "click"])
def test_map_opens_a_chapter_in_a_tab(page, lab, by):
    name = lab.write_notebook([MAP], f"work/map-{by}.ipynb")
    harness.close_tabs(page)
    harness.command(page, "docmanager:open", path=name)
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.ready")
    harness.command(page, "notebook:run-all-cells")
    stop = page.locator("a.rta-stop[data-number='01']")
    expect(stop).to_have_attribute("href", re.compile(r"/lab/tree/work/01_x\.ipynb$"))
    if by == "click":
        stop.click()
    else:
        stop.press("Enter")
    page.wait_for_function("window.jupyterapp.shell.currentWidget?.context?.path === 'work/01_x.ipynb'")


def status(widget, number):
    return widget.locator(f".rta-stop[data-number='{number}'] .rta-status")


@pytest.fixture
def own_progress(page, tmp_path):
    """Progress of this test alone; gives a function that passes an exercise in the kernel, unseen by the map."""
    start = f"""
import os
from course_utils.progress import Progress
before = os.environ["COURSE_PROGRESS"]
os.environ["COURSE_PROGRESS"] = {str(tmp_path / "progress.json")!r}
from course_utils.widgets import CourseMap
w = CourseMap()
w"""
    widget = show(page, start)
    yield widget, lambda name: in_kernel(page, f"Progress().mark_passed({name!r})")
    in_kernel(page, "os.environ['COURSE_PROGRESS'] = before")


def test_map_shows_new_progress_whenever_the_reader_comes_back(page, own_progress):
    widget, do = own_progress
    expect(status(widget, "01")).to_have_text("open")
    stop = widget.locator(".rta-stop[data-number='01']").element_handle()
    do("01.1")
    stop.focus()                                                       # the map gets the focus
    expect(status(widget, "01")).to_contain_text("1 of")
    expect(widget.locator(".rta-readout")).to_contain_text("01 Recurrent networks · 1 of")
    expect(widget.locator(".rta-here")).to_have_attribute("data-number", "01")
    do("01.2")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")     # the page is shown again
    expect(status(widget, "01")).to_contain_text("2 of")
    assert stop.evaluate("(stop) => stop === document.activeElement"), "the stop was made anew and lost the focus"
    do("01.3")
    next_frame(page)
    assert status(widget, "01").inner_text().startswith("2 of")        # nobody has looked since
    path = page.evaluate("window.jupyterapp.shell.currentWidget.context.path")
    harness.command(page, "docmanager:open", path=page.lab.write_notebook(["1"]))
    expect(widget).to_be_hidden()
    harness.command(page, "docmanager:open", path=path)                # its tab comes to the front again
    expect(status(widget, "01")).to_contain_text("3 of")


def test_a_map_that_is_displayed_later_shows_the_progress_of_now(page, own_progress):
    _, do = own_progress
    do("00.1")
    widget = show(page, "w")                                           # the widget of before, in another notebook
    expect(status(widget, "00")).to_contain_text("1 of")


def test_map_is_one_tab_stop_and_arrow_keys_walk_over_it(page):
    widget = show(page, "from course_utils.widgets import CourseMap\nCourseMap(summary={})")
    assert widget.locator(".rta-stop[tabindex='0']").count() == 1
    widget.locator(".rta-stop[tabindex='0']").focus()
    at = []
    for key in ("Home", "Left", "Right", "Down", "Right", "Down", "Down", "Up", "End"):
        page.keyboard.press(key if key in ("Home", "End") else f"Arrow{key}")
        at.append(page.evaluate("document.activeElement.dataset.number"))
    assert at == ["00", "00", "01", "05", "06", "10", "10", "06", "11"]
    expect(widget.locator(".rta-readout")).to_contain_text("11 Smaller, faster, longer")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "What is left in"


def test_map_tells_what_is_left_in_the_chapter_that_the_reader_chooses(page, own_progress):
    widget, do = own_progress
    left = widget.locator(".rta-left-list a")
    expect(left.first).to_have_text("00.1 Centre each sequence over time")
    expect(left.first).to_have_attribute("href", re.compile(r"/00_start_here\.ipynb#cell-id=exercise-00-1$"))
    widget.get_by_label("What is left in").select_option("01")
    do("01.1")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(left.first).to_contain_text("01.2")                          # the choice stays, and what is passed is gone
    assert left.last.inner_text() == "closing quiz"
    expect(widget.locator(".rta-controls")).to_contain_text("1 of")


# ---- ConceptIndex ----------------------------------------------------------------------------------------------------


FOUND = [
    ("GRAD", "words", ["gradient", "vanishing gradient"]),
    ("기우", "words", ["gradient", "vanishing gradient"]),
    ("기울기소실", "words", ["vanishing gradient"]),                    # without its space
    ("기욹", "words", ["gradient", "vanishing gradient"]),             # on the way to 기울기
    ("ㅇㅌㅅ", "words", ["dot-product attention"]),
    ("why do RNNs forget?", "questions", ["Why does my RNN forget?"]),
    ("", "words", ["gradient", "vanishing gradient", "dot-product attention", "padding"]),
    ("</script><img src=x onerror=alert(1)>" * 300, "words", []),
]


def test_index_finds_words_and_questions_as_they_are_typed(page):
    widget = show(page, INDEX)
    field = widget.get_by_label("Search in English or Korean")
    for typed, kind, found in FOUND:
        field.fill("padding")
        field.fill(typed)
        assert (numbers(widget)["kind"], numbers(widget)["found"]) == (kind, found), typed
    expect(widget.locator(".rta-readout")).to_contain_text("Nothing fits “</script>")
    widget.get_by_label("Chapter", exact=True).select_option("02")
    field.fill("attention")
    assert numbers(widget)["found"] == ["dot-product attention"]


def test_index_is_used_with_the_keyboard_and_opens_another_chapter_at_the_cell(page, lab):
    lab.write_notebook([f"print({number})\n" * 4 for number in range(60)], "work/01_rnn.ipynb", kernel=None)
    name = lab.write_notebook([INDEX], "work/index.ipynb")
    harness.close_tabs(page)
    harness.command(page, "docmanager:open", path=name)
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.ready")
    harness.command(page, "notebook:run-all-cells")
    widget = page.locator(".rta").first
    field = widget.get_by_label("Search in English or Korean")
    field.press("ArrowDown")
    assert numbers(widget)["at"] == 1
    expect(widget.locator("h4")).to_contain_text("vanishing gradient")
    texts = widget.locator(".rta-index-found a").all_inner_texts()
    assert texts == ["01 A section", "01 code elsewhere", "01 Exercise 01.1 · First"]
    address = re.compile(r"/lab/tree/work/01_rnn\.ipynb#cell-id=cell-50$")
    expect(widget.locator(".rta-index-found a").first).to_have_attribute("href", address)
    widget.get_by_role("button", name="Questions").click()
    widget.get_by_role("button", name="vanishing gradient").click()     # a question's word
    assert (numbers(widget)["kind"], numbers(widget)["at"]) == ("words", 1)
    page.keyboard.press("End")
    assert numbers(widget)["at"] == 3
    page.keyboard.press("Enter")
    page.wait_for_function("""() => {
        const { context, content } = window.jupyterapp.shell.currentWidget ?? {};
        const cells = context?.path === "work/01_rnn.ipynb" ? content.widgets : [];
        const node = cells.find(({ model }) => model.id === "cell-50")?.node;
        const top = node?.isConnected ? node.getBoundingClientRect().top : -1;
        return top > 0 && top < window.innerHeight - 100;
    }""")


# ---- all of them -----------------------------------------------------------------------------------------------------

HOSTILE = [
    "</script><script>window.hacked = 1</script>", '"><img src=x onerror="window.hacked = 1">', "\u202eabc\u200f",
    "nul\x00nul", "\U0001f600\U0001f469\u200d\U0001f4bb", "long" * 2500, "$x^2$ `code` &amp; <b>bold</b>",
]
HOSTILE_CODE = {
    "rnn-unroller": f"""
import torch
from course_utils.models.recurrent import RecurrentLanguageModel
from course_utils.widgets import RNNUnroller
class Odd:
    tokens = {HOSTILE!r}
    def encode(self, text):
        return list(range(len(self.tokens)))
RNNUnroller(RecurrentLanguageModel({len(HOSTILE)}, 3, 4), Odd(), {HOSTILE[0]!r})
""",
    "attention-view": f"""
from course_utils.widgets import AttentionView
AttentionView([[[1 / {len(HOSTILE)}] * {len(HOSTILE)}] * {len(HOSTILE)}] * 2, {HOSTILE!r}, names={HOSTILE[:1]!r})
""",
    "attention-stepper": f"""
from course_utils.widgets import AttentionStepper
AttentionStepper(scores=[1.0] * {len(HOSTILE)}, values=[[1.0]] * {len(HOSTILE)}, tokens={HOSTILE!r})
""",
    "transformer-flow": f"""
import numpy as np
from course_utils.widgets import TransformerFlow
from course_utils.widgets.transformer_flow import Part, Run
tokens, size = {HOSTILE!r}, {len(HOSTILE)}
parts = [Part(f"{{side}}.{{name}}", np.ones((size, 4))) for side in ("encoder", "decoder")
         for name in ("words", "positions", "blocks.0.around_feed_forward.sum")]
parts.append(Part("decoder.blocks.0.cross_attention", np.ones((size, 4)), np.full((size, 2, size), 1 / size)))
parts.append(Part("head", np.ones((size, size))))
run = Run(tokens, tokens, parts, [tokens[:5]] * size, np.full((size, 5), 0.2), tokens, start=tokens[0])
TransformerFlow(translate=lambda *asked: run, token=size, examples=tokens)
""",
    "quiz": f"""
from course_utils.widgets import Quiz
Quiz([{{"text": text, "choices": [{{"text": text, "correct": index == 0, "why": text}} for index in range(2)]}}
      for text in {HOSTILE!r}], name={HOSTILE[1]!r})
""",
    "gate-explorer": f"""
from course_utils.widgets import GateExplorer
from course_utils.widgets.gate_explorer import recorded_models
GateExplorer(dict(zip({HOSTILE[0::4] + HOSTILE[5:6]!r}, recorded_models().values())))
""",
    "course-map": f"""
from course_utils.widgets import CourseMap
CourseMap([dict(number=str(index), file=text, title=text, title_ko=text, solves=text, leaves=text, exercises=1,
                questions=1, after="") for index, text in enumerate({HOSTILE!r})], {{}})
""",
    "concept-index": f"""
from course_utils.widgets import ConceptIndex
ConceptIndex(
    words=[dict(id=text, chapter="01", english=text, korean=text, definition=text,
                taught=[dict(chapter="01", cell=text, heading=text)], shown=[], asked=[]) for text in {HOSTILE!r}],
    questions=[dict(question=text, chapter="01", about=[text], answered=[]) for text in {HOSTILE!r}])
""",
}


@pytest.mark.parametrize("kind", HOSTILE_CODE)
def test_hostile_text_stays_text(page, kind):
    widget = show(page, HOSTILE_CODE[kind])
    for _ in HOSTILE:
        assert widget.locator("img, script, iframe").count() == 0
        if kind == "quiz":
            widget.locator("input[type=radio]").first.check()
            widget.get_by_role("button", name="Check").click()
            widget.get_by_role("button", name=re.compile("Next question|Summary")).click()
        elif kind == "rnn-unroller":
            widget.get_by_role("button", name="Back").click()
        elif kind == "concept-index":
            widget.get_by_role("listbox").press("ArrowDown")
    text = widget.inner_text()
    assert "script" in text or kind == "rnn-unroller"
    assert page.evaluate("window.hacked") is None
    assert widget.evaluate("(card) => card.scrollWidth <= card.clientWidth")
    keep_picture(page, widget, f"{kind}-hostile")


OVERLAPS = """(card) => {
    const nodes = [...card.querySelectorAll("svg text")];
    const texts = nodes.map((node) => [node.textContent, node.getBoundingClientRect()]);
    const frame = card.getBoundingClientRect();
    const outside = texts.filter(([, box]) => box.left < frame.left || box.right > frame.right);
    const found = outside.map(([text]) => `outside: ${text}`);
    texts.forEach(([one, a], index) => texts.slice(index + 1).forEach(([other, b]) => {
        const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (wide > 1 && high > 3) found.push(`${one} over ${other}`);
    }));
    return found;
}"""


TOO_WIDE = """(card) => card.scrollWidth <= card.clientWidth ? [] : [...card.querySelectorAll("*")]
    .filter((node) => node.getBoundingClientRect().right > card.getBoundingClientRect().right)
    .map((node) => `${node.tagName}.${node.getAttribute("class")}`)"""


@pytest.mark.parametrize("kind", EVERY_WIDGET)
def test_looks_right_light_and_dark_wide_and_narrow(page, kind):
    widget = show(page, EVERY_WIDGET[kind])
    grounds = []
    for dark in (False, True):
        harness.choose_theme(page, dark)
        grounds.append(widget.evaluate("(card) => getComputedStyle(card).backgroundColor"))
        for name, width, height in (("960", 1280, 1200), ("640", 820, 1500), ("zoomed", 853, 480)):
            page.set_viewport_size({"width": width, "height": height})
            next_frame(page)
            assert widget.evaluate(OVERLAPS) == []
            assert widget.evaluate(TOO_WIDE) == []
            if name != "zoomed":
                keep_picture(page, widget, f"{kind}-{'dark' if dark else 'light'}-{name}")
    assert grounds[0] != grounds[1]


def test_colours_of_the_cells_follow_the_theme(page):
    widget = show(page, UNROLLER)
    pixels = "(card) => card.querySelector('.rta-stage[tabindex] canvas').toDataURL()"
    light = widget.evaluate(pixels)
    harness.choose_theme(page, dark=True)
    dark = widget.evaluate(pixels)
    harness.choose_theme(page, dark=False)
    assert dark != light
    assert widget.evaluate(pixels) == light


@pytest.mark.parametrize("kind", EVERY_WIDGET)
def test_keys_pressed_in_a_widget_do_not_reach_the_notebook(page, kind):
    widget = show(page, EVERY_WIDGET[kind])
    cells = "window.jupyterapp.shell.currentWidget.content.model.cells.length"
    before = page.evaluate(cells)
    stops = widget.locator("[tabindex='0'], input:not([type=text]):not(:disabled), button:not(:disabled), a")
    stops = stops.locator("visible=true")              # what is hidden cannot have the focus
    for index in range(stops.count()):
        stops.nth(index).focus()
        for key in ("a", "b", "x", "d", "d"):
            page.keyboard.press(key)
    assert page.evaluate(cells) == before


@pytest.mark.parametrize("kind", EVERY_WIDGET)
def test_nothing_moves_by_itself_for_readers_who_want_less_motion(page, kind):
    widget = show(page, EVERY_WIDGET[kind])
    script = """(card) => {
        const node = card.querySelector(".rta-body *");
        node.style.transition = "opacity 1s";
        node.style.animation = "turn 1s infinite";
        const style = getComputedStyle(node);
        return [style.transitionProperty, style.animationName];
    }"""
    assert widget.evaluate(script) == ["opacity", "turn"]
    page.emulate_media(reduced_motion="reduce")
    try:
        assert widget.evaluate(script) == ["none", "none"]
    finally:
        page.emulate_media(reduced_motion="no-preference")


def test_the_same_output_has_three_faces(page):
    show(page, UNROLLER)
    harness.command(page, "docmanager:save")
    path = page.evaluate("window.jupyterapp.shell.currentWidget.context.path")
    saved = json.loads((page.lab.folder / path).read_text(encoding="utf-8"))
    data = saved["cells"][0]["outputs"][0]["data"]
    assert {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"} == set(data)
    assert data["text/plain"] == ["RNNUnroller(steps=11, hidden_size=32, vocabulary=28)"]


@pytest.fixture(scope="module")
def strangers():
    """The kernel of all notebooks that were saved with another, once the first of them has started it."""
    return []


@pytest.mark.parametrize("kind", EVERY_WIDGET)
def test_a_saved_notebook_draws_and_moves_with_another_kernel(page, lab, strangers, kind):
    """The state in the saved file is enough: the new kernel has never heard of the widget."""
    show(page, EVERY_WIDGET[kind])
    copy = f"work/saved-{kind}.ipynb"
    (lab.folder / copy).write_bytes(harness.save_with_widget(page).read_bytes())
    harness.close_tabs(page)
    strangers[:] = [harness.start_kernel(page, copy, *strangers)]
    assert strangers != [lab.kernel]
    harness.command(page, "docmanager:open", path=copy)
    widget = page.locator(f".rta[data-kind={kind}]").first
    expect(widget).to_be_visible()
    if kind == "rnn-unroller":
        widget.get_by_role("button", name="Step").click()
        assert_shows(widget, "hello world", 5)
    elif kind == "gradient-flow":
        move(widget.get_by_label("spectral radius ρ"), 1.5)
        np.testing.assert_allclose(numbers(widget)["norms"], gradient_flow(1.5, 30), rtol=1e-6)
    elif kind == "quiz":
        widget.get_by_label("W_h").check()
        widget.get_by_role("button", name="Check").click()
        expect(widget.locator(".rta-solved")).to_have_count(1)
    elif kind == "teacher-forcing":
        move(widget.get_by_label("ratio p"), 1)
        assert [step["forced"] for step in numbers(widget)["free"]] == [False, *[True] * 9]       # <sos> and 9 words
    elif kind == "softmax-scale":
        move(widget.get_by_label("head size d_k"), 2)
        assert numbers(widget)["d_k"] == 4
    elif kind == "mask-builder":
        widget.get_by_role("button", name="OR", exact=True).click()
        assert numbers(widget)["code"] == "causal_mask(6) | padding_mask([4], 6)"
    elif kind == "attention-view":
        widget.locator(".rta-heads .rta-stage").press("ArrowRight")
        expect(widget.locator(".rta-readout")).to_contain_text("layer 1 head 3")
    elif kind == "attention-stepper":
        widget.get_by_label("Example").select_option(label="four words: vectors")
        assert numbers(widget)["score"][2] == [2, -2, 1, 4]
    elif kind == "position-explorer":
        move(widget.get_by_label("shift k"), 7)
        assert numbers(widget)["shift"] == 7
    elif kind == "gate-explorer":
        widget.get_by_role("button", name="Write once, keep").click()
        assert numbers(widget)["forced"] == {"f": 1, "i": 0, "z": 1}
    elif kind == "transformer-flow":
        widget.get_by_role("button", name="Step", exact=True).click()
        widget.locator("[data-part='encoder.blocks.1.attention']").click()
        assert (numbers(widget)["token"], len(numbers(widget)["values"])) == (3, 10)
    elif kind == "sampling-playground":
        move(widget.get_by_label("temperature"), 0)
        assert (numbers(widget)["kept"], len(numbers(widget)["written"])) == (1, 12)
    elif kind == "patch-explorer":
        widget.get_by_label("Image", exact=True).select_option(label="two")      # sent in advance, with its rollouts
        widget.get_by_role("button", name="rollout").click()
        found = numbers(widget)
        assert (found["image"], found["show"], len(found["values"])) == (1, "rollout", 17)
        assert sum(found["values"]) == pytest.approx(1, abs=1e-5)
    elif kind == "concept-index":
        widget.get_by_label("Search in English or Korean").fill("padding")
        assert numbers(widget)["found"] == ["padding"]
    elif kind == "fill-in-the-blank":
        widget.get_by_role("button", name="Show all words").click()
        widget.locator("button[data-word='5']").click()            # alone: sent in advance
        expect(widget.locator(".rta-fb-blank")).to_contain_text("‘file’")
    else:
        widget.locator(".rta-stop").nth(1).focus()
        expect(widget.locator(".rta-readout")).to_contain_text("01 Chapter 1")
    assert in_kernel(page, "import sys; print('ipywidgets' in sys.modules)") == "False\n"
    harness.close_tabs(page)
