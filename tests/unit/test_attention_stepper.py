"""AttentionStepper's Python side: every step against torch and the course's own attention, examples, and refusals."""

import subprocess
import sys

import numpy as np
import pytest
import torch
import traitlets
from torch.nn import functional

from course_utils.models.attention import scaled_dot_product_attention
from course_utils.widgets import AttentionStepper, attention_steps
from course_utils.widgets.attention_stepper import PRESETS, complete
from course_utils.widgets.base import pack

T, D_K, D_V = 5, 3, 4


@pytest.fixture
def numbers():
    draw = np.random.default_rng(0)
    mask = np.tril(np.ones((T, T), dtype=bool))
    mask[3] = False                                               # a row that may attend to nothing
    return {"query": draw.normal(size=(T, D_K)), "keys": draw.normal(size=(T, D_K)),
            "values": draw.normal(size=(T, D_V)), "mask": mask}


def steps_of(numbers, **changes):
    query, *rest = (changes.get(name, numbers[name]) for name in ("query", "keys", "values"))
    return attention_steps(query, *rest, mask=changes.get("mask", numbers["mask"]), scale=changes.get("scale", True))


# ---- the numbers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [True, False])
def test_every_row_with_a_key_is_what_torch_computes(numbers, scale):
    found = steps_of(numbers, scale=scale)
    q, k, v, mask = (torch.tensor(numbers[name]) for name in ("query", "keys", "values", "mask"))
    wanted = functional.scaled_dot_product_attention(q[None], k[None], v[None], mask[None], scale=None if scale else 1)
    full = numbers["mask"].any(-1)
    np.testing.assert_allclose(found["output"][full], wanted[0].numpy()[full], atol=1e-12)


def test_weights_and_output_are_the_courses_own(numbers):
    found = steps_of(numbers)
    parts = (torch.tensor(numbers[name]) for name in ("query", "keys", "values"))
    output, weights = scaled_dot_product_attention(*parts, mask=torch.tensor(numbers["mask"]))
    np.testing.assert_allclose(found["weights"], weights, atol=1e-12)
    np.testing.assert_allclose(found["output"], output, atol=1e-12)


def test_each_step_builds_on_the_one_before(numbers):
    found = steps_of(numbers)
    np.testing.assert_allclose(found["score"][1, 2], numbers["query"][1] @ numbers["keys"][2])
    np.testing.assert_allclose(found["scaled"], found["score"] / np.sqrt(D_K))
    assert np.isneginf(found["masked"][~numbers["mask"]]).all()
    np.testing.assert_array_equal(found["masked"][numbers["mask"]], found["scaled"][numbers["mask"]])


def test_a_row_without_keys_is_zero_and_the_others_do_not_notice(numbers):
    found, free = steps_of(numbers), steps_of(numbers, mask=np.tril(np.ones((T, T), dtype=bool)))
    assert not found["weights"][3].any() and not found["output"][3].any()
    others = [0, 1, 2, 4]
    np.testing.assert_array_equal(found["output"][others], free["output"][others])


def test_very_large_scores_give_shares_and_no_overflow():
    with np.errstate(all="raise", under="ignore"):
        found = attention_steps(scores=[[1e6, 1e6 - 1, -1e6]], values=[[1.0], [2.0], [3.0]])
    np.testing.assert_allclose(found["weights"], [[1 / (1 + np.exp(-1)), 1 / (1 + np.e), 0]])


def test_given_scores_are_not_divided_again():
    found = attention_steps(scores=[[0.2, 1.0]], values=[[1.0], [2.0]], scale=True)
    np.testing.assert_array_equal(found["scaled"], found["score"])


# ---- the examples ----------------------------------------------------------------------------------------------------


def test_the_cat_has_the_weights_of_the_chapter():
    widget = AttentionStepper()
    found = widget.run()["weights"][0]
    np.testing.assert_allclose(found, torch.tensor([0.2, 1.0, 0.8, 0.1, 0.3, 0.5]).softmax(0), atol=1e-7)
    assert np.round(found, 3).tolist() == [0.119, 0.265, 0.217, 0.108, 0.131, 0.161]
    assert widget.tokens[widget.row] == widget.tokens[found.argmax()] == "cat"


def test_the_causal_example_is_the_vectors_example_without_the_future():
    causal, vectors = AttentionStepper(preset="causal"), AttentionStepper(preset="vectors")
    np.testing.assert_array_equal(causal.q, vectors.q)
    np.testing.assert_array_equal(causal.run()["score"], vectors.run()["score"])
    assert not np.triu(causal.run()["weights"], 1).any()
    np.testing.assert_array_equal(causal.run()["weights"][-1], vectors.run()["weights"][-1])


def test_the_empty_example_opens_at_its_empty_row():
    widget = AttentionStepper(preset="empty")
    weights = widget.run()["weights"]
    assert not weights[widget.row].any() and (weights.sum(-1) > 0).tolist() == [False, True, True, True]


def test_an_example_may_be_changed_in_part():
    mask = [True, False, True, True, True, True]
    widget = AttentionStepper(mask=np.array(mask), row=2)
    assert widget.run()["weights"][0, 1] == 0 and widget.row == 2 and widget.preset == "own"
    assert AttentionStepper(preset="causal", row=3).preset == "causal"


def test_one_query_with_a_mask_for_all_takes_its_own_row(numbers):
    widget = AttentionStepper(numbers["query"][1], numbers["keys"], numbers["values"], mask=numbers["mask"], row=1)
    np.testing.assert_allclose(widget.run()["output"], steps_of(numbers)["output"][[1]])


def test_torch_tensors_are_taken(numbers):
    tensors = {name: torch.tensor(values) for name, values in numbers.items()}
    np.testing.assert_allclose(AttentionStepper(**tensors).run()["output"], steps_of(numbers)["output"])


def test_summaries_name_sizes(numbers):
    assert repr(AttentionStepper(**numbers, row=2, scale=False, view="matrix")) == \
        "AttentionStepper('own', words=5, d_k=3, scale=False, d_v=4, row=2, view='matrix')"


def test_the_module_needs_no_torch():
    code = "import sys; from course_utils.widgets import AttentionStepper as Stepper; Stepper().run()"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'torch' not in sys.modules"], check=True)


# ---- what is refused -------------------------------------------------------------------------------------------------


VALUES = [[1.0], [2.0]]


@pytest.mark.parametrize(("arguments", "message"), [
    ({"preset": "dog"}, "preset='dog' is none of 'cat'"),
    ({"view": "both"}, "view='both'"),
    ({"step": 6}, "step=6"),
    ({"row": 6}, "row=6 is none of the 6 words"),
    ({"row": True}, "row=True"),
    ({"scale": "no", "preset": "vectors"}, "scale='no'"),
    ({"keys": VALUES, "values": VALUES}, "a query needs keys"),
    ({"query": [1.0], "values": VALUES}, "a query needs keys"),
    ({"scores": [1.0, 2.0], "keys": VALUES, "values": VALUES}, "not both"),
    ({"scores": [1.0, 2.0]}, "values are missing"),
    ({"scores": [1.0, 2.0, 3.0], "values": VALUES}, "3 scores and 2 values"),
    ({"query": [1.0, 2.0], "keys": VALUES, "values": VALUES}, "a query has 2 numbers and a key 1"),
    ({"query": [[1.0]] * 3, "keys": VALUES, "values": VALUES}, "3 queries"),
    ({"query": [1.0], "keys": VALUES * 2, "values": VALUES}, "4 keys and 2 values"),
    ({"scores": [1.0, np.nan], "values": VALUES}, "scores must lie between"),
    ({"scores": [1.0, 2e6], "values": VALUES}, "scores must lie between"),
    ({"scores": [1.0, "x"], "values": VALUES}, "scores must be numbers"),
    ({"scores": [[1.0], [1.0, 2.0]], "values": VALUES}, "rows of equal length"),
    ({"scores": [], "values": VALUES}, "scores must be a vector"),
    ({"scores": [0.0] * 11, "values": [[1.0]] * 11}, "the picture holds 10"),
    ({"scores": [0.0], "values": [[1.0] * 7]}, "the picture holds 10 rows of 6"),
    ({"scores": [1.0, 2.0], "values": VALUES, "tokens": ["a"]}, "1 tokens and 2 values"),
    ({"scores": [1.0, 2.0], "values": VALUES, "tokens": "ab"}, "a list of texts"),
    ({"scores": [1.0, 2.0], "values": VALUES, "mask": [1, 0]}, "must be boolean"),
    ({"scores": [1.0, 2.0], "values": VALUES, "mask": [True]}, "the mask has shape"),
])
def test_wrong_arguments_are_refused_in_one_line(arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        AttentionStepper(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [
    ("row", 4), ("view", "both"), ("step", 0), ("preset", "own"), ("tokens", ["a"]), ("k", [[np.nan, 0.0]] * 4),
    ("k", [[1.0, 2.0]]), ("v", [[1.0]] * 3), ("q", [[1.0, 2.0]] * 2), ("mask", [[1, 1, 1, 1]]),
])
def test_a_setting_that_does_not_fit_leaves_the_last_good_one(name, value):
    widget = AttentionStepper(preset="vectors")
    before = widget.get_state(name)
    with pytest.raises(traitlets.TraitError):
        setattr(widget, name, value)
    assert widget.get_state(name) == before


def test_the_browser_may_change_everything_at_once():
    """Another example has another number of words: no half of it may be refused."""
    widget, cat = AttentionStepper(preset="vectors"), complete(PRESETS["cat"])
    arrays = {name: pack(cat[name], "uint8" if name == "mask" else "float64")
              for name in ("q", "k", "v", "scores", "mask")}
    widget.set_state({**arrays, "tokens": cat["tokens"], "row": cat["row"], "scale": cat["scale"], "preset": "cat"})
    assert repr(widget) == repr(AttentionStepper())


def test_the_picture_follows_the_numbers_and_not_the_step():
    widget = AttentionStepper(preset="vectors")
    first = widget.picture()
    widget.step = 4
    assert widget.picture() is first
    widget.k = [[0.0, 1.0]] * 4
    assert widget.picture() != first


@pytest.mark.filterwarnings("error")
def test_a_mask_that_forbids_everything_has_pictures_too():
    for view in ("one", "matrix"):
        widget = AttentionStepper(preset="vectors", mask=np.zeros(4, dtype=bool), view=view)
        assert "may attend to nothing" in widget.figure().get_suptitle() and widget.picture()


@pytest.mark.parametrize(("preset", "view", "title"), [
    ("cat", "one", "cat gives most weight to cat: 0.265"),
    ("causal", "matrix", "green gives most weight to we: 0.644"),
    ("empty", "one", "<pad> may attend to nothing: every weight is 0"),
    ("empty", "matrix", "<pad> may attend to nothing: every weight is 0"),
])
def test_the_pictures_title_says_where_the_query_looks(preset, view, title):
    assert AttentionStepper(preset=preset, view=view).figure().get_suptitle() == title


@pytest.mark.parametrize(("state", "message"), [
    ({"v": pack(np.zeros(4))}, "v must be a matrix"), ({"q": pack(np.zeros(4))}, "q must be a matrix"),
    ({"k": pack(np.zeros((4, 2, 1)))}, "k must be a matrix"), ({"row": True}, "row=True must be a number"),
    ({"mask": pack(np.full((4, 4), 2), "uint8")}, "other than 0 and 1"), ({"v": None}, "a packed array"),
    ({"row": 1, "step": 9}, "step=9"),
])
def test_what_the_browser_sends_wrong_leaves_a_widget_that_can_be_drawn(state, message):
    widget = AttentionStepper(preset="vectors")
    before, name = widget.get_state(list(state)), repr(widget)
    widget.set_state(state)
    assert message in widget.problem["message"] and "\n" not in widget.problem["message"]
    assert widget.get_state(list(state)) == before and repr(widget) == name and widget.figure()


def test_tensors_that_numpy_does_not_know_are_taken():
    given = AttentionStepper(torch.ones(2).bfloat16(), torch.eye(2).to_sparse(), torch.eye(2, requires_grad=True))
    np.testing.assert_array_equal(given.k, np.eye(2))
