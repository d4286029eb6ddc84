"""AttentionView's Python side: what it takes and refuses, what travels and how much, its PNG and its summary."""

import json
import re

import numpy as np
import pytest
import torch
import traitlets
from ipywidgets.widgets.widget import _remove_buffers

from course_utils.models.attention import MultiHeadAttention, attention_maps
from course_utils.widgets.attention_view import EXAMPLE, MASKED, AttentionView, example_weights, pooled
from course_utils.widgets.base import unpack

WORDS = ["The", "cat", "sat"]


def softmax(shape, seed=0, mask=None):
    scores = np.random.default_rng(seed).normal(size=shape) * 2
    if mask is not None:
        scores = np.where(mask, scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def sent(widget):
    """Bytes that travel when the widget opens, its program left out: (numbers as JSON, binary)."""
    state, _, buffers = _remove_buffers(widget.get_state())
    state = {name: value for name, value in state.items() if name not in ("_esm", "_css")}
    return len(json.dumps(state)), sum(map(len, buffers))


def decoded(widget, layer, head):
    """One head's weights as the browser reads them from the colours of all heads."""
    codes = unpack(widget.stack["colours"])[layer, head]
    return np.where(codes == MASKED, np.nan, codes * (unpack(widget.maps["largest"])[layer, head] / 254))


# ---- what it takes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 5), (4, 2, 3, 5)])
@pytest.mark.parametrize("kind", [np.asarray, torch.tensor, lambda array: torch.tensor(array).double()])
def test_weights_of_every_form_become_layers_and_heads(shape, kind):
    weights = softmax(shape).astype(np.float32)
    widget = AttentionView(kind(weights), WORDS, list("abcde"))
    full = weights.reshape((1,) * (4 - len(shape)) + shape)
    assert repr(widget) == f"AttentionView(layers={full.shape[0]}, heads={full.shape[1]}, queries=3, keys=5)"
    for layer, head in np.ndindex(full.shape[:2]):
        widget.layer, widget.head = layer, head
        np.testing.assert_allclose(unpack(widget.shown["weights"]), full[layer, head], atol=1e-6)


def test_what_attention_maps_returns_is_shown_with_the_layers_names():
    torch.manual_seed(0)
    layers = torch.nn.ModuleList([MultiHeadAttention(8, 2) for _ in range(3)])

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = layers

        def forward(self, x):
            for layer in self.layers:
                x = layer(x, x, x, need_weights=False)[0]
            return x

    maps = attention_maps(Model(), torch.randn(4, 3, 8))
    widget = AttentionView(maps, WORDS, layer=2, head=1)
    assert widget.maps["names"] == [name for name, _ in maps] == ["layers.0", "layers.1", "layers.2"]
    np.testing.assert_allclose(unpack(widget.shown["weights"]), maps[2][1][0, 1], atol=1e-6)


def test_tokens_default_to_self_attention_and_to_numbers():
    assert AttentionView(softmax((3, 3)), WORDS).maps["keys"] == WORDS
    both = AttentionView(softmax((2, 4))).maps
    assert (both["queries"], both["keys"]) == (["0", "1"], ["0", "1", "2", "3"])


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
@pytest.mark.parametrize("shape", [(3, 3), (1, 1, 1, 3), (2, 1, 3, 3)])
def test_masks_broadcast_and_masked_cells_are_told_from_zero(shape, kind):
    mask = np.random.default_rng(1).random(shape) < 0.6
    mask[..., 0] = True
    weights = softmax((2, 2, 3, 3), mask=mask)
    widget = AttentionView(weights, WORDS, mask=kind(mask), layer=1)
    full = np.broadcast_to(mask, weights.shape)
    np.testing.assert_array_equal(np.isnan(unpack(widget.shown["weights"])), ~full[1, 0])
    np.testing.assert_array_equal(unpack(widget.maps["thumbnails"]) == MASKED, ~full)


def test_the_example_is_attention_with_a_causal_layer():
    weights, mask = example_weights()
    np.testing.assert_allclose(weights.sum(-1), 1)
    assert weights.shape == (2, 4, len(EXAMPLE), len(EXAMPLE))
    assert (weights[1][:, np.triu_indices(len(EXAMPLE), 1)[0], np.triu_indices(len(EXAMPLE), 1)[1]] == 0).all()
    assert mask[0].all() and not mask[1].all()
    widget = AttentionView()
    assert repr(widget) == "AttentionView(layers=2, heads=4, queries=8, keys=8)"
    assert widget.maps["queries"][weights[0, 1, 2].argmax()] == "sat"      # cat looks at sat


def test_only_rows_that_sum_to_one_are_said_to():
    weights = np.stack([softmax((3, 3)), softmax((3, 3)), 0.5 * softmax((3, 3)), np.zeros((3, 3))])
    weights[1, 2] = 0
    assert AttentionView(weights).maps["sums"] == [[2, 1, 0, 0]]


def test_text_that_cannot_travel_is_made_to():
    hostile = ["</script>", "\x00\u202e", "__proto__", "x" * 10_000, "\ud800"]
    widget = AttentionView(softmax((5, 5)), hostile)
    json.dumps(widget.maps["queries"], ensure_ascii=False).encode("utf-8")
    assert widget.maps["queries"][:4] == hostile[:4]
    assert widget.picture().startswith(b"\x89PNG")


# ---- what it refuses -------------------------------------------------------------------------------------------------


def with_nan():
    weights = softmax((3, 3))
    weights[1, 1] = np.nan
    return weights


@pytest.mark.parametrize(("arguments", "message"), [
    ({"weights": with_nan()}, "hold NaN or infinite numbers"),
    ({"weights": np.eye(3) - 0.9}, "hold negative numbers, such as -0.9: scores become weights by a softmax"),
    ({"weights": np.ones(3)}, "not (3,)"),
    ({"weights": np.ones((1, 1, 1, 3, 3))}, "not (1, 1, 1, 3, 3)"),
    ({"weights": np.ones((0, 3))}, "not (0, 3)"),
    ({"weights": "cat"}, "weights must be numbers"),
    ({"weights": [[1, 2], [3]]}, "weights must be numbers"),
    ({"weights": np.ones((3, 3)), "queries": ["a"]}, "1 queries for 3 rows of weights"),
    ({"weights": np.ones((3, 2)), "queries": WORDS}, "3 keys for 2 columns of weights"),
    ({"weights": np.ones((3, 3)), "queries": "cat"}, "queries must be a list of tokens, not str"),
    ({"weights": np.ones((3, 2)), "keys": ["a", "b"]}, "keys without queries"),
    ({"weights": np.ones((3, 3)), "mask": np.ones((3, 3))}, "the mask must be boolean, True = may attend, not float64"),
    ({"weights": np.ones((3, 3)), "mask": np.ones((2, 3), bool)}, "a mask of shape (2, 3) does not fit"),
    ({"weights": np.full((3, 3), 1 / 3), "mask": np.tri(3, dtype=bool)}, "the mask forbids row 0, column 1, but a "
                                                                          "weight there is 0.333"),
    ({"weights": [("a", np.ones((1, 2, 3, 3))), ("b", np.ones((1, 2, 4, 4)))]}, "the layers differ in (H, T_q, T_k): "
                                                                                 "(2, 3, 3), (2, 4, 4); show them"),
    ({"weights": [("a", np.ones((2, 3, 3)))]}, "the weights of 'a' must have the shape (B, H, T_q, T_k), not (2, 3"),
    ({"weights": np.ones((3, 3)), "names": ["a", "b"]}, "names must be a list of 1"),
    ({"weights": np.ones((3, 3)), "layer": 1}, "layer=1 must be a whole number from 0 to 0"),
    ({"weights": np.ones((2, 3, 3)), "head": -1}, "head=-1 must be a whole number from 0 to 1"),
    ({"weights": np.ones((2, 3, 3)), "head": 1.0}, "head=1.0 must be a whole number"),
    ({"weights": np.ones((3, 3)), "query": 3}, "query=3 must be a whole number from 0 to 2"),
    ({"form": "circle"}, "form='circle' must be 'matrix' or 'lines'"),
    ({"direction": "both"}, "direction='both' must be 'query' or 'key'"),
    ({"queries": WORDS}, "need weights"),
    ({"explain": "cat"}, "explain must be a function"),
    ({"explain": lambda text: None, "text": "cat"}, "explain must return (weights, queries, keys)"),
    ({"explain": lambda text: None}, "Type a sentence"),
    ({"weights": np.broadcast_to(np.float32(0.1), (3000, 3000))}, "9,000,000 weights are too many to draw"),
    ({"weights": np.broadcast_to(np.float32(0.1), (2, 4097))}, "4,097 tokens on one side are too many to draw"),
])
def test_what_does_not_fit_is_refused_in_one_line(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        AttentionView(**arguments)
    assert "\n" not in str(caught.value)


def test_what_the_caller_does_to_weights_and_mask_later_changes_no_picture():
    for weights, mask in ((torch.full((1, 2, 3, 3), 1 / 3), torch.ones(3, 3, dtype=torch.bool)),
                          (np.full((3, 3), 1 / 3, np.float32), np.ones((3, 3), bool))):
        widget = AttentionView(weights, mask=mask)
        before = widget.get_state(["maps", "shown"])
        weights[:], mask[:] = 0, False
        widget.head = widget.maps["largest"]["shape"][1] - 1
        assert widget._weights.min() > 0.3 and widget._mask.all()
        assert widget.get_state("maps")["maps"] == before["maps"]
        np.testing.assert_allclose(unpack(widget.shown["weights"]), 1 / 3)


def test_tensors_that_numpy_does_not_know_are_taken():
    mask = torch.eye(3, dtype=torch.bool).to_sparse()
    for weights in (torch.eye(3).bfloat16(), torch.eye(3).to_sparse()):
        np.testing.assert_array_equal(AttentionView(weights, mask=mask)._weights[0, 0], np.eye(3))


def test_a_boolean_is_no_number_of_a_head():
    widget = AttentionView(head=1)
    widget.set_state({"head": True})
    assert type(widget.head) is int and "head=True" in widget.problem["message"]


@pytest.mark.parametrize("error", [KeyError("dog"), SystemExit("dog")])
def test_a_function_that_fails_says_so_in_one_line(error):
    def explain(text):
        if "dog" in text:
            raise error
        return attend(text)

    line = f"explain failed: {type(error).__name__}: {error}"
    with pytest.raises(ValueError, match=f"^{re.escape(line)}$"):
        AttentionView(explain=explain, text="a dog")
    widget = AttentionView(explain=explain, text="a cat")
    widget.request = {"id": 1, "text": "a dog"}
    assert widget.problem == {"id": 1, "message": line} and widget.text == "a cat"


def test_a_sentence_with_half_of_a_surrogate_pair_is_answered():
    widget = AttentionView(explain=attend, text="a \ud800")
    assert (widget.text, widget.maps["queries"]) == ("a ?", ["a", "?"])
    widget.request = {"id": 1, "text": "\ud800 b"}
    assert widget.problem == {} and (widget.text, widget.answer["text"]) == ("? b", "? b")


def test_a_setting_that_does_not_fit_is_refused_later_too():
    widget = AttentionView()
    for name, value in {"layer": 2, "head": 4, "query": 8, "key": -1, "form": "x", "direction": "x"}.items():
        before = getattr(widget, name)
        with pytest.raises(traitlets.TraitError):
            setattr(widget, name, value)
        assert getattr(widget, name) == before


# ---- what travels ----------------------------------------------------------------------------------------------------


def test_twelve_layers_of_twelve_heads_over_128_tokens_stay_within_their_bytes():
    weights = softmax((12, 12, 128, 128))
    widget = AttentionView(weights, [f"token{number}" for number in range(128)], layer=3, head=7)
    assert sum(sent(widget)) <= 250_000
    assert max(widget.maps["thumbnails"]["shape"][2:]) <= 32
    widget.wanted = widget.maps["id"]
    assert sum(sent(widget)) <= 2_750_000 and len(widget.stack["colours"]["data"]) <= 2_500_000
    for layer, head in ((0, 0), (11, 5)):
        largest = weights[layer, head].max()
        np.testing.assert_allclose(decoded(widget, layer, head), weights[layer, head], atol=largest / 254 / 2 + 1e-6)


def test_short_sentences_need_no_more_than_their_thumbnails():
    widget = AttentionView(softmax((12, 12, 32, 32)))
    assert widget.maps["exact"] and widget.maps["thumbnails"]["shape"] == [12, 12, 32, 32]
    assert sum(sent(widget)) <= 250_000


def test_the_stack_is_sent_only_for_the_present_sentence():
    widget = AttentionView(softmax((2, 2, 40, 40)))
    assert widget.stack == {}
    widget.wanted = 7
    assert widget.stack == {}
    widget.wanted = widget.maps["id"]
    assert widget.stack["id"] == widget.maps["id"]


def test_thumbnails_keep_the_largest_weight_of_each_block_and_hatch_only_what_is_all_masked():
    codes = np.arange(50, dtype=np.uint8).reshape(1, 1, 5, 10)
    codes[0, 0, :2, :4] = MASKED
    codes[0, 0, 0, 4] = MASKED
    small = pooled(codes, 3)[0, 0]
    np.testing.assert_array_equal(small, [[MASKED, 17, 19], [33, 37, 39], [43, 47, 49]])


# ---- a reader's own sentence -----------------------------------------------------------------------------------------


def attend(text):
    words = text.split()
    if "dragon" in words:
        raise ValueError("unknown word: 'dragon'\nsecond line")
    if "broken" in words:
        return np.full((1, 2, 2, 2), np.nan), words, None
    return softmax((2, 3, len(words), len(words)), mask=np.tri(len(words), dtype=bool)), words, None, np.tri(
        len(words), dtype=bool)


def test_the_function_is_asked_once_at_the_start_and_for_every_sentence():
    asked = []
    widget = AttentionView(explain=lambda text: asked.append(text) or attend(text), text="the cat sat", head=2, query=2)
    assert asked == ["the cat sat"] and widget.maps["queries"] == ["the", "cat", "sat"]
    widget.request = {"id": 1, "text": "I love you so"}
    assert asked[1:] == ["I love you so"] and widget.answer == {"text": "I love you so", "id": 1}
    assert (widget.maps["queries"], widget.query, widget.text) == (["I", "love", "you", "so"], None, "I love you so")
    assert widget.shown["id"] == widget.maps["id"] == 2
    np.testing.assert_array_equal(np.isnan(unpack(widget.shown["weights"])), ~np.tri(4, dtype=bool))


def test_fewer_layers_and_heads_of_the_next_sentence_are_no_error():
    widget = AttentionView(explain=lambda text: (softmax((len(text), len(text), 2, 2)), ["a", "b"], None), text="abcd",
                           layer=3, head=3)
    widget.request = {"id": 1, "text": "ab"}
    assert widget.problem == {} and (widget.layer, widget.head, widget.shown["layer"]) == (1, 1, 1)


@pytest.mark.parametrize(("text", "message"), [
    ("", "Type a sentence: without one there is nothing to show."),
    ("a dragon", "unknown word: 'dragon'"),
    ("broken two", "the weights hold NaN or infinite numbers, so there is nothing to draw"),
    ("x" * 3000, "3000 characters are too many: 2000 is the most."),
])
def test_a_bad_sentence_gives_one_line_and_leaves_the_picture(text, message):
    widget = AttentionView(explain=attend, examples=["the cat sat"])
    before = widget.get_state(["maps", "shown", "text"])
    widget.request = {"id": 1, "text": text}
    assert widget.problem == {"id": 1, "message": message}
    assert widget.get_state(["maps", "shown", "text"]) == before
    assert repr(widget) == "AttentionView(layers=2, heads=3, queries=3, keys=3)"


# ---- the PNG ---------------------------------------------------------------------------------------------------------


def test_the_picture_follows_what_is_chosen():
    widget, seen = AttentionView(), set()
    for name, value in {"head": 2, "layer": 1, "query": 5, "form": "lines", "hide": True}.items():
        setattr(widget, name, value)
        seen.add(widget.picture())
    assert len(seen) == 5


def test_the_title_says_where_a_word_looks():
    mask = np.tri(3, dtype=bool)
    mask[1] = False
    weights = np.array([[1, 0, 0], [0, 0, 0], [0.1, 0.6, 0.3]])
    title = {query: AttentionView(weights, WORDS, mask=mask, query=query).figure().get_suptitle()
             for query in (None, 1, 2)}
    assert title == {None: "‘The’ looks most at ‘The’ (1.00)", 1: "‘cat’ may look at nothing",
                     2: "‘sat’ looks most at ‘cat’ (0.60)"}


@pytest.mark.parametrize("form", ["matrix", "lines"])
def test_large_and_odd_pictures_stay_small_files(form):
    tokens = [f"t{number}" for number in range(128)]
    for widget in (AttentionView(softmax((12, 12, 128, 128)), tokens, form=form),
                   AttentionView(np.zeros((1, 4)), ["a"], list("bcde"), mask=np.zeros((1, 4), bool), form=form),
                   AttentionView(softmax((1, 1)), ["$"], special=["$"], form=form, numbers=True)):
        assert len(widget.picture()) < 150_000
