"""BERT: what may not change what, blanks, the tied table, the two losses, and clear errors."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

from course_utils.models.bert import (
    BASE,
    BERT,
    IGNORED,
    LARGE,
    BERTClassifier,
    BERTConfig,
    PretrainingBERT,
    corrupt,
    mean_state,
    pretraining_loss,
)

B, T, V, C = 3, 7, 23, 12
CONFIG = BERTConfig(V, C, n_heads=2, d_ff=20, n_layers=2, max_length=13, n_segments=2)
LENGTHS = torch.tensor([7, 2, 5])
REAL = torch.arange(T) < LENGTHS.unsqueeze(1)            # (B, T)
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def model(kind=PretrainingBERT):
    """A model whose weights are larger than at the start, so that every part moves the result."""
    torch.manual_seed(0)
    net = kind(CONFIG)
    with torch.no_grad():
        for weight in net.parameters():
            weight.copy_(0.3 * torch.randn_like(weight))
    return net.eval()


def batch():
    """ids and segments, (B, T)."""
    draw = torch.Generator().manual_seed(1)
    return torch.randint(V, (B, T), generator=draw), torch.randint(2, (B, T), generator=draw)


def one_line(error):
    return "\n" not in str(error.value) and len(str(error.value)) > 10


# ---------------------------------------------------------------- blanks

MASK, WORDS, ROWS, PLACES = 4, 60, 600, 50


def text_and_choice():
    """Ids from 5 on; the first place of each row and the last five are special."""
    ids = torch.randint(5, WORDS, (ROWS, PLACES), generator=torch.Generator().manual_seed(2))
    return ids, ((torch.arange(PLACES) > 0) & (torch.arange(PLACES) < PLACES - 5)).expand(ROWS, PLACES)


def blanks(seed=3, rate=0.15):
    return corrupt(*text_and_choice(), WORDS, MASK, torch.Generator().manual_seed(seed), rate)


def test_of_the_chosen_80_percent_are_masked_10_random_and_10_stay():
    ids, _ = text_and_choice()
    inputs, labels = blanks()
    chosen = labels != IGNORED
    read, true = inputs[chosen], ids[chosen]
    masked, stayed = read == MASK, read == true
    assert abs(masked.float().mean() - 0.8) < 0.03 and abs(stayed.float().mean() - 0.1) < 0.03
    replaced = read[~masked & ~stayed]
    assert abs(len(replaced) / len(read) - 0.1) < 0.03
    assert set(replaced.tolist()) | {MASK} == set(range(WORDS))          # from the whole vocabulary, special or not


@pytest.mark.parametrize("rate", [0.05, 0.15, 0.5])
def test_each_word_is_chosen_on_its_own_with_the_given_rate(rate):
    _, can_choose = text_and_choice()
    chosen = blanks(rate=rate)[1] != IGNORED
    assert abs(chosen[can_choose].float().mean() - rate) < 0.02
    in_place = chosen.float().mean(0)[can_choose[0]]
    assert (in_place - rate).abs().max() < 0.12                          # no place is preferred
    assert len(set(chosen.sum(1).tolist())) > 4                          # not the same number in each row


@pytest.mark.parametrize("rate", [0.15, 1.0])
def test_special_tokens_are_never_chosen(rate):
    ids, can_choose = text_and_choice()
    inputs, labels = blanks(rate=rate)
    assert torch.equal(inputs[~can_choose], ids[~can_choose]) and (labels[~can_choose] == IGNORED).all()


def test_labels_hold_the_true_ids_of_the_chosen_and_nothing_else_is_changed():
    ids, can_choose = text_and_choice()
    before = ids.clone()
    inputs, labels = corrupt(ids, can_choose, WORDS, MASK, torch.Generator().manual_seed(3))
    chosen = labels != IGNORED
    assert torch.equal(labels[chosen], ids[chosen]) and torch.equal(inputs[~chosen], ids[~chosen])
    assert torch.equal(ids, before) and inputs.shape == labels.shape == ids.shape


def test_a_rate_of_0_chooses_none_and_a_rate_of_1_all():
    ids, can_choose = text_and_choice()
    inputs, labels = blanks(rate=0)
    assert torch.equal(inputs, ids) and (labels == IGNORED).all()
    assert torch.equal(blanks(rate=1)[1] != IGNORED, can_choose)


def test_the_same_generator_gives_the_same_blanks_and_the_global_one_is_not_touched():
    before = torch.get_rng_state()
    first, again, other = blanks(3), blanks(3), blanks(4)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[1], other[1]) and torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("changed", [
    {"rate": -0.1}, {"rate": 1.1}, {"rate": float("nan")}, {"vocab_size": 0},
    {"can_choose": torch.ones(B, T)}, {"can_choose": torch.ones(B, T).long()},
    {"can_choose": torch.ones(B, T - 1, dtype=torch.bool)}, {"can_choose": torch.ones(T, dtype=torch.bool)},
], ids=lambda changed: f"{[*changed]}")
def test_blanks_that_cannot_be_are_refused(changed):
    settings = {"can_choose": torch.ones(B, T, dtype=torch.bool), "vocab_size": V, "mask_id": MASK, **changed}
    with pytest.raises(ValueError) as error:
        corrupt(batch()[0], **settings)
    assert one_line(error)


# ---------------------------------------------------------------- what may not change what


@pytest.mark.parametrize("filler", [0, 9])
@pytest.mark.parametrize("more", [0, 4])
def test_what_stands_in_the_padding_changes_nothing_at_real_places(filler, more):
    net, (ids, segments) = model(), batch()
    padded, marks = torch.full((B, T + more), filler), torch.full((B, T + more), filler % 2)
    padded[:, :T], marks[:, :T] = ids.where(REAL, filler), segments.where(REAL, filler % 2)
    given, changed = (ids, LENGTHS, segments), (padded, LENGTHS, marks)
    for a, b in zip(net.bert.hidden_states(*given), net.bert.hidden_states(*changed), strict=True):
        torch.testing.assert_close(b[:, :T][REAL], a[REAL], **CLOSE)
    (words, following), (words_after, following_after) = net(*given), net(*changed)
    torch.testing.assert_close(words_after[:, :T][REAL], words[REAL], **CLOSE)
    torch.testing.assert_close(following_after, following, **CLOSE)
    for pooling in ("cls", "mean"):
        head = BERTClassifier(net.bert, 4, pooling=pooling).eval()
        torch.testing.assert_close(head(*changed), head(*given), **CLOSE)


def test_a_row_alone_without_padding_gives_the_same_as_in_the_batch():
    net, (ids, segments) = model(BERT), batch()
    together = net(ids, LENGTHS, segments)
    for row, length in enumerate(LENGTHS):
        alone = net(ids[row:row + 1, :length], segments=segments[row:row + 1, :length])
        torch.testing.assert_close(alone[0], together[row, :length], **CLOSE)
    torch.testing.assert_close(net(ids, LENGTHS.tolist(), segments), together)           # a list will do


def test_padding_is_seen_where_no_lengths_are_given():
    net, (ids, _) = model(BERT), batch()
    changed = ids.where(REAL, (ids + 1) % V)
    assert not torch.isclose(net(ids)[1:], net(changed)[1:]).all(-1).any()
    torch.testing.assert_close(net(ids), net(ids, torch.full((B,), T)), **CLOSE)


@pytest.mark.parametrize("place", range(T))
def test_there_is_no_causal_mask_a_word_moves_those_on_its_left_and_right(place):
    net, (ids, segments) = model(BERT), batch()
    changed = ids.clone()
    changed[0, place] = (ids[0, place] + 1) % V
    before, after = net(ids, None, segments), net(changed, None, segments)
    assert not torch.isclose(after[0], before[0]).all(-1).any()
    torch.testing.assert_close(after[1:], before[1:])


def test_segments_and_the_order_of_the_words_count():
    net, (ids, segments) = model(BERT), batch()
    none = net(ids)
    torch.testing.assert_close(net(ids, segments=torch.zeros_like(ids)), none)
    marked = segments.clone()
    marked[0, 3] = 1 - marked[0, 3]
    assert not torch.isclose(net(ids, None, marked)[0], net(ids, None, segments)[0]).all(-1).any()
    assert not torch.allclose(net(ids.flip(1)).flip(1), none, atol=1e-2)


def test_the_pooled_vector_comes_from_the_first_token_alone():
    net, hidden = model(BERT), torch.randn(B, T, C)
    pooled, other = net.pool(hidden), torch.cat([hidden[:, :1], torch.randn(B, T - 1, C)], dim=1)
    assert pooled.shape == (B, C) and pooled.abs().max() <= 1
    torch.testing.assert_close(net.pool(other), pooled)
    assert not torch.isclose(net.pool(hidden.roll(1, dims=1)), pooled).all(-1).any()


def test_the_mean_state_leaves_the_padding_out():
    hidden = torch.randn(B, T, C)
    expected = torch.stack([row[:length].mean(0) for row, length in zip(hidden, LENGTHS, strict=True)])
    torch.testing.assert_close(mean_state(hidden, LENGTHS), expected)
    torch.testing.assert_close(mean_state(hidden), hidden.mean(1))


def test_dropout_acts_in_training_only():
    net, (ids, _) = model(BERT), batch()
    assert torch.equal(net(ids), net(ids))
    net.train()
    assert not torch.allclose(net(ids), net(ids), atol=1e-2)


# ---------------------------------------------------------------- the table of words, used twice


def table_gradient(net, *terms):
    net.zero_grad()
    sum(term.square().sum() for term in terms).backward()
    return net.bert.embedding.words.weight.grad.clone()


def test_the_word_layer_is_the_table_of_word_vectors_and_learns_from_both_sides():
    net, (ids, _) = model(), batch()
    assert [tuple(value.shape) for value in net.state_dict().values()].count((V, C)) == 1
    as_input = table_gradient(net, net.bert(ids))
    as_output = table_gradient(net, net.word_logits(net.bert(ids).detach()))
    read = torch.zeros(V, dtype=torch.bool).index_fill(0, ids.flatten(), True)
    assert torch.equal(as_input.abs().sum(1) > 0, read) and not read.all()           # only the words that were read
    assert (as_output.abs().sum(1) > 0).all()                                        # each word has a score
    both = table_gradient(net, net.word_logits(net.bert(ids)))
    assert not torch.allclose(both, as_output, atol=1e-3)


def test_a_change_of_the_table_changes_the_scores_of_that_word_alone():
    net, hidden = model(), torch.randn(B, T, C)
    before = net.word_logits(hidden)
    with torch.no_grad():
        net.bert.embedding.words.weight[5] += 1
        net.word_bias[6] += 1
    moved = (net.word_logits(hidden) != before).any(0).any(0)
    assert moved.nonzero().flatten().tolist() == [5, 6]
    torch.testing.assert_close(net.word_logits(hidden[0, 2]), net.word_logits(hidden)[0, 2], **CLOSE)    # any shape


# ---------------------------------------------------------------- the losses


def losses(net, labels, is_random):
    ids, segments = batch()
    return pretraining_loss(net, ids, labels, LENGTHS, segments, torch.tensor(is_random))


def test_the_loss_is_that_over_all_places_with_labels():
    net, (ids, segments) = model(), batch()
    labels = ids.masked_fill(~REAL | (torch.arange(T) % 2 > 0), IGNORED)
    words, pairs = losses(net, labels, [0, 1, 1])
    all_words, following = net(ids, LENGTHS, segments)
    torch.testing.assert_close(words, F.cross_entropy(all_words.flatten(0, 1), labels.flatten()), **CLOSE)
    by_hand = [-following.log_softmax(-1)[row, label] for row, label in enumerate([0, 1, 1])]
    torch.testing.assert_close(pairs, sum(by_hand) / 3, **CLOSE)


def test_a_text_without_a_second_sentence_has_no_part_in_the_loss_of_pairs():
    net, (ids, segments) = model(), batch()
    following = net(ids, LENGTHS, segments)[1].log_softmax(-1)
    _, pairs = losses(net, ids, [0, IGNORED, 1])
    torch.testing.assert_close(pairs, -(following[0, 0] + following[2, 1]) / 2, **CLOSE)


def test_a_batch_without_any_pair_has_a_loss_of_pairs_of_0_and_not_nan():
    words, pairs = losses(model(), batch()[0], [IGNORED] * B)
    assert pairs.item() == 0 and words.item() > 0


# ---------------------------------------------------------------- sizes, starts and errors


def test_the_configurations_are_those_of_the_paper_and_cannot_be_changed():
    assert [(config.n_layers, config.d_model, config.n_heads, config.d_ff) for config in (BASE, LARGE)] == [
        (12, 768, 12, 3072), (24, 1024, 16, 4096)]
    with pytest.raises(dataclasses.FrozenInstanceError):
        BASE.n_layers = 2


@pytest.mark.parametrize("std", [0.02, 0.2])
def test_weights_start_with_the_spread_of_the_configuration(std):
    torch.manual_seed(0)
    net = PretrainingBERT(dataclasses.replace(CONFIG, d_model=64, d_ff=96, max_length=40, init_std=std, eps=1e-3))
    weights = dict(net.named_parameters())
    matrices = {name: weight for name, weight in weights.items() if weight.dim() == 2 and len(weight) > 2}
    assert "bert.embedding.positions.table" in matrices and len(matrices) == 2 + 6 * 2 + 2
    for name, weight in matrices.items():
        assert 0.9 < weight.std() / (0.02 if name.endswith("positions.table") else std) < 1.1, name
    assert all((weight == 0).all() for name, weight in weights.items() if name.endswith("bias"))
    assert {part.eps for part in net.modules() if isinstance(part, torch.nn.LayerNorm)} == {1e-3}


@pytest.mark.parametrize("name", ["vocab_size", "d_model", "n_heads", "d_ff", "n_layers", "max_length", "n_segments"])
@pytest.mark.parametrize("size", [0, -1, 2.5])
def test_sizes_that_cannot_be_are_refused(name, size):
    with pytest.raises(ValueError, match=name) as error:
        BERT(dataclasses.replace(CONFIG, **{name: size}))
    assert one_line(error)


@pytest.mark.parametrize("changed", [{"n_heads": 5}, {"dropout": 2.0}], ids=str)
def test_settings_that_do_not_fit_are_refused(changed):
    with pytest.raises(ValueError, match=r"not divisible|dropout"):
        BERT(dataclasses.replace(CONFIG, **changed))


@pytest.mark.parametrize("ids", [
    torch.full((2, 3), V), torch.full((2, 3), -1), torch.zeros(2, 14, dtype=torch.long), torch.zeros(2, 3),
    torch.zeros(3, dtype=torch.long), torch.zeros(0, 3, dtype=torch.long), torch.zeros(3, 0, dtype=torch.long),
], ids=lambda ids: f"{tuple(ids.shape)} {ids.dtype}")
def test_ids_that_cannot_be_are_refused(ids):
    for read in (model(BERT), model(BERT).hidden_states, model()):
        with pytest.raises(ValueError) as error:
            read(ids)
        assert one_line(error)


@pytest.mark.parametrize("segments", [
    torch.full((B, T), 2), torch.full((B, T), -1), torch.zeros(B, T), torch.zeros(T, dtype=torch.long),
    torch.zeros(B - 1, T, dtype=torch.long), torch.zeros(B, T - 1, dtype=torch.long),
    torch.zeros(B, 1, dtype=torch.long),
], ids=lambda segments: f"{tuple(segments.shape)} {segments.dtype}")
def test_segments_that_do_not_fit_are_refused(segments):
    with pytest.raises(ValueError, match="segment") as error:
        model(BERT)(batch()[0], segments=segments)
    assert one_line(error)


@pytest.mark.parametrize("lengths", [
    [7, 2, 8], [7, -1, 2], [7.0, 2.0, 5.0], [7, 2], [4], [[7, 2, 5]], 7, [True, True, True]], ids=str)
def test_lengths_that_do_not_fit_are_refused(lengths):
    with pytest.raises(ValueError) as error:
        model(BERT)(batch()[0], lengths)
    assert one_line(error)


def test_a_text_without_a_token_gives_no_nan():
    """It is refused, or its row is of numbers: a NaN would spread to all weights with the first step."""
    ids, _ = batch()
    assert not model(BERT)(ids, [0, 7, 7]).isnan().any()
    with pytest.raises(ValueError, match=r"at least|from 1"):
        BERTClassifier(model(BERT), 4, pooling="mean")(ids, [0, 7, 7])


@pytest.mark.parametrize(("arguments", "message"), [
    ({"n_classes": 0}, "n_classes=0"), ({"n_classes": 1.5}, "n_classes=1.5"), ({"pooling": "max"}, "pooling='max'"),
    ({"pooling": None}, "pooling=None"), ({"dropout": 1.5}, "dropout")], ids=str)
def test_a_classifier_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        BERTClassifier(model(BERT), **{"n_classes": 4, **arguments})
