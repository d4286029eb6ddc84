"""`trace`: every number is what the model itself computes, in its order, and the model is left as it was."""

import pytest
import torch

from course_utils.models.attention import causal_mask, padding_mask
from course_utils.models.tracing import evaluating, trace
from course_utils.models.transformer import Transformer, without

SOURCE, LENGTHS = torch.tensor([[4, 5, 6, 7], [8, 9, 0, 0]]), torch.tensor([4, 2])
TOKENS = torch.tensor([[1, 4, 5]] * 2)


def model_of(norm="post", **options):
    torch.manual_seed(0)
    return Transformer(11, 13, d_model=8, n_heads=2, d_ff=24, n_layers=2, norm=norm, **options)


def traced(model, *inputs):
    return {stage.name: stage for stage in trace(model, *(inputs or (SOURCE, LENGTHS, TOKENS)))}


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_stages_are_what_the_model_computes(norm):
    model = model_of(norm).eval()
    with torch.no_grad():
        found = traced(model)
        mask = padding_mask(LENGTHS, 4)
        x = model.embed(SOURCE, model.source_embedding)
        torch.testing.assert_close(found["encoder.positions"].values, x)
        words = model.source_embedding(SOURCE) * 8 ** 0.5
        torch.testing.assert_close(found["encoder.words"].values, words)
        last = "norm" if norm == "post" else "sum"
        for number, block in enumerate(model.encoder.blocks):
            x = block(x, mask)
            torch.testing.assert_close(found[f"encoder.blocks.{number}.around_feed_forward.{last}"].values, x)
        memory = model.encoder.norm(x)
        if norm == "pre":
            torch.testing.assert_close(found["encoder.norm"].values, memory)
        y = model.embed(TOKENS, model.target_embedding)
        for number, block in enumerate(model.decoder.blocks):
            y = block(y, memory, causal_mask(3), mask)
            torch.testing.assert_close(found[f"decoder.blocks.{number}.around_feed_forward.{last}"].values, y)
        torch.testing.assert_close(found["head"].values, model(SOURCE, LENGTHS, TOKENS))


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_a_sum_is_the_stream_and_what_the_sublayer_says(norm):
    found = traced(model_of(norm))
    before = "encoder.positions"
    for of in ("attention", "feed_forward"):
        said, added = (found[f"encoder.blocks.0.{part}"].values for part in (of, f"around_{of}.sum"))
        torch.testing.assert_close(added, found[before].values + said)
        before = f"encoder.blocks.0.around_{of}.{'norm' if norm == 'post' else 'sum'}"


def test_order_is_the_order_of_computing():
    kinds = {norm: [name.removeprefix("encoder.blocks.1.") for name in traced(model_of(norm))
                    if name.startswith("encoder.blocks.1.")] for norm in ("post", "pre")}
    assert kinds["post"] == ["attention", "around_attention.sum", "around_attention.norm", "feed_forward.hidden",
                             "feed_forward", "around_feed_forward.sum", "around_feed_forward.norm"]
    assert kinds["pre"] == ["around_attention.norm", "attention", "around_attention.sum", "around_feed_forward.norm",
                            "feed_forward.hidden", "feed_forward", "around_feed_forward.sum"]


def test_weights_come_with_their_masks():
    found = traced(model_of())
    own, cross = (found[f"decoder.blocks.1.{name}_attention"] for name in ("self", "cross"))
    assert (own.weights.shape, cross.weights.shape) == ((2, 2, 3, 3), (2, 2, 3, 4))
    assert torch.equal(own.allowed, causal_mask(3))
    assert torch.equal(cross.allowed, padding_mask(LENGTHS, 4))
    assert (own.weights.masked_select(~own.allowed) == 0).all()
    hidden = found["decoder.blocks.0.feed_forward.hidden"].values
    assert hidden.shape == (2, 3, 24) and (hidden == 0).any() and (hidden >= 0).all()


def test_parts_that_are_taken_out_have_no_stage_or_change_nothing():
    full, bare = traced(model_of()), traced(without(model_of(), "norm", "residual", "positions", "mask"))
    assert [name for name in full if not name.endswith(".norm")] == list(bare)
    assert torch.equal(bare["decoder.words"].values, bare["decoder.positions"].values)
    assert torch.equal(bare["encoder.blocks.0.attention"].values, bare["encoder.blocks.0.around_attention.sum"].values)
    assert bare["decoder.blocks.0.self_attention"].allowed is None


def test_a_later_token_changes_no_earlier_row_unless_the_mask_is_off():
    def rows(model, length):
        found = trace(model, SOURCE[:1], LENGTHS[:1], torch.tensor([[1, 4, 5, 6]])[:, :length])
        return [stage.values[0, :2] for stage in found if stage.name.startswith("decoder")]

    model = model_of()
    torch.testing.assert_close(rows(model, 2), rows(model, 4))
    unmasked = without(model, "mask")
    pairs = zip(rows(unmasked, 2), rows(unmasked, 4), strict=True)
    changed = [not torch.allclose(one, other, atol=1e-4) for one, other in pairs]
    assert changed == [False, False] + [True] * (len(changed) - 2)      # all but words and positions


def test_the_model_is_left_as_it_was():
    model = model_of(dropout=0.5).train()
    first, second = (traced(model)["head"].values for _ in range(2))
    assert torch.equal(first, second)                                   # dropout was off
    assert model.training and model.decoder.blocks[0].around_feed_forward.training
    with pytest.raises(ValueError, match="source"):
        trace(model, torch.tensor([[99]]), torch.tensor([1]), TOKENS[:1])
    assert model.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_each_part_gets_back_the_mode_that_it_had():
    model = model_of().train()
    model.encoder.eval()
    before = {name: part.training for name, part in model.named_modules()}
    trace(model, SOURCE, LENGTHS, TOKENS)
    assert {name: part.training for name, part in model.named_modules()} == before
    with pytest.raises(ValueError, match="stop"), evaluating(model):
        assert not any(part.training for part in model.modules())
        raise ValueError("stop")
    assert {name: part.training for name, part in model.named_modules()} == before
