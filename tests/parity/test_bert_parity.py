"""The course's BERT against `transformers`', on the same weights: random small models of odd sizes, and real weights.

B≠T≠H≠d_k≠C≠d_ff≠V≠N, so no two axes can be mixed up unnoticed. What padding becomes is not compared: nobody reads
it.
"""

import pytest
import torch
import torch.nn.functional as F
import transformers
from torch import nn

from course_utils.models.attention import attention_maps
from course_utils.models.bert import (
    BASE,
    BERT,
    IGNORED,
    LARGE,
    BERTClassifier,
    BERTConfig,
    PretrainingBERT,
    copy_transformers_bert,
    mean_state,
    pretraining_loss,
)
from course_utils.models.pretrained import find_weights, load_pretrained

CLOSE = {"rtol": 1e-5, "atol": 1e-5}        # for float32
EXACT = {"rtol": 1e-9, "atol": 1e-9}        # for float64
B, T = 3, 11
LENGTHS = torch.tensor([11, 4, 7])
SIZES = [  # vocab_size, d_model, n_heads, d_ff, n_layers, max_length, n_segments, eps
    (37, 24, 2, 50, 3, 17, 2, 1e-12),
    (53, 30, 5, 41, 1, 11, 3, 1e-5),
    (19, 28, 4, 13, 4, 40, 2, 1e-2),
    (29, 9, 1, 71, 2, 12, 1, 1e-7),
]
every_size = pytest.mark.parametrize("sizes", SIZES, ids=lambda sizes: f"C{sizes[1]}-H{sizes[2]}-N{sizes[4]}")
every_kind = pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "padded"])


def pair(sizes, kind=transformers.BertForPreTraining):
    """(ours, theirs) with the same random weights, larger than at the start so that attention is no average."""
    vocab, width, heads, d_ff, layers, longest, segments, eps = sizes
    theirs = kind(transformers.BertConfig(
        vocab_size=vocab, hidden_size=width, num_attention_heads=heads, intermediate_size=d_ff,
        num_hidden_layers=layers, max_position_embeddings=longest, type_vocab_size=segments, layer_norm_eps=eps,
        attn_implementation="eager"))
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in theirs.parameters():
            weight.copy_(torch.randn_like(weight) * 0.3)
    config = BERTConfig(vocab, width, heads, d_ff, layers, longest, segments, eps=eps)
    ours = (BERT if kind is transformers.BertModel else PretrainingBERT)(config)
    copy_transformers_bert(ours, theirs)
    return ours.eval(), theirs.eval()


def inputs(sizes, lengths):
    """ids, lengths, segments for ours; the keywords that say the same to theirs; the mask of real places (B, T)."""
    draw = torch.Generator().manual_seed(2)
    ids = torch.randint(sizes[0], (B, T), generator=draw)
    segments = torch.randint(sizes[6], (B, T), generator=draw)
    real = torch.ones(B, T, dtype=torch.bool) if lengths is None else torch.arange(T) < lengths.unsqueeze(1)
    keywords = {"input_ids": ids, "token_type_ids": segments, "attention_mask": real.long()}
    return (ids, lengths, segments), keywords, real


@every_kind
@every_size
def test_every_layer_gives_the_same_states(sizes, lengths):
    ours, theirs = pair(sizes, transformers.BertModel)
    given, keywords, real = inputs(sizes, lengths)
    with torch.no_grad():
        states, expected = ours.hidden_states(*given), theirs(**keywords, output_hidden_states=True)
        assert len(states) == len(expected.hidden_states) == sizes[4] + 1
        for mine, other in zip(states, expected.hidden_states, strict=True):
            torch.testing.assert_close(mine[real], other[real], **CLOSE)
        torch.testing.assert_close(ours(*given), states[-1], rtol=0, atol=0)
        torch.testing.assert_close(ours.pool(states[-1]), expected.pooler_output, **CLOSE)


@every_kind
@every_size
def test_every_head_gives_the_same_weights(sizes, lengths):
    ours, theirs = pair(sizes, transformers.BertModel)
    given, keywords, real = inputs(sizes, lengths)
    with torch.no_grad():
        expected = theirs(**keywords, output_attentions=True).attentions
    maps = attention_maps(ours, *given)
    assert [name for name, _ in maps] == [f"encoder.blocks.{layer}.attention" for layer in range(sizes[4])]
    for (_, mine), other in zip(maps, expected, strict=True):
        torch.testing.assert_close(mine.transpose(1, 2)[real], other.transpose(1, 2)[real], **CLOSE)


@every_kind
@every_size
def test_both_tasks_give_the_same_scores(sizes, lengths):
    ours, theirs = pair(sizes)
    given, keywords, real = inputs(sizes, lengths)
    with torch.no_grad():
        (words, following), expected = ours(*given), theirs(**keywords)
    torch.testing.assert_close(words[real], expected.prediction_logits[real], **CLOSE)
    torch.testing.assert_close(following, expected.seq_relationship_logits, **CLOSE)


@every_kind
def test_the_loss_and_its_gradients_are_the_same(lengths):
    sizes = SIZES[0]
    ours, theirs = (model.double() for model in pair(sizes))
    (ids, lengths, segments), keywords, real = inputs(sizes, lengths)
    labels = ids.masked_fill(~real | (torch.arange(T) % 3 > 0), IGNORED)
    is_random = torch.tensor([0, 1, 1])
    losses = pretraining_loss(ours, ids, labels, lengths, segments, is_random)
    expected = theirs(**keywords, labels=labels, next_sentence_label=is_random).loss
    torch.testing.assert_close(sum(losses), expected, **EXACT)
    sum(losses).backward()
    expected.backward()
    other = type(ours)(ours.config).double()     # their gradients under our names, by the way their weights take
    copy_transformers_bert(other, {name: weight.grad for name, weight in theirs.named_parameters()})
    wanted = dict(other.named_parameters())
    assert len(wanted) == len(list(ours.parameters()))
    for name, weight in ours.named_parameters():
        torch.testing.assert_close(weight.grad, wanted[name].data, **EXACT, msg=lambda text, at=name: f"{at}: {text}")


def test_the_loss_without_any_chosen_place_is_0_and_not_nan():
    ours, _ = pair(SIZES[0])
    (ids, lengths, segments), *_ = inputs(SIZES[0], LENGTHS)
    words, _ = pretraining_loss(ours, ids, torch.full_like(ids, IGNORED), lengths, segments, torch.tensor([0, 1, 0]))
    assert words.item() == 0


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_classifier_reads_the_pooled_state_or_the_mean_of_the_real_ones(pooling):
    ours, theirs = pair(SIZES[0], transformers.BertModel)
    given, keywords, real = inputs(SIZES[0], LENGTHS)
    model = BERTClassifier(ours, 5, dropout=0.5, pooling=pooling).eval()
    with torch.no_grad():
        expected = theirs(**keywords)
        states = [row[mask].mean(0) for row, mask in zip(expected.last_hidden_state, real, strict=True)]
        pooled = expected.pooler_output if pooling == "cls" else torch.stack(states)
        torch.testing.assert_close(model(*given), model.head(pooled), **CLOSE)
        torch.testing.assert_close(mean_state(expected.last_hidden_state), expected.last_hidden_state.mean(1))


@pytest.mark.parametrize("config, theirs, expected", [
    (BASE, transformers.BertConfig(), 109_482_240),
    (LARGE, transformers.BertConfig(hidden_size=1024, num_attention_heads=16, intermediate_size=4096,
                                    num_hidden_layers=24), 335_141_888)], ids=["BASE", "LARGE"])
def test_base_and_large_have_as_many_parameters_as_published(config, theirs, expected):
    with torch.device("meta"):
        models = BERT(config), transformers.BertModel(theirs)
    assert [sum(weight.numel() for weight in model.parameters()) for model in models] == [expected, expected]


def test_weights_of_another_model_are_refused_and_nothing_is_copied():
    ours, _ = pair(SIZES[0], transformers.BertModel)
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    with pytest.raises(ValueError, match=r"embedding.words.weight is \(53, 30\), not \(37, 24\)"):
        copy_transformers_bert(ours, pair(SIZES[1], transformers.BertModel)[1])
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    with pytest.raises(ValueError, match="word_bias is missing"):
        copy_transformers_bert(PretrainingBERT(ours.config), pair(SIZES[0], transformers.BertModel)[1])


def test_old_files_call_a_layer_norms_weights_gamma_and_beta():
    ours, theirs = pair(SIZES[0])
    old = {name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
           for name, value in theirs.state_dict().items()}
    fresh = PretrainingBERT(ours.config)
    copy_transformers_bert(fresh, old)
    for name, value in fresh.state_dict().items():
        torch.testing.assert_close(value, ours.state_dict()[name], rtol=0, atol=0)


# ---------------------------------------------------------------- real weights


SENTENCES = [("The cat sat on the mat.", None), ("Is this a question?", "Yes, it is."), ("나는 학생이다 🙂", None),
             ("word " * 200, None)]


@pytest.fixture(scope="module")
def real():
    try:
        folder = find_weights()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    from safetensors.torch import load_file

    config = transformers.BertConfig.from_json_file(folder / "config.json")
    config._attn_implementation = "eager"
    theirs = transformers.BertModel(config)
    theirs.load_state_dict({name: value for name, value in load_file(folder / "model.safetensors").items()
                            if name != "embeddings.position_ids"})
    return (*load_pretrained(), theirs.eval())


@pytest.mark.parametrize("texts", SENTENCES, ids=["one", "pair", "Korean and emoji", "long"])
def test_real_weights_give_the_same_states_and_heads(real, texts):
    ours, tokenizer, theirs = real
    encoding = tokenizer.encode(*(text for text in texts if text is not None))
    ids, segments = torch.tensor([encoding.ids]), torch.tensor([encoding.type_ids])
    with torch.no_grad():
        expected = theirs(ids, token_type_ids=segments, output_hidden_states=True, output_attentions=True)
        states = ours.hidden_states(ids, segments=segments)
    for mine, other in zip(states, expected.hidden_states, strict=True):
        torch.testing.assert_close(mine, other, **CLOSE)
    for (_, mine), other in zip(attention_maps(ours, ids, None, segments), expected.attentions, strict=True):
        torch.testing.assert_close(mine, other, **CLOSE)


def test_real_weights_give_the_same_gradients(real):
    ours, tokenizer, theirs = real
    ids = torch.tensor([tokenizer.encode("A short sentence.").ids])
    target = torch.randn(1, ids.shape[1], 384, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gradients = []
    for model in (ours, theirs):
        model.double()
        states = model(ids) if model is ours else model(ids).last_hidden_state
        F.mse_loss(states, target).backward()
        gradients.append(model)
    layers = [(ours.embedding.words, theirs.embeddings.word_embeddings)]
    layers += [(mine.feed_forward.w_1, other.intermediate.dense)
               for mine, other in zip(ours.encoder.blocks, theirs.encoder.layer, strict=True)]
    for mine, other in layers:
        assert isinstance(mine, (nn.Linear, nn.Embedding))
        torch.testing.assert_close(mine.weight.grad, other.weight.grad, **EXACT)
    for model in (ours, theirs):
        model.float().zero_grad()
