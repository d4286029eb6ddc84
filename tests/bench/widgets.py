"""Every widget in a real JupyterLab: bytes, opening time, script time of an interaction, and the kernel's answers."""

import itertools
import json
import statistics
import sys
import tempfile
from dataclasses import dataclass

from bench.measuring import markdown
from course_utils import layout

PLAIN = "from ipywidgets import IntSlider\nIntSlider()"        # what opening and a key press cost at the least


@dataclass(frozen=True)
class Subject:
    """A widget to measure. source: code that makes it; focus: what gets the keys; keys: pressed in turns.

    ask: a text field whose Enter key asks the kernel, and the texts typed there in turns.
    """

    source: str
    focus: str
    keys: tuple
    ask: str = ""
    texts: tuple = ()


# The sizes of chapter 01's model: 93 characters, 32 numbers for each, 192 hidden units.
LANGUAGE_MODEL = """import torch
from course_utils.models.recurrent import RecurrentLanguageModel
from course_utils.widgets import RNNUnroller

class Letters:
    tokens = [chr(code) for code in range(32, 125)]
    def encode(self, text):
        return [self.tokens.index(letter) for letter in text]

torch.set_num_threads(1)
RNNUnroller(RecurrentLanguageModel(93, 32, 192), Letters(), "Return the length of the sequence.")"""

# The sizes of chapter 03's model.
TRANSLATOR = """import torch
from course_utils.data.translation import vocabularies
from course_utils.models.seq2seq import EncoderDecoder
from course_utils.widgets import TeacherForcing

torch.set_num_threads(1)
source, target = vocabularies()
TeacherForcing(EncoderDecoder(len(source), len(target)), source, target, "he was a student and I have a dog")"""

# The sizes of chapter 07's model. Untrained, it goes on to the limit: more steps than any translation takes.
TRANSFORMER = """import torch
from course_utils.data.translation import vocabularies
from course_utils.models.transformer import Transformer
from course_utils.widgets import TransformerFlow

torch.set_num_threads(1)
source, target = vocabularies()
TransformerFlow(Transformer(len(source), len(target)), "he was a student and I have a dog")"""

# The sizes of chapter 08's two models, side by side.
BLANKS = """import torch
from course_utils.models.bert import BERTConfig, PretrainingBERT
from course_utils.widgets import FillInTheBlank

torch.set_num_threads(1)
sizes = {"live": (64, 4, 256, 2), "longer": (96, 4, 384, 3)}
models = {name: PretrainingBERT(BERTConfig(3000, *size, max_length=64)) for name, size in sizes.items()}
FillInTheBlank(models, hidden=[2, 4])"""

# A photograph in 196 patches, and a small model with 12 layers: all its weights travel as bytes.
PATCHES = """import numpy as np
import torch
from course_utils.models.vit import ViT, ViTClassifier, ViTConfig
from course_utils.widgets import PatchExplorer

torch.set_num_threads(1)
model = ViTClassifier(ViT(ViTConfig(224, 16, 3, 48, 12, 96, 12)), 10)
PatchExplorer({"noise": np.random.default_rng(0).random((3, 224, 224))}, model, token=1)"""

# The sizes of chapter 09's model, at nearly its longest text: a step is never slower.
WRITER = """import torch
from course_utils.data.subword import load_tokenizer
from course_utils.models.gpt import GPT, GPTConfig
from course_utils.widgets import SamplingPlayground

torch.set_num_threads(1)
model = GPT(GPTConfig(2000, d_model=128, n_heads=4, n_layers=4, max_length=128))
SamplingPlayground(model, load_tokenizer("bpe"), "Return the list of names." * 10, use_cache=False)"""

SUBJECTS = {
    "CourseMap": Subject("from course_utils.widgets import CourseMap\nCourseMap()",
                         ".rta [tabindex='0']", ("ArrowRight", "ArrowLeft")),
    "ConceptIndex": Subject("from course_utils.widgets import ConceptIndex\nConceptIndex()",
                            ".rta [role='listbox']", ("ArrowDown", "ArrowUp")),
    "RNNUnroller": Subject(LANGUAGE_MODEL, ".rta [tabindex='0']", ("ArrowLeft", "ArrowRight"), "input[type=text]",
                           ("Return a list of the names of the files.", "Raise an error if the value is no number.")),
    "GradientFlow": Subject("from course_utils.widgets import GradientFlow\nGradientFlow(length=200)",
                            ".rta input[type=range]", ("ArrowRight", "ArrowLeft")),
    "GateExplorer": Subject("from course_utils.widgets import GateExplorer\nGateExplorer(symbols='abcdefgh' * 7)",
                            ".rta-gate input[type=range]", ("ArrowLeft", "ArrowRight")),
    "SoftmaxScale": Subject("from course_utils.widgets import SoftmaxScale\nSoftmaxScale(list(range(16)))",
                            ".rta input[type=range]", ("ArrowRight", "ArrowLeft")),
    "PositionExplorer": Subject("from course_utils.widgets import PositionExplorer\nPositionExplorer(200, 256)",
                                ".rta input[type=range]", ("ArrowLeft", "ArrowRight")),
    "TeacherForcing": Subject(TRANSLATOR, ".rta [tabindex='0']", ("ArrowRight", "ArrowLeft"), "input[type=text]",
                              ("The small dog sleeps in the park every day.", "My friend does not eat cold bread.")),
    "MaskBuilder": Subject("from course_utils.widgets import MaskBuilder\nMaskBuilder(24, preset='causal')",
                           ".rta [tabindex='0']", ("ArrowRight", "ArrowLeft")),
    "AttentionView": Subject("from course_utils.widgets import AttentionView\nAttentionView()",
                             ".rta-heads [tabindex='0']", ("ArrowRight", "ArrowLeft")),
    "AttentionStepper": Subject("from course_utils.widgets import AttentionStepper\nAttentionStepper(preset='vectors')",
                                ".rta [tabindex='0']", ("ArrowRight", "ArrowLeft")),
    "TransformerFlow": Subject(TRANSFORMER, ".rta [tabindex='0']", ("ArrowUp", "ArrowDown"), "input[type=text]",
                               ("The small dog sleeps in the park every day.", "My friend does not eat cold bread.")),
    "FillInTheBlank": Subject(BLANKS, ".rta-fb-strip [tabindex='0']", ("ArrowRight", "ArrowLeft"), "input[type=text]",
                              ("Raise an error if the file does not exist.", "Return the name of the file or None.")),
    "SamplingPlayground": Subject(WRITER, ".rta input[type=range]", ("ArrowRight", "ArrowLeft"), "textarea",
                                  ("Raise an error if the value is no number. " * 5, "Return the list. " * 20)),
    "PatchExplorer": Subject(PATCHES, ".rta [tabindex='0']", ("ArrowRight", "ArrowLeft")),
    "Quiz": Subject("from course_utils.exercises import quiz\nquiz('00-opening')",
                    ".rta input[type=radio]", ("ArrowDown", "ArrowUp")),
}


def measure(rounds):
    """For each widget: bytes, opening milliseconds and milliseconds a key press, both beside a plain slider's.

    Raises RuntimeError where there is no Chromium.
    """
    sys.path.insert(0, str(layout.ROOT / "tests" / "browser"))
    import harness

    results = {}
    with tempfile.TemporaryDirectory() as folder, harness.serve(folder) as lab, harness.open_page(lab) as page:
        for name, subject in SUBJECTS.items():
            results[name] = {**sizes(subject), **one_widget(harness, page, subject, rounds)}
            print(f"{name}: {results[name]}", flush=True)
    return results


def sizes(subject):
    """Kilobytes that travel to the browser when the widget opens: its program (script and style), and its data."""
    from ipywidgets.widgets.widget import _remove_buffers

    widget = evaluate(subject.source)
    state, _, buffers = _remove_buffers(widget.get_state())
    program = sum(len(str(state.pop(part, "")).encode()) for part in ("_esm", "_css"))
    data = len(json.dumps(state, default=str).encode()) + sum(len(buffer) for buffer in buffers)
    return {"program_kB": round(program / 1000, 1), "data_kB": round(data / 1000, 1)}


def evaluate(source):
    """The value of the last line, as a notebook's cell would show it."""
    *before, last = source.splitlines()
    scope = {}
    exec("\n".join(before), scope)
    return eval(last, scope)


def one_widget(harness, page, subject, rounds):
    harness.show(page, PLAIN, subject.source)
    seen = {"opens_ms": [], "slider_opens_ms": [], "key_ms": [], "slider_key_ms": []}
    for _ in range(rounds):
        seen["slider_opens_ms"].append(opening_time(page, 0, ".noUi-handle"))
        seen["opens_ms"].append(opening_time(page, 1, ".rta"))
        seen["slider_key_ms"].append(key_cost(harness, page, ".noUi-handle", ("ArrowRight", "ArrowLeft")))
        seen["key_ms"].append(key_cost(harness, page, subject.focus, subject.keys))
    result = {name: round(statistics.median(values), 1) for name, values in seen.items()}
    if subject.ask:
        result["kernel_answers_ms"] = round(statistics.median(answer_times(page, subject, rounds)))
    return result


def opening_time(page, number, selector):
    """Milliseconds from running a cell until what it shows is on the page, the kernel's work included."""
    return page.evaluate("""async ([number, selector]) => {
        const {shell, commands} = window.jupyterapp;
        const notebook = shell.currentWidget.content;
        notebook.activeCellIndex = number;
        await commands.execute("notebook:clear-cell-output");
        const cell = notebook.widgets[number].node;
        const frame = () => new Promise((done) => requestAnimationFrame(done));
        while (cell.querySelector(selector)) await frame();
        const started = performance.now();
        const running = commands.execute("notebook:run-cell");
        while (!cell.querySelector(selector)) await frame();
        const taken = performance.now() - started;
        await running;                    // JupyterLab takes the focus at the end of a run
        return taken;
    }""", [number, selector])


def key_cost(harness, page, selector, keys):
    """Milliseconds of script for one key press, JupyterLab's own listeners included.

    Raises RuntimeError where the keys move nothing: a cost of nothing would look splendid.
    """
    page.locator(selector).first.focus()
    following = itertools.cycle(keys)
    before = visible_state(page)
    page.keyboard.press(next(following))
    harness.next_frame(page)
    if visible_state(page) == before:
        raise RuntimeError(f"the key {keys[0]} changes nothing at {selector}")
    return harness.script_cost(page, lambda: page.keyboard.press(next(following)))["script"]


def visible_state(page):
    """Everything a key press may change: the widgets' text and inputs, and what has the focus."""
    return page.evaluate("""() => {
        const inputs = [...document.querySelectorAll(".rta input")].map((input) => [input.value, input.checked]);
        const texts = [...document.querySelectorAll(".rta, .widget-readout")].map((node) => node.textContent);
        return JSON.stringify([inputs, texts, document.activeElement.outerHTML]);
    }""")


def answer_times(page, subject, rounds):
    """Milliseconds from Enter in the text field until the kernel's answer is drawn, for each text."""
    field = page.locator(f".rta {subject.ask}").first
    times = []
    for _ in range(rounds):
        for text in subject.texts:
            field.fill(text)
            times.append(field.evaluate("""async (field) => {
                const card = field.closest(".rta");
                const frame = () => new Promise((done) => requestAnimationFrame(done));
                while (card.getAttribute("aria-busy") === "true") await frame();
                const started = performance.now();
                field.dispatchEvent(new KeyboardEvent("keydown", {key: "Enter", bubbles: true}));
                while (card.getAttribute("aria-busy") === "true" || card.numbers().text !== field.value) await frame();
                return performance.now() - started;
            }"""))
    return times


def table(results):
    rows = []
    for name, entry in results.items():
        opening, key = entry["opens_ms"] / entry["slider_opens_ms"], entry["key_ms"] / entry["slider_key_ms"]
        rows.append([
            name, f"{entry['program_kB']:.0f} + {entry['data_kB']:.0f} kB",
            f"{entry['opens_ms']:.0f} ms", f"{opening:.1f}", f"{entry['key_ms']} ms", f"{key:.1f}",
            f"{entry['kernel_answers_ms']} ms" if "kernel_answers_ms" in entry else "not asked",
        ])
    heads = ["widget", "program + data", "opens in", "ratio", "script per key", "ratio", "kernel answers in"]
    return markdown(heads, rows) + "\n\nRatios are to a plain slider of ipywidgets in the same notebook."
