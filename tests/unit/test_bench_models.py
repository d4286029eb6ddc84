"""What `bench` times of the models: both sides of a pair hold the same weights and do the same, and its tables."""

import itertools

import pytest
import torch

from course_utils.commands import bench

models, _, _ = bench.measurement("models")


@pytest.mark.parametrize("make", [
    lambda: models.block("Encoder", 64, models.forward), lambda: models.block("Decoder", 64, models.step),
    lambda: models.whole(64, False), lambda: models.whole(64, True), models.small_bert,
    models.small_albert, models.small_vit],
    ids=["encoder block", "decoder block", "whole, forward", "whole, training step", "BERT", "ALBERT", "ViT"])
def test_both_sides_of_a_pair_agree(make):
    pair = make()
    outputs = pair.outputs or pair.act
    torch.testing.assert_close(outputs(pair.ours), outputs(pair.theirs), rtol=1e-5, atol=1e-5)
    assert not any(pair.ours is part for part in pair.theirs.modules())


def test_a_training_step_trains_both_sides_alike():
    torch.manual_seed(0)
    pair = models.whole(64, True)
    before = {name: parameter.clone() for name, parameter in pair.ours.named_parameters()}
    for model in (pair.ours, pair.theirs):
        torch.nn.Module.apply(model, lambda part: setattr(part, "p", 0.0) if hasattr(part, "p") else None)
        for part in model.modules():                        # attention keeps its own number
            if isinstance(getattr(part, "dropout", None), float):
                part.dropout = 0.0
        pair.act(model)
    after = dict(pair.ours.named_parameters())
    assert all(not torch.equal(before[name], after[name]) for name in before if not name.endswith("w_k.bias"))
    # AdamW's first step goes by the sign of a gradient: where that is all but 0, rounding decides
    torch.testing.assert_close(pair.outputs(pair.ours), pair.outputs(pair.theirs), rtol=1e-2, atol=1e-2)


def test_the_sentences_go_from_short_to_long():
    batches = models.sentences()
    assert len(batches) == 6 and all(len(source) == 64 for source, _, _ in batches)
    assert all(one[0].shape[1] <= other[0].shape[1] for one, other in itertools.pairwise(batches))
    assert batches[0][0].shape[1] < 8 < batches[-1][0].shape[1]


def test_what_grows_with_length_has_a_table_of_its_own():
    by_length = {"lengths": [16, 32], "milliseconds": {"GRU": [2.0, 4.0], "Transformer": [1.0, 6.0]}}
    text = models.table({"a pair": {"ours": 3.0, "torch": 4.0}, models.BY_LENGTH: by_length})
    assert "| a pair | 3.0 ms | 4.0 ms | 0.75 |" in text and "| 16 | 32 |" in text
    assert text.endswith("| GRU | 2.0 (1.00) | 4.0 (1.00) |\n| Transformer | 1.0 (0.50) | 6.0 (1.50) |")


def test_both_ways_to_write_give_the_same_tokens_and_only_one_reads_the_text_again():
    ways = models.writers(n_new=6, n_read=4)
    assert ways["with"]() == ways["without"]() and len(ways["with"]()) == 6
    model, seen = ways["with"].args[0], []
    assert model is ways["without"].args[0]
    model.blocks[0].register_forward_pre_hook(lambda block, inputs: seen.append(inputs[0].shape[1]))
    ways["with"]()
    ways["without"]()
    assert seen == [4, 1, 1, 1, 1, 1, *range(4, 10)]


def test_a_cache_that_changes_the_text_is_an_error():
    with pytest.raises(AssertionError, match="the cache changes what is written"):
        models.writing(1, {"with": lambda: [1, 2], "without": lambda: [1, 3]})


def test_writing_has_a_table_of_its_own():
    text = models.table({"a pair": {"ours": 3.0, "torch": 4.0}, models.WRITING: {"with": 500.0, "without": 2000.0}})
    assert text.endswith("| 256 new tokens after 64 | 500 ms | 2000 ms | 0.25 |")
    assert "| a pair | 3.0 ms | 4.0 ms | 0.75 |\n\n| GPT" in text
