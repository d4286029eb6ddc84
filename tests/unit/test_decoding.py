"""Searching for the likeliest sequence, and drawing one: against what must hold, at the limits, with bad settings."""

import itertools
import types

import pytest
import torch
from torch import nn

from course_utils.decoding import (
    apply_temperature,
    beam_search,
    generate,
    greedy_search,
    next_distribution,
    repetition_penalty,
    top_k_filter,
    top_p_filter,
)
from course_utils.models.gpt import GPT, GPTConfig

START, END, V, LIMIT = 0, 1, 4, 4


def table_step(seed):
    """A tiny language model: scores depend on the last two tokens. State: the token before the last, (B,)."""
    table = 2 * torch.randn(V, V, V, generator=torch.Generator().manual_seed(seed))

    def step(tokens, before):
        return table[before, tokens], tokens
    return step


def all_sequences(step):
    """Every sequence that ends within the limit, or is cut there, with its log-probability; the likeliest first."""
    found = []
    for length in range(1, LIMIT + 1):
        for ids in itertools.product(range(V), repeat=length):
            if END in ids[:-1] or (ids[-1] != END and length < LIMIT):
                continue
            score, last, state = 0.0, torch.tensor([START]), torch.tensor([START])
            for token in ids:
                logits, state = step(last, state)
                score += logits[0].log_softmax(-1)[token].item()
                last = torch.tensor([token])
            found.append(([token for token in ids if token != END], score))
    return sorted(found, key=lambda pair: pair[1], reverse=True)


@pytest.mark.parametrize("seed", range(8))
def test_a_beam_wide_enough_finds_what_exhaustive_search_finds(seed):
    step = table_step(seed)
    expected = all_sequences(step)
    found = beam_search(step, torch.tensor([START]), START, END, width=V**LIMIT, limit=LIMIT)
    assert len(found) == len(expected)
    scores = {tuple(ids): score for ids, score in expected}
    for (ids, score), (_, best_score) in zip(found, expected, strict=True):     # equal scores may come in any order
        assert abs(score - best_score) < 1e-5 and abs(scores.pop(tuple(ids)) - score) < 1e-5


def test_a_narrow_beam_is_never_better_and_width_one_is_greedy():
    for seed in range(8):
        step, state = table_step(seed), torch.tensor([START])
        best = all_sequences(step)[0][1]
        assert beam_search(step, state, START, END, width=2, limit=LIMIT)[0][1] <= best + 1e-5
        one = beam_search(step, state, START, END, width=1, limit=LIMIT)
        assert [ids for ids, _ in one] == greedy_search(step, state, 1, START, END, LIMIT)


def test_greedy_and_beam_differ_somewhere_and_then_the_beam_is_likelier():
    gains = []
    for seed in range(20):
        step, state = table_step(seed), torch.tensor([START])
        greedy, wide = (beam_search(step, state, START, END, width=width, limit=LIMIT)[0] for width in (1, 8))
        if greedy[0] != wide[0]:
            gains.append(wide[1] - greedy[1])
    assert len(gains) >= 3 and min(gains) > 0


def test_the_length_penalty_ranks_by_the_mean_per_token():
    def step(tokens, state):
        scores = torch.full((1, V), -30.0)
        scores[0, [END, 2]] = torch.tensor([[0.5, 0.5], [0.9, 0.1], [0.9, 0.1]])[min(state, 2)].log()
        return scores, state + 1
    plain = beam_search(step, 0, START, END, width=3, limit=3)
    mean = beam_search(step, 0, START, END, width=3, limit=3, length_penalty=1.0)
    assert plain[0][0] == [] and mean[0][0] == [2]


def test_greedy_search_stops_each_row_at_its_end_and_all_at_the_limit():
    plan = torch.tensor([[2, END, 3, 3], [2, 3, 2, 3], [END, 2, 2, 2]])
    calls = []

    def step(tokens, t):
        calls.append(t)
        return torch.nn.functional.one_hot(plan[:, t], V).float(), t + 1
    assert greedy_search(step, 0, 3, START, END, limit=4) == [[2], [2, 3, 2, 3], []]
    assert greedy_search(step, 0, 3, START, END, limit=2) == [[2], [2, 3], []]
    calls.clear()
    plan[:] = END
    assert greedy_search(step, 0, 3, START, END, limit=4) == [[], [], []] and calls == [0]


def test_the_penalty_counts_the_end():
    """ "" ends with 0.4; "2" with 0.6 * 0.36, so its mean is the better one only if <end> counts as a token."""
    def step(tokens, state):
        return torch.tensor([[[0.0, 0.4, 0.6, 0.0], [0.0, 0.36, 0.32, 0.32]][min(state, 1)]]).log(), state + 1
    found = beam_search(step, 0, START, END, width=4, limit=2, length_penalty=1.0)
    assert found[0][0] == [2] and [] in [ids for ids, _ in found]


def test_scores_of_another_batch_or_without_numbers_are_refused():
    for scores, message in ((torch.zeros(2, V), r"scores of shape \(1, V\), got \(2, 4\)"),
                            (torch.full((1, V), -torch.inf), "forbid every token"),
                            (torch.full((1, V), torch.nan), "not numbers")):
        def step(tokens, state, scores=scores):
            return scores, state
        with pytest.raises(ValueError, match=message):
            beam_search(step, None, START, END)
        with pytest.raises(ValueError, match=message):
            greedy_search(step, None, 1, START, END, 5)


def test_a_forbidden_token_is_never_in_the_beam():
    def step(tokens, state):
        return torch.tensor([[-torch.inf, 0.0, 0.0, -torch.inf]]), state
    found = beam_search(step, None, START, END, width=20, limit=3)
    assert len(found) == 4 and all(set(ids) <= {2} and score > -10 for ids, score in found)


@pytest.mark.parametrize(("arguments", "message"), [
    ({"width": 0}, "width=0 must be a whole number of at least 1"),
    ({"limit": 0}, "limit=0 must be a whole number of at least 1"),
    ({"width": -3}, "width=-3 must be"), ({"width": 1.5}, "width=1.5 must be a whole number"),
    ({"length_penalty": -1.0}, "length_penalty=-1.0 is not between 0 and 10"),
    ({"length_penalty": float("nan")}, "length_penalty=nan is not between"),
])
def test_a_beam_of_zero_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        beam_search(table_step(0), torch.tensor([START]), START, END, **arguments)


def test_greedy_search_needs_a_limit():
    with pytest.raises(ValueError, match="limit=0 must be a whole number of at least 1"):
        greedy_search(table_step(0), torch.tensor([START]), 1, START, END, 0)


# ---------------------------------------------------------------- filters

TINY = 1e-6


def scores(*shape, size=3.0):
    return size * torch.randn(*(shape or (300, 17)), generator=torch.Generator().manual_seed(6))


def kept(filtered):
    return filtered > -torch.inf


def entropy(probs):
    return -(probs * probs.log()).sum(-1)


@pytest.mark.parametrize("change", [
    lambda logits: apply_temperature(logits, 0.5), lambda logits: top_k_filter(logits, 4),
    lambda logits: top_p_filter(logits, 0.7), lambda logits: next_distribution(logits, 0),
    lambda logits: next_distribution(logits, 0.7, 9, 0.8),
    lambda logits: repetition_penalty(logits, torch.tensor([3, 5, 3]).expand(*logits.shape[:-1], 3), 1.5),
], ids=["temperature", "top-k", "top-p", "greedy", "all", "penalty"])
def test_each_row_is_filtered_alone_whatever_the_shape_and_the_input_stays(change):
    logits = scores(2, 3, 17)
    before = logits.clone()
    together = change(logits)
    assert together.shape == logits.shape and torch.equal(logits, before)
    for row, expected in zip(logits.flatten(0, 1), together.flatten(0, 1), strict=True):
        torch.testing.assert_close(change(row), expected)
        torch.testing.assert_close(change(row.unsqueeze(0))[0], expected)


@pytest.mark.parametrize("keep", [
    lambda logits: top_k_filter(logits, 4), lambda logits: top_p_filter(logits, 0.7)], ids=["top-k", "top-p"])
def test_what_a_filter_keeps_is_unchanged_and_likelier_than_what_it_drops(keep):
    logits = scores()
    filtered = keep(logits)
    assert torch.equal(filtered[kept(filtered)], logits[kept(filtered)])
    for row, stays in zip(logits, kept(filtered), strict=True):
        assert row[stays].min() > row[~stays].max()


def test_temperature_keeps_the_order_and_makes_the_choice_more_or_less_even():
    logits = scores()
    assert torch.equal(apply_temperature(logits, 1.0), logits)
    spreads = [entropy(next_distribution(logits, temperature)) for temperature in (0.3, 1.0, 3.0)]
    assert (spreads[0] < spreads[1]).all() and (spreads[1] < spreads[2]).all()
    assert torch.equal(apply_temperature(logits, 0.3).argsort(), logits.argsort())


@pytest.mark.parametrize("k", [1, 2, 16, 17, 18, 1000])
def test_top_k_keeps_k_tokens_or_all_there_are(k):
    assert (kept(top_k_filter(scores(), k)).sum(-1) == min(k, 17)).all()


def test_top_k_keeps_ties_with_the_last_and_nothing_that_was_forbidden():
    tied = torch.tensor([3.0, 1.0, 2.0, 2.0, 0.0])
    assert kept(top_k_filter(tied, 2)).tolist() == [True, False, True, True, False]
    forbidden = torch.tensor([3.0, -torch.inf, -torch.inf])
    assert kept(top_k_filter(forbidden, 2)).tolist() == [True, False, False]


@pytest.mark.parametrize("p", [1e-50, 1e-6, 0.1, 0.5, 0.9, 0.99, 1.0])
def test_top_p_keeps_enough_mass_and_not_one_token_more(p):
    logits = scores()
    probs, stays = logits.softmax(-1), kept(top_p_filter(logits, p))
    assert stays.any(-1).all()                                             # at least one token
    mass = (probs * stays).sum(-1)
    last = probs.masked_fill(~stays, 2.0).amin(-1)                         # the least likely that is kept
    assert (mass >= p - TINY).all() and ((mass - last < p + TINY) | (stays.sum(-1) == 1)).all()
    assert torch.equal(stays.gather(-1, probs.argmax(-1, keepdim=True)), torch.ones(300, 1, dtype=torch.bool))


def test_a_p_of_1_keeps_every_token_of_a_large_vocabulary_too():
    logits = scores(4, 20_000)
    assert torch.equal(top_p_filter(logits, 1.0), logits)


@pytest.mark.parametrize(("p", "expected"), [(0.45, [0]), (0.55, [0, 1]), (0.75, [0, 1]), (0.85, [0, 1, 2])])
def test_the_token_that_passes_p_is_kept(p, expected):
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    assert kept(top_p_filter(logits, p)).nonzero().flatten().tolist() == expected


def test_the_penalty_lowers_what_was_said_once_however_often_it_was_said():
    logits = torch.tensor([2.0, -2.0, 0.0, 1.0, -torch.inf])
    torch.testing.assert_close(repetition_penalty(logits, torch.tensor([0, 1, 1, 4, 2]), 2.0),
                               torch.tensor([1.0, -4.0, 0.0, 1.0, -torch.inf]))
    assert torch.equal(repetition_penalty(logits, torch.tensor([0, 1]), 1.0), logits)
    below = repetition_penalty(logits, torch.tensor([0, 1]), 0.5)
    assert below[0] == 4 and below[1] == -1                                # below 1 it favours what was said


def test_the_next_distribution_is_what_its_parts_give_in_this_order():
    logits = scores()
    expected = top_p_filter(top_k_filter(apply_temperature(logits, 0.6), 5), 0.8).softmax(-1)
    torch.testing.assert_close(next_distribution(logits, 0.6, 5, 0.8), expected)
    torch.testing.assert_close(next_distribution(logits), logits.softmax(-1))
    assert (kept(expected.log()).sum(-1) <= 5).all()


@pytest.mark.parametrize("temperature", [0, 0.0, 1e-6, 1e-30, 1e-42])
def test_without_warmth_all_mass_is_on_the_likeliest(temperature):
    logits = scores()
    expected = nn.functional.one_hot(logits.argmax(-1), 17).float()
    torch.testing.assert_close(next_distribution(logits, temperature, 5, 0.9), expected)


def test_a_large_temperature_makes_all_tokens_alike():
    torch.testing.assert_close(next_distribution(scores(), 1e30), torch.full((300, 17), 1 / 17))


@pytest.mark.parametrize(("change", "values", "message"), [
    (apply_temperature, (0, -1.0, float("nan"), float("inf")), "temperature=.* must be above 0"),
    (top_k_filter, (0, -1, 1.5, "3", None), "k=.* must be a whole number of at least 1"),
    (top_p_filter, (0, -0.1, 1.1, float("nan")), "p=.* is not above 0 and at most 1"),
    (lambda logits, penalty: repetition_penalty(logits, torch.zeros(300, 2, dtype=torch.long), penalty),
     (0, -1.0, float("nan"), float("inf")), "penalty=.* must be above 0"),
], ids=["temperature", "k", "p", "penalty"])
def test_a_filter_with_a_setting_that_cannot_be_is_refused(change, values, message):
    for value in values:
        with pytest.raises(ValueError, match=message):
            change(scores(), value)


# ---------------------------------------------------------------- writing


class Planned(nn.Module):
    """Stands in for a GPT: the scores of the next token depend on the last one alone, by a table (V, V)."""

    def __init__(self, table, max_length=5000):
        super().__init__()
        self.words, self.config = nn.Embedding.from_pretrained(table), types.SimpleNamespace(max_length=max_length)
        self.reads = []                                                    # how many ids each call got

    def new_cache(self):
        return [{}]

    def forward(self, ids, cache=None):
        self.reads.append(ids.shape[1])
        return self.words(ids)


def round_trip():
    """0 is followed by 1, 1 by 2, … 4 by 0."""
    return Planned(5 * torch.eye(5).roll(1, dims=1))


def small_gpt(**settings):
    torch.manual_seed(0)
    return GPT(GPTConfig(13, 12, 2, n_layers=2, max_length=20, init_std=0.5, **settings))


def written(model, ids=(1, 2), n_new=18, seed=7, **settings):
    return generate(model, list(ids), n_new, generator=torch.Generator().manual_seed(seed), **settings)


def test_greedy_writing_takes_the_likeliest_and_draws_no_random_number():
    before = torch.get_rng_state()
    assert generate(round_trip(), [3, 1], 6, temperature=0) == [2, 3, 4, 0, 1, 2]
    assert torch.equal(torch.get_rng_state(), before)
    model = small_gpt()
    assert written(model, top_k=1) == written(model, temperature=0) == written(model, top_p=1e-6)


@pytest.mark.parametrize(("end", "expected"), [(4, [2, 3]), (2, []), (9, [2, 3, 4, 0, 1, 2]), (0, [2, 3, 4]),
                                               (None, [2, 3, 4, 0, 1, 2])])
def test_writing_stops_at_the_end_which_is_not_returned(end, expected):
    assert generate(round_trip(), [1], 6, temperature=0, end=end) == expected


@pytest.mark.parametrize(("use_cache", "reads"), [(True, [3, 1, 1, 1]), (False, [3, 4, 5, 6])])
def test_with_a_cache_each_step_reads_one_token(use_cache, reads):
    model, ids = round_trip(), [3, 4, 0]
    assert generate(model, ids, 4, temperature=0, use_cache=use_cache) == [1, 2, 3, 4]
    assert model.reads == reads and ids == [3, 4, 0]


@pytest.mark.parametrize("settings", [{}, {"temperature": 2.0}, {"top_k": 3}, {"top_p": 0.6}], ids=str)
def test_tokens_are_drawn_as_often_as_the_distribution_says(settings):
    logits = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0])
    text = written(Planned(logits.repeat(5, 1)), [0], 1000, **settings)
    expected = next_distribution(logits, **settings)
    counts = torch.bincount(torch.tensor(text), minlength=5)
    assert (counts[expected == 0] == 0).all()
    torch.testing.assert_close(counts / 1000, expected, rtol=0, atol=0.08)


def test_the_same_generator_writes_the_same_text_and_another_one_another():
    model = small_gpt()
    texts = [written(model, seed=seed) for seed in (7, 7, 8, 9)]
    assert texts[0] == texts[1] and len({tuple(text) for text in texts}) == 3 and len(texts[0]) == 18
    assert written(model, use_cache=False) == texts[0]


def test_the_penalty_counts_the_prompt_and_what_was_written():
    model = Planned(torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0]).repeat(5, 1))
    assert generate(model, [1], 4, temperature=0, penalty=1e6) == [0, 2, 3, 4]
    assert generate(model, [1], 4, temperature=0) == [0, 0, 0, 0]


def test_writing_fills_the_context_and_is_refused_before_it_starts_if_that_is_too_little():
    model = Planned(torch.eye(5), max_length=6)
    assert len(generate(model, [1, 2], 4)) == 4
    model.reads.clear()
    for ids, n_new in (([1, 2], 5), ([1] * 7, 1), ([], 3)):
        with pytest.raises(ValueError, match="the context is 6"):
            generate(model, ids, n_new)
    assert model.reads == []
    assert len(written(small_gpt())) == 18                                 # a GPT's whole context, with its cache


@pytest.mark.parametrize("training", [True, False])
def test_writing_uses_no_dropout_and_leaves_the_mode_as_it_was(training):
    model = small_gpt(dropout=0.5).train(training)
    assert written(model) == written(small_gpt(dropout=0.0).eval())
    assert model.training is training and model.blocks[0].training is training
    assert all(weight.grad is None and weight.requires_grad for weight in model.parameters())


WRONG = [({"temperature": -1.0}, "temperature"), ({"top_k": 0}, "k=0"), ({"top_p": 1.5}, "p=1.5"),
         ({"penalty": 0}, "penalty=0"), ({"ids": [13]}, "ids go from 13"), ({"ids": [-1]}, "ids go from -1"),
         ({"ids": [1.5]}, "whole numbers"), ({"n_new": 0}, "n_new=0"), ({"n_new": -2}, "n_new=-2"),
         ({"n_new": 1.5}, "n_new=1.5"), ({"temperature": 0, "top_k": 0}, "k=0"),
         ({"temperature": 0, "top_p": 1.5}, "p=1.5")]


@pytest.mark.parametrize(("settings", "message"), WRONG, ids=str)
def test_writing_with_settings_that_cannot_be_is_refused_and_the_mode_stays(settings, message):
    model = small_gpt().train()
    with pytest.raises(ValueError, match=message) as error:
        written(model, **settings)
    assert model.training and "\n" not in str(error.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_model_whose_scores_are_no_numbers_is_told_and_the_mode_stays(value):
    table = torch.zeros(5, 5)
    table[2] = value if value < 0 else table[2]
    table[2, 3] = value
    model = Planned(table).train()
    for temperature in (0, 1.0):
        with pytest.raises(ValueError, match="scores"):
            generate(model, [2], 3, temperature=temperature)
    assert model.training
