"""Chapter 07's exercises, where the tests of all chapters cannot look: right answers of other kinds, other mistakes."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.exercises import engine
from course_utils.exercises.chapter_07 import decoder_step, encode, ffn, normalise, residual_step
from course_utils.exercises.engine import NOT_YET, PASSED, examine
from course_utils.exercises.running import run
from course_utils.models.transformer import FeedForward, Residual


def inputs_of(exercise_id, case):
    """The inputs of a case, drawn as the engine draws them."""
    return run(lambda *inputs: inputs, engine.get(exercise_id).cases[case].make, 5).inputs


def every_case(exercise_id):
    return pytest.mark.parametrize("case", range(len(engine.get(exercise_id).cases)))


# --- the references by themselves -----------------------------------------------------------------------------------

@every_case("07.1")
def test_ffn_is_the_models_feed_forward_network(case):
    x, *weights = inputs_of("07.1", case)
    network = FeedForward(x.shape[2], len(weights[1]))
    names = "w_1.weight", "w_1.bias", "w_2.weight", "w_2.bias"
    network.load_state_dict(dict(zip(names, weights, strict=True)))
    torch.testing.assert_close(ffn(x, *weights), network(x).detach(), rtol=1e-5, atol=1e-5)


@every_case("07.1")
def test_about_half_of_the_hidden_numbers_are_negative_or_all_of_them(case):
    x, W_1, b_1, _, _ = inputs_of("07.1", case)
    share = (F.linear(x, W_1, b_1) < 0).float().mean()
    assert share == 1 if case == 4 else 0.1 < share < 0.9


@every_case("07.2")
def test_normalise_is_torchs(case):
    x, gain, bias, *eps = inputs_of("07.2", case)
    torch.testing.assert_close(
        normalise(x, gain, bias, *eps), F.layer_norm(x, gain.shape, gain, bias, *eps), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("order", ["post", "pre"])
def test_residual_step_is_the_models_frame(order):
    torch.manual_seed(0)
    frame, f, x = Residual(6, norm=order), nn.Linear(6, 6), torch.randn(2, 4, 6)
    torch.testing.assert_close(residual_step(x, f, frame.norm, order), frame(x, f))


@pytest.mark.parametrize("order", ["both", "", None, "Post", 0])
def test_another_order_is_refused(order):
    with pytest.raises(ValueError, match="order"):
        residual_step(torch.zeros(1, 1, 2), torch.tanh, torch.tanh, order)


@pytest.mark.parametrize("case", [0, 1, 3, 4])    # case 2 has no masks
def test_the_target_sees_neither_its_future_nor_the_padding(case):
    x, memory, *functions, mask, memory_mask = inputs_of("07.5", case)
    before = decoder_step(x, memory, *functions, mask, memory_mask)
    x, memory = x.clone(), memory.masked_fill(~memory_mask[:, 0, 0].unsqueeze(-1), 5.0)
    x[:, -1] += 1
    after = decoder_step(x, memory, *functions, mask, memory_mask)
    torch.testing.assert_close(after[:, :-1], before[:, :-1])
    assert not torch.allclose(after[:, -1], before[:, -1], atol=1e-3)


@every_case("07.4")
def test_a_sentence_does_not_know_how_far_it_was_filled_up(case):
    ids, lengths, *others = inputs_of("07.4", case)
    outputs = encode(ids, lengths, *others)
    for row, length, output in zip(ids, lengths.tolist(), outputs, strict=True):
        alone = encode(row[None, :length], torch.tensor([length]), *others)
        torch.testing.assert_close(output[:length], alone[0], rtol=1e-4, atol=1e-5)


@every_case("07.4")
def test_ids_are_words_up_to_the_length_and_padding_after_it(case):
    ids, lengths, *_ = inputs_of("07.4", case)
    assert (ids != 0).sum(1).equal(lengths) and (ids[:, :1] != 0).all()


# --- right answers that look different ------------------------------------------------------------------------------

def ffn_by_modules(x, W_1, b_1, W_2, b_2):
    network = nn.Sequential(nn.Linear(*W_1.shape[::-1]), nn.ReLU(), nn.Linear(*W_2.shape[::-1]))
    network.load_state_dict({"0.weight": W_1, "0.bias": b_1, "2.weight": W_2, "2.bias": b_2})
    return network(x)


def ffn_by_einsum(x, W_1, b_1, W_2, b_2):
    hidden = (torch.einsum("btc,fc->btf", x, W_1) + b_1).clamp(min=0)
    return torch.einsum("btf,cf->btc", hidden, W_2) + b_2


def ffn_in_numpy(x, *weights):
    W_1, b_1, W_2, b_2 = (weight.numpy() for weight in weights)
    return np.maximum(x.numpy() @ W_1.T + b_1, 0) @ W_2.T + b_2


def ffn_word_by_word(x, W_1, b_1, W_2, b_2):
    return [[(W_2 @ torch.relu(W_1 @ word + b_1) + b_2).tolist() for word in sentence] for sentence in x]


def ffn_by_convolutions(x, W_1, b_1, W_2, b_2):
    return F.conv1d(F.conv1d(x.mT, W_1.unsqueeze(-1), b_1).relu(), W_2.unsqueeze(-1), b_2).mT


def normalise_in_numpy(x, gain, bias, eps=1e-5):
    x = x.numpy()
    spread = np.sqrt(x.var(-1, keepdims=True) + eps)
    return (x - x.mean(-1, keepdims=True)) / spread * gain.numpy() + bias.numpy()


def normalise_by_var_mean(x, gain, bias, eps=1e-5):
    variance, mean = torch.var_mean(x, -1, correction=0, keepdim=True)
    return torch.addcmul(bias, (x - mean) * torch.rsqrt(variance + eps), gain)


def normalise_words_as_channels(x, gain, bias, eps=1e-5):
    """Batch norm over the features of one word, each word being a channel."""
    return F.batch_norm(x.reshape(1, -1, x.shape[2]), None, None, training=True, eps=eps).view_as(x) * gain + bias


def normalise_lists(x, gain, bias, eps=1e-5):
    def one(word):
        mean = sum(word) / len(word)
        spread = math.sqrt(sum((number - mean) ** 2 for number in word) / len(word) + eps)
        return [(number - mean) / spread * g + b
                for number, g, b in zip(word, gain.tolist(), bias.tolist(), strict=True)]

    return [[one(word) for word in sentence] for sentence in x.tolist()]


def step_with_flags(x, sublayer, norm, order):
    if order not in {"post", "pre"}:
        raise ValueError
    total = x + sublayer(norm(x) if order == "pre" else x)
    return norm(total) if order == "post" else total


def step_in_place_of_a_fresh_tensor(x, sublayer, norm, order):
    match order:
        case "post":
            said = sublayer(x)
            said += x
            return norm(said)
        case "pre":
            return sublayer(norm(x)).add_(x)
        case _:
            raise ValueError(order)


def step_in_numpy(x, sublayer, norm, order):
    if order not in ("post", "pre"):
        raise ValueError(order)
    x = x.numpy()
    return norm(x + sublayer(x).numpy()) if order == "post" else x + sublayer(norm(x)).numpy()


def decoder_by_keywords(x, memory, self_attention, cross_attention, feed_forward, norms, mask, memory_mask):
    looked = norms[0](x + self_attention(query=x, key=x, value=x, mask=mask))
    asked = norms[1](looked + cross_attention(looked, value=memory, key=memory, mask=memory_mask))
    return norms[2](asked + feed_forward(asked))


def decoder_in_a_loop(x, memory, self_attention, cross_attention, feed_forward, norms, mask, memory_mask):
    sublayers = (lambda x: self_attention(x, x, x, mask), lambda x: cross_attention(x, memory, memory, memory_mask),
                 feed_forward)
    for sublayer, norm in zip(sublayers, norms, strict=True):
        x = norm(x + sublayer(x))
    return x


def encode_with_mask_from_ids(ids, lengths, embedding, positions, blocks):
    x = F.embedding(ids, embedding) * math.sqrt(embedding.shape[1]) + positions[None, :ids.shape[1]]
    for block in blocks:
        x = block(x, mask=(ids != 0)[:, None, None])
    return x


def encode_from_numpy(ids, lengths, embedding, positions, blocks):
    x = embedding.numpy()[ids.numpy()] * np.sqrt(embedding.shape[1]) + positions.numpy()[:ids.shape[1]]
    mask = (np.arange(ids.shape[1]) < lengths.numpy()[:, None])[:, None, None]
    for block in blocks:
        x = block(x, mask)
    return x


def encode_sentence_by_sentence(ids, lengths, embedding, positions, blocks):
    """No mask at all, and zeros at padding."""
    out = torch.zeros(*ids.shape, embedding.shape[1])
    for number, length in enumerate(lengths.tolist()):
        x = (embedding[ids[number, :length]] * embedding.shape[1] ** 0.5 + positions[:length]).unsqueeze(0)
        for block in blocks:
            x = block(x, None)
        out[number, :length] = x
    return out


def encode_with_empty_rows(ids, lengths, embedding, positions, blocks):
    """Padding neither asks nor answers, its vectors are zero, and one-hot vectors pick the words."""
    real = torch.tensor([[t < length for t in range(ids.shape[1])] for length in lengths])
    x = F.one_hot(ids, len(embedding)).float() @ embedding * embedding.shape[1] ** 0.5
    x = (x + F.embedding(torch.arange(ids.shape[1]), positions)) * real.unsqueeze(-1)
    for block in blocks:
        x = block(x, real[:, None, :, None] & real[:, None, None])
    return x


@pytest.mark.parametrize("exercise_id, answer", [
    ("07.1", ffn_by_modules), ("07.1", ffn_by_einsum), ("07.1", ffn_in_numpy), ("07.1", ffn_word_by_word),
    ("07.1", ffn_by_convolutions),
    ("07.1", lambda x, W_1, b_1, W_2, b_2: F.linear(F.relu(F.linear(x, W_1, b_1)), W_2, b_2)),
    ("07.2", normalise_in_numpy), ("07.2", normalise_by_var_mean), ("07.2", normalise_words_as_channels),
    ("07.2", normalise_lists),
    ("07.3", step_with_flags), ("07.3", step_in_place_of_a_fresh_tensor), ("07.3", step_in_numpy),
    ("07.5", decoder_by_keywords), ("07.5", decoder_in_a_loop),
    ("07.4", encode_with_mask_from_ids), ("07.4", encode_from_numpy), ("07.4", encode_sentence_by_sentence),
    ("07.4", encode_with_empty_rows),
])
def test_unusual_right_answers_pass(exercise_id, answer):
    verdict = examine(exercise_id, answer)
    assert verdict.status == PASSED and "\n" not in verdict.message, verdict.message


@pytest.mark.parametrize("norm", [
    lambda x, gain, bias, eps=1e-5: F.layer_norm(x, gain.shape, gain, bias, eps),
    lambda x, gain, bias, eps=1e-5: torch.layer_norm(x, gain.shape, gain, bias, eps),
])
def test_a_finished_layer_norm_passes_with_a_remark(norm):
    verdict = examine("07.2", norm)
    assert verdict.status == PASSED and "the exercise asks you to write it out" in verdict.message


# --- mistakes, written in other ways --------------------------------------------------------------------------------

def annotated_layer_norm(x, gain, bias, eps=1e-5):
    return gain * (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + eps) + bias


def torchs_batch_norm(x, gain, bias, eps=1e-5):
    return F.batch_norm(x.mT, None, None, gain, bias, training=True, eps=eps).mT


def norm_first_in_pre(x, sublayer, norm, order):
    if order == "pre":
        x = norm(x)
    x = x + sublayer(x)
    return norm(x) if order == "post" else x


def no_branch_for_another_order(x, sublayer, norm, order):
    if order == "post":
        result = norm(x + sublayer(x))
    elif order == "pre":
        result = x + sublayer(norm(x))
    return result


def falls_off_the_end(x, sublayer, norm, order):
    if order == "post":
        return norm(x + sublayer(x))
    if order == "pre":
        return x + sublayer(norm(x))
    print("no such order")


def not_implemented(x, sublayer, norm, order):
    if order in ("post", "pre"):
        return residual_step(x, sublayer, norm, order)
    raise NotImplementedError(order)


def text_for_an_error(x, sublayer, norm, order):
    return residual_step(x, sublayer, norm, order) if order in ("post", "pre") else "ValueError"


def computes_twice(x, sublayer, norm, order):
    said = sublayer(x)
    if order == "post":
        return norm(x + said)
    if order == "pre":
        return x + sublayer(norm(x))
    raise ValueError(order)


def decoding(look, ask):
    """A decoder that calls its attentions with look(x, memory, mask, memory_mask) and ask(the same)."""
    def answer(x, memory, self_attention, cross_attention, feed_forward, norms, mask, memory_mask):
        x = norms[0](x + self_attention(*look(x, memory, mask, memory_mask)))
        x = norms[1](x + cross_attention(*ask(x, memory, mask, memory_mask)))
        return norms[2](x + feed_forward(x))
    return answer


def look_rightly(x, memory, mask, memory_mask):
    return x, x, x, mask


def unpacks(x, memory, self_attention, cross_attention, feed_forward, norms, mask, memory_mask):
    output, _ = self_attention(x, x, x, mask)
    x = norms[0](x + output)
    output, _ = cross_attention(x, memory, memory, memory_mask)
    x = norms[1](x + output)
    return norms[2](x + feed_forward(x))


def too_few_arguments(x, memory, self_attention, cross_attention, feed_forward, norms, mask, memory_mask):
    return norms[0](x + self_attention(x, mask))


def encoding(mask, enter=lambda words, rows, root: words * root + rows):
    """An encoder with another mask, from lengths and T, or another sum."""
    def answer(ids, lengths, embedding, positions, blocks):
        x = enter(embedding[ids], positions[:ids.shape[1]], embedding.shape[1] ** 0.5)
        for block in blocks:
            x = block(x, mask(lengths, ids.shape[1]))
        return x
    return answer


def real(lengths, T):
    return torch.arange(T) < lengths[:, None]


def real_keys(lengths, T):
    return real(lengths, T)[:, None, None]


@pytest.mark.parametrize("exercise_id, answer, words", [
    ("07.1", lambda *inputs: ffn(*inputs).relu(), "can never be negative"),
    ("07.1", lambda x, W_1, b_1, W_2, b_2: x @ W_1.T @ W_2.T, "two mistakes at once. The ReLU is missing"),
    ("07.1", lambda x, W_1, b_1, W_2, b_2: F.linear(F.relu(F.linear(x, W_1.T, b_1)), W_2.T, b_2), "both of them"),
    ("07.1", lambda x, W_1, b_1, W_2, b_2: (ffn(x, W_1, b_1, W_2, b_2), x), "got a tuple of 2 tensors"),
    ("07.1", lambda x, W_1, b_1, W_2, b_2: ffn(x.sum(1) / x.shape[1], W_1, b_1, W_2, b_2), "the axis T is gone"),
    ("07.2", annotated_layer_norm, "x.std divides by C - 1"),
    ("07.2", torchs_batch_norm, "that is batch norm"),
    ("07.2", lambda x, gain, bias, eps=1e-5: F.layer_norm(x, x.shape[1:], eps=eps) * gain + bias, "words and features"),
    ("07.2", lambda x, gain, bias, eps=1e-5: F.layer_norm(x, gain.shape, gain, bias), "a number of your own"),
    ("07.2", lambda x, gain, bias, eps=1e-5: F.layer_norm(x, gain.shape), "two mistakes at once. Your eps"),
    ("07.2", lambda x, gain, bias: F.layer_norm(x, gain.shape, gain, bias), "keep the arguments of the stub"),
    ("07.2", lambda x, gain, bias, eps=1e-5: (x - x.mean()) / (x.std() + eps) * gain + bias, "for the whole tensor"),
    ("07.3", norm_first_in_pre, 'two mistakes at once. Your "pre" adds norm(x)'),
    ("07.3", no_branch_for_another_order, "You do not refuse another order"),
    ("07.3", falls_off_the_end, "You do not refuse another order"),
    ("07.3", not_implemented, "not with a ValueError"),
    ("07.3", text_for_an_error, "You do not refuse another order"),
    ("07.3", computes_twice, "sublayer should be called once, and it is called 2 times"),
    ("07.3", lambda x, f, norm, order: {"post": lambda: norm(x + f(x)), "pre": lambda: x + f(norm(x))}[order](),
     "it ends in a KeyError"),
    ("07.3", lambda x, f, norm, order: norm(f(x)) if order == "post" else f(norm(x)),
     "two mistakes at once. You leave x out in both orders"),
    ("07.3", lambda x, f, norm, order: norm(x + f(x)), "You give post-norm whatever the order is"),
    ("07.5", decoding(lambda x, memory, *_: (x, x, x), lambda x, memory, *_: (x, memory, memory)),
     "two mistakes at once. Your self-attention has no mask"),
    ("07.5", decoding(lambda x, memory, mask, memory_mask: (x, x, x, memory_mask),
                      lambda x, memory, mask, memory_mask: (x, memory, memory, mask)),
     "two mistakes at once. Your self-attention gets memory_mask"),
    ("07.5", decoding(look_rightly, lambda x, memory, mask, memory_mask: (memory, x, x, memory_mask)),
     "takes the query from the encoder"),
    ("07.5", decoding(look_rightly, lambda x, memory, mask, memory_mask: (x, x, memory, memory_mask)),
     "takes its keys from the target"),
    ("07.5", decoding(lambda x, memory, mask, memory_mask: (x, x, x, None if mask is None else mask.float()),
                      lambda x, memory, mask, memory_mask: (x, memory, memory, memory_mask)),
     "expected a boolean mask, True = may attend, and got one made of numbers"),
    ("07.5", unpacks, "You unpack an attention's result in two"),
    ("07.5", too_few_arguments, "attention() missing 1 required positional argument: 'value'"),
    ("07.5", lambda *inputs: (decoder_step(*inputs), inputs[1]), "got a tuple of 2 tensors"),
    ("07.4", encoding(lambda lengths, T: None), "attend to padding"),
    ("07.4", encoding(lambda lengths, T: torch.ones(len(lengths), 1, 1, T, dtype=torch.bool)), "attend to padding"),
    ("07.4", encoding(lambda lengths, T: torch.ones(T, T).tril().bool() & real_keys(lengths, T)), "decoder's mask"),
    ("07.4", encoding(lambda lengths, T: real_keys(lengths, T).int()), "made of numbers"),
    ("07.4", encoding(lambda lengths, T: torch.where(real_keys(lengths, T), 0.0, -math.inf)), "made of numbers"),
    ("07.4", encoding(lambda lengths, T: real(lengths, T)[:, None].expand(-1, T, -1)), "expected a mask for scores"),
    ("07.4", encoding(lambda lengths, T: real_keys(lengths, T).logical_not()), "turned round"),
    ("07.4", encoding(real_keys, lambda words, rows, root: (words + rows) * root), "Only the words are scaled"),
    ("07.4", encoding(lambda lengths, T: None, lambda words, rows, root: words + rows),
     "two mistakes at once. Your blocks attend to padding"),
    ("07.4", lambda ids, lengths, embedding, positions, blocks: embedding(ids), "plain tensors, no nn.Embedding"),
])
def test_other_ways_to_make_a_mistake(exercise_id, answer, words):
    verdict = examine(exercise_id, answer)
    assert verdict.status == NOT_YET and words in verdict.message, verdict.message


def works_in_place(x, gain, bias, eps=1e-5):
    x -= x.mean(-1, keepdim=True)
    x /= (x.square().mean(-1, keepdim=True) + eps).sqrt()
    return x * gain + bias


def adds_to_its_input(x, sublayer, norm, order):
    if order not in ("post", "pre"):
        raise ValueError(order)
    x += sublayer(x if order == "post" else norm(x))
    return norm(x) if order == "post" else x


def adds_to_the_block_s_input(x, memory, self_attention, cross_attention, feed_forward, norms, mask, memory_mask):
    x += self_attention(x, x, x, mask)
    x = norms[0](x)
    x = norms[1](x + cross_attention(x, memory, memory, memory_mask))
    return norms[2](x + feed_forward(x))


def scales_the_table(ids, lengths, embedding, positions, blocks):
    embedding *= embedding.shape[1] ** 0.5
    return encoding(real_keys, lambda words, rows, root: words + rows)(ids, lengths, embedding, positions, blocks)


@pytest.mark.parametrize("exercise_id, answer, name", [
    ("07.1", lambda x, W_1, b_1, W_2, b_2: (ffn(x, W_1, b_1, W_2, b_2), x.relu_())[0], "x"),
    ("07.2", works_in_place, "x"), ("07.3", adds_to_its_input, "x"), ("07.5", adds_to_the_block_s_input, "x"),
    ("07.4", scales_the_table, "embedding"),
])
def test_a_changed_input_is_told(exercise_id, answer, name):
    verdict = examine(exercise_id, answer)
    assert verdict.status == NOT_YET and f"{name} is changed in place" in verdict.message, verdict.message


@pytest.mark.parametrize("exercise_id", ["07.1", "07.2", "07.3", "07.5", "07.4"])
def test_a_loop_without_an_end_is_stopped_and_told(exercise_id):
    def never_ends(*inputs):
        while True:
            pass

    verdict = engine.diagnose(replace(engine.get(exercise_id), seconds=0.2), never_ends)
    assert verdict.status == NOT_YET and "still running after 0.2 seconds" in verdict.message
