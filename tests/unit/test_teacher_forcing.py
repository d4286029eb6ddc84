"""TeacherForcing's Python side: the lanes against a loop of their own, the sentences it takes and those it refuses."""

import re

import numpy as np
import pytest
import torch
import traitlets
from torch import nn

from course_utils.data.translation import source_tokens, split, translate, vocabularies
from course_utils.data.vocabulary import EOS, EOS_ID, SOS_ID, Vocabulary
from course_utils.decoding import greedy_search
from course_utils.models.recurrent import GRUCell, LSTMCell
from course_utils.models.seq2seq import EncoderDecoder
from course_utils.widgets import TeacherForcing, forced_and_free
from course_utils.widgets.base import unpack
from course_utils.widgets.teacher_forcing import EXAMPLE, RATIOS, errors, joined, tell_errors, trained_example

LIMIT = 12


class Chain(nn.Module):
    """A model that knows one thing: which token follows which. Its state counts the steps."""

    def __init__(self, size, followers):
        super().__init__()
        table = torch.zeros(size, size)
        for token, following in followers.items():
            table[token, following] = 6.0
        self.table = nn.Parameter(table)

    def encode(self, source, lengths):
        return torch.zeros(len(source))

    def step(self, tokens, state):
        return self.table[tokens], state + 1


def translator(seed, cell=GRUCell, size=9, num_layers=1):
    """An untrained model whose choices depend on everything it reads."""
    torch.manual_seed(seed)
    model = EncoderDecoder(7, size, 5, 6, cell, num_layers)
    nn.init.normal_(model.head.weight, std=3)
    return model.eval()


def one_lane(model, source_ids, reference_ids, ratio, coins, limit):
    """The same lane, one sentence and one token at a time: a list of dicts."""
    state = model.encode(torch.tensor([source_ids]), torch.tensor([len(source_ids)]))
    steps, token, forced = [], SOS_ID, 0
    while True:
        logits, state = model.step(torch.tensor([token]), state)
        probabilities = logits[0].softmax(-1).tolist()
        ranked = sorted(range(len(probabilities)), key=lambda number: -probabilities[number])
        here = len(steps)
        steps.append({
            "input": token, "forced": forced, "chosen": ranked[0], "top": ranked[:5],
            "probability": [probabilities[number] for number in ranked[:5]],
            "loss": -np.log(probabilities[reference_ids[here]]) if here < len(reference_ids) else np.nan,
        })
        if len(steps) == limit:
            return steps
        forced = int(coins[here + 1] < ratio)
        rest = reference_ids[here:] or [EOS_ID]
        token = rest[0] if forced else ranked[0]
        if token == EOS_ID:
            return steps


@pytest.mark.parametrize(("cell", "num_layers"), [(GRUCell, 1), (LSTMCell, 2)])
@pytest.mark.parametrize("seed", range(4))
def test_lanes_are_what_a_loop_over_single_tokens_computes(seed, cell, num_layers):
    model, random = translator(seed, cell, num_layers=num_layers), np.random.default_rng(seed)
    source, reference = [4, 5, 6], [*random.integers(3, 9, 4).tolist(), EOS_ID]
    ratios, coins = [0.0, 0.3, 0.6, 0.9, 1.0], random.random(LIMIT)
    lanes = forced_and_free(model, source, reference, ratios, coins, LIMIT)
    lengths = []
    for number, ratio in enumerate(ratios):
        with torch.no_grad():
            steps = one_lane(model, source, reference, ratio, coins, LIMIT)
        lengths.append(len(steps))
        assert lanes["length"][number] == len(steps)
        for name in steps[0]:
            wanted = np.array([step[name] for step in steps], dtype=float)
            np.testing.assert_allclose(lanes[name][number, : len(steps)], wanted, rtol=1e-4, atol=1e-6, err_msg=name)
        assert (lanes["input"][number, len(steps) :] == -1).all() and (lanes["top"][number, len(steps) :] == -1).all()
        assert np.isnan(lanes["loss"][number, len(steps) :]).all()
    assert lanes["input"].shape == (5, max(lengths)) and lanes["top"].shape == (5, max(lengths), 5)


def test_ratio_one_is_the_training_pass():
    model, reference = translator(0), [3, 8, 4, 8, EOS_ID]
    lanes = forced_and_free(model, [4, 5, 6], reference, [1.0], np.zeros(LIMIT), LIMIT)
    assert lanes["input"].tolist() == [[SOS_ID, 3, 8, 4, 8]]
    assert lanes["forced"].tolist() == [[0, 1, 1, 1, 1]]
    with torch.no_grad():
        logits = model(torch.tensor([[4, 5, 6]]), torch.tensor([3]), torch.tensor([[SOS_ID, *reference[:-1]]]))
    loss = nn.functional.cross_entropy(logits[0], torch.tensor(reference), reduction="none")
    np.testing.assert_allclose(lanes["loss"][0], loss, rtol=1e-4)


def test_ratio_zero_is_greedy_decoding_whatever_the_coins():
    for seed in range(4):
        model = translator(seed)
        lanes = forced_and_free(model, [4, 5, 6], [3, EOS_ID], [0.0], np.zeros(LIMIT), LIMIT)
        with torch.no_grad():
            state = model.encode(torch.tensor([[4, 5, 6]]), torch.tensor([3]))
        [greedy] = greedy_search(model.step, state, 1, SOS_ID, EOS_ID, LIMIT)
        assert [token for token in lanes["chosen"][0] if token not in (-1, EOS_ID)] == greedy
        assert lanes["forced"].sum() == 0


def test_one_wrong_word_is_mended_when_forced_and_followed_when_free():
    a, b, c, d, x, y = range(4, 10)
    model = Chain(10, {SOS_ID: a, a: b, b: x, c: d, d: EOS_ID, x: y, y: y})       # after b comes c, but it says x
    reference = [a, b, c, d, EOS_ID]
    lanes = forced_and_free(model, [4], reference, [0.0, 1.0], np.ones(8) / 2, 8)
    assert lanes["chosen"].tolist() == [[a, b, x, y, y, y, y, y], [a, b, x, d, EOS_ID, -1, -1, -1]]
    assert errors(lanes["chosen"][0], reference) == [2, 3, 4, 5, 6, 7]
    assert errors(lanes["chosen"][1], reference) == [2]
    assert np.nansum(lanes["loss"][0]) > np.nansum(lanes["loss"][1]) + 5


def test_a_coin_as_large_as_the_ratio_does_not_force():
    model = translator(1)
    lanes = forced_and_free(model, [4], [3, 4, 5, EOS_ID], [0.5], np.array([0.9, 0.5, 0.49, 0.5]), 4)
    assert lanes["forced"][0, : lanes["length"][0]].tolist() == [0, 0, 1, 0][: lanes["length"][0]]


def test_a_small_vocabulary_shows_all_its_tokens():
    model = translator(0, size=4)
    lanes = forced_and_free(model, [4], [3, EOS_ID], [0.0, 1.0], np.zeros(3), 3)
    assert lanes["top"].shape[-1] == 4
    np.testing.assert_allclose(lanes["probability"][1, 0].sum(), 1, rtol=1e-5)


def test_the_model_stays_in_training_and_the_readers_random_numbers_stay_theirs():
    model = translator(0).train()
    before = torch.get_rng_state()
    forced_and_free(model, [4], [3, EOS_ID], [0.5], np.zeros(3), 3)
    assert model.training and torch.equal(torch.get_rng_state(), before)


BAD_LANES = {
    "no source": ({"source_ids": []}, "the source is empty"),
    "no end": ({"reference_ids": [3, 4]}, "must end with <eos>"),
    "no reference": ({"reference_ids": []}, "must end with <eos>"),
    "ratio": ({"ratios": [0.5, 1.5]}, "ratio=1.5 is no probability"),
    "NaN": ({"ratios": [float("nan")]}, "ratio=nan"),
    "no ratios": ({"ratios": []}, "at least one number"),
    "coins": ({"coins": np.zeros(2)}, "there are 2"),
    "limit": ({"limit": 0}, "limit=0"),
}


@pytest.mark.parametrize(("changed", "message"), BAD_LANES.values(), ids=BAD_LANES)
def test_lanes_refuse_what_makes_no_sense(changed, message):
    good = {"source_ids": [4], "reference_ids": [3, EOS_ID], "ratios": [0.5], "coins": np.zeros(4), "limit": 4}
    with pytest.raises(ValueError, match=message):
        forced_and_free(translator(0), **good | changed)


def test_errors_are_told_in_words():
    assert tell_errors("free-running", [4, 9, 5, -1], [4, 5, 5]) == "free-running differs at 1 of 3 steps: step 2"
    assert tell_errors("ratio 0.5", [4, 9, 6, -1], [4, 5, 5]) == "ratio 0.5 differs at 2 of 3 steps, first at step 2"
    assert tell_errors("forced", [4, 5, -1], [4, 5, EOS_ID]) == "forced is right at every step"


def test_the_courses_own_translator_is_there_and_leaves_the_readers_random_numbers_alone():
    trained_example.cache_clear()
    before = torch.get_rng_state()
    widget = TeacherForcing(source="I love you")
    assert widget.answer["written"][0][-1] == widget.answer["right"] == "나는 너를 사랑해"
    assert torch.equal(torch.get_rng_state(), before)


def test_by_default_the_free_lane_of_the_trained_model_diverges_and_comes_back():
    widget = TeacherForcing()
    lanes = {name: unpack(packed) for name, packed in widget.answer["lanes"].items()}
    reference = widget.answer["reference"]
    free, forced = errors(lanes["chosen"][0], reference), errors(lanes["chosen"][-1], reference)
    assert widget.source == EXAMPLE and lanes["length"][0] == len(reference)
    assert free[0] == forced[0] > 0 and len(free) > len(forced) and free[-1] < len(reference) - 2


# ---- the widget ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def parts():
    """An untrained model of the grammar's vocabularies: model, source vocabulary, target vocabulary."""
    torch.manual_seed(0)
    source, target = vocabularies()
    return EncoderDecoder(len(source), len(target), 8, 16), source, target


def test_a_sentence_is_decoded_at_every_place_of_the_slider(parts):
    widget = TeacherForcing(*parts, "I love you", polite=True, seed=3)
    answer, (model, source, target) = widget.answer, parts
    assert (answer["source"], answer["polite"], answer["right"]) == ("I love you", True, translate("I love you", True))
    reference = target.encode([*split(translate("I love you", True)), EOS])
    assert answer["reference"] == reference
    coins, ids = unpack(answer["drawn"]), source.encode(source_tokens("I love you", True))
    lanes = forced_and_free(model, ids, reference, RATIOS, coins, len(coins))
    assert answer["lanes"].keys() == lanes.keys()
    for name, values in lanes.items():
        np.testing.assert_allclose(unpack(answer["lanes"][name]), values, rtol=1e-6, err_msg=name)
    words = [target.tokens[number] for number in lanes["chosen"][0] if number >= 0]
    assert answer["written"][0] == [joined(words[:count]) for count in range(1, len(words) + 1)]


def test_the_same_seed_throws_the_same_coins(parts):
    def thrown(widget):
        return unpack(widget.answer["drawn"]).tolist()

    first, same, other = (TeacherForcing(*parts, "I love you", seed=seed) for seed in (1, 1, 2))
    assert thrown(first) == thrown(same) != thrown(other)
    first.request = {"id": 1, "source": "I love you", "polite": False, "coins": 1}
    assert thrown(first) != thrown(same) and first.coins == 1
    first.request = {"id": 2, "source": "I love you", "polite": False, "coins": 0}
    assert thrown(first) == thrown(same)


BAD_SENTENCES = {
    "empty": ("  ", "Type an English sentence"),
    "no text": (7, "Type an English sentence"),
    "too long": (" ".join(["very"] * 41), "41 words are too many"),
    "unknown word": ("I love zeppelins", "zeppelins"),
    "wrong form": ("I loves you", "love"),
    "markup": ("<img src=x onerror=alert(1)>", "img"),
}


@pytest.mark.parametrize(("sentence", "message"), BAD_SENTENCES.values(), ids=BAD_SENTENCES)
def test_a_bad_sentence_is_refused_in_one_line_and_the_last_one_stays(parts, sentence, message):
    with pytest.raises(ValueError, match=message):
        TeacherForcing(*parts, sentence)
    widget = TeacherForcing(*parts)
    answer, picture = widget.answer, widget.picture()
    widget.request = {"id": 1, "source": sentence, "polite": True, "coins": 2}
    assert widget.problem["id"] == 1 and message in widget.problem["message"] and "\n" not in widget.problem["message"]
    assert (widget.answer, widget.source, widget.polite, widget.coins) == (answer, EXAMPLE, False, 0)
    assert widget.picture() == picture


@pytest.mark.parametrize(("ratio", "message"), [(1.5, "ratio=1.5 is no probability"), (-0.1, "ratio=-0.1"),
                                                (float("nan"), "ratio=nan"), (0.25, "ratio=0.25 is no place")])
def test_a_ratio_that_the_slider_does_not_have_is_refused(parts, ratio, message):
    with pytest.raises(ValueError, match=message):
        TeacherForcing(*parts, ratio=ratio)
    widget = TeacherForcing(*parts, ratio=0.3)
    with pytest.raises(traitlets.TraitError, match=message):
        widget.ratio = ratio
    assert widget.ratio == 0.3


def test_a_reference_of_ones_own_belongs_to_its_sentence(parts):
    own = [*split(translate("I love you")), *split(translate("I love you"))]
    widget = TeacherForcing(*parts, "I love you", reference=own)
    assert widget.answer["reference"] == parts[2].encode([*own, EOS])
    widget.request = {"id": 1, "source": "I love you", "polite": False, "coins": 1}
    assert len(widget.answer["reference"]) == len(own) + 1
    widget.request = {"id": 2, "source": "I love you", "polite": True, "coins": 1}
    assert widget.answer["right"] == translate("I love you", True)
    written = translate("I love you", True)
    assert TeacherForcing(*parts, "I love you", reference=written).answer["right"] == written


def test_words_that_the_model_does_not_know_are_named(parts):
    model, source, target = parts
    with pytest.raises(ValueError, match="target vocabulary does not hold '로켓'"):
        TeacherForcing(*parts, reference=["로켓", "+를"])
    smaller = Vocabulary([token for token in source.tokens if token != "love"], source.unknown)
    with pytest.raises(ValueError, match="source vocabulary does not hold 'love'"):
        TeacherForcing(model, smaller, target, "I love you")


def test_a_model_needs_its_vocabularies(parts):
    with pytest.raises(ValueError, match="both vocabularies"):
        TeacherForcing(parts[0], parts[1])


def test_a_model_that_computes_nan_is_refused(parts):
    _, source, target = parts
    broken = EncoderDecoder(len(source), len(target), 8, 16)
    broken.head.bias.data[5] = float("nan")
    with pytest.raises(ValueError, match=r"^With this sentence the model computes numbers that are NaN"):
        TeacherForcing(broken, source, target)


def test_what_the_grammar_cannot_join_is_written_word_by_word():
    assert joined(["나", "+는", EOS]) == "나는"
    assert "+는" in joined(["+는", "+는"])


def test_the_picture_follows_the_ratio_and_names_the_first_error(parts):
    widget = TeacherForcing(*parts, ratio=0.2)
    first = widget.picture()
    assert re.fullmatch(r"Forced differs at .*\nRatio 0.2 differs at .*", widget.figure().get_suptitle())
    widget.ratio = 1
    assert widget.picture() != first and len(first) < 150_000
    texts = [text.get_text() for text in widget.figure().axes[0].get_yticklabels()]
    assert texts == ["right word", "forced says", "ratio 1 says"]


@pytest.mark.parametrize("sentence", ["I love you", EXAMPLE, "my friend does not eat cold bread in the park every day"])
def test_the_title_of_the_picture_is_not_cut(parts, sentence):
    figure = TeacherForcing(*parts, sentence).figure()
    figure.canvas.draw()
    [title] = figure.texts
    box, (width, height) = title.get_window_extent(), figure.canvas.get_width_height()
    assert box.x0 >= 0 and box.x1 <= width and box.y1 <= height


@pytest.mark.parametrize(("words", "longer"), [(16, False), (17, True)])
def test_a_sentence_longer_than_any_in_training_is_called_so(parts, words, longer):
    widget = TeacherForcing(*parts, {
        16: "the student loves the long song but she does not go to the station by bus",
        17: "the student loves the long song but she does not go to the small station by bus",
    }[words])
    assert len(widget.source.split()) == words and widget.answer["longer"] is longer


def test_the_sentence_is_that_of_the_picture_and_cannot_be_set_apart_from_it():
    widget = TeacherForcing(source="I love you")
    with pytest.raises(AttributeError):
        widget.source = "I see a dog"
    widget.request = {"id": 1, "source": "I see a dog", "polite": True, "coins": 2}
    assert (widget.source, widget.polite, widget.coins) == ("I see a dog", True, 2)
    widget.request = {"id": 2, "source": "", "polite": False, "coins": 0}
    assert (widget.source, widget.polite) == ("I see a dog", True) and "I see a dog" in widget.summary()
