"""The course's GPT against `transformers`' GPT-2 and GPT-1, with and without a cache; the filters against theirs.

B≠T≠H≠d_k≠C≠V≠N, so no two axes can be mixed up unnoticed.
"""

import pytest
import torch
import torch.nn.functional as F
import transformers
from transformers.generation import logits_process

from course_utils.decoding import apply_temperature, generate, repetition_penalty, top_k_filter, top_p_filter
from course_utils.models.attention import attention_maps
from course_utils.models.gpt import GPT, GPT2, GPTConfig, cached_length, causal_loss, copy_transformers_gpt

CLOSE = {"rtol": 1e-5, "atol": 1e-5}        # for float32
EXACT = {"rtol": 1e-9, "atol": 1e-9}        # for float64
B, T = 3, 11
SIZES = [(37, 24, 2, 3, 17), (53, 30, 5, 1, 11), (19, 28, 4, 5, 40), (29, 9, 1, 2, 12)]      # V, C, H, N, max_length
every_size = pytest.mark.parametrize("sizes", SIZES, ids=lambda sizes: f"C{sizes[1]}-H{sizes[2]}-N{sizes[3]}")
every_model = pytest.mark.parametrize("norm", ["pre", "post"], ids=["GPT-2", "GPT-1"])


def pair(sizes, norm="pre"):
    """(ours, theirs) with the same random weights, larger than at the start so that attention is no average."""
    vocab, width, heads, layers, longest = sizes
    settings = {"vocab_size": vocab, "n_embd": width, "n_head": heads, "n_layer": layers, "n_positions": longest,
                "attn_implementation": "eager"}
    theirs = (transformers.GPT2LMHeadModel(transformers.GPT2Config(**settings, bos_token_id=0, eos_token_id=0))
              if norm == "pre" else transformers.OpenAIGPTLMHeadModel(transformers.OpenAIGPTConfig(**settings)))
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in theirs.parameters():
            weight.copy_(torch.randn_like(weight) * 0.3)
    ours = GPT(GPTConfig(vocab, width, heads, None, layers, longest, norm=norm))
    copy_transformers_gpt(ours, theirs)
    return ours.eval(), theirs.eval()


def ids_for(sizes):
    return torch.randint(sizes[0], (B, T), generator=torch.Generator().manual_seed(2))


@every_model
@every_size
def test_every_layer_and_the_scores_are_the_same(sizes, norm):
    ours, theirs = pair(sizes, norm)
    ids = ids_for(sizes)
    with torch.no_grad():
        states, expected = ours.hidden_states(ids), theirs(ids, output_hidden_states=True)
        assert len(states) == len(expected.hidden_states) == sizes[3] + 1
        for mine, other in zip(states, expected.hidden_states, strict=True):
            torch.testing.assert_close(mine, other, **CLOSE)
        torch.testing.assert_close(ours(ids), expected.logits, **CLOSE)


@every_model
@every_size
def test_every_head_gives_the_same_weights(sizes, norm):
    ours, theirs = pair(sizes, norm)
    ids = ids_for(sizes)
    with torch.no_grad():
        expected = theirs(ids, output_attentions=True).attentions
    for (_, mine), other in zip(attention_maps(ours, ids), expected, strict=True):
        torch.testing.assert_close(mine, other, **CLOSE)


@every_model
def test_the_loss_and_its_gradients_are_the_same(norm):
    ours, theirs = (model.double() for model in pair(SIZES[0], norm))
    ids = ids_for(SIZES[0])
    loss, result = causal_loss(ours(ids), ids), theirs(ids, labels=ids)
    torch.testing.assert_close(loss.float(), result.loss, **CLOSE)           # theirs is computed in float32
    expected = F.cross_entropy(result.logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    torch.testing.assert_close(loss, expected, **EXACT)
    loss.backward()
    expected.backward()
    other = GPT(ours.config).double()            # their gradients under our names, by the way their weights take
    copy_transformers_gpt(other, {name: weight.grad for name, weight in theirs.named_parameters()})
    wanted = dict(other.named_parameters())
    assert len(wanted) == len(list(ours.parameters()))
    for name, weight in ours.named_parameters():
        torch.testing.assert_close(weight.grad, wanted[name].data, **EXACT, msg=lambda text, at=name: f"{at}: {text}")


def test_the_smallest_gpt_2_has_as_many_parameters_as_published():
    with torch.device("meta"):
        models = GPT(GPT2), transformers.GPT2LMHeadModel(transformers.GPT2Config())
    assert [sum(weight.numel() for weight in model.parameters()) for model in models] == [124_439_808] * 2


def test_weights_of_another_model_are_refused():
    with pytest.raises(ValueError, match=r"words.weight is \(53, 30\), not \(37, 24\)"):
        copy_transformers_gpt(pair(SIZES[0])[0], pair(SIZES[1])[1])


# ---------------------------------------------------------------- the cache


@every_model
@every_size
@pytest.mark.parametrize("pieces", [[1] * T, [4, 1, 1, 5], [T], [T - 1, 1]], ids=str)
def test_a_text_in_pieces_with_a_cache_gives_the_scores_of_the_whole(sizes, norm, pieces):
    ours, _ = pair(sizes, norm)
    ids, cache = ids_for(sizes), ours.new_cache()
    with torch.no_grad():
        logits = torch.cat([ours(piece, cache) for piece in ids.split(pieces, dim=1)], dim=1)
        torch.testing.assert_close(logits, ours(ids), **CLOSE)
    assert cached_length(cache) == T
    assert cache[-1]["key"].shape == (B, sizes[2], T, sizes[1] // sizes[2])


@pytest.mark.parametrize("settings", [{}, {"temperature": 0}, {"top_k": 5}, {"top_p": 0.7}, {"penalty": 1.5}], ids=str)
def test_the_cache_does_not_change_what_is_written(settings):
    ours, _ = pair(SIZES[2])
    texts = [generate(ours, [3, 1], 38, generator=torch.Generator().manual_seed(5), use_cache=use_cache, **settings)
             for use_cache in (True, False)]
    assert texts[0] == texts[1] and len(texts[0]) == 38


def test_greedy_writing_equals_theirs():
    ours, theirs = pair(SIZES[0])
    expected = theirs.generate(torch.tensor([[3, 1]]), attention_mask=torch.ones(1, 2, dtype=torch.long),
                               max_new_tokens=15, do_sample=False, eos_token_id=None, pad_token_id=0)
    assert generate(ours, [3, 1], 15, temperature=0) == expected[0, 2:].tolist()


# ---------------------------------------------------------------- filters


def scores():
    return 3 * torch.randn(200, 41, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("k", [1, 2, 17, 41, 99])
def test_top_k_equals_theirs(k):
    expected = logits_process.TopKLogitsWarper(k)(None, scores())
    torch.testing.assert_close(top_k_filter(scores(), k), expected, rtol=0, atol=0)


@pytest.mark.parametrize("p", [1e-6, 0.1, 0.5, 0.9, 0.999])
def test_top_p_equals_theirs(p):
    expected = logits_process.TopPLogitsWarper(p)(None, scores())
    torch.testing.assert_close(top_p_filter(scores(), p), expected, rtol=0, atol=0)


@pytest.mark.parametrize("temperature", [0.1, 0.7, 1.0, 3.0])
def test_temperature_equals_theirs(temperature):
    expected = logits_process.TemperatureLogitsWarper(temperature)(None, scores())
    torch.testing.assert_close(apply_temperature(scores(), temperature), expected, **CLOSE)


@pytest.mark.parametrize("penalty", [0.5, 1.0, 1.3])
def test_the_repetition_penalty_equals_theirs(penalty):
    ids = torch.randint(41, (200, 7), generator=torch.Generator().manual_seed(4))
    expected = logits_process.RepetitionPenaltyLogitsProcessor(penalty)(ids, scores())
    torch.testing.assert_close(repetition_penalty(scores(), ids, penalty), expected, **CLOSE)
