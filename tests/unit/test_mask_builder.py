"""MaskBuilder's Python side: masks and weights against the models, code that evaluates to the mask, what is refused."""

import itertools

import numpy as np
import pytest
import torch
import traitlets
from torch import nn
from torch.nn import functional as F

from course_utils.models import attention, compact
from course_utils.models.attention import MultiHeadAttention, copy_torch_attention, masked_softmax
from course_utils.widgets import MaskBuilder
from course_utils.widgets.base import pack, unpack
from course_utils.widgets.mask_builder import (
    DRAWS,
    PRESETS,
    bigbird_cells,
    draw_keys,
    mask_code,
    preset_mask,
    weights_before_and_after,
)

DRAWING = np.array([[1, 0, 1, 0, 0], [0, 1, 1, 1, 1], [1, 1, 1, 1, 0], [0, 1, 0, 1, 0], [1, 0, 0, 0, 1]], dtype=bool)
NAMES = [*PRESETS, "own"]
SCOPE = {"torch": torch, **vars(attention), "bigbird_mask": compact.bigbird_mask}


def evaluate(code, **names):
    """What the code computes with the course's own functions."""
    return eval(code, SCOPE | names)


def arguments(code, **names):
    """The variables that lines of code assign."""
    scope = SCOPE | names
    exec(code, scope)
    return {name: scope[name] for name in ("attn_mask", "key_padding_mask") if name in scope}


def choices(cross):
    names = [name for name in NAMES if name != ("bigbird" if cross else "cross")]
    return [(name,) for name in names], list(itertools.product(names, names))


# ---- masks -----------------------------------------------------------------------------------------------------------


def test_ready_masks_are_those_of_the_models():
    settings = {"real": 3, "window": 1}
    np.testing.assert_array_equal(preset_mask("causal", 5, 5, settings), attention.causal_mask(5))
    np.testing.assert_array_equal(preset_mask("padding", 4, 5, settings),
                                  attention.padding_mask([3], 5)[0, 0].expand(4, 5))
    np.testing.assert_array_equal(preset_mask("cross", 4, 5, settings), preset_mask("padding", 4, 5, settings))
    np.testing.assert_array_equal(preset_mask("window", 3, 4, settings), [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1]])
    assert preset_mask("all", 2, 3, settings).all()


def test_and_allows_what_both_allow_and_or_what_one_allows():
    causal, padding = preset_mask("causal", 6, 6, {}), preset_mask("padding", 6, 6, {"real": 4})
    both = MaskBuilder(preset=("causal", "padding"), lengths=4)
    np.testing.assert_array_equal(both.mask, causal & padding)
    both.combine = "or"
    np.testing.assert_array_equal(both.mask, causal | padding)


@pytest.mark.parametrize("T_k", [5, 7])
def test_weights_are_the_models(T_k):
    rng = np.random.default_rng(0)
    scores, mask = rng.normal(size=(5, T_k)) * 40, rng.random((5, T_k)) < 0.5
    mask[2] = False
    before, after = weights_before_and_after(scores, mask)
    np.testing.assert_allclose(before, torch.tensor(scores).softmax(-1), atol=1e-12)
    np.testing.assert_allclose(after, masked_softmax(torch.tensor(scores), torch.tensor(mask)), atol=1e-12)
    assert (after[~mask] == 0).all() and (after[2] == 0).all()


def test_what_is_said_of_empty_rows_is_what_pytorch_does():
    x, empty = torch.randn(1, 3, 4), torch.zeros(3, 3, dtype=torch.bool)
    output, _ = nn.MultiheadAttention(4, 1, batch_first=True)(x, x, x, attn_mask=~empty)
    assert output.isnan().all()
    assert (F.scaled_dot_product_attention(x, x, x, empty) == 0).all()


# ---- code ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("combine", ["and", "or"])
@pytest.mark.parametrize("lengths", [[3], [4, 0, 5]])
@pytest.mark.parametrize("keys", [None, 7, 4])
def test_the_code_evaluates_to_the_mask_of_every_sequence(keys, lengths, combine):
    singles, pairs = choices(keys is not None)
    drawing = DRAWING[:, :4] if keys == 4 else np.hstack([DRAWING, DRAWING[:, : (keys or 5) - 5]])
    if keys == 4:
        lengths = [min(length, 4) for length in lengths]
    for preset in [*singles, *pairs]:
        widget = MaskBuilder(5, keys, lengths=lengths, preset=preset, combine=combine, window=1)
        widget.drawing = drawing
        found = evaluate(widget.code)
        assert str(tuple(found.shape)) == widget.shape
        for sequence in range(len(lengths)):
            widget.sequence = sequence
            in_batch = found.expand(len(lengths), 1, 5, keys or 5) if found.dim() == 2 else found
            shown = in_batch[sequence, 0].expand(5, keys or 5)
            np.testing.assert_array_equal(shown, widget.mask, err_msg=f"{preset} {combine} {widget.code}")


@pytest.mark.parametrize("combine", ["and", "or"])
@pytest.mark.parametrize("lengths", [[3], [4, 2]])
def test_the_other_form_is_what_torchs_attention_takes(lengths, combine):
    """The same output from the course's attention with one form and from `nn.MultiheadAttention` with the other."""
    torch.manual_seed(0)
    batch, n_heads = len(lengths), 2
    theirs = nn.MultiheadAttention(8, n_heads, batch_first=True).eval()
    ours = MultiHeadAttention(8, n_heads)
    copy_torch_attention(ours, theirs)
    query, key = torch.randn(batch, 5, 8), torch.randn(batch, 5, 8)
    names = [name for cross in (True, False) for part in choices(cross) for name in part]
    for layers in dict.fromkeys(names):
        settings = {"window": 3, "n_global": 1, "lengths": lengths, "random_keys": [[], [3], [0, 4], [1], []]}
        (course, _), (code, shape) = (mask_code(layers, combine, DRAWING, settings, form)
                                      for form in ("course", "torch"))
        given = arguments(code, n_heads=n_heads)
        assert all(mask.dtype == torch.bool for mask in given.values())
        shapes = " and ".join(str(tuple(mask.shape)) for mask in given.values())
        assert shapes == shape.replace(f"{batch} · n_heads", str(batch * n_heads)), code
        wanted, _ = ours(query, key, key, evaluate(course))
        found, _ = theirs(query, key, key, **given)
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5, msg=f"{layers} {combine}: {code}")


@pytest.mark.parametrize(("preset", "combine", "code"), [
    ("causal", "and", "causal_mask(6)"),
    ("all", "and", "torch.ones(6, 6, dtype=torch.bool)"),
    ("padding", "and", "padding_mask([4], 6)"),
    (("causal", "padding"), "and", "combine_masks(causal_mask(6), padding_mask([4], 6))"),
    (("causal", "padding"), "or", "causal_mask(6) | padding_mask([4], 6)"),
    (("causal", "causal"), "and", "causal_mask(6)"),
    (("all", "causal"), "and", "causal_mask(6)"),
    (("all", "causal"), "or", "torch.ones(6, 6, dtype=torch.bool)"),
    ("window", "and", "torch.ones(6, 6, dtype=torch.bool).triu(-1).tril(1)"),
])
def test_ready_masks_get_the_shortest_code(preset, combine, code):
    assert MaskBuilder(preset=preset, combine=combine).code == code


def test_a_drawing_is_written_out_unless_it_is_a_ready_mask():
    assert MaskBuilder(mask=np.tril(np.ones((4, 4), dtype=bool))).code == "causal_mask(4)"
    assert MaskBuilder(mask=[[True, False], [False, True], [True, True]], queries=3, keys=2).code == (
        "torch.tensor([\n    [True, False],\n    [False, True],\n    [True, True],\n])")


# ---- BigBird: window, global tokens, random keys ---------------------------------------------------------------------


@pytest.mark.parametrize("T", [1, 5, 12, 24])
def test_bigbirds_mask_and_the_number_of_its_cells_are_those_of_its_code(T):
    for window, n_global, n_random in itertools.product((0, 1, 3), (0, 2, 13), (0, 1, 5)):
        widget = MaskBuilder(T, preset="bigbird", window=window, n_global=n_global, n_random=n_random, draw=3)
        np.testing.assert_array_equal(evaluate(widget.code), widget.mask)
        assert bigbird_cells(T, window, n_global, n_random) == widget.mask.sum(), widget.code


def test_the_cells_of_a_long_text_are_counted_as_the_model_has_them():
    mask = compact.bigbird_mask(500, 4, 3)
    keys = compact.draw_random_keys(mask, 2, torch.Generator().manual_seed(0))
    assert bigbird_cells(500, 4, 3, 2) == compact.bigbird_mask(500, 4, 3, keys).sum()


def test_each_query_gets_as_many_new_keys_as_it_can_and_a_draw_is_always_the_same():
    settings = {"window": 1, "n_global": 2, "n_random": 3, "draw": 7}
    keys = draw_keys(12, settings)
    fixed = compact.bigbird_mask(12, 1, 2)
    assert [len(row) for row in keys] == [0, 0, *[3] * 10]
    assert all(len(set(row)) == len(row) and not fixed[query, row].any() for query, row in enumerate(keys))
    assert keys == draw_keys(12, settings) != draw_keys(12, settings | {"draw": 8})
    assert [len(row) for row in draw_keys(6, settings)] == [0, 0, 2, 1, 1, 2]


def test_one_random_key_more_and_another_reach_keep_the_others():
    settings = {"window": 1, "n_global": 1, "n_random": 2, "draw": 0}
    few, more, wide = (draw_keys(20, settings | change) for change in ({}, {"n_random": 3}, {"window": 2}))
    for query, (row, larger, moved) in enumerate(zip(few, more, wide, strict=True)):
        assert set(row) <= set(larger)
        assert {key for key in row if abs(key - query) > 2} <= set(moved)


def test_every_key_is_drawn_about_equally_often():
    counts = np.zeros(16)
    for draw in range(DRAWS):
        counts[draw_keys(16, {"window": 0, "n_global": 0, "n_random": 1, "draw": draw})[5]] += 1
    others = np.delete(counts, 5)                                             # 67 on average
    assert counts[5] == 0 and others.min() > 40 and others.max() < 95


def test_bigbird_has_the_shortest_code_and_a_picture_for_each_draw():
    assert MaskBuilder(12, preset="bigbird", n_global=2, n_random=0).code == "bigbird_mask(12, window=1, n_global=2)"
    widget = MaskBuilder(4, preset="bigbird", n_global=0)
    assert widget.code == f"bigbird_mask(4, window=1, n_global=0, random_keys={widget.random_keys})"
    assert repr(widget) == "MaskBuilder(BigBird, queries=4, keys=4, allowed=14)"
    widget = MaskBuilder(12, preset=("bigbird", "causal"))
    pictures = {widget.picture()}
    for name, value in (("draw", 1), ("n_random", 3), ("n_global", 4), ("second", "none")):
        setattr(widget, name, value)
        pictures.add(widget.picture())
    assert len(pictures) == 5
    assert "with T = 4,096 it would be 99.7 %" in widget.figure().get_suptitle()


def test_bigbird_is_offered_only_where_it_is_asked_for_and_where_tokens_look_at_each_other():
    assert MaskBuilder(12, preset="bigbird").offers == ["all", "causal", "padding", "window", "bigbird", "own"]
    widget = MaskBuilder(3, 3)
    with pytest.raises(traitlets.TraitError, match="bigbird"):
        widget.offers = [*widget.offers, "bigbird"]


# ---- the widget ------------------------------------------------------------------------------------------------------


def test_it_follows_what_the_browser_sets():
    widget = MaskBuilder(4, lengths=[3, 1], preset="padding")
    widget.set_state({"sequence": 1})
    np.testing.assert_array_equal(widget.mask, np.arange(4)[None].repeat(4, 0) < 1)
    widget.set_state({"drawing": pack(np.eye(4), "uint8"), "first": "own", "second": "none"})
    assert widget.mask.dtype == bool
    np.testing.assert_array_equal(widget.mask, np.eye(4))
    assert repr(widget) == "MaskBuilder(own drawing, queries=4, keys=4, allowed=4)"


def test_it_starts_from_a_given_mask_and_takes_it_as_models_do():
    mask = attention.causal_mask(3) & (torch.arange(3) != 1)
    for given in (mask, mask[None, None], mask.numpy(), mask.tolist()):
        widget = MaskBuilder(mask=given)
        assert (widget.first, widget.second, len(widget.query_tokens)) == ("own", "none", 3)
        np.testing.assert_array_equal(widget.mask, mask)
    both = MaskBuilder(mask=mask, preset=("own", "padding"), lengths=2)
    np.testing.assert_array_equal(both.mask, mask.numpy() & (np.arange(3) < 2))


def test_given_scores_are_the_ones_in_the_widget():
    scores = torch.randn(2, 3, dtype=torch.float64)
    widget = MaskBuilder(["a", "b"], ["c", "d", "e"], scores=scores)
    np.testing.assert_array_equal(unpack(widget.get_state()["scores"]), scores)


def test_the_offer_fits_the_two_sequences():
    assert MaskBuilder().offers == ["all", "causal", "padding", "window", "own"]
    assert MaskBuilder(3, 4).offers == ["all", "causal", "window", "cross", "own"]
    assert MaskBuilder(3, presets=["padding"], preset="all").offers == ["all", "padding", "own"]


def test_the_picture_changes_with_the_mask_and_tells_of_empty_rows():
    widget = MaskBuilder(preset=("causal", "padding"), lengths=3)
    first = widget.picture()
    widget.lengths = [0]
    assert widget.picture() != first
    assert widget.figure().get_suptitle() == (
        "causal ∧ padding: 36 of 36 pairs of query and key are masked; 6 queries have nothing to attend to")
    before = widget.picture()
    widget.set_state({"drawing": pack(np.eye(6), "uint8"), "first": "own", "second": "none"})
    assert widget.picture() != before


@pytest.mark.parametrize(("settings", "message"), [
    ({"queries": 25}, "1 to 24 tokens"), ({"queries": 0}, "1 to 24"), ({"queries": []}, "1 to 24"),
    ({"queries": "The cat"}, "neither a list"), ({"queries": 2.5}, "neither a list"), ({"queries": [1, 2]}, "a text"),
    ({"keys": 25}, "keys: the picture holds 1 to 24"), ({"preset": "longformer"}, "'longformer' is none of"),
    ({"preset": ("causal", "all", "own")}, "pair of names"), ({"preset": "cross"}, "needs keys of its own"),
    ({"keys": 6, "preset": "bigbird"}, "leave the keys out"), ({"n_global": 25}, "n_global=25"),
    ({"n_random": -1}, "n_random=-1"), ({"n_random": True}, "n_random=True"), ({"draw": DRAWS}, f"draw={DRAWS}"),
    ({"combine": "xor"}, "combine='xor'"), ({"window": -1}, "window=-1"), ({"window": 1.5}, "window=1.5"),
    ({"lengths": 7}, "from 0 to 6"), ({"lengths": [2, -1]}, "from 0 to 6"), ({"lengths": []}, "list of 1 to 16"),
    ({"lengths": [2.0]}, "whole numbers"), ({"scores": np.zeros((2, 2))}, "(2, 2) do not fit 6 queries"),
    ({"scores": np.full((6, 6), np.nan)}, "NaN or infinite"), ({"scores": "much"}, "matrix of numbers"),
    ({"mask": np.ones((6, 6))}, "boolean"), ({"mask": np.ones((2, 6, 6), dtype=bool)}, "does not fit"),
    ({"queries": 3, "mask": np.ones((2, 2), dtype=bool)}, "does not fit"), ({"presets": ["none"]}, "names out of"),
    ({"presets": "causal"}, "list of names"),
])
def test_arguments_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValueError) as caught:
        MaskBuilder(**settings)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [
    ("first", "none"), ("first", "cross"), ("second", "other"), ("combine", "xor"), ("lengths", [9]),
    ("sequence", 1), ("window", 99), ("form", "numpy"), ("n_global", 25), ("n_random", -1), ("draw", DRAWS),
])
def test_a_setting_that_makes_no_sense_leaves_the_last_good_one(name, value):
    widget = MaskBuilder()
    before = getattr(widget, name)
    with pytest.raises(traitlets.TraitError):
        setattr(widget, name, value)
    assert getattr(widget, name) == before


def test_with_fewer_sequences_the_first_is_shown():
    widget = MaskBuilder(lengths=[3, 4, 5], preset="padding")
    widget.sequence = 2
    widget.set_state({"lengths": [3]})
    assert (widget.problem, widget.sequence, int(widget.mask.sum())) == ({}, 0, 18)
    widget.lengths, widget.sequence = [1, 2], 1
    widget.lengths = [4, 4, 4]
    assert widget.sequence == 1 and widget.picture()


@pytest.mark.parametrize(("state", "message"), [
    ({"drawing": pack(np.ones((2, 2)), "uint8")}, "drawing of shape (2, 2)"),
    ({"drawing": pack(np.full((6, 6), 2), "uint8")}, "other than 0 and 1"),
    ({"drawing": pack(np.full((6, 6), 0.5))}, "whole numbers"),
    ({"scores": pack(np.full((6, 6), np.nan), "float64")}, "NaN or infinite"),
    ({"scores": pack(np.ones(6), "float64")}, "scores of shape (6,)"),
    ({"query_tokens": ["a"]}, "do not fit 1 queries"), ({"key_tokens": []}, "1 to 24"),
    ({"offers": ["all"]}, "causal"), ({"offers": ["causal", "x"]}, "x"), ({"window": True}, "window=True"),
    ({"lengths": []}, "list of 1 to 16"), ({"second": "padding", "lengths": [9]}, "from 0 to 6"),
])
def test_what_the_browser_sends_wrong_leaves_a_widget_that_can_be_drawn(state, message):
    widget = MaskBuilder()
    before, name = widget.get_state(list(state)), repr(widget)
    widget.set_state(state)
    assert message in widget.problem["message"] and "\n" not in widget.problem["message"]
    assert widget.get_state(list(state)) == before and repr(widget) == name and widget.figure()
