"""SamplingPlayground's Python side: filters, the draw, the cache, bytes as text, and what is refused."""

import numpy as np
import pytest
import torch
import traitlets
from tokenizers import pre_tokenizers

from course_utils import decoding
from course_utils.data.subword import END_OF_TEXT, load_tokenizer
from course_utils.models.gpt import GPT, GPTConfig
from course_utils.widgets import SamplingPlayground
from course_utils.widgets.base import unpack
from course_utils.widgets.sampling_playground import (
    SEEDS,
    Reader,
    Settings,
    byte_characters,
    choose,
    distribution,
    drawn_rank,
    token_texts,
    uniform_numbers,
)

CONTEXT = 20


def small_gpt(vocabulary=2000, context=CONTEXT):
    """An untrained GPT that is sure of itself: its distributions are steep, as those of a trained one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GPT(GPTConfig(vocabulary, d_model=16, n_heads=2, n_layers=3, max_length=context))
    model.words.weight.data.mul_(40)
    return model.eval()


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("bpe")


@pytest.fixture(scope="module")
def model():
    return small_gpt()


@pytest.fixture
def widget(model, tokenizer):
    return SamplingPlayground(model, tokenizer)


def in_vocabulary(found, values):
    """Values of a `Distribution` in the order of the ids."""
    placed = np.empty(len(values))
    placed[found.order] = values
    return placed


# ---- the draw --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [
    Settings(), Settings(0.3), Settings(1.7), Settings(0), Settings(1, 1), Settings(1, 20), Settings(0.8, 999),
    Settings(1, None, 0.5), Settings(2, None, 0.97), Settings(1, 30, 0.8), Settings(0.9, 5, 0.99, 1.4),
    Settings(1, None, 1, 2.0), Settings(0, 40, 0.9, 1.5),
])
@pytest.mark.parametrize("seed", range(3))
def test_the_filters_are_those_of_the_course(settings, seed):
    logits = 3 * torch.randn(200, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    seen = [3, 5, 5, 7, int(logits.argmax())]
    found = distribution(logits, settings, seen)
    lowered = decoding.repetition_penalty(logits, torch.tensor(seen), settings.penalty)
    top_p = None if settings.top_p == 1 else settings.top_p
    wanted = decoding.next_distribution(lowered, settings.temperature, settings.top_k, top_p)
    np.testing.assert_allclose(in_vocabulary(found, found.after), wanted, atol=1e-12)
    np.testing.assert_allclose(in_vocabulary(found, found.model), logits.softmax(-1), atol=1e-12)
    before = decoding.next_distribution(lowered, settings.temperature)
    np.testing.assert_allclose(in_vocabulary(found, found.before), before, atol=1e-12)
    assert found.kept == (wanted > 0).sum()


def test_each_filter_tells_how_many_tokens_it_leaves():
    logits = np.log([0.4, 0.1, 0.3, 0.2])
    found = distribution(logits, Settings(1, 3, 0.6))
    assert (found.order.tolist(), found.by_k, found.by_p, found.kept) == ([0, 2, 3, 1], 3, 2, 2)
    np.testing.assert_allclose(found.after, [4 / 7, 3 / 7, 0, 0])
    assert distribution(logits, Settings(1, 99)).by_k == 4
    assert distribution(logits, Settings(1, None, 0.01)).kept == 1


def test_of_equal_scores_the_smaller_id_comes_first():
    found = distribution([1.0, 2.0, 2.0, 1.0, 2.0], Settings(1, 2))
    assert found.order.tolist() == [1, 2, 4, 0, 3] and found.kept == 2


def test_the_penalty_lowers_positive_and_negative_scores_once_however_often_a_token_was_seen():
    once, often = (distribution([3.0, -2.0, 0.5], Settings(1, penalty=2.0), seen) for seen in ([0, 1], [0, 1, 1, 0, 0]))
    np.testing.assert_allclose(once.before, torch.tensor([1.5, 0.5, -4.0]).softmax(-1), atol=1e-7)
    assert once.order.tolist() == [0, 2, 1]
    np.testing.assert_array_equal(once.after, often.after)


def test_evenly_spread_draws_give_each_token_its_probability():
    found = distribution(np.log([0.5, 0.2, 0.2, 0.1]), Settings())
    ranks = [drawn_rank(found.after, (place + 0.5) / 1000) for place in range(1000)]
    np.testing.assert_allclose(np.bincount(ranks) / 1000, [0.5, 0.2, 0.2, 0.1], atol=0.002)
    assert ranks == sorted(ranks)


@pytest.mark.parametrize(("uniform", "rank"), [(0.0, 0), (0.25, 1), (0.2499, 0), (0.5, 2), (0.999999, 2)])
def test_a_draw_on_the_border_belongs_to_the_next_token(uniform, rank):
    assert drawn_rank(np.array([0.25, 0.25, 0.5, 0.0]), uniform) == rank


def test_a_dropped_token_is_never_drawn_whatever_the_rounding():
    random = np.random.default_rng(0)
    for _ in range(50):
        found = distribution(random.normal(size=300) * 4, Settings(0.7, 50, 0.95))
        for uniform in (0.0, 0.5, np.nextafter(1, 0)):
            assert drawn_rank(found.after, uniform) < found.kept


def test_temperature_zero_does_not_look_at_the_draw():
    logits = np.random.default_rng(1).normal(size=50)
    assert {choose(logits, Settings(0), uniform) for uniform in (0.0, 0.3, 0.999)} == {int(logits.argmax())}


def test_scores_far_apart_overflow_nothing():
    with np.errstate(all="raise", under="ignore"):
        found = distribution([0.0, 3000.0, -3000.0], Settings(0.05))
    assert found.order[drawn_rank(found.after, 0.9999)] == 1


def test_the_draws_are_the_same_on_every_run_and_leave_the_readers_random_numbers_alone():
    before = torch.get_rng_state()
    first = uniform_numbers(3, 50)
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(first, uniform_numbers(3, 50))
    np.testing.assert_array_equal(first[:7], uniform_numbers(3, 7))
    assert not np.allclose(first, uniform_numbers(4, 50)) and first.dtype == np.float32
    assert first.min() >= 0 and first.max() < 1


# ---- the model at work -----------------------------------------------------------------------------------------------


def plain_logits(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids]))[0, -1]


def test_with_and_without_the_cache_the_scores_are_the_same_wherever_the_text_changes(model):
    reader = Reader(model)
    texts = [([5, 6, 7], 3), ([5, 6, 7, 8], 1), ([5, 6, 7, 8, 9], 1), ([5, 6, 7, 8], 1), ([5, 6, 7], 1),
             ([5, 9, 7], 2), ([8], 1), ([8, 9], 1), ([8, 9, 10, 11, 12], 3)]
    for ids, new in texts:
        reading = reader.read(ids)
        assert reading.tokens == new, ids
        assert reading.cache == (2, 3, 2, len(ids), 8)
        np.testing.assert_allclose(reading.logits, plain_logits(model, ids), rtol=1e-3, atol=1e-3)
    whole = reader.read([8, 9], cached=False)
    assert (whole.tokens, whole.cache) == (2, None) and whole.ms > 0
    assert reader.read([8, 9]).tokens == 2                                       # without it nothing was kept


def test_a_model_that_was_trained_on_is_read_anew():
    model = small_gpt(50)
    reader = Reader(model)
    reader.read([1, 2, 3])
    with torch.no_grad():
        model.positions.weight.add_(torch.randn(CONTEXT, 16, generator=torch.Generator().manual_seed(0)))
    reading = reader.read([1, 2, 3, 4])
    assert reading.tokens == 4
    np.testing.assert_allclose(reading.logits, plain_logits(model, [1, 2, 3, 4]), rtol=1e-3, atol=1e-3)


def test_reading_switches_dropout_off_and_back_on(tokenizer):
    model = small_gpt().train()
    widget = SamplingPlayground(model, tokenizer)
    assert model.training
    np.testing.assert_allclose(unpack(widget.answer["logits"]), plain_logits(model.eval(), widget.answer["start"]),
                               rtol=1e-3, atol=1e-3)


def test_after_a_failed_reading_the_cache_starts_anew(model):
    reader = Reader(model)
    reader.read([1, 2])
    with pytest.raises(ValueError, match="99999"):
        reader.read([1, 2, 99_999])
    assert reader.read([1, 2, 3]).tokens == 3


# ---- tokens one can read ---------------------------------------------------------------------------------------------


def test_every_byte_has_a_character_as_in_the_library():
    assert sorted(byte_characters()) == sorted(pre_tokenizers.ByteLevel.alphabet())
    assert sorted(byte_characters().values()) == list(range(256))
    assert byte_characters()["Ġ"] == 32 and byte_characters()["Ċ"] == 10


def test_tokens_are_text_where_they_can_be_and_bytes_in_hexadecimal_where_not(tokenizer):
    texts = token_texts(tokenizer, 2003)
    ids = tokenizer.encode("Return the\n é").ids
    assert "".join(texts[number] for number in tokenizer.encode("Return the list\n").ids) == "Return the list\n"
    assert texts[ids[1]] == " the" and texts[tokenizer.token_to_id(END_OF_TEXT)] == END_OF_TEXT
    assert texts[tokenizer.token_to_id("ì")] == r"\xec"
    assert texts[2000:] == ["[2000]", "[2001]", "[2002]"]
    for number in range(2000):
        assert texts[number].isascii() or "\ufffd" not in texts[number]


def test_a_tokenizer_without_bytes_keeps_its_own_names():
    texts = token_texts(load_tokenizer("wordpiece"), 3000)
    assert texts[0] == "[PAD]" and "##ing" in texts and not any(text.startswith("\\x") for text in texts)


# ---- the widget ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"temperature": 0.5, "top_k": 40, "top_p": 0.9}, {"temperature": 0},
                                      {"temperature": 2, "penalty": 1.7, "seed": 7}])
def test_writing_is_a_loop_of_choices(model, tokenizer, settings):
    widget = SamplingPlayground(model, tokenizer, steps=8, **settings)
    ids = tokenizer.encode("Return the").ids
    uniforms = uniform_numbers(settings.get("seed", 0), CONTEXT)
    for step in range(8):
        ids.append(choose(plain_logits(model, ids), widget.settings, uniforms[step], ids))
    assert [*widget.answer["start"], *widget.written] == ids
    assert widget.text == tokenizer.decode(ids, skip_special_tokens=False)
    assert SamplingPlayground(model, tokenizer, steps=8, use_cache=False, **settings).written == widget.written


def test_another_seed_writes_another_text(model, tokenizer):
    texts = {SamplingPlayground(model, tokenizer, temperature=2, seed=seed, steps=10).text for seed in range(5)}
    assert len(texts) == 5


def test_what_was_written_keeps_its_probabilities(model, tokenizer):
    widget = SamplingPlayground(model, tokenizer, top_k=5)
    found = widget.next_distribution()
    widget.write()
    [[number, own, after]] = widget.answer["written"]
    rank = found.order.tolist().index(number)
    assert (own, after) == (found.model[rank], found.after[rank]) and 0 < own < after <= 1


def test_a_request_reads_a_text_and_a_step_costs_one_token(widget, model):
    written = [[400, 0.5, 0.75], [401, 0.25, 0.5]]
    for number, (rows, new) in enumerate([(written[:1], 1), (written, 1), (written[:1], 1), ([], 1)], 1):
        widget.request = {"id": number, "prompt": "Return the", "written": rows, "cached": True}
        answer = widget.answer
        assert (answer["id"], answer["written"], answer["read"]) == (number, rows, new)
        ids = [*answer["start"], *(row[0] for row in rows)]
        assert answer["cache"] == [2, 3, 2, len(ids), 8]
        np.testing.assert_allclose(unpack(answer["logits"]), plain_logits(model, ids), rtol=1e-3, atol=1e-3)
    widget.request = {"id": 9, "prompt": "Return the", "written": written, "cached": False}
    assert (widget.answer["cache"], widget.answer["read"]) == (None, 4)
    assert widget.written == [400, 401]


def test_the_context_is_filled_to_its_last_place_and_no_further(model, tokenizer):
    widget = SamplingPlayground(model, tokenizer, steps=CONTEXT - 2)
    text = widget.text
    with pytest.raises(ValueError, match="The context is full: the model reads at most 20 tokens"):
        widget.write()
    assert widget.text == text and len(widget.written) == CONTEXT - 2
    rows = [*widget.answer["written"], [5, 0.5, 0.5]]
    widget.request = {"id": 1, "prompt": "Return the", "written": rows}
    assert "The context is full" in widget.problem["message"] and widget.text == text
    assert widget.figure() is not None


BAD_PROMPTS = {
    "empty": ("", "Type a prompt"), "no text": (7, "Type a prompt"), "none": (None, "Type a prompt"),
    "too long": (" the list" * 30, "The prompt has 60 tokens; the model's context is 20"),
    "10 000 characters": ("\u202e😀" * 5000, "tokens; the model's context is 20"),
    "a book": ("a" * 100_000, "100,000 characters are too many"),
}


@pytest.mark.parametrize(("prompt", "message"), BAD_PROMPTS.values(), ids=BAD_PROMPTS)
def test_a_bad_prompt_is_refused_in_one_line_and_the_last_one_stays(model, tokenizer, widget, prompt, message):
    with pytest.raises(ValueError, match=message) as caught:
        SamplingPlayground(model, tokenizer, prompt)
    assert "\n" not in str(caught.value)
    widget.write(3)
    answer, picture = widget.answer, widget.picture()
    widget.request = {"id": 1, "prompt": prompt, "written": [], "cached": True}
    assert message in widget.problem["message"] and "\n" not in widget.problem["message"]
    assert widget.answer == answer and widget.picture() == picture and widget.prompt == "Return the"


@pytest.mark.parametrize("written", ["abc", 5, [[1]], [[1, 2, 3, 4]], [["x", 0.5, 0.5]], [[-1, 0.5, 0.5]],
                                     [[2000, 0.5, 0.5]], [[5, 1.5, 0.5]], [[5, float("nan"), 0.5]], [5]])
def test_what_cannot_have_been_written_is_refused(widget, written):
    answer = widget.answer
    widget.request = {"id": 1, "prompt": "Return the", "written": written}
    assert widget.problem["id"] == 1 and "written" in widget.problem["message"] and widget.answer == answer


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_scores_that_are_no_numbers_are_refused_and_the_last_text_stays(tokenizer, value):
    model = small_gpt()
    bad = tokenizer.encode("Raise").ids[0]
    model.words.weight.data[bad] = value
    with pytest.raises(ValueError, match=r"^With this text the model computes numbers that are NaN or infinite"):
        SamplingPlayground(model, tokenizer)                                     # it scores every token
    model = small_gpt()
    widget = SamplingPlayground(model, tokenizer)
    model.positions.weight.data[3] = value
    widget.request = {"id": 1, "prompt": "Return the list of names", "written": []}
    assert "NaN or infinite" in widget.problem["message"] and widget.prompt == "Return the"


@pytest.mark.parametrize(("settings", "message"), [
    ({"temperature": -0.1}, "temperature=-0.1"), ({"temperature": 2.5}, "temperature=2.5"),
    ({"temperature": float("nan")}, "temperature=nan"), ({"temperature": "hot"}, "temperature='hot'"),
    ({"temperature": True}, "temperature=True"), ({"top_k": 0}, "top_k=0"), ({"top_k": 2001}, "top_k=2001"),
    ({"top_k": 1.5}, "top_k=1.5"), ({"top_k": True}, "top_k=True"), ({"top_p": 0}, "top_p=0"),
    ({"top_p": 1.1}, "top_p=1.1"), ({"penalty": 0.5}, "penalty=0.5"), ({"penalty": 3}, "penalty=3"),
    ({"seed": SEEDS}, f"seed={SEEDS}"), ({"seed": -1}, "seed=-1"), ({"seed": "a"}, "seed='a'"),
    ({"use_cache": "yes"}, "use_cache='yes'"),
])
def test_settings_that_make_no_sense_are_refused_in_one_line(model, tokenizer, settings, message):
    with pytest.raises(ValueError, match=message) as caught:
        SamplingPlayground(model, tokenizer, **settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [("temperature", 3.0), ("top_k", 0), ("top_p", 0.0), ("penalty", 0.9),
                                             ("seed", 99)])
def test_a_bad_value_is_refused_later_too_and_the_last_good_one_stays(widget, name, value):
    before = getattr(widget, name)
    with pytest.raises(traitlets.TraitError, match=name):
        setattr(widget, name, value)
    widget.set_state({name: value})
    assert name in widget.problem["message"] and getattr(widget, name) == before


def test_off_is_none_for_both_filters(model, tokenizer):
    widget = SamplingPlayground(model, tokenizer, top_k=None, top_p=None)
    assert (widget.top_k, widget.top_p, widget.next_distribution().kept) == (None, 1.0, 2000)
    widget.top_k = 7
    assert widget.next_distribution().kept == 7
    widget.set_state({"top_k": None})
    assert widget.top_k is None


@pytest.mark.parametrize(("parts", "message"), [((None, "t"), "model must be a GPT"), (("m", None), "tokenizer must")])
def test_model_and_tokenizer_are_asked_for_by_name(model, tokenizer, parts, message):
    given = [model if parts[0] == "m" else object(), tokenizer if parts[1] == "t" else object()]
    with pytest.raises(ValueError, match=message):
        SamplingPlayground(*given)


def test_a_tokenizer_of_another_vocabulary_is_told(tokenizer):
    with pytest.raises(ValueError, match="The tokenizer gives id 367; the model knows ids up to 49"):
        SamplingPlayground(small_gpt(50), tokenizer)


def test_every_setting_changes_the_picture(model, tokenizer):
    widget = SamplingPlayground(model, tokenizer, steps=1)
    pictures = [widget.picture()]
    for name, value in (("temperature", 0.5), ("top_k", 20), ("top_p", 0.5), ("penalty", 2.0)):
        setattr(widget, name, value)
        pictures.append(widget.picture())
    widget.write()
    pictures.append(widget.picture())
    assert len(set(pictures)) == 6 and max(map(len, pictures)) < 150_000


@pytest.mark.parametrize("settings", [{}, {"temperature": 0}, {"top_k": 1}, {"prompt": "$x$ \u202e\x00 안녕"}])
def test_the_title_of_the_picture_is_not_cut(model, tokenizer, settings):
    figure = SamplingPlayground(model, tokenizer, steps=4, **settings).figure()
    figure.canvas.draw()
    [title] = figure.texts
    box, (width, height) = title.get_window_extent(), figure.canvas.get_width_height()
    assert box.x0 >= 0 and box.x1 <= width and box.y1 <= height


def test_the_summary_tells_the_sizes(widget):
    assert repr(widget) == "SamplingPlayground(vocabulary=2000, layers=3, heads=2, context=20)"


def test_half_of_a_surrogate_pair_travels_nowhere(model, tokenizer):
    widget = SamplingPlayground(model, tokenizer, examples=["<\ud800>"])
    assert widget.examples == ["<?>"]
    widget.set_state({"request": {"id": 1, "prompt": "<\ud800>", "written": []}})
    assert widget.prompt == "<?>"
    assert SamplingPlayground(model, tokenizer, "<\ud800>").prompt == "<?>"
