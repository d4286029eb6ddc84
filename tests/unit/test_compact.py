"""The BERT family: shared weights, replaced tokens, what students learn from, sparse masks, and clear errors."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.models.attention import MultiHeadAttention
from course_utils.models.bert import BERT, IGNORED, BERTConfig, PretrainingBERT
from course_utils.models.compact import (
    ALBERT,
    ELECTRA,
    ALBERTConfig,
    SharedStack,
    attention_score_loss,
    attention_scores,
    bigbird_mask,
    cosine_state_loss,
    draw_random_keys,
    electra_loss,
    expand_layout,
    hidden_state_loss,
    map_layers,
    replace_tokens,
    soft_target_loss,
    sparse_attention,
    start_from_layers,
)
from course_utils.models.transformer import EncoderBlock

B, T, V, C, E = 3, 7, 23, 12, 5
CONFIG = ALBERTConfig(V, E, C, n_heads=2, d_ff=20, n_layers=4, max_length=13)
LENGTHS = torch.tensor([7, 2, 5])
REAL = torch.arange(T) < LENGTHS.unsqueeze(1)            # (B, T)
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def shaken(net):
    """The model with weights larger than at the start, so that every part moves the result."""
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in net.parameters():
            weight.copy_(0.3 * torch.randn_like(weight))
    return net.eval()


def ids():
    return torch.randint(V, (B, T), generator=torch.Generator().manual_seed(1))


def weights_of(net):
    return sum(weight.numel() for weight in net.parameters())


# ---------------------------------------------------------------- ALBERT


def test_depth_costs_no_weights_when_shared_and_a_block_each_when_not():
    counts = {(shared, layers): weights_of(ALBERT(dataclasses.replace(CONFIG, shared=shared, n_layers=layers)))
              for shared in (True, False) for layers in (1, 4)}
    assert counts[True, 1] == counts[True, 4] == counts[False, 1]
    assert counts[False, 4] - counts[False, 1] == 3 * weights_of(EncoderBlock(C, 2, 20))


def test_a_factorised_embedding_has_v_e_and_e_c_weights_in_place_of_v_c():
    one, two = (weights_of(ALBERT(dataclasses.replace(CONFIG, d_embedding=size)).embedding) for size in (None, E))
    others = CONFIG.max_length + CONFIG.n_segments + 2                       # places, segments, the norm's gain, bias
    assert one == (V + others) * C and two == (V + others) * E + (E + 1) * C


def test_a_shared_stack_is_its_block_again_and_again():
    block = shaken(EncoderBlock(C, 2, 20))
    x, stack = torch.randn(B, T, C), SharedStack(block, 3)
    torch.testing.assert_close(stack(x), block(block(block(x))), **CLOSE)
    assert len(stack.blocks) == 3 and list(stack.parameters()) == list(block.parameters())


def test_albert_ignores_padding():
    net, changed = shaken(ALBERT(CONFIG)), ids()
    changed[~REAL] = 0
    torch.testing.assert_close(net(changed, LENGTHS)[REAL], net(ids(), LENGTHS)[REAL], **CLOSE)


# ---------------------------------------------------------------- ELECTRA


def electra():
    sizes = {"vocab_size": V, "d_model": C, "n_heads": 2, "max_length": 13, "dropout": 0.0}
    generator = PretrainingBERT(BERTConfig(**sizes, d_ff=8, n_layers=1))
    return shaken(ELECTRA(generator, BERT(BERTConfig(**sizes, d_ff=20, n_layers=2))))


def test_a_token_that_is_drawn_right_is_not_replaced():
    chosen = torch.zeros(B, T, dtype=torch.bool)
    chosen[:, ::2] = True
    certain = F.one_hot(ids()[chosen], V).float().mul(200)                   # the true token, for sure
    replaced, is_replaced = replace_tokens(ids(), chosen, certain)
    assert torch.equal(replaced, ids()) and not is_replaced.any()
    wrong = (ids()[chosen] + 1) % V
    replaced, is_replaced = replace_tokens(ids(), chosen, F.one_hot(wrong, V).float().mul(200))
    assert torch.equal(is_replaced, chosen) and torch.equal(replaced[chosen], wrong)
    assert torch.equal(replaced[~chosen], ids()[~chosen])


def test_tokens_are_drawn_in_proportion_to_their_probability():
    chosen, draw = torch.ones(40, 100, dtype=torch.bool), torch.Generator().manual_seed(0)
    probabilities = torch.tensor([0.6, 0.3, 0.1])
    replaced, _ = replace_tokens(torch.full((40, 100), 9), chosen, probabilities.log().expand(4000, 3), draw)
    shares = replaced.flatten().bincount(minlength=3) / 4000
    assert (shares - probabilities).abs().max() < 0.04


def test_the_detection_loss_reaches_no_block_of_the_generator_and_padding_does_not_count():
    net, labels = electra(), ids().masked_fill(torch.arange(T) % 3 > 0, IGNORED)
    inputs = ids().masked_fill(labels != IGNORED, 0)
    words, detection = electra_loss(net, ids(), inputs, labels, LENGTHS, torch.Generator().manual_seed(0))
    detection.backward(retain_graph=True)
    assert all(weight.grad is None for weight in net.generator.bert.encoder.parameters())
    assert all(weight.grad is not None for weight in net.discriminator.bert.encoder.parameters())
    shared = net.generator.bert.embedding.words.weight
    assert net.discriminator.bert.embedding.words.weight is shared and shared.grad.abs().sum() > 0
    words.backward()
    assert all(weight.grad is not None for weight in net.generator.bert.encoder.parameters())
    changed = torch.where(REAL, ids(), 0)
    kept = torch.where(REAL, labels, IGNORED)
    losses = [electra_loss(net, x, torch.where(REAL, inputs, 0), kept, LENGTHS, torch.Generator().manual_seed(0))
              for x in (ids(), changed)]
    torch.testing.assert_close(losses[0], losses[1], **CLOSE)


def test_the_embeddings_of_an_electra_must_have_one_size():
    generator = PretrainingBERT(BERTConfig(V, 8, n_heads=2, d_ff=8, n_layers=1))
    with pytest.raises(ValueError, match="share one embedding"):
        ELECTRA(generator, BERT(BERTConfig(V, C, n_heads=2, d_ff=8, n_layers=1)))


# ---------------------------------------------------------------- distillation


def test_soft_targets_are_0_for_equal_answers_and_do_not_train_the_teacher():
    teacher = torch.randn(4, 6, requires_grad=True)
    student = (teacher.detach() + 3).requires_grad_()                        # another level, the same distribution
    loss = soft_target_loss(student, teacher, 2.0)
    assert abs(loss.item()) < 1e-6
    (loss + soft_target_loss(torch.randn(4, 6), teacher, 2.0)).backward()
    assert teacher.grad is None


def test_the_divergence_asks_the_student_where_the_teacher_sees_something():
    teacher, narrow = torch.tensor([[0.0, 0.0, -9.0]]), torch.tensor([[0.0, -9.0, -9.0]])
    assert soft_target_loss(narrow, teacher, 1.0) > 3 * soft_target_loss(teacher, narrow, 1.0)


def test_state_losses_count_real_places_only():
    student, teacher = torch.randn(2, B, T, C).unbind()
    project = nn.Linear(C, C)
    changed = torch.where(REAL.unsqueeze(-1), student, 100.0)
    for loss in (lambda x: hidden_state_loss(x, teacher, LENGTHS, project),
                 lambda x: cosine_state_loss(x, teacher, LENGTHS)):
        torch.testing.assert_close(loss(changed), loss(student), **CLOSE)
    expected = (project(student) - teacher)[REAL].square().mean()
    torch.testing.assert_close(hidden_state_loss(student, teacher, LENGTHS, project), expected, **CLOSE)
    assert cosine_state_loss(3 * teacher, teacher).abs() < 1e-6


def test_score_losses_count_pairs_of_real_tokens_only():
    attention = shaken(MultiHeadAttention(C, 3))
    scores, others = attention_scores(attention, torch.randn(B, T, C)), torch.randn(B, 3, T, T)
    pairs = (REAL.unsqueeze(1) & REAL.unsqueeze(2)).unsqueeze(1)
    loss = attention_score_loss(scores, others, LENGTHS)
    torch.testing.assert_close(attention_score_loss(scores.masked_fill(~pairs, 50), others, LENGTHS), loss, **CLOSE)
    assert loss > 0
    with pytest.raises(ValueError, match="heads and tokens"):
        attention_score_loss(scores[:, :2], others)


def test_layers_are_mapped_evenly_and_copied_by_number():
    assert map_layers(2, 6) == [0, 3, 6] and map_layers(3, 3) == [0, 1, 2, 3]
    config = BERTConfig(V, C, n_heads=2, d_ff=20, n_layers=3, max_length=13)
    teacher, student = shaken(BERT(config)), BERT(dataclasses.replace(config, n_layers=2)).eval()
    start_from_layers(student, teacher, [2, 0])
    x = torch.randn(B, T, C)
    torch.testing.assert_close(student.encoder(x), teacher.encoder.blocks[0](teacher.encoder.blocks[2](x)), **CLOSE)
    torch.testing.assert_close(student.embedding(ids(), ids() * 0), teacher.embedding(ids(), ids() * 0), **CLOSE)


# ---------------------------------------------------------------- sparse attention


def test_bigbird_allows_neighbours_global_tokens_and_the_keys_given():
    mask = bigbird_mask(8, 1, 2, [[], [], [6], [], [7, 0], [], [], []])
    for query in range(8):
        for key in range(8):
            expected = abs(query - key) <= 1 or query < 2 or key < 2 or (query, key) in {(2, 6), (4, 7)}
            assert mask[query, key] == expected
    assert bigbird_mask(5, 0, 0).equal(torch.eye(5, dtype=torch.bool))


def test_random_keys_are_new_and_different_and_the_same_for_the_same_seed():
    near = bigbird_mask(12, 1, 1)
    first, again, other = (draw_random_keys(near, 3, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert first == again != other
    for query, keys in enumerate(first):
        assert len(set(keys)) == len(keys) == min(3, int((~near[query]).sum()))
        assert not near[query, keys].any()


def test_what_a_layout_forbids_changes_nothing():
    layout = bigbird_mask(4, 0, 1)
    query, key, value = torch.randn(3, B, 2, 12, 5).unbind()
    before = sparse_attention(query, key, value, layout, 3)
    key[:, :, 9:], value[:, :, 9:] = 50.0, -50.0                             # the last block of keys
    after = sparse_attention(query, key, value, layout, 3)
    seen = expand_layout(layout, 3)[:, 9]
    torch.testing.assert_close(after[:, :, ~seen], before[:, :, ~seen], rtol=0, atol=0)
    assert (after[:, :, seen] != before[:, :, seen]).any(-1).all()


@pytest.mark.parametrize(("call", "words"), [
    (lambda: ALBERT(dataclasses.replace(CONFIG, n_layers=0)), "n_layers"),
    (lambda: ALBERT(CONFIG)(torch.full((1, 3), V)), str(V)),
    (lambda: soft_target_loss(torch.rand(2, 3), torch.rand(2, 3), 0), "temperature=0"),
    (lambda: soft_target_loss(torch.rand(2, 3), torch.rand(2, 4), 1), "as large as"),
    (lambda: map_layers(4, 6), "cannot be spread"),
    (lambda: start_from_layers(BERT(BERTConfig(V, C, 2, 20, 2)), BERT(BERTConfig(V, C, 2, 20, 3)), [0, 3]), "name one"),
    (lambda: start_from_layers(BERT(BERTConfig(V, 8, 2, 20, 1)), BERT(BERTConfig(V, C, 2, 20, 3)), [0]), "another mod"),
    (lambda: bigbird_mask(4, -1, 0), "count tokens"),
    (lambda: bigbird_mask(4, 1, 0, [[0], [1]]), "a list for each"),
    (lambda: bigbird_mask(2, 1, 0, [[0], [2]]), "keys of query 1"),
    (lambda: sparse_attention(*torch.rand(3, 1, 1, 8, 2), bigbird_mask(3, 1, 0), 3), "does not fit"),
    (lambda: sparse_attention(*torch.rand(3, 1, 1, 9, 2), torch.ones(3, 3), 3), "does not fit"),
])
def test_wrong_arguments_get_one_clear_line(call, words):
    with pytest.raises(ValueError, match=words) as error:
        call()
    assert "\n" not in str(error.value)
