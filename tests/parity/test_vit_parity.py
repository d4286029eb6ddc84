"""The course's ViT against `transformers`', on the same weights: random small models of odd sizes.

B≠T≠H≠d_k≠C≠d_ff≠N≠channels≠p, so no two axes can be mixed up unnoticed.
"""

import pytest
import torch
import torch.nn.functional as F
import transformers

from course_utils.models.attention import attention_maps
from course_utils.models.vit import ViT, ViTClassifier, ViTConfig, attention_rollout, copy_transformers_vit, cut_patches

CLOSE = {"rtol": 1e-5, "atol": 1e-5}        # for float32
EXACT = {"rtol": 1e-9, "atol": 1e-9}        # for float64
B, CLASSES = 4, 11
SIZES = [  # image_size, patch_size, n_channels, d_model, n_heads, d_ff, n_layers, eps
    (15, 5, 2, 24, 2, 50, 3, 1e-12),
    (12, 3, 1, 30, 5, 41, 1, 1e-5),
    (14, 7, 3, 9, 1, 13, 2, 1e-2),
]
every_size = pytest.mark.parametrize("sizes", SIZES, ids=lambda sizes: f"p{sizes[1]}-C{sizes[3]}-N{sizes[6]}")


def pair(sizes, kind=transformers.ViTForImageClassification, attention="eager"):
    """(ours, theirs) with the same random weights, larger than at the start so that attention is no average."""
    image, patch, channels, width, heads, d_ff, layers, eps = sizes
    theirs = kind(transformers.ViTConfig(
        image_size=image, patch_size=patch, num_channels=channels, hidden_size=width, num_attention_heads=heads,
        intermediate_size=d_ff, num_hidden_layers=layers, layer_norm_eps=eps, num_labels=CLASSES,
        attn_implementation=attention))
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in theirs.parameters():
            weight.copy_(torch.randn_like(weight) * 0.3)
    ours = ViT(ViTConfig(image, patch, channels, width, heads, d_ff, layers, eps=eps))
    ours = ours if kind is transformers.ViTModel else ViTClassifier(ours, CLASSES)
    copy_transformers_vit(ours, theirs)
    return ours.eval(), theirs.eval()


def images(sizes):
    return torch.rand(B, sizes[2], sizes[0], sizes[0], generator=torch.Generator().manual_seed(2))


@every_size
def test_every_layer_and_every_head_are_the_same(sizes):
    ours, theirs = pair(sizes, transformers.ViTModel)
    with torch.no_grad():
        states = ours.hidden_states(images(sizes))
        expected = theirs(images(sizes), output_hidden_states=True, output_attentions=True)
        torch.testing.assert_close(ours(images(sizes)), expected.last_hidden_state, **CLOSE)
    assert len(states) == sizes[6] + 1
    # theirs lists what enters each block, and at the end what leaves the last
    for mine, other in zip(states[:-1], expected.hidden_states[:sizes[6]], strict=True):
        torch.testing.assert_close(mine, other, **CLOSE)
    maps = [weights for _, weights in attention_maps(ours, images(sizes))]
    for mine, other in zip(maps, expected.attentions, strict=True):
        torch.testing.assert_close(mine, other, **CLOSE)


@every_size
def test_the_classifier_gives_the_same_scores(sizes):
    ours, theirs = pair(sizes)
    with torch.no_grad():
        torch.testing.assert_close(ours(images(sizes)), theirs(images(sizes)).logits, **CLOSE)


def test_the_loss_has_the_same_gradients():
    # their written-out attention takes its softmax in 32 bits, torch's own does not
    ours, theirs = (model.double() for model in pair(SIZES[0], attention="sdpa"))
    labels = torch.tensor([3, 0, 10, 7])
    F.cross_entropy(ours(images(SIZES[0]).double()), labels).backward()
    F.cross_entropy(theirs(images(SIZES[0]).double()).logits, labels).backward()
    other = pair(SIZES[0])[0].double()           # their gradients under our names, by the way their weights take
    copy_transformers_vit(other, {name: weight.grad for name, weight in theirs.named_parameters()})
    wanted = dict(other.named_parameters())
    for name, weight in ours.named_parameters():
        torch.testing.assert_close(weight.grad, wanted[name].data, **EXACT, msg=lambda text, at=name: f"{at}: {text}")


def test_a_wrong_size_is_refused_before_anything_is_copied():
    ours, theirs = pair(SIZES[0])[0], pair(SIZES[1])[1]
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    with pytest.raises(ValueError, match="another model"):
        copy_transformers_vit(ours, theirs)
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


@pytest.mark.parametrize(("channels", "height", "width", "patch"), [(2, 6, 15, 3), (3, 8, 4, 4), (1, 10, 5, 5)])
def test_patches_are_what_unfold_gives(channels, height, width, patch):
    pictures = torch.rand(B, channels, height, width)
    expected = F.unfold(pictures, patch, stride=patch).mT                    # (B, channels·p·p, T) -> (B, T, …)
    torch.testing.assert_close(cut_patches(pictures, patch), expected, rtol=0, atol=0)


def test_a_rollout_is_the_product_of_the_layers_written_out():
    maps = [torch.rand(2, 3, 5, 5, dtype=torch.double).softmax(-1) for _ in range(4)]
    for fusion, fuse in (("mean", torch.mean), ("max", torch.amax), ("min", torch.amin)):
        for row in range(2):
            expected = torch.eye(5, dtype=torch.double)
            for weights in maps:
                mixed = fuse(weights[row], 0) + torch.eye(5)
                expected = torch.diag(1 / mixed.sum(1)) @ mixed @ expected
            torch.testing.assert_close(attention_rollout(maps, fusion)[row], expected, **EXACT)
