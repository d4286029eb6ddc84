"""Searching for the likeliest sequence: against all sequences there are, at its limits, and with bad settings."""

import itertools

import pytest
import torch

from course_utils.decoding import beam_search, greedy_search

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
