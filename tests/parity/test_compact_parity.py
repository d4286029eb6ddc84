"""ALBERT and ELECTRA against `transformers`', the losses of distillation against `F.kl_div`, sparse attention against
dense attention under the same mask.

B≠T≠H≠d_k≠C≠E≠d_ff≠V≠N, so no two axes can be mixed up unnoticed. What padding becomes is not compared: nobody reads
it.
"""

import pytest
import torch
import torch.nn.functional as F
import transformers

from course_utils.models.attention import attention_maps, scaled_dot_product_attention
from course_utils.models.bert import IGNORED, pretraining_loss
from course_utils.models.compact import (
    ALBERT,
    ALBERTConfig,
    Discriminator,
    PretrainingALBERT,
    attention_scores,
    bigbird_mask,
    copy_transformers_albert,
    copy_transformers_electra,
    draw_random_keys,
    expand_layout,
    soft_target_loss,
    sparse_attention,
)

CLOSE = {"rtol": 1e-5, "atol": 1e-5}        # for float32
EXACT = {"rtol": 1e-9, "atol": 1e-9}        # for float64
B, T = 3, 11
LENGTHS = torch.tensor([11, 4, 7])
REAL = torch.arange(T) < LENGTHS.unsqueeze(1)
SIZES = [  # vocab_size, d_embedding, d_model, n_heads, d_ff, n_layers, max_length, n_segments, eps
    (37, 10, 24, 2, 50, 3, 17, 2, 1e-12),
    (53, 40, 30, 5, 41, 1, 11, 3, 1e-5),
    (29, 6, 9, 1, 71, 4, 12, 1, 1e-7),
]
every_size = pytest.mark.parametrize("sizes", SIZES, ids=lambda sizes: f"E{sizes[1]}-C{sizes[2]}-N{sizes[5]}")


def shaken(model):
    """The model with random weights, larger than at the start so that attention is no average."""
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn_like(weight) * 0.3)
    return model.eval()


def configs(sizes, kind, **options):
    """Our config and theirs for the same sizes. kind: their config's class."""
    vocab, embedding, width, heads, d_ff, layers, longest, segments, eps = sizes
    theirs = kind(vocab_size=vocab, embedding_size=embedding or width, hidden_size=width, num_attention_heads=heads,
                  intermediate_size=d_ff, num_hidden_layers=layers, max_position_embeddings=longest,
                  type_vocab_size=segments, layer_norm_eps=eps, attn_implementation="eager")
    return ALBERTConfig(vocab, embedding, width, heads, d_ff, layers, longest, segments, eps=eps, **options), theirs


def inputs(sizes):
    """ids, lengths, segments for ours, and the keywords that say the same to theirs."""
    draw = torch.Generator().manual_seed(2)
    ids, segments = (torch.randint(size, (B, T), generator=draw) for size in (sizes[0], sizes[7]))
    return (ids, LENGTHS, segments), {"input_ids": ids, "token_type_ids": segments, "attention_mask": REAL.long()}


def their_gradients(ours, theirs, copy):
    """Their gradients under our names, by the way that their weights take. A parameter without one gives zeros."""
    other = type(ours)(ours.config).double()
    copy(other, {name: torch.zeros_like(weight) if weight.grad is None else weight.grad
                 for name, weight in theirs.named_parameters()})
    return dict(other.named_parameters())


@every_size
def test_albert_gives_the_same_states_heads_and_scores(sizes):
    config, theirs = configs(sizes, transformers.AlbertConfig)
    theirs = shaken(transformers.AlbertForPreTraining(theirs))
    tasks, body = PretrainingALBERT(config).eval(), ALBERT(config).eval()
    copy_transformers_albert(tasks, theirs)
    copy_transformers_albert(body, theirs.albert)
    given, keywords = inputs(sizes)
    with torch.no_grad():
        words, order = tasks(*given)
        expected = theirs(**keywords)
        whole = theirs.albert(**keywords, output_hidden_states=True, output_attentions=True)
        torch.testing.assert_close(words[REAL], expected.prediction_logits[REAL], **CLOSE)
        torch.testing.assert_close(order, expected.sop_logits, **CLOSE)
        torch.testing.assert_close(body(*given)[REAL], whole.last_hidden_state[REAL], **CLOSE)
        torch.testing.assert_close(body.pool(body(*given)), whole.pooler_output, **CLOSE)
        for mine, other in zip(body.hidden_states(*given), whole.hidden_states, strict=True):
            torch.testing.assert_close(mine[REAL], other[REAL], **CLOSE)
    maps = attention_maps(body, *given)
    assert [name for name, _ in maps] == ["encoder.block.attention"] * sizes[5]      # one block, called again and again
    for (_, mine), other in zip(maps, whole.attentions, strict=True):
        torch.testing.assert_close(mine.transpose(1, 2)[REAL], other.transpose(1, 2)[REAL], **CLOSE)


def test_a_shared_block_gathers_the_gradients_of_all_depths():
    sizes = SIZES[0]
    config, theirs = configs(sizes, transformers.AlbertConfig)
    theirs = shaken(transformers.AlbertForPreTraining(theirs)).double()
    ours = PretrainingALBERT(config).double().eval()
    copy_transformers_albert(ours, theirs)
    (ids, lengths, segments), keywords = inputs(sizes)
    labels, swapped = ids.masked_fill(~REAL | (torch.arange(T) % 3 > 0), IGNORED), torch.tensor([0, 1, 1])
    losses = pretraining_loss(ours, ids, labels, lengths, segments, swapped)
    expected = theirs(**keywords, labels=labels, sentence_order_label=swapped).loss
    torch.testing.assert_close(sum(losses), expected, **EXACT)
    sum(losses).backward()
    expected.backward()
    wanted = their_gradients(ours, theirs, copy_transformers_albert)
    for name, weight in ours.named_parameters():
        torch.testing.assert_close(weight.grad, wanted[name].data, **EXACT, msg=lambda text, at=name: f"{at}: {text}")


@pytest.mark.parametrize("projected", [True, False], ids=["E<C", "E=C"])
@every_size
def test_electras_discriminator_gives_the_same_answers(sizes, projected):
    sizes = sizes if projected else (sizes[0], None, *sizes[2:])
    config, theirs = configs(sizes, transformers.ElectraConfig, activation="gelu", shared=False)
    theirs = shaken(transformers.ElectraForPreTraining(theirs))
    ours, body = Discriminator(ALBERT(config)).eval(), ALBERT(config).eval()
    copy_transformers_electra(ours, theirs)
    copy_transformers_electra(body, theirs.electra)
    given, keywords = inputs(sizes)
    with torch.no_grad():
        torch.testing.assert_close(ours(*given)[REAL], theirs(**keywords).logits[REAL], **CLOSE)
        torch.testing.assert_close(body(*given)[REAL], theirs.electra(**keywords).last_hidden_state[REAL], **CLOSE)


def test_electras_detection_loss_and_its_gradients_are_the_same():
    sizes = SIZES[0]
    config, theirs = configs(sizes, transformers.ElectraConfig, activation="gelu", shared=False)
    theirs = shaken(transformers.ElectraForPreTraining(theirs)).double()
    ours = Discriminator(ALBERT(config)).double().eval()
    copy_transformers_electra(ours, theirs)
    given, keywords = inputs(sizes)
    replaced = torch.arange(B * T).view(B, T) % 4 == 0
    loss = F.binary_cross_entropy_with_logits(ours(*given)[REAL], replaced[REAL].double())
    # their own loss turns its labels into float32; their logits are in 64 bits
    expected = F.binary_cross_entropy_with_logits(theirs(**keywords).logits[REAL], replaced[REAL].double())
    torch.testing.assert_close(loss, expected, **EXACT)
    loss.backward()
    expected.backward()
    theirs_by_name = dict(theirs.named_parameters())
    key_layer = "attention.w_k.weight", "attention.self.key.weight"
    for mine, other in (("detect.weight", "discriminator_predictions.dense_prediction.weight"),
                        ("bert.embedding.project.weight", "electra.embeddings_project.weight"),
                        (f"bert.encoder.blocks.1.{key_layer[0]}", f"electra.encoder.layer.1.{key_layer[1]}"),
                        ("bert.embedding.words.weight", "electra.embeddings.word_embeddings.weight")):
        torch.testing.assert_close(dict(ours.named_parameters())[mine].grad, theirs_by_name[other].grad, **EXACT)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_soft_targets_are_torchs_divergence_times_t_squared(temperature):
    student, teacher = torch.randn(2, 7, 5, dtype=torch.double).mul(3).unbind()
    student = student.clone().requires_grad_()
    loss = soft_target_loss(student, teacher, temperature)
    expected = temperature ** 2 * F.kl_div((student / temperature).log_softmax(-1), (teacher / temperature).softmax(-1),
                                           reduction="batchmean")
    torch.testing.assert_close(loss, expected, **EXACT)
    wanted = torch.autograd.grad(expected, student)[0]
    torch.testing.assert_close(torch.autograd.grad(loss, student)[0], wanted, **EXACT)


def test_scores_before_softmax_give_the_attentions_weights():
    config, _ = configs(SIZES[0], transformers.AlbertConfig)
    model, (ids, *_) = shaken(ALBERT(config)), inputs(SIZES[0])[0]
    with torch.no_grad():
        states = model.hidden_states(ids)
    for (_, weights), x, block in zip(attention_maps(model, ids), states, model.encoder.blocks, strict=False):
        torch.testing.assert_close(attention_scores(block.attention, x).softmax(-1), weights, **CLOSE)


@pytest.mark.parametrize(("n", "block", "window", "n_global", "n_random"),
                         [(7, 3, 1, 1, 2), (6, 1, 0, 2, 1), (5, 4, 2, 0, 0), (4, 2, 0, 0, 0), (3, 5, 5, 1, 3)])
def test_sparse_attention_is_dense_attention_under_the_same_mask(n, block, window, n_global, n_random):
    draw = torch.Generator().manual_seed(0)
    near = bigbird_mask(n, window, n_global)
    layout = bigbird_mask(n, window, n_global, draw_random_keys(near, n_random, draw))
    assert ((layout & ~near).sum(-1) == (~near).sum(-1).clamp(max=n_random)).all()
    layout[-1] = False                                                       # one block of queries that sees nothing
    query, key = torch.randn(2, 2, 4, n * block, 6, dtype=torch.double).unbind()             # (B, H, T, d_k)
    value = torch.randn(2, 4, n * block, 5, dtype=torch.double)
    tensors = [x.requires_grad_() for x in (query, key, value)]
    found = sparse_attention(*tensors, layout, block)
    expected = scaled_dot_product_attention(*tensors, expand_layout(layout, block))[0]
    torch.testing.assert_close(found, expected, **EXACT)
    weights = torch.randn_like(expected)
    gradients = (torch.autograd.grad(result, tensors, weights) for result in (found, expected))
    for mine, other in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, other, **EXACT)
