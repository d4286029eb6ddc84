"""Exercises 11.1 to 11.4: right answers that look different, and mistakes written another way."""

import copy
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from course_utils.exercises.chapter_11 import (
    SHARE_LAYERS,
    albert_weights,
    detector_labels,
    order_pair,
    share_layers,
)
from course_utils.exercises.engine import NOT_YET, PASSED, examine

# --- right answers that look different ------------------------------------------------------------------------------

def weights_of_modules(vocab, d_embedding, d_model, d_ff, n_layers, shared=True, max_length=512, n_segments=2):
    tables = [nn.Embedding(rows, d_embedding) for rows in (vocab, max_length, n_segments)]
    around = [nn.LayerNorm(d_embedding), nn.Linear(d_embedding, d_model), nn.Linear(d_model, d_model)]
    block = nn.TransformerEncoderLayer(d_model, 1, d_ff)
    blocks = [block if shared else copy.deepcopy(block) for _ in range(n_layers)]
    return sum(weight.numel() for weight in nn.ModuleList([*tables, *around, *blocks]).parameters())


def weights_of_shapes(vocab, d_embedding, d_model, d_ff, n_layers, shared=True, max_length=512, n_segments=2):
    once = [(d_embedding, vocab + max_length + n_segments + 2), (d_embedding + 1, d_model), (d_model + 1, d_model)]
    block = [(d_model, d_model)] * 4 + [(d_model, d_ff)] * 2 + [(9, d_model), (1, d_ff)]
    return float(sum(np.prod(shape) for shape in once + block * (1 if shared else n_layers)))


class Looped(nn.Module):
    """x through self.block in a loop."""

    def __init__(self, block, n_layers):
        super().__init__()
        self.block, self.n_layers = block, n_layers

    def forward(self, x):
        for _ in range(self.n_layers):
            x = self.block(x)
        return x


class Listed(nn.Module):
    """x through a ModuleList that holds one block several times."""

    def __init__(self, block, n_layers):
        super().__init__()
        self.layers = nn.ModuleList([block] * n_layers)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def filled_up(block, n_layers):
    stack = nn.Sequential()
    for number in range(n_layers):
        stack.add_module(f"layer{number}", block)
    return stack


def tied_copies(block, n_layers):
    """Copies whose parameters are replaced by those of the block: unusual, but they share them."""
    layers = [copy.deepcopy(block) for _ in range(n_layers)]
    for layer in layers:
        for name, part in layer.named_modules():
            for weight, tensor in block.get_submodule(name).named_parameters(recurse=False):
                setattr(part, weight, tensor)
    return nn.Sequential(*layers)


def pair_by_slice(sentences, place, swapped):
    pair = sentences[place:place + 2]
    if len(pair) < 2:
        raise ValueError("no next sentence")
    return [*(reversed(pair) if swapped else pair), int(swapped)]


def pair_by_zip(sentences, place, swapped):
    try:
        pair = list(pairwise(sentences))[place]
    except IndexError as error:
        raise ValueError("no next sentence") from error
    return *pair[::-1 if swapped else 1], swapped          # True and False count as 1 and 0


def labels_in_loops(ids, replaced, chosen, lengths):
    return [[int(true != read) if t < length else -100 for t, (true, read) in enumerate(zip(*rows, strict=True))]
            for *rows, length in zip(ids.tolist(), replaced.tolist(), lengths.tolist(), strict=True)]


def labels_in_numpy(ids, replaced, chosen, lengths):
    places = np.arange(ids.shape[1])[None]
    return np.where(places < lengths.numpy()[:, None], ids.numpy() != replaced.numpy(), -100)


def labels_at_chosen_places(ids, replaced, chosen, lengths):
    labels = torch.full(ids.shape, -100.0)
    for b, length in enumerate(lengths):
        labels[b, :length] = (chosen & (ids - replaced).bool())[b, :length].float()
    return labels


@pytest.mark.parametrize("exercise_id, answer", [
    ("11.1", weights_of_shapes),
    ("11.2", Looped), ("11.2", Listed), ("11.2", filled_up), ("11.2", tied_copies),
    ("11.2", lambda block, n_layers: nn.Sequential(block) * n_layers),
    ("11.3", pair_by_slice), ("11.3", pair_by_zip), ("11.3", lambda *inputs: np.array(order_pair(*inputs), object)),
    ("11.4", labels_in_loops), ("11.4", labels_in_numpy), ("11.4", labels_at_chosen_places),
    ("11.4", lambda ids, replaced, chosen, lengths: torch.where(
        torch.ones_like(ids).cumsum(1) <= lengths[:, None], ids.ne(replaced), -100)),
])
def test_unusual_right_answers_pass(exercise_id, answer):
    verdict = examine(exercise_id, answer)
    assert verdict.status == PASSED and "\n" not in verdict.message, verdict.message


@pytest.mark.parametrize("shared", [True, False])
def test_the_count_is_that_of_modules(shared):
    sizes = 50, 6, 8, 20, 3, shared, 12, 2
    assert albert_weights(*sizes) == weights_of_modules(*sizes)


def test_the_count_is_that_of_albert_base():
    assert albert_weights(30000, 128, 768, 3072, 12) == 11_683_584
    assert albert_weights(30522, 768, 768, 3072, 12, shared=False) == 109_482_240 + 768 * 768 + 768


# --- mistakes, written in other ways --------------------------------------------------------------------------------

class Copies(nn.Module):
    def __init__(self, block, n_layers):
        super().__init__()
        self.layers = nn.ModuleList(copy.deepcopy(block) for _ in range(n_layers))

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


def loaded_copies(block, n_layers):
    layers = [copy.deepcopy(block) for _ in range(n_layers)]
    for layer in layers:
        layer.load_state_dict(block.state_dict())
    return nn.Sequential(*layers)


class Once(Looped):
    def forward(self, x):
        for _ in range(self.n_layers):
            y = self.block(x)
        return y


class Mean(Looped):
    def forward(self, x):
        return torch.stack([self.block(x) for _ in range(self.n_layers)]).mean(0)


class OneMore(Looped):
    def forward(self, x):
        return self.block(super().forward(x))


class States(Looped):
    def forward(self, x):
        states = [x]
        for _ in range(self.n_layers):
            states.append(self.block(states[-1]))
        return states


class InAList(Looped):
    def __init__(self, block, n_layers):
        nn.Module.__init__(self)
        self.layers = [block for _ in range(n_layers)]

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class NoSuper(nn.Module):
    def __init__(self, block, n_layers):
        self.block = block


class Frozen(Looped):
    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)


def plain_function(block, n_layers):
    def stack(x):
        for _ in range(n_layers):
            x = block(x)
        return x
    return stack


def count_with(**given):
    """albert_weights with some arguments replaced: name=a function of all of them by name."""
    names = ("vocab", "d_embedding", "d_model", "d_ff", "n_layers", "shared", "max_length", "n_segments")

    def answer(vocab, d_embedding, d_model, d_ff, n_layers, shared=True, max_length=512, n_segments=2):
        sizes = dict(zip(names, (vocab, d_embedding, d_model, d_ff, n_layers, shared, max_length, n_segments),
                         strict=True))
        return albert_weights(**{**sizes, **{name: change(sizes) for name, change in given.items()}})
    return answer


@pytest.mark.parametrize("exercise_id, answer, words", [
    ("11.1", count_with(shared=lambda sizes: False), "as if each depth had a copy"),
    ("11.1", count_with(shared=lambda sizes: True), "You count one block in either case"),
    ("11.1", count_with(shared=lambda sizes: not sizes["shared"]), "Your two cases are exchanged"),
    ("11.1", count_with(d_ff=lambda sizes: 4 * sizes["d_model"]), "d_ff is an argument"),
    ("11.1", lambda V, E, C, hidden, n, shared=True, length=512, segments=2:
        albert_weights(V, C, C, hidden, n, shared, length, segments) - C * C - C, "You count BERT's embeddings"),
    ("11.1", lambda *sizes: sum(sizes), "Expected"),
    ("11.2", Copies, "You copy the block for each layer"),
    ("11.2", loaded_copies, "You copy the block for each layer"),
    ("11.2", Once, "Your x goes through the block once"),
    ("11.2", Mean, "the mean of n_layers calls with the same x is one call, too"),
    ("11.2", OneMore, "one layer too deep"),
    ("11.2", States, "Expected a stack that returns one tensor, got one that returns a list of 4 tensors"),
    ("11.2", InAList, "parameters() is empty"),
    ("11.2", NoSuper, "super().__init__()"),
    ("11.2", Frozen, "In item 'gradient of block's first weights'"),
    ("11.2", plain_function, "You return a function"),
    ("11.2", lambda block, n_layers: Looped(block, 3), "Called with block = an nn.Module, n_layers ="),
    ("11.2", lambda block, n_layers: nn.Sequential(block) + nn.ReLU(), "Expected an nn.Sequential on either side of +"),
    ("11.3", lambda sentences, place, swapped: (*sentences[place:place + 2][::-1 if swapped else 1], int(swapped)),
     "xpected"),
    ("11.3", lambda sentences, place, swapped: order_pair(sentences, sentences.index(sentences[place]), swapped),
     "You look the sentence up by its text"),
    ("11.3", lambda *inputs: order_pair(*inputs)[:2], "xpected"),
    ("11.4", lambda ids, replaced, chosen, lengths: chosen.long(), "You return chosen as it is"),
    ("11.4", lambda ids, replaced, chosen, lengths: (ids != replaced).long(), "Your padding has the label 0"),
    ("11.4", lambda ids, replaced, chosen, lengths: torch.where(chosen, ids, -100),
     "Those are the generator's labels"),
    ("11.4", lambda ids, replaced, chosen, lengths: detector_labels(ids, replaced, chosen, lengths - 1), "xpected"),
    ("11.4", lambda ids, replaced, chosen, lengths: ids != replaced, "Your padding has the label 0"),
])
def test_other_ways_to_make_a_mistake(exercise_id, answer, words):
    verdict = examine(exercise_id, answer)
    assert verdict.status == NOT_YET and words in verdict.message, verdict.message


# --- what the checks compare ----------------------------------------------------------------------------------------

def test_a_stack_that_changes_its_output_a_little_gets_numbers():
    class Disturbed(Looped):
        def forward(self, x):
            return super().forward(x) + 0.1

    verdict = examine("11.2", Disturbed)
    assert verdict.status == NOT_YET and verdict.misconception is None
    assert "In item 'output': the first difference is at index [0, 0, 0]: expected" in verdict.message


def test_the_reference_shares_what_it_is_given():
    block, n_layers, x = SHARE_LAYERS.cases[1].make()
    stack = share_layers(block, n_layers)
    assert [id(weight) for weight in stack.parameters()] == [id(weight) for weight in block.parameters()]
    torch.testing.assert_close(stack(x), block(block(block(block(block(x))))))


def test_a_sentence_is_compared_as_it_is():
    """No sentence is stripped or lowered before it is compared."""
    verdict = examine("11.3", lambda *inputs: tuple(
        part.lower() if isinstance(part, str) else part for part in order_pair(*inputs)))
    assert verdict.status == NOT_YET and "In first: expected 'Open the file.', got 'open the file.'" in verdict.message
