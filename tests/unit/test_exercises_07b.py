"""Exercises 07.7 to 07.6, where the tests of all chapters cannot look: right answers of other kinds, modes, leaks."""

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from course_utils.exercises import engine
from course_utils.exercises.chapter_07 import (
    greedy_decode,
    learning_rate,
    peeks,
    shift_targets,
    smoothed_loss,
)
from course_utils.exercises.engine import NOT_YET, PASSED, examine
from course_utils.exercises.running import run
from course_utils.training import smoothed_cross_entropy, warmup_then_inverse_sqrt


def inputs_of(exercise_id, case):
    """The inputs of a case, drawn as the engine draws them."""
    return run(lambda *inputs: inputs, engine.get(exercise_id).cases[case].make, 5).inputs


def every_case(exercise_id):
    return pytest.mark.parametrize("case", range(len(engine.get(exercise_id).cases)))


# --- the references by themselves -----------------------------------------------------------------------------------

def test_the_shift_of_two_sentences_written_out():
    decoder_input, wanted, counts = shift_targets(torch.tensor([[1, 7, 2, 0], [1, 5, 6, 2]]))
    assert decoder_input.tolist() == [[1, 7, 2], [1, 5, 6]]
    assert wanted.tolist() == [[7, 2, 0], [5, 6, 2]]
    assert counts.tolist() == [[True, True, False], [True, True, True]]


@every_case("07.7")
def test_every_target_holds_one_start_and_one_end(case):
    target, pad = (*inputs_of("07.7", case), 0)[:2]
    start, end = (3, 4) if pad else (1, 2)
    assert (target == start).sum(1).eq(1).all() and (target == end).sum(1).eq(1).all()
    assert (target[:, 0] == start).all()


@every_case("07.9")
def test_the_rate_is_that_of_the_courses_schedule(case):
    step, d_model, warmup = inputs_of("07.9", case)
    assert learning_rate(step, d_model, warmup) == pytest.approx(warmup_then_inverse_sqrt(d_model, warmup)(step - 1))


def test_the_rate_is_highest_at_the_end_of_the_warmup():
    rates = [learning_rate(step, 64, 30) for step in range(1, 200)]
    assert rates.index(max(rates)) == 29 and max(rates) == pytest.approx((64 * 30) ** -0.5)


@every_case("07.10")
def test_the_smoothed_loss_is_torchs_and_the_courses(case):
    logits, targets, smoothing, pad = (*inputs_of("07.10", case), 0)[:4]
    theirs = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=pad, label_smoothing=smoothing)
    loss = smoothed_loss(logits, targets, smoothing, pad)
    torch.testing.assert_close(loss, theirs, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(loss, smoothed_cross_entropy(logits, targets, smoothing, pad), rtol=1e-5, atol=1e-5)


def test_only_one_case_of_the_decoding_has_no_tokens_and_no_list_is_too_long():
    written = []
    for case in range(len(engine.get("07.8").cases)):
        model, source, lengths, start, end, limit = inputs_of("07.8", case)
        ids = greedy_decode(model, source, lengths, start, end, limit)
        assert len(ids) <= limit and end not in ids
        written.append(len(ids) - limit)
    assert written.count(0) == 3 and len(written) == 11


@every_case("07.8")
def test_the_model_comes_back_in_its_mode_after_one_encoding_without_dropout(case):
    model, *inputs = inputs_of("07.8", case)
    found = model.training
    greedy_decode(model, *inputs)
    assert (model.training, model.dropout.training, model.encodings, model.noisy) == (found, found, 1, set())


@every_case("07.8")
def test_dropout_left_on_writes_something_else(case):
    """So that what the diagnosis says of dropout can be seen in the tokens too, and not in a flag alone."""
    model, *inputs = inputs_of("07.8", case)
    honest = greedy_decode(copy.deepcopy(model), *inputs)
    model.eval = lambda: None
    torch.manual_seed(5)
    noisy = greedy_decode(model, *inputs)
    assert (noisy != honest) == bool(model.noisy) == model.training


def test_the_padding_of_a_source_would_change_the_translation():
    model, source, lengths, *rest = inputs_of("07.8", 4)
    ids = greedy_decode(model, source, lengths, *rest)
    assert int(lengths) < source.shape[1] and ids != greedy_decode(model, source, lengths + 1, *rest)


LEAKS = [case for case in range(len(engine.get("07.6").cases)) if peeks(*inputs_of("07.6", case))]


@every_case("07.6")
def test_decoders_peek_where_other_later_tokens_change_something(case):
    """The definition itself, tried with random later tokens; rounding is left out by a wide margin."""
    decode, tokens, vocab_size = inputs_of("07.6", case)
    torch.manual_seed(case)
    reaches = False
    for t in range(tokens.shape[1] - 1):
        base = decode(tokens)[:, :t + 1]
        for _ in range(4):
            other = torch.cat([tokens[:, :t + 1], torch.randint(vocab_size, tokens[:, t + 1:].shape)], dim=1)
            reaches |= bool((decode(other)[:, :t + 1] - base).abs().max() > 1e-4)
    assert reaches == (case in LEAKS)


def test_there_are_leaks_and_honest_decoders_enough():
    assert len(LEAKS) >= 10 and len(engine.get("07.6").cases) - len(LEAKS) >= 5


# --- right answers that look different ------------------------------------------------------------------------------

def shifted_row_by_row(target, pad=0):
    rows = target.tolist()
    wanted = [row[1:] for row in rows]
    return [row[:-1] for row in rows], wanted, [[token != pad for token in row] for row in wanted]


def shifted_in_numpy(target, pad=0):
    target = target.numpy()
    return [target[:, :-1], target[:, 1:], target[:, 1:] != pad]


def padding_for_the_ends_that_are_read(target, pad=0):
    inputs, wanted, counts = shift_targets(target, pad)
    return inputs.masked_fill(~counts, pad), wanted, counts


def counted_by_length(target, pad=0):
    lengths = (target != pad).sum(1) - 1
    return target.narrow(1, 0, target.shape[1] - 1), target[:, 1:], \
        torch.arange(target.shape[1] - 1) < lengths.unsqueeze(1)


def rate_by_if(step, d_model, warmup):
    rate = step / warmup / math.sqrt(warmup) if step < warmup else 1 / math.sqrt(step)
    return rate / math.sqrt(d_model)


def rate_from_its_peak(step, d_model, warmup):
    return min(step / warmup, math.sqrt(warmup / step)) / math.sqrt(warmup * d_model)


def rate_as_tensor(step, d_model, warmup):
    step = torch.tensor(float(step), dtype=torch.float64)
    return d_model ** -0.5 * torch.minimum(step ** -0.5, step * warmup ** -1.5)


def loss_by_soft_targets(logits, targets, smoothing, pad=0):
    V = logits.shape[-1]
    soft = torch.full_like(logits, smoothing / V)
    soft.scatter_(-1, targets.unsqueeze(-1), 1 - smoothing + smoothing / V)
    losses = -(soft * F.log_softmax(logits, dim=-1)).sum(-1)
    real = (targets != pad).float()
    return (losses * real).sum() / real.sum()


def loss_by_loop(logits, targets, smoothing, pad=0):
    losses = []
    for scores, target in zip(logits.flatten(0, 1).double(), targets.flatten().tolist(), strict=True):
        if target != pad:
            log_probs = scores - scores.logsumexp(0)
            losses.append(float(-(1 - smoothing) * log_probs[target] - smoothing * log_probs.mean()))
    return sum(losses) / len(losses)


def loss_of_real_rows(logits, targets, smoothing, pad=0):
    logits, targets = logits[targets != pad], targets[targets != pad]
    hot = np.eye(logits.shape[-1])[targets.numpy()]
    soft = hot * (1 - smoothing) + smoothing / logits.shape[-1]
    return -(soft * logits.log_softmax(-1).numpy()).sum() / len(targets)


def decoded_with_finally(model, source, lengths, start, end, limit):
    mode = model.training
    try:
        model.train(False)
        state, token, ids = model.encode(source, lengths), torch.full((1,), start), []
        for _ in range(limit):
            logits, state = model.step(token, state)
            token = torch.tensor([np.argmax(logits.detach().numpy())])
            if token == end:
                return ids
            ids += token.tolist()
        return ids
    finally:
        model.train(mode)


def decoded_by_a_copy(model, source, lengths, start, end, limit):
    model = copy.deepcopy(model).eval()
    ids, state = [start], model.encode(source, lengths)
    while ids[-1] != end and len(ids) <= limit:
        logits, state = model.step(torch.tensor(ids[-1:]), state)
        ids.append(int(logits.squeeze(0).topk(1).indices))
    return torch.tensor([token for token in ids[1:] if token != end], dtype=torch.long)


def decoded_by_recursion(model, source, lengths, start, end, limit):
    def rest(tokens, state, left):
        if left == 0:
            return []
        logits, state = model.step(tokens, state)
        tokens = logits.max(dim=1).indices
        return [] if tokens.item() == end else [int(tokens), *rest(tokens, state, left - 1)]

    switch_back = model.training
    model.eval()
    ids = rest(torch.tensor([start]), model.encode(source, lengths), limit)
    if switch_back:
        model.train()
    return ids


def decoded_and_cut(model, source, lengths, start, end, limit):
    found = model.training
    model.eval()
    with torch.inference_mode():
        state, tokens, ids = model.encode(source, lengths), torch.tensor([start], device=source.device), []
        for _ in range(limit):
            logits, state = model.step(tokens, state)
            tokens = logits.softmax(-1).argmax(dim=-1)
            ids.append(tokens.item())
    model.train(found)
    return ids[:ids.index(end)] if end in ids else ids


def peeks_by_all_later_tokens(decode, tokens, vocab_size):
    before = decode(tokens)
    for t in range(tokens.shape[1] - 1):
        changed = tokens.clone()
        changed[:, t + 1:] = (changed[:, t + 1:] + 1) % vocab_size
        if (decode(changed)[:, :t + 1] - before[:, :t + 1]).abs().max() > 1e-4:
            return True
    return False


def peeks_by_the_last_place_before(decode, tokens, vocab_size):
    """Only place t is compared, but all tokens after it are changed."""
    before, other = decode(tokens), (tokens + 1) % vocab_size
    T = tokens.shape[1]
    return any(
        not torch.allclose(decode(torch.cat([tokens[:, :t + 1], other[:, t + 1:]], 1))[:, t], before[:, t], atol=1e-5)
        for t in range(T))


def peeks_by_shorter_sentences(decode, tokens, vocab_size):
    whole = decode(tokens).numpy()
    return not all(np.allclose(decode(tokens[:, :t]).numpy(), whole[:, :t], atol=1e-5)
                   for t in range(1, tokens.shape[1]))


def peeks_by_every_other_id(decode, tokens, vocab_size):
    before, found = decode(tokens), torch.tensor(False)
    for t in range(1, tokens.shape[1]):
        for shift in range(1, vocab_size):
            changed = tokens.clone()
            changed[:, t] = (changed[:, t] - shift) % vocab_size
            found |= ((decode(changed) - before).abs()[:, :t] > 1e-5).any()
    return found


def peeks_by_chance(decode, tokens, vocab_size):
    before = decode(tokens)
    for t in range(1, tokens.shape[1]):
        for _ in range(5):
            changed = torch.cat([tokens[:, :t], torch.randint(vocab_size, tokens[:, t:].shape)], dim=1)
            if not torch.allclose(before[:, :t], decode(changed)[:, :t], atol=1e-5):
                return True
    return False


def peeks_in_one_batch(decode, tokens, vocab_size):
    B, T = tokens.shape
    many = tokens.repeat(T, 1, 1)                                      # (T, B, T)
    many[range(T), :, range(T)] = (many[range(T), :, range(T)] + 1) % vocab_size
    out, before = decode(many.flatten(0, 1)).unflatten(0, (T, B)), decode(tokens)
    moved = (out - before).abs().amax((1, 3)) > 1e-5                   # (T changed, T place)
    return bool(moved.tril(-1).any())


@pytest.mark.parametrize("exercise_id, answer", [
    ("07.7", shifted_row_by_row), ("07.7", shifted_in_numpy), ("07.7", padding_for_the_ends_that_are_read),
    ("07.7", counted_by_length),
    ("07.9", rate_by_if), ("07.9", rate_from_its_peak), ("07.9", rate_as_tensor),
    ("07.10", loss_by_soft_targets), ("07.10", loss_by_loop), ("07.10", loss_of_real_rows),
    ("07.8", decoded_with_finally), ("07.8", decoded_by_a_copy), ("07.8", decoded_by_recursion),
    ("07.8", decoded_and_cut),
    ("07.6", peeks_by_all_later_tokens), ("07.6", peeks_by_the_last_place_before),
    ("07.6", peeks_by_shorter_sentences), ("07.6", peeks_by_every_other_id), ("07.6", peeks_by_chance),
    ("07.6", peeks_in_one_batch),
])
def test_unusual_right_answers_pass(exercise_id, answer):
    verdict = examine(exercise_id, answer)
    assert verdict.status == PASSED and "\n" not in verdict.message, verdict.message


def test_torchs_own_loss_passes_with_a_remark():
    def answer(logits, targets, smoothing, pad=0):
        return F.cross_entropy(logits.mT, targets, ignore_index=pad, label_smoothing=smoothing)

    verdict = examine("07.10", answer)
    assert verdict.status == PASSED and "Passed, but with F.cross_entropy" in verdict.message


# --- mistakes, written in another way than the exercise's own -------------------------------------------------------

def counting_words(target, pad=0):
    return target[:, :-1], target[:, 1:], (target[:, 1:] != pad) & (target[:, 1:] != 2)


def loss_with_scatter(logits, targets, smoothing, pad=0):
    soft = torch.full_like(logits, smoothing / logits.shape[-1]).scatter(-1, targets.unsqueeze(-1), 1 - smoothing)
    return -(soft * logits.log_softmax(-1)).sum(-1)[targets != pad].mean()


def loss_of_the_other_convention(logits, targets, smoothing, pad=0):
    soft = torch.full_like(logits, smoothing / (logits.shape[-1] - 1))
    soft.scatter_(-1, targets.unsqueeze(-1), 1 - smoothing)
    return -(soft * logits.log_softmax(-1)).sum(-1)[targets != pad].mean()


def loss_by_divergence(logits, targets, smoothing, pad=0):
    real = targets != pad
    soft = F.one_hot(targets[real], logits.shape[-1]) * (1 - smoothing) + smoothing / logits.shape[-1]
    return F.kl_div(logits[real].log_softmax(-1), soft, reduction="batchmean")


def decoded_without_eval(model, source, lengths, start, end, limit):
    with torch.no_grad():
        state, tokens, ids = model.encode(source, lengths), torch.tensor([start]), []
        while len(ids) < limit:
            logits, state = model.step(tokens, state)
            tokens = logits.argmax(-1)
            if tokens.item() == end:
                break
            ids.append(tokens.item())
    return ids


def decoded_with_a_flag(model, *inputs):
    was_training, model.training = model.training, False       # does not reach the dropout inside
    ids = decoded_without_eval(model, *inputs)
    model.training = was_training
    return ids


def decoded_in_eval_for_good(model, *inputs):
    model.eval()
    return decoded_without_eval(model, *inputs)


def decoded_with_an_early_return(model, source, lengths, start, end, limit):
    was_training = model.training
    state, tokens, ids = model.eval().encode(source, lengths), torch.tensor([start]), []
    for _ in range(limit):
        logits, state = model.step(tokens, state)
        tokens = logits.argmax(-1)
        if tokens.item() == end:
            return ids
        ids.append(tokens.item())
    model.train(was_training)
    return ids


def decoded_from_the_beginning_each_time(model, source, lengths, start, end, limit):
    was_training = model.training
    model.eval()
    ids = [start]
    for _ in range(limit):
        state = model.encode(source, lengths)
        for token in ids:
            logits, state = model.step(torch.tensor([token]), state)
        if logits.argmax() == end:
            break
        ids.append(int(logits.argmax()))
    model.train(was_training)
    return ids[1:]


def decoded_without_a_limit(model, source, lengths, start, end, limit):
    was_training = model.training
    state, tokens, ids = model.eval().encode(source, lengths), torch.tensor([start]), []
    while True:
        logits, state = model.step(tokens, state)
        tokens = logits.argmax(-1)
        if tokens.item() == end:
            break
        ids.append(tokens.item())
    model.train(was_training)
    return ids


def decoded_over_the_batch(model, source, lengths, start, end, limit):
    state, tokens, ids = model.eval().encode(source, lengths), torch.tensor([start]), []
    for _ in range(limit):
        logits, state = model.step(tokens, state)
        tokens = logits.argmax(dim=0)
        if tokens == end:
            break
        ids.append(tokens.item())
    return ids


def decoded_by_the_whole_prefix(model, source, lengths, start, end, limit):
    state, ids = model.eval().encode(source, lengths), [start]
    for _ in range(limit):
        logits, state = model.step(torch.tensor([ids]), state)
        ids.append(int(logits.argmax()))
    return ids


def decoded_by_a_token_without_an_axis(model, source, lengths, start, end, limit):
    state, tokens, ids = model.eval().encode(source, lengths), torch.tensor([start]), []
    while len(ids) < limit:
        logits, state = model.step(tokens, state)
        tokens = logits.argmax()
        if tokens == end:
            break
        ids.append(tokens.item())
    return ids


def decoded_with_one_score(model, source, lengths, start, end, limit):
    """As for logits of shape (B, T, V)."""
    was_training = model.training
    state, tokens, ids = model.eval().encode(source, lengths), torch.tensor([start]), []
    while len(ids) < limit:
        logits, state = model.step(tokens, state)
        tokens = logits[:, -1].argmax(-1, keepdim=True)
        if tokens == end:
            break
        ids.append(tokens.item())
    model.train(was_training)
    return ids


def peeks_at_its_own_place(decode, tokens, vocab_size):
    before = decode(tokens)
    for t in range(tokens.shape[1] - 1):
        changed = tokens.clone()
        changed[:, t:] = (changed[:, t:] + 1) % vocab_size
        if not torch.allclose(decode(changed)[:, :t + 1], before[:, :t + 1], atol=1e-5):
            return True
    return False


def peeks_where_everything_differs(decode, tokens, vocab_size):
    before = decode(tokens)
    for t in range(1, tokens.shape[1]):
        changed = tokens.clone()
        changed[:, t] = (changed[:, t] + 1) % vocab_size
        if (decode(changed)[:, :t] != before[:, :t]).all():
            return True
    return False


def peeks_by_zeros_from_the_end(decode, tokens, vocab_size):
    before = decode(tokens)
    for t in range(1, tokens.shape[1]):
        changed = tokens.clone()
        changed[:, t:] = 0
        if not torch.allclose(decode(changed)[:, :t], before[:, :t], atol=1e-5):
            return True
    return False


def peeks_without_a_clone(decode, tokens, vocab_size):
    before, changed = decode(tokens), tokens
    for t in range(1, tokens.shape[1]):
        changed[:, t] = (changed[:, t] + 1) % vocab_size
        if not torch.allclose(decode(changed)[:, :t], before[:, :t], atol=1e-5):
            return True
    return False


def peeks_with_a_return_in_the_loop(decode, tokens, vocab_size):
    for t in range(tokens.shape[1] - 1):
        changed = tokens.clone()
        changed[:, t + 1] = (changed[:, t + 1] + 1) % vocab_size
        return not torch.allclose(decode(changed)[:, :t + 1], decode(tokens)[:, :t + 1], atol=1e-5)


def peeks_by_the_likeliest(decode, tokens, vocab_size):
    before = decode(tokens).argmax(-1)
    for t in range(1, tokens.shape[1]):
        changed = tokens.clone()
        changed[:, t:] = (changed[:, t:] + 1) % vocab_size
        if (decode(changed).argmax(-1) != before)[:, :t].any():
            return True
    return False


def peeks_past_the_vocabulary(decode, tokens, vocab_size):
    for t in range(1, tokens.shape[1]):
        changed = tokens.clone()
        changed[:, t:] += 1
        if not torch.allclose(decode(changed)[:, :t], decode(tokens)[:, :t], atol=1e-5):
            return True
    return False


@pytest.mark.parametrize("exercise_id, answer, words", [
    ("07.7", counting_words, "In counts"),
    ("07.7", lambda target, pad=0: shift_targets(target, pad)[:2], "Expected 3 things (decoder_input, wanted, counts)"),
    ("07.7", lambda target, pad=0: (*shift_targets(target, pad)[:2], (target[:, 1:] != pad).long()),
     "int64 where bool"),
    ("07.7", lambda target, pad=0: (*shift_targets(target, pad)[:2], target[:, :-1] != pad), "which inputs are real"),
    ("07.9", lambda step, d_model, warmup: d_model ** -0.5 * min((step - 1) ** -0.5, (step - 1) * warmup ** -1.5),
     "count steps from 0"),
    ("07.9", lambda step, d_model, warmup: 1 / d_model ** -0.5 * min(step ** -0.5, step * warmup ** -1.5),
     "You multiply by √d_model"),
    ("07.9", lambda step, d_model, warmup: d_model ** -0.5 * max(step ** -0.5, step * warmup ** -0.5),
     "two mistakes at once"),
    ("07.10", loss_with_scatter, "does not sum to 1"),
    ("07.10", loss_of_the_other_convention, "That is one convention"),
    ("07.10", loss_by_divergence, "Kullback-Leibler"),
    ("07.10", lambda logits, targets, smoothing, pad=0: F.cross_entropy(logits.mT, targets, label_smoothing=smoothing),
     "runs over the padding too"),
    ("07.8", decoded_without_eval, "You leave dropout on"),
    ("07.8", decoded_with_a_flag, "You leave dropout on"),
    ("07.8", decoded_in_eval_for_good, "in evaluation mode, so the training"),
    ("07.8", decoded_with_an_early_return, "a return inside the loop"),
    ("07.8", decoded_from_the_beginning_each_time, "You encode at every step"),
    ("07.8", decoded_without_a_limit, "No limit stops your loop"),
    ("07.8", decoded_over_the_batch, "Your argmax runs over axis 0"),
    ("07.8", decoded_by_the_whole_prefix, "the state knows those before"),
    ("07.8", lambda model, source, lengths, *rest: greedy_decode(model, source, torch.tensor(source.shape[1:]), *rest),
     "the padding is read too"),
    ("07.8", decoded_by_a_token_without_an_axis, "torch.tensor([token]) makes one"),
    ("07.8", decoded_with_one_score, "Your token is 0 each time"),
    ("07.8", lambda model, *inputs: greedy_decode(model, *inputs) and model, "In ids: expected"),
    ("07.9", lambda step, d_model, warmup: d_model ^ -0.5, "Write step ** -0.5"),
    ("07.7", lambda target, pad=0: (target[:, :-1], target[:, 1:], (target[:, 1:] == 2).cumsum(1).roll(1, 1) == 0),
     "In counts"),
    ("07.6", peeks_at_its_own_place, "It may see its own token"),
    ("07.6", peeks_where_everything_differs, "One is enough"),
    ("07.6", peeks_by_zeros_from_the_end, "You set tokens to 0"),
    ("07.6", peeks_without_a_clone, "Your changes pile up"),
    ("07.6", peeks_with_a_return_in_the_loop, "You try one place, the second token, and return"),
    ("07.6", peeks_by_the_likeliest, "the likeliest token only"),
    ("07.6", peeks_past_the_vocabulary, "leaves the vocabulary"),
    ("07.6", lambda decode, tokens, vocab_size: decode(tokens) is decode(tokens.clone()), "False each time"),
])
def test_other_ways_to_make_a_mistake(exercise_id, answer, words):
    verdict = examine(exercise_id, answer)
    assert verdict.status == NOT_YET and words in verdict.message, verdict.message


def test_a_leak_that_is_missed_is_named():
    """On nobody's list: only the first sentence is tried, and a wide tolerance misses a leak of some hundredths."""
    def answer(decode, tokens, vocab_size):
        other = (tokens[:1] + 1) % vocab_size
        before = decode(tokens[:1])
        return any(((decode(torch.cat([tokens[:1, :t], other[:, t:]], 1)) - before).abs()[:, :t] > 0.2).any()
                   for t in range(1, tokens.shape[1]))

    verdict = examine("07.6", answer)
    assert verdict.status == NOT_YET and verdict.misconception is None, verdict.message
    assert "Case: tokens ahead change the output by some hundredths." in verdict.message
    assert "Expected True, got False. Rounding is far smaller." in verdict.message.replace("\n", " ")


def test_inputs_changed_in_place_are_told():
    def fills(target, pad=0):
        result = tuple(part.clone() for part in shift_targets(target, pad))
        target[:, -1] = 7
        return result

    def counts_up(decode, tokens, vocab_size):
        result = peeks(decode, tokens, vocab_size)
        tokens[:, 1] = (tokens[:, 1] + 1) % vocab_size
        return result

    assert "target is changed in place" in examine("07.7", fills).message
    assert "tokens is changed in place" in examine("07.6", counts_up).message


def test_a_decoding_loop_that_never_ends_is_stopped():
    def waits(model, source, lengths, start, end, limit):
        model.eval()
        token = start
        while token != end:
            state = None
        return [state]

    exercise = engine.get("07.8")
    outcome = run(engine._call_of(exercise, waits), exercise.cases[0].make, 0.2)
    assert outcome.timed_out and outcome.line is not None


def test_forgetting_to_return_is_told_before_manners():
    def forgets(model, *inputs):
        decoded_without_eval(model, *inputs)

    verdict = examine("07.8", forgets)
    assert verdict.status == NOT_YET and "greedy_decode gave back None" in verdict.message
