"""The widgets' Python side: pure functions, tensors as bytes, the three faces, and what their scripts may not use."""

import re

import numpy as np
import pytest
import torch
import traitlets

from course_utils import concepts
from course_utils.data.subword import load_tokenizer
from course_utils.data.translation import vocabularies
from course_utils.models.bert import BERTConfig, PretrainingBERT
from course_utils.models.gpt import GPT, GPTConfig
from course_utils.models.recurrent import RecurrentLanguageModel
from course_utils.models.seq2seq import EncoderDecoder
from course_utils.models.transformer import Transformer
from course_utils.models.vit import ViT, ViTClassifier, ViTConfig
from course_utils.progress import Progress
from course_utils.widgets import (
    AttentionStepper,
    AttentionView,
    ConceptIndex,
    CourseMap,
    FillInTheBlank,
    GateExplorer,
    GradientFlow,
    MaskBuilder,
    PatchExplorer,
    PositionExplorer,
    Quiz,
    RNNUnroller,
    SamplingPlayground,
    SoftmaxScale,
    TeacherForcing,
    TransformerFlow,
    gradient_flow,
)
from course_utils.widgets import base as widget_base
from course_utils.widgets.base import CourseWidget, Tensor, as_numpy, clean, one_line, pack, readable, unpack
from course_utils.widgets.course_map import with_path, with_progress
from course_utils.widgets.gradient_flow import network
from course_utils.widgets.rnn_unroller import cell_name, tiny_example, unroll, weight_matrices

QUESTION = {"text": "Which?", "choices": [{"text": "a", "correct": True, "why": "yes"},
                                          {"text": "b", "correct": False, "why": "no"}]}
CHAPTER = {"number": "01", "file": "01_x.ipynb", "title": "One", "title_ko": "하나", "solves": "This", "leaves": "That",
           "exercises": 8, "questions": 10}


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")


class Letters:
    tokens = ("a", "b", " ")

    def encode(self, text):
        if not set(text) <= set(self.tokens):
            raise ValueError("only a, b and space")
        return [self.tokens.index(letter) for letter in text]


@pytest.fixture
def model():
    torch.manual_seed(0)
    return RecurrentLanguageModel(3, 4, 5)


def teacher_forcing():
    torch.manual_seed(0)
    source, target = vocabularies()
    return TeacherForcing(EncoderDecoder(len(source), len(target), 8, 16), source, target, "I love you", ratio=0.3)


def transformer_flow():
    torch.manual_seed(0)
    source, target = vocabularies()
    return TransformerFlow(Transformer(len(source), len(target), 8, 2, 16, n_layers=1), "I love you", off=["mask"])


def fill_in_the_blank():
    torch.manual_seed(0)
    models = {name: PretrainingBERT(BERTConfig(3000, 16, 2, 32, 1, 64)) for name in ("short", "long")}
    return FillInTheBlank(models, text="Return the name of a file.", hidden=[2])


def sampling_playground():
    torch.manual_seed(0)
    model = GPT(GPTConfig(2000, d_model=16, n_heads=2, n_layers=3, max_length=24))
    return SamplingPlayground(model, load_tokenizer("bpe"), top_k=50, steps=2)


def patch_explorer():
    torch.manual_seed(0)
    model = ViTClassifier(ViT(ViTConfig(8, 2, 1, 16, 2, 32, 2)), 10)
    return PatchExplorer({"slope": np.linspace(0, 1, 64).reshape(8, 8)}, model)


def every_widget():
    return [
        (GradientFlow(), "GradientFlow(spectral_radius=1, length=50, activation='tanh', hidden_size=32)"),
        (RNNUnroller(), "RNNUnroller(steps=5, hidden_size=32, vocabulary=28)"),
        (GateExplorer(), "GateExplorer(models=['LSTM', 'GRU', 'RNN'], hidden_size=16, steps=22, forced={})"),
        (teacher_forcing(), "TeacherForcing('I love you', polite=False, ratio=0.3, steps=6)"),
        (transformer_flow(), "TransformerFlow('I love you', polite=False, layers=1, tokens=14, off=['mask'])"),
        (fill_in_the_blank(), "FillInTheBlank(models=2, words=7, hidden=1)"),
        (patch_explorer(), "PatchExplorer(images=1, patches=4×4, patch_size=2, layers=2, heads=2)"),
        (sampling_playground(), "SamplingPlayground(vocabulary=2000, layers=3, heads=2, context=24)"),
        (PositionExplorer(), "PositionExplorer(sinusoidal, length=50, d_model=64, base=10000)"),
        (SoftmaxScale(), "SoftmaxScale(keys=8, d_k=64, temperature=1, scaled=True)"),
        (MaskBuilder(), "MaskBuilder(causal, queries=6, keys=6, allowed=21)"),
        (AttentionView(), "AttentionView(layers=2, heads=4, queries=8, keys=8)"),
        (AttentionStepper(), "AttentionStepper('cat', words=6, scores given, d_v=2, row=1, view='one')"),
        (Quiz([QUESTION], "01-opening"), "Quiz(01-opening, questions=1)"),
        (CourseMap([CHAPTER], {}), "CourseMap(chapters=1)"),
        (ConceptIndex(words=[], questions=[]), "ConceptIndex(words=0, questions=0)"),
    ]


# ---- base ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int32"])
def test_a_packed_array_comes_back(dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    packed = pack(torch.tensor(array), dtype)
    assert (packed["shape"], packed["dtype"], len(packed["data"])) == ([2, 3], dtype, array.nbytes)
    np.testing.assert_array_equal(unpack(packed), array)


def test_arrays_that_are_not_contiguous_are_packed_in_reading_order():
    array = np.arange(6, dtype="float32").reshape(2, 3).T
    np.testing.assert_array_equal(unpack(pack(array)), array)


def test_unknown_dtypes_are_refused():
    with pytest.raises(ValueError, match="float16"):
        pack(np.zeros(2), "float16")


def test_a_tensor_trait_travels_as_bytes():
    class Holder(CourseWidget):
        numbers = Tensor()

    holder = Holder(numbers=torch.tensor([[1.0, 2.0]]))
    sent = holder.get_state()["numbers"]
    assert sent == {"shape": [1, 2], "dtype": "float32", "data": np.float32([1, 2]).tobytes()}
    holder.set_state({"numbers": pack([[3.0, 4.0]])})
    np.testing.assert_array_equal(holder.numbers, [[3.0, 4.0]])


@pytest.mark.parametrize("kind", [torch.Tensor.bfloat16, torch.Tensor.to_sparse, torch.Tensor.requires_grad_])
def test_tensors_of_every_kind_become_arrays(kind):
    given = kind(torch.eye(2))
    np.testing.assert_array_equal(as_numpy(given, "it"), np.eye(2))
    np.testing.assert_array_equal(unpack(pack(given)), np.eye(2))


@pytest.mark.parametrize("given", [[[1], [2, 3]], ["a"], object(), [torch.ones(2, device="meta")],
                                   torch.ones(2, device="meta")])
def test_what_is_no_array_of_numbers_is_refused_in_one_line(given):
    with pytest.raises(ValueError, match=r"^scores must be a row$"):
        as_numpy(given, "scores", "a row", np.float64)


@pytest.mark.parametrize("packed", [
    None, 3, {}, {"shape": [2], "dtype": "float32", "data": b"123"}, {"shape": [3], "dtype": "uint8", "data": b"12"},
    {"shape": [1], "dtype": "object", "data": b"12345678"}, {"shape": "x", "dtype": "uint8", "data": b"1"},
    {"shape": [1], "dtype": "uint8", "data": "1"}, {"shape": [1], "dtype": ["uint8"], "data": b"1"},
])
def test_bytes_that_are_no_packed_array_are_refused_in_one_line(packed):
    with pytest.raises(ValueError, match=r"^a packed array has") as caught:
        unpack(packed)
    assert "\n" not in str(caught.value)


class Settings(CourseWidget):
    count = traitlets.Int(1).tag(sync=True)
    counts = traitlets.List(traitlets.Int(), [1]).tag(sync=True)
    share = traitlets.Float(1.0).tag(sync=True)
    shown = traitlets.Bool(True).tag(sync=True)
    numbers = Tensor("uint8")

    @traitlets.validate("count")
    def _small(self, proposal):
        if proposal["value"] > 9:
            raise traitlets.TraitError(f"count={proposal['value']} is too large\nsecond line")
        return proposal["value"]


@pytest.mark.parametrize(("state", "message"), [
    ({"count": 10, "shown": False}, "count=10 is too large"), ({"count": True}, "count=True must be a number"),
    ({"counts": [True]}, "counts=[True] must be a number"), ({"share": True}, "share=True must be a number"),
    ({"shown": False, "numbers": {"shape": [1]}}, "a packed array has"),
    ({"shown": False, "numbers": pack([0.5])}, "numbers must hold whole numbers that fit uint8"),
    ({"shown": False, "numbers": pack([np.nan])}, "numbers must hold whole numbers that fit uint8"),
    ({"shown": False, "count": "x"}, "The 'count' trait"),
])
@pytest.mark.filterwarnings("error")
def test_what_the_browser_sends_wrong_is_told_in_one_line_and_the_present_values_go_back(monkeypatch, state, message):
    widget, sent = Settings(), []
    before = widget.get_state(list(state))
    monkeypatch.setattr(widget, "send_state", lambda key=None: sent.append(key))
    widget.set_state({**state, "unknown": 1})
    assert widget.problem["id"] == 0 and widget.problem["message"].startswith(message)
    assert "\n" not in widget.problem["message"]
    assert widget.get_state(list(state)) == before and type(widget.count) is int and type(widget.counts[0]) is int
    assert sent[-1] == list(state)


def test_half_of_a_surrogate_pair_is_replaced_before_it_can_stop_a_message():
    assert clean("a\ud800b") == "a?b" and clean("한😀") == "한😀"
    hostile = "<\ud800>"
    widget = Settings()
    widget.set_state({"request": {"id": 1, hostile: [hostile]}})
    assert widget.request == {"id": 1, "<?>": ["<?>"]}
    for shown in (AttentionView(np.eye(1), [hostile], names=[hostile], special=[hostile], text=hostile,
                                examples=[hostile]),
                  AttentionStepper(tokens=[hostile] * 6), MaskBuilder([hostile], [hostile]),
                  SoftmaxScale([1.0, 2.0], tokens=[hostile] * 2), PositionExplorer(name=hostile)):
        texts = repr({name: value for name, value in shown.get_state().items() if name not in ("_esm", "_css")})
        assert "<?>" in texts and "ud800" not in texts, shown


@pytest.mark.parametrize(("error", "line"), [(SystemExit("bye"), "SystemExit: bye"), (Mute(), "Mute")])
def test_every_exception_of_an_answer_becomes_one_line(error, line):
    class Leaving(CourseWidget):
        def respond(self):
            raise error

    widget = Leaving()
    widget.request = {"id": 1}
    assert widget.problem == {"id": 1, "message": line}


@pytest.mark.parametrize(("error", "line"), [
    (ValueError("too\nlong"), "too"),
    (ValueError(""), "ValueError"),
    (ValueError("\n\nboom"), "boom"),
    (traitlets.TraitError("row=9"), "row=9"),
    (ValueError("half \ud800"), "half ?"),
    (ValueError("x" * 100_000), "x" * 299 + "…"),
    (Mute(), "Mute"),
    (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
])
def test_errors_become_one_line(error, line):
    assert one_line(error) == line


def test_text_in_figures_is_readable_and_no_formula():
    assert readable(" ") == "␣"
    assert readable("a\n\x00$x$\u202e") == r"a↵·\$x\$·"
    assert len(readable("x" * 999, 10)) == 11


def test_every_widget_has_three_faces():
    for widget, text in every_widget():
        data, _ = widget._repr_mimebundle_()
        assert set(data) == {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"}
        assert data["text/plain"] == text == repr(widget)
        assert data["image/png"].startswith(b"\x89PNG") and len(data["image/png"]) < 150_000


def test_the_picture_is_drawn_once_for_each_state(monkeypatch):
    flow, drawn = GradientFlow(), []
    figure = flow.figure
    monkeypatch.setattr(flow, "figure", lambda: drawn.append(1) or figure())
    first = flow.picture()
    assert flow.picture() is first
    flow.length = 20
    assert flow.picture() != first
    assert len(drawn) == 2


def test_an_exception_while_answering_becomes_a_message_and_the_answer_stays():
    class Asked(CourseWidget):
        def respond(self, number):
            return {"half": 10 // number}

    asked = Asked()
    asked.request = {"id": 1, "number": 2}
    asked.request = {"id": 2, "number": 0}
    assert asked.answer == {"id": 1, "half": 5}
    assert asked.problem["id"] == 2 and asked.problem["message"].startswith("ZeroDivisionError")
    asked.request = {"id": 3, "wrong": 0}
    assert asked.problem["id"] == 3


def test_scripts_put_no_markup_into_the_page_and_load_nothing():
    banned = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser"
        r"|createContextualFragment|srcdoc|javascript:|\bimport\b|\bfetch\b|https?://(?!www\.w3\.org/2000/svg)"
    )
    scripts = sorted(widget_base.STATIC.glob("*.js"))
    assert len(scripts) >= 5
    for script in scripts:
        lines = script.read_text(encoding="utf-8").splitlines()
        assert [line for line in lines if banned.search(line)] == [], script.name
        exports = sum(line.startswith("export default") for line in lines)
        assert exports == (0 if script.name == "core.js" else 1), script.name


def test_there_are_no_shadows_and_no_gradients():
    for path in widget_base.STATIC.iterdir():
        assert not re.findall(r"\w+-shadow|\w+-gradient|Gradient\(", path.read_text(encoding="utf-8")), path.name


def test_styles_stay_within_the_card():
    rules = re.sub(r"/\*.*?\*/", "", widget_base.CORE_STYLE, flags=re.DOTALL)
    for selectors in re.findall(r"([^{}]+)\{", rules):
        if not selectors.strip().startswith("@"):
            assert all(".rta" in selector for selector in selectors.split(",")), selectors


def test_figures_and_widgets_share_their_colours():
    light = widget_base.CORE_STYLE.split("}")[0]
    styled = dict(re.findall(r"--rta-([a-z0-9-]+): (?:var\([^,]+, )?(#[0-9a-f]{6})", light))
    for name, colour in widget_base.figures.COLOURS.items():
        assert styled[name] == colour, name


# ---- RNNUnroller -----------------------------------------------------------------------------------------------------


def test_unroll_gives_what_the_model_computes(model):
    ids = [0, 1, 2, 1]
    embedded, states, probabilities = unroll(model, ids)
    assert (embedded.shape, states.shape, probabilities.shape) == ((4, 4), (4, 5), (4, 3))
    logits, state = model(torch.tensor([ids]))
    torch.testing.assert_close(torch.tensor(probabilities), logits[0].softmax(-1))
    torch.testing.assert_close(torch.tensor(states[-1]), state[0, 0])
    assert model.training


def test_unroller_leaves_an_evaluating_model_evaluating(model):
    model.eval()
    unroll(model, [0])
    assert not model.training


def test_unroller_finds_the_weights_and_the_cell(model):
    from_input, from_state = weight_matrices(model)
    assert (from_input.shape, from_state.shape) == ((5, 4), (5, 5))
    assert cell_name(model) == "tanh"
    widget = RNNUnroller(model, Letters(), "ab")
    assert widget.weights["count"] == 45
    assert widget.cell == "tanh"


def test_the_example_has_learned_its_sentence():
    example, vocabulary = tiny_example()
    ids = vocabulary.encode("hello world. the cat sat on the mat.")
    _, _, probabilities = unroll(example, ids)
    hits = (probabilities[:-1].argmax(1) == np.array(ids[1:])).mean()
    assert hits > 0.7
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)


def test_making_the_example_leaves_the_readers_random_numbers_alone():
    tiny_example.cache_clear()
    before = torch.get_rng_state()
    weights = tiny_example()[0].head.weight
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    tiny_example.cache_clear()
    assert torch.equal(tiny_example()[0].head.weight, weights)


BROKEN = {"NaN": float("nan"), "infinity": float("inf"), "more than float32 holds": 1e300}


@pytest.mark.parametrize("value", BROKEN.values(), ids=BROKEN)
def test_unroller_keeps_the_last_text_when_a_model_gives_no_numbers(model, value):
    model = model.double()
    model.embedding.weight.data[1] = value            # only a text with "b" is affected
    with pytest.raises(ValueError, match=r"^With this text the model computes numbers that are NaN or infinite"):
        RNNUnroller(model, Letters(), "ab")
    widget = RNNUnroller(model, Letters(), "aa a")
    picture, answer = widget.picture(), widget.answer
    widget.request = {"id": 1, "text": "ab"}
    assert widget.problem["id"] == 1 and "NaN or infinite" in widget.problem["message"]
    assert (widget.answer, widget.text, widget.picture()) == (answer, "aa a", picture)


@pytest.mark.parametrize("part", ["weight_ih", "weight_hh"])
def test_unroller_refuses_weights_that_are_no_numbers(model, part):
    getattr(model.recurrent.cells[0], part).data[0, 0] = float("inf")
    with pytest.raises(ValueError, match="weights that are NaN or infinite"):
        RNNUnroller(model, Letters(), "ab")


def test_the_picture_shows_the_last_answer_even_if_the_model_has_changed(model):
    widget, same = (RNNUnroller(model, Letters(), "ab") for _ in range(2))
    picture = same.picture()
    for parameter in model.parameters():
        parameter.data.fill_(float("nan"))
    assert widget.picture() == picture


@pytest.mark.parametrize(("text", "message"), [
    ("", "at least one character"), ("a" * 201, "201 characters"), ("xyz", "only a, b and space"), (7, "at least one"),
])
def test_unroller_refuses_bad_text_and_keeps_the_last(model, text, message):
    with pytest.raises(ValueError, match=message):
        RNNUnroller(model, Letters(), text)
    widget = RNNUnroller(model, Letters(), "ab")
    widget.request = {"id": 4, "text": text}
    assert message in widget.problem["message"]
    assert (widget.answer["id"], widget.text) == (0, "ab")
    widget.request = {"id": 5, "text": "a" * 200}
    assert (widget.answer["id"], widget.answer["states"]["shape"]) == (5, [200, 5])


def test_unroller_needs_the_vocabulary_of_a_model(model):
    with pytest.raises(ValueError, match="vocabulary"):
        RNNUnroller(model)


# ---- GradientFlow ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["tanh", "identity", "relu"])
@pytest.mark.parametrize("radius", [0.3, 1.0, 1.6])
def test_flow_is_what_autograd_computes(activation, radius):
    length, parts = 12, network(hidden_size=7, seed=3)
    weights = radius * torch.tensor(parts["recurrent"], dtype=torch.float64)
    act = {"tanh": torch.tanh, "relu": torch.relu, "identity": lambda total: total}[activation]
    states = [torch.zeros(7, dtype=torch.float64)]
    for step in range(length):
        total = weights @ states[-1] + torch.tensor(parts["inputs"][step], dtype=torch.float64)
        states.append(act(total).requires_grad_() if step == 0 else act(total))
        states[-1].retain_grad()
    (states[-1] @ torch.tensor(parts["readout"], dtype=torch.float64)).backward()
    wanted = [state.grad.norm().item() for state in states[1:]]
    np.testing.assert_allclose(gradient_flow(radius, length, activation, 7, 3), wanted, rtol=1e-5)


def test_flow_without_activation_follows_the_power_of_the_radius():
    norms = gradient_flow(0.8, 200, "identity")
    assert abs((norms[0] / norms[100]) ** 0.01 / 0.8 - 1) < 0.01


def test_flow_has_the_edge_between_vanishing_and_exploding():
    assert gradient_flow(0.9, 200)[0] < 1e-6
    assert gradient_flow(2.0, 200)[0] > 1e3


def test_flow_does_not_lose_numbers_whose_square_is_zero():
    norms = gradient_flow(0.1, 200, "identity")
    assert 0 < norms[0] < 1e-190


@pytest.mark.parametrize(("settings", "message"), [
    ({"activation": "gelu"}, "gelu"), ({"length": 201}, "length=201"), ({"length": 0}, "length=0"),
    ({"spectral_radius": 0.0}, "spectral_radius=0.0"), ({"spectral_radius": float("nan")}, "nan"),
])
def test_flow_refuses_settings_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=message):
        gradient_flow(**settings)
    with pytest.raises(ValueError, match=message):
        GradientFlow(**settings)


# ---- Quiz ------------------------------------------------------------------------------------------------------------


def test_quiz_reports_every_checked_choice_once():
    seen = []
    quiz = Quiz([QUESTION, QUESTION], on_answer=lambda *answer: seen.append(answer))
    quiz.tries = [[0, 1]]
    quiz.tries = [[0, 1], [0, 0], [1, 0]]
    quiz.tries = []
    quiz.tries = [[1, 1]]
    assert seen == [(0, 1, False), (0, 0, True), (1, 0, True), (1, 1, False)]


def test_quiz_tells_about_an_answer_that_makes_no_sense():
    quiz = Quiz([QUESTION], on_answer=lambda *answer: None)
    quiz.tries = [[5, 0]]
    assert quiz.problem["message"].startswith("This answer was not stored: IndexError")


@pytest.mark.parametrize("choices", [
    [], QUESTION["choices"][:1], [{**choice, "correct": True} for choice in QUESTION["choices"]],
])
def test_quiz_wants_one_right_choice(choices):
    with pytest.raises(ValueError, match="question 1"):
        Quiz([{"text": "?", "choices": choices}])


def test_quiz_wants_questions():
    with pytest.raises(ValueError, match="at least one question"):
        Quiz([])


# ---- CourseMap -------------------------------------------------------------------------------------------------------


def test_map_shows_the_chapters_of_the_course():
    chapters = CourseMap(summary={}).chapters
    assert [chapter["number"] for chapter in chapters] == [f"{number:02d}" for number in range(12)]
    assert all(chapter[key] for chapter in chapters for key in ("file", "title", "title_ko", "solves", "leaves"))


def test_chapters_follow_each_other_but_for_the_branches():
    rows = with_path([{"number": number} for number in ("00", "01", "07", "08", "09", "10", "11")])
    assert [row["after"] for row in rows] == ["", "00", "01", "07", "07", "07", "08"]
    assert rows[0] == {"number": "00", "exercises": 0, "questions": 0, "after": ""}
    assert with_path([CHAPTER])[0]["exercises"] == 8


def test_map_counts_what_was_done():
    answered = {"01-opening": {0: True, 2: False}, "01-closing": {0: True}}
    summary = {"01": {"passed": {"01.1", "01.2"}, "answered": answered}}
    other, own = with_progress([{**CHAPTER, "number": "77"}, CHAPTER], summary)
    assert (other["passed"], other["answered"], other["exists"]) == (0, 0, False)
    assert (own["passed"], own["answered"], own["exists"]) == (2, 3, True)


def test_map_lists_what_is_left_in_a_chapter():
    before, = with_progress([CHAPTER], {})
    wanted = concepts.exercises_of("01")
    assert len(wanted) >= 3 and before["todo"] == wanted and all(row["title"] and row["cell"] for row in wanted)
    summary = {"01": {"passed": {wanted[1]["id"], "01.99"}, "answered": {"01-opening": {0: True, 3: False}}}}
    own, = with_progress([CHAPTER], summary)
    assert own["todo"] == [row for row in wanted if row is not wanted[1]]
    assert [(row["name"], row["answered"]) for row in own["quizzes"]] == [("01-opening", 2), ("01-closing", 0)]
    assert with_progress([{**CHAPTER, "number": "77"}], summary)[0]["todo"] == []


def test_map_takes_a_broken_progress_file_for_an_empty_one(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress.json"))
    (tmp_path / "progress.json").write_text('{"exercises": [')
    widget = CourseMap([CHAPTER])
    widget.request = {"id": 1}
    assert (widget.problem, widget.chapters[0]["passed"]) == ({}, 0)


# ---- ConceptIndex ----------------------------------------------------------------------------------------------------


def test_the_index_tells_where_a_word_is_taught_shown_and_asked():
    asked = {"scaled-scores": [("exercise", "05.3"), ("quiz", "05-closing"), ("exercise", "99.9")]}
    index = ConceptIndex(asked)
    word = next(word for word in index.words if word["id"] == "scaled-scores")
    assert [(place["chapter"], place["cell"]) for place in word["taught"]] == [("05", "scaled-scores")]
    assert len(word["shown"]) >= 2 and len({place["heading"] for place in word["shown"]}) == len(word["shown"])
    assert [place["cell"] for place in word["asked"]] == ["exercise-05-3", "closing-quiz"]
    assert [place["heading"] for place in word["asked"]][1] == "Closing quiz"
    assert all(word["taught"] for word in index.words) and all(row["answered"] for row in index.questions)
    assert len(index.picture()) < 150_000


def test_map_tells_the_progress_of_now_when_it_is_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress.json"))
    live, fixed = CourseMap([CHAPTER]), CourseMap([CHAPTER], {})
    Progress().mark_passed("01.1")
    Progress().answered("01-opening", 0, 1, False)
    assert [live.chapters[0][key] for key in ("passed", "answered")] == [0, 0]
    for number, widget in enumerate((live, fixed), start=1):
        widget.request = {"id": number}
        assert (widget.answer, widget.problem) == ({"id": number}, {})
    assert [live.chapters[0][key] for key in ("passed", "answered")] == [1, 1]
    assert [fixed.chapters[0][key] for key in ("passed", "answered")] == [0, 0]


def test_the_map_of_a_reader_and_the_committed_picture_differ():
    """The PNG goes into the notebook's file; progress must not."""
    summary = {"01": {"passed": {"01.1"}, "answered": {}}}
    assert CourseMap([CHAPTER], summary).picture() == CourseMap([CHAPTER], {}).picture()


@pytest.mark.parametrize(("name", "value"), [("spectral_radius", float("nan")), ("length", 10**6), ("length", 0)])
def test_gradient_flow_refuses_a_setting_out_of_range_and_keeps_the_last_good_one(name, value):
    widget = GradientFlow()
    before = getattr(widget, name)
    with pytest.raises(traitlets.TraitError, match=name):
        setattr(widget, name, value)
    assert getattr(widget, name) == before and widget.picture()


@pytest.mark.parametrize("settings", [{"hidden_size": 0}, {"seed": -1}])
def test_gradient_flow_refuses_impossible_networks(settings):
    with pytest.raises(ValueError, match="must be at least 1"):
        GradientFlow(**settings)
