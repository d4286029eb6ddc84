"""`FillInTheBlank` in Python: words and pieces, what the models read, both contexts, what travels, what is refused."""

import numpy as np
import pytest
import torch
import traitlets
from torch import nn

from course_utils.data.subword import MASK, load_tokenizer
from course_utils.models.bert import BERTConfig, PretrainingBERT
from course_utils.widgets import FillInTheBlank
from course_utils.widgets.base import unpack
from course_utils.widgets.fill_in_the_blank import CONTEXTS, carried, read_sentence

TEXT = "Return the number of items in the list."       # every word is one piece; "items" is number 4
SPLIT = "The tokenizer returns a list"                  # token ##izer


def small_model(seed=0, vocab_size=3000, **options):
    torch.manual_seed(seed)
    return PretrainingBERT(BERTConfig(vocab_size, **{"d_model": 16, "n_heads": 2, "d_ff": 32, "n_layers": 1,
                                                     "max_length": 64, **options}))


class Constant(nn.Module):
    """Says the same at every place. logits: (V,), or a function from ids (B, T) to whatever it returns."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, ids, lengths, segments):
        if callable(self.logits):
            return self.logits(ids)
        return self.logits.expand(*ids.shape, -1), torch.zeros(len(ids), 2)


def ids_of(text):
    return load_tokenizer("wordpiece").encode(text).ids


def mask_id():
    return load_tokenizer("wordpiece").token_to_id(MASK)


def said(model, ids, place):
    """The model's probabilities at one place of one sentence."""
    model.eval()
    with torch.no_grad():
        logits, _ = model(torch.tensor([ids]), torch.tensor([len(ids)]), torch.zeros(1, len(ids), dtype=torch.long))
    return logits[0, place].softmax(-1)


def assert_says(entry, probabilities, truth):
    """A prediction is the distribution's: its likeliest pieces, and the true one's chance and rank."""
    tokenizer = load_tokenizer("wordpiece")
    values = probabilities.sort(descending=True).values
    np.testing.assert_allclose([value for _, value in entry["top"]], values[:8], rtol=1e-4)
    ids = [tokenizer.token_to_id(piece) for piece, _ in entry["top"]]
    np.testing.assert_allclose(probabilities[ids], values[:8], rtol=1e-4)
    assert entry["chance"] == pytest.approx(probabilities[truth].item(), rel=1e-4)
    assert values[entry["rank"] - 1].item() == pytest.approx(entry["chance"], rel=1e-4)


# ---- what the models read --------------------------------------------------------------------------------------------


def test_the_numbers_are_the_models_with_the_full_sentence_and_with_the_left_part():
    models = {"one": small_model(0), "two": small_model(1)}
    found = FillInTheBlank(models, text=TEXT, hidden=[4]).predictions()
    assert [(entry["model"], entry["context"]) for entry in found] == [
        (name, context) for name in models for context in CONTEXTS]
    ids = ids_of(TEXT)
    truth, place = ids[5], 5                               # [CLS] stands before the words
    ids[place] = mask_id()
    for entry in found:
        read = ids if entry["context"] == CONTEXTS[0] else ids[: place + 1]
        assert entry["truth"] == "items"
        assert_says(entry, said(models[entry["model"]], read, place), truth)


def test_the_words_on_the_right_change_only_what_the_full_sentence_says():
    model = small_model()
    here, there = (FillInTheBlank(model, text=text, hidden=[4]).predictions()
                   for text in (TEXT, "Return the number of items that a string has."))
    chances = [[entry["chance"] for entry in found] for found in (here, there)]
    assert chances[0][1] == pytest.approx(chances[1][1], rel=1e-5)
    assert chances[0][0] != pytest.approx(chances[1][0], rel=1e-5)


def test_a_word_of_several_pieces_is_hidden_whole_and_each_piece_is_a_blank():
    model = small_model()
    widget = FillInTheBlank(model, text=SPLIT, hidden=[1])
    assert widget.answer["words"][1] == {"text": "tokenizer", "pieces": ["token", "##izer"], "blank": False,
                                         "unknown": False}
    assert widget.answer["blanks"] == [{"word": 1, "piece": piece, "of": 2, "truth": truth}
                                       for piece, truth in enumerate(("token", "##izer"))]
    ids = ids_of(SPLIT)
    truths, ids[2:4] = ids[2:4], [mask_id()] * 2
    for entry in widget.predictions():
        read = ids if entry["context"] == CONTEXTS[0] else ids[:4]
        assert_says(entry, said(model, read, 2 + entry["piece"]), truths[entry["piece"]])


def test_every_word_may_be_hidden():
    model = small_model()
    widget = FillInTheBlank(model, text=TEXT, hidden=range(9))
    ids = ids_of(TEXT)
    blank = [ids[0], *[mask_id()] * 9, ids[-1]]
    found = widget.predictions()
    assert len(found) == 9 * 2
    for entry in found:
        place = entry["word"] + 1
        read = blank if entry["context"] == CONTEXTS[0] else blank[: place + 1]
        assert_says(entry, said(model, read, place), ids[place])
    assert str(widget) == "FillInTheBlank(models=1, words=9, hidden=9)"


def test_a_typed_mask_is_a_blank_whose_word_nobody_knows():
    widget = FillInTheBlank(small_model(), text="Return the [MASK] of items", hidden=[2, 4])
    assert widget.hidden == [4]
    assert [(entry["word"], entry["truth"]) for entry in widget.answer["blanks"]] == [(2, None), (4, "items")]
    unknown = [entry for entry in widget.predictions() if entry["word"] == 2]
    assert [(entry["chance"], entry["rank"], len(entry["top"])) for entry in unknown] == [(None, None, 8)] * 2
    assert str(widget) == "FillInTheBlank(models=1, words=5, hidden=2)"


def test_single_blanks_of_the_first_sentence_are_filled_in_advance():
    widget = FillInTheBlank({"one": small_model(0), "two": small_model(1)}, text=SPLIT)
    assert (widget.prepared["text"], widget.prepared["sets"]) == (SPLIT, [[], [0], [1], [2], [3], [4]])
    for hidden, filled in zip(widget.prepared["sets"], widget.prepared["filled"], strict=True):
        answer = widget.respond(SPLIT, hidden)
        assert filled["blanks"] == answer["blanks"]
        for name in ("probability", "chance", "rank"):
            np.testing.assert_allclose(unpack(filled[name]), unpack(answer[name]), rtol=1e-4)
    long = FillInTheBlank(small_model(), text="list " * 25)
    assert long.prepared == {} and len(long.answer["words"]) == 25


def test_a_model_in_training_is_left_in_training_and_says_the_same_twice():
    model = small_model(dropout=0.5).train()
    model.bert.eval()
    widget = FillInTheBlank(model, text=TEXT, hidden=[4])
    assert model.training and not model.bert.training
    assert widget.respond(TEXT, [4])["chance"] == widget.answer["chance"]


def test_it_follows_a_model_that_goes_on_learning():
    model = small_model()
    widget = FillInTheBlank(model, text=TEXT, hidden=[4])
    with torch.no_grad():
        model.word_bias[load_tokenizer("wordpiece").token_to_id("items")] = 50
    before = widget.picture()
    widget.request = {"id": 1, "text": TEXT, "hidden": [4]}
    assert [entry["rank"] for entry in widget.predictions()] == [1, 1]
    assert widget.picture() != before


# ---- words and pieces ------------------------------------------------------------------------------------------------


def test_words_are_shown_as_they_were_typed():
    sentence = read_sentence(load_tokenizer("wordpiece"), "Don't  tokenize H\u00c9LLO \u202eabc 한국어")
    assert [word.text for word in sentence.words] == ["Don", "'", "t", "tokenize", "H\u00c9LLO", "abc", "한국어"]
    assert sentence.words[-1].pieces == ["[UNK]"]
    assert (sentence.before, sentence.after) == (["[CLS]"], ["[SEP]"])
    assert [sentence.ids[place] for word in sentence.words for place in word.places] == sentence.ids[1:-1]


def test_a_tokenizer_that_pads_adds_no_words_and_one_that_cuts_is_told():
    tokenizer = load_tokenizer("wordpiece")
    tokenizer.enable_padding(length=32)
    assert len(FillInTheBlank(small_model(), tokenizer, text=SPLIT).answer["words"]) == 5
    tokenizer.enable_truncation(max_length=5)
    with pytest.raises(ValueError, match="cuts it off"):
        FillInTheBlank(small_model(), tokenizer, text=SPLIT)


@pytest.mark.parametrize(("hidden", "before", "after", "wanted"), [
    ([0, 2], "a b c", "a b c d", [0, 2]), ([0, 2], "a b c", "x a b c", [1, 3]), ([1, 2], "a b c", "a x c", [2]),
    ([0, 1, 2], "a b c", "", []), ([0, 2], "a a a", "a a", [0]), ([1], "a b", "c d", []), ([2], "a b c", "a c", [1]),
])
def test_words_that_stay_the_same_stay_hidden(hidden, before, after, wanted):
    assert carried(hidden, before.split(), after.split()) == wanted


def test_hidden_words_of_a_changed_sentence_are_found_again():
    widget = FillInTheBlank(small_model(), text=TEXT, hidden=[4, 7])
    widget.request = {"id": 1, "text": f"Always {TEXT}", "hidden": [4, 7], "of": TEXT}
    assert [widget.answer["words"][number]["text"] for number in widget.hidden] == ["items", "list"]


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("question", "told"), [
    ({"text": ""}, "Type a sentence"), ({"text": "  \n"}, "Type a sentence"), ({"text": None}, "Type a sentence"),
    ({"text": 5}, "Type a sentence"), ({"text": "\u202e\u200f"}, "finds no word"), ({"text": "a " * 41}, "41 words"),
    ({"text": "x" * 10_000}, "10,000 characters are too many"), ({"text": "a [SEP] b"}, "[SEP] cannot be typed"),
    ({"text": "reinitializes " * 12}, "tokens are too many: 'the model' reads 32"),
    ({"text": TEXT, "hidden": [9]}, "hidden=9 is no word: they are numbered from 0 to 8"),
    ({"text": TEXT, "hidden": [-1]}, "hidden=-1 is no word"), ({"text": TEXT, "hidden": [True]}, "hidden=True"),
    ({"text": TEXT, "hidden": ["a\u202e"]}, "is no word"), ({"text": TEXT, "hidden": "4"}, "no list of word numbers"),
    ({"text": TEXT, "hidden": [40], "of": "list"}, "hidden=40"), ({"text": TEXT, "wrong": 1}, "wrong"),
])
def test_what_cannot_be_read_is_told_in_one_line_and_the_last_answer_stays(question, told):
    widget = FillInTheBlank(small_model(max_length=32), text=TEXT, hidden=[4])
    before = widget.answer
    widget.request = {"id": 1, **question}
    assert told in widget.problem["message"] and "\n" not in widget.problem["message"]
    assert widget.problem["message"].isprintable()
    assert widget.answer is before


@pytest.mark.parametrize(("logits", "told"), [
    (torch.full((3000,), float("nan")), "the model 'odd' computes numbers that are NaN"),
    (torch.full((3000,), float("inf")), "NaN or infinite"), (torch.zeros(20), "knows 20 pieces, the tokenizer 3,000"),
    (lambda ids: torch.zeros(3), "must return word logits"), (lambda ids: None, "must return word logits"),
    (lambda ids: (ids,), "must return word logits"),
])
def test_a_model_that_says_nothing_useful_is_told_in_one_line(logits, told):
    with pytest.raises(ValueError, match=told) as caught:
        FillInTheBlank({"odd": Constant(logits)}, text=TEXT, hidden=[1])
    assert str(caught.value).isprintable()


def test_a_model_may_rule_pieces_out():
    logits = torch.full((3000,), float("-inf"))
    logits[[7, 8]] = 0.0
    entry = FillInTheBlank(Constant(logits), text=TEXT, hidden=[4]).predictions()[0]
    assert [value for _, value in entry["top"]] == [0.5, 0.5, *[0.0] * 6]
    assert (entry["chance"], entry["rank"]) == (0.0, 3)


@pytest.mark.parametrize(("settings", "told"), [
    ({"models": {}}, "0 models"), ({"models": {str(name): small_model() for name in range(4)}}, "4 models"),
    ({"models": {"a": 5}}, "must be a PretrainingBERT, not int"), ({"models": None}, "not NoneType"),
    ({"models": {"1": small_model(), 1: small_model()}}, "two models have the same name: 1, 1"),
    ({"models": {"a": nn.Linear(2, 2)}, "hidden": [1]}, "'a' cannot be called with ids, lengths and segments"),
    ({"models": small_model(vocab_size=2000), "tokenizer": load_tokenizer("bpe")}, r"no \[MASK\]"),
    ({"tokenizer": "wordpiece"}, "tokenizers.Tokenizer, not str"), ({"sentences": TEXT}, "list of sentences"),
    ({"sentences": []}, "give a text"), ({"left": 1}, "left=1"), ({"hidden": 99}, "hidden=99"), ({"text": ""}, "Type"),
])
def test_arguments_that_make_no_sense_are_told_in_one_line(settings, told):
    with pytest.raises(ValueError, match=told) as caught:
        FillInTheBlank(**{"models": small_model(), **settings})
    assert str(caught.value).isprintable()


def test_settings_of_the_browser_that_make_no_sense_are_refused():
    widget = FillInTheBlank(small_model(), text=TEXT)
    widget.set_state({"left": "no"})
    assert widget.left is False and "left" in widget.problem["message"]
    with pytest.raises(traitlets.TraitError):
        widget.left = None


def test_hostile_names_and_words_travel_as_text():
    hostile = "</script><img src=x onerror=alert(1)> \u202e \ud800 $x^2$"
    widget = FillInTheBlank({hostile: small_model()}, text=hostile, sentences=[hostile], hidden=[1], left=True)
    assert "script" in [word["text"] for word in widget.answer["words"]]
    assert "\ud800" not in repr(widget.get_state(["answer", "names", "examples", "prepared"]))
    assert widget.picture().startswith(b"\x89PNG")


# ---- the picture -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", [False, True])
def test_the_picture_shows_a_panel_for_every_model_and_context(left):
    widget = FillInTheBlank({"short": small_model(0), "long": small_model(1)}, text=TEXT, hidden=[2, 4], left=left)
    figure = widget.figure()
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    contexts = [f"\n{context}" for context in CONTEXTS] if left else [""]
    assert titles[: len(titles) // 2] == [name + context for name in ("short", "long") for context in contexts]
    assert [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()] == ["‘number’", "‘items’"]
    assert figure.get_suptitle().startswith("Return the [MASK] of [MASK] in the list.\n")
    first = widget.predictions()[0]
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[:5] == [piece for piece, _ in first["top"][:5]]
    assert labels[5:] == ([] if first["rank"] <= 5 else [f"number (rank {first['rank']:,})"])


def test_the_true_piece_is_the_dark_bar():
    logits = torch.zeros(3000)
    logits[load_tokenizer("wordpiece").token_to_id("items")] = 5
    bars = FillInTheBlank(Constant(logits), text=TEXT, hidden=[4]).figure().axes[0].patches
    assert [bar.get_alpha() for bar in bars] == [1.0, *[0.4] * 4]


def test_the_picture_without_a_blank_says_so():
    widget = FillInTheBlank(small_model(), text=TEXT)
    assert "nothing to fill in" in widget.figure().get_suptitle()
    assert widget.picture().startswith(b"\x89PNG")
