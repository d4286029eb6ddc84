"""ViT: what patches, order and positions may change, the rollout, and clear errors."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.models.attention import attention_maps
from course_utils.models.transformer import without
from course_utils.models.vit import (
    PatchEmbedding,
    ViT,
    ViTClassifier,
    ViTConfig,
    attention_rollout,
    cut_patches,
    join_patches,
    position_similarity,
)

CONFIG = ViTConfig(image_size=15, patch_size=5, n_channels=2, d_model=12, n_heads=3, d_ff=20, n_layers=2)
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
ORDER = torch.tensor([4, 0, 8, 2, 6, 1, 3, 7, 5])


def model(config=CONFIG):
    """A model whose weights are larger than at the start, so that every part moves the result."""
    torch.manual_seed(0)
    net = ViT(config)
    with torch.no_grad():
        for weight in net.parameters():
            weight.copy_(0.6 * torch.randn_like(weight))
    return net.eval()


def images(count=4):
    return torch.rand(count, 2, 15, 15, generator=torch.Generator().manual_seed(1))


def test_patches_come_row_by_row_and_go_back():
    picture = torch.arange(24.0).view(1, 1, 4, 6)
    patches = cut_patches(picture, 2)
    assert patches.shape == (1, 6, 4)
    assert patches[0, 1].tolist() == [2, 3, 8, 9] and patches[0, 3].tolist() == [12, 13, 18, 19]
    torch.testing.assert_close(join_patches(patches, 1, 2, 2), picture, rtol=0, atol=0)
    wide = torch.rand(3, 2, 6, 9)
    torch.testing.assert_close(join_patches(cut_patches(wide, 3), 2, 2, 3), wide, rtol=0, atol=0)


def test_the_embedding_is_a_convolution_whose_stride_is_its_kernel():
    embedding, convolution = PatchEmbedding(CONFIG), nn.Conv2d(2, 12, 5, stride=5)
    with torch.no_grad():
        convolution.weight.copy_(embedding.project.weight.view(12, 2, 5, 5))
        convolution.bias.copy_(embedding.project.bias)
    torch.testing.assert_close(embedding(images()), convolution(images()).flatten(2).mT, **CLOSE)


def test_an_order_of_the_patches_is_the_same_as_shuffled_pixels():
    net = model()
    shuffled = join_patches(cut_patches(images(), 5)[:, ORDER], 2, 3, 5)
    torch.testing.assert_close(net(images(), ORDER), net(shuffled), **CLOSE)


def test_without_positions_the_class_token_sees_a_set_and_with_them_it_does_not():
    for net in (model(dataclasses.replace(CONFIG, positions=False)), without(model(), "positions")):
        straight, shuffled = net(images()), net(images(), ORDER)
        torch.testing.assert_close(straight[:, 0], shuffled[:, 0], **CLOSE)
        torch.testing.assert_close(straight[:, 1:][:, ORDER], shuffled[:, 1:], **CLOSE)
    assert (model()(images())[:, 0] - model()(images(), ORDER)[:, 0]).abs().max() > 1e-3


def test_images_of_a_batch_do_not_meet():
    net, changed = model(), images()
    changed[1:] = torch.rand(3, 2, 15, 15)
    torch.testing.assert_close(net(changed)[0], net(images())[0], **CLOSE)


def test_every_token_can_reach_the_class_token():
    net, pictures = model(), images(1).requires_grad_()
    net(pictures)[0, 0].sum().backward()
    assert (cut_patches(pictures.grad, 5).abs().sum(-1) > 0).all()


def test_hidden_states_end_where_the_last_norm_begins():
    net = model()
    states = net.hidden_states(images())
    assert len(states) == 3
    torch.testing.assert_close(net.encoder.norm(states[-1]), net(images()), **CLOSE)


@pytest.mark.parametrize("hidden", [None, 7])
def test_the_head_reads_the_class_token_alone(hidden):
    net = ViTClassifier(model(), 5, hidden)
    assert net(images()).shape == (4, 5)
    torch.testing.assert_close(net(images()), net.head(net.vit(images())[:, 0]), **CLOSE)
    assert sum(isinstance(layer, nn.Tanh) for layer in net.modules()) == (hidden is not None)


def test_one_layers_rollout_by_hand():
    weights = torch.tensor([[[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]]])           # (1, 2 heads, 2, 2)
    torch.testing.assert_close(attention_rollout([weights]), torch.tensor([[[0.75, 0.25], [0.25, 0.75]]]))
    largest = attention_rollout([weights], "max")                            # (1, 1) + (1, 0) = (2, 1), rows to 1
    torch.testing.assert_close(largest, torch.tensor([[[2 / 3, 1 / 3], [0.25, 0.75]]]))


def test_a_rollout_keeps_rows_that_sum_to_1_and_puts_later_layers_on_the_left():
    maps = [weights for _, weights in attention_maps(model(), images())]
    for fusion in ("mean", "max", "min"):
        torch.testing.assert_close(attention_rollout(maps, fusion).sum(-1), torch.ones(4, 10))
    blocked = torch.eye(10).expand(4, 3, 10, 10).clone()
    blocked[:, :, 0] = 0
    blocked[:, :, 0, 3] = 1                                                  # the class token looks at token 3 alone
    last = attention_rollout([maps[0], blocked])[:, 0]
    first = attention_rollout([maps[0]])
    torch.testing.assert_close(last, (first[:, 0] + first[:, 3]) / 2)


def test_position_similarity_is_the_cosine_and_leaves_the_class_token_out():
    table = torch.randn(10, 12)
    found = position_similarity(table, 3)
    assert found.shape == (9, 3, 3)
    torch.testing.assert_close(found[4, 2, 1], F.cosine_similarity(table[5], table[8], dim=0))
    table[0] = 100
    torch.testing.assert_close(position_similarity(table, 3), found)


@pytest.mark.parametrize(("call", "words"), [
    (lambda: cut_patches(images(), 4), "no rest"),
    (lambda: cut_patches(images()[0], 5), "no rest"),
    (lambda: join_patches(torch.rand(1, 6, 4), 1, 4, 2), "do not give 4 rows"),
    (lambda: ViT(dataclasses.replace(CONFIG, patch_size=4)), "does not divide"),
    (lambda: ViT(dataclasses.replace(CONFIG, n_heads=5)), "not divisible"),
    (lambda: model()(torch.rand(2, 3, 15, 15)), "images must be"),
    (lambda: model()(images(), torch.arange(8)), "order must hold"),
    (lambda: model()(images(), torch.zeros(9, dtype=torch.long)), "order must hold"),
    (lambda: attention_rollout([]), "one .* for each layer"),
    (lambda: attention_rollout([torch.rand(1, 2, 3, 3), torch.rand(1, 2, 4, 4)]), "one .* for each layer"),
    (lambda: attention_rollout([torch.rand(1, 2, 3, 3)], "median"), "fusion='median'"),
    (lambda: position_similarity(torch.rand(9, 4), 3), "need 10 positions"),
    (lambda: ViTClassifier(model(), 0), "n_classes"),
])
def test_wrong_arguments_get_one_clear_line(call, words):
    with pytest.raises(ValueError, match=words) as error:
        call()
    assert "\n" not in str(error.value)
