"""Exercises 11.5 to 11.9, where the tests of all chapters cannot look: facts, other answers, mistakes."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.exercises import engine
from course_utils.exercises.chapter_11 import confusion_counts, distil_loss, match_states, sparse_mask, split_by_file
from course_utils.exercises.engine import NOT_YET, PASSED, examine
from course_utils.exercises.running import run
from course_utils.models.compact import bigbird_mask, hidden_state_loss, soft_target_loss

MINE = ["11.5", "11.6", "11.7", "11.8", "11.9"]


def cases_of(exercise_id):
    """The inputs of all cases, drawn as the engine draws them."""
    return [run(lambda *inputs: inputs, case.make, 5).inputs for case in engine.get(exercise_id).cases]


# --- the references by themselves -----------------------------------------------------------------------------------

def test_losses_are_the_courses_own():
    for student, teacher, temperature in cases_of("11.5"):
        torch.testing.assert_close(distil_loss(student, teacher, temperature),
                                   soft_target_loss(student, teacher, temperature))
    for student, teacher, weight, lengths in cases_of("11.6"):
        project = nn.Linear(*weight.shape[::-1], bias=False)
        project.weight = nn.Parameter(weight)
        torch.testing.assert_close(match_states(student, teacher, weight, lengths),
                                   hidden_state_loss(student, teacher, lengths, project).detach())


def test_cross_entropy_has_the_gradient_of_the_divergence():
    """As one of the sentences says."""
    student, teacher, temperature = cases_of("11.5")[0]
    student.requires_grad_()
    cross_entropy = temperature**2 * F.cross_entropy(student / temperature, (teacher / temperature).softmax(-1))
    gradients = [torch.autograd.grad(loss, student)[0]
                 for loss in (distil_loss(student, teacher, temperature), cross_entropy)]
    torch.testing.assert_close(*gradients)


def test_the_mask_without_random_keys_is_the_courses_own():
    for T, window, n_global, _, seed in cases_of("11.7"):
        assert torch.equal(sparse_mask(T, window, n_global, 0, seed), bigbird_mask(T, window, n_global))


def test_a_split_is_the_same_in_any_order_of_the_examples():
    files, share, seed = cases_of("11.8")[0]
    held_out = [{names[i] for i in split_by_file(names, share, seed)[1]} for names in (files, sorted(files))]
    assert held_out[0] == held_out[1] and len(held_out[0]) == 3


def test_counts_hold_every_example_once():
    for true, said, n in cases_of("11.9"):
        counts = confusion_counts(true, said, n)
        assert counts.sum() == len(true) and counts.trace() == (true == said).sum()
        assert torch.equal(counts.sum(1), torch.bincount(true, minlength=n))


# --- right answers that look different ------------------------------------------------------------------------------

def loss_by_kl_div(student, teacher, temperature):
    loss = F.kl_div((student / temperature).log_softmax(1), (teacher / temperature).softmax(1), reduction="batchmean")
    return loss * temperature**2


def loss_less_entropy(student, teacher, temperature):
    logs = F.log_softmax(teacher / temperature, -1)
    entropy = -(logs.exp() * logs).sum(-1).mean()
    return temperature**2 * (F.cross_entropy(student / temperature, logs.exp()) - entropy)


def states_by_loop(student, teacher, weight, lengths):
    squares = []
    for b, length in enumerate(lengths.tolist()):
        for t in range(length):
            squares += (weight @ student[b, t] - teacher[b, t]).square().tolist()
    return sum(squares) / len(squares)


def states_by_weights(student, teacher, weight, lengths):
    real = (np.arange(student.shape[1]) < lengths.numpy()[:, None])[..., None]
    difference = np.einsum("btc,dc->btd", student.numpy(), weight.numpy()) - teacher.numpy()
    return (difference**2 * real).sum() / (real.sum() * teacher.shape[2])


def mask_by_loops(T, window, n_global, n_random, seed):
    draw = random.Random(seed)
    rows = []
    for q in range(T):
        row = [abs(q - k) <= window or q < n_global or k < n_global for k in range(T)]
        free = [k for k in range(T) if not row[k]]
        for k in draw.sample(free, min(n_random, len(free))):
            row[k] = True
        rows.append(row)
    return rows


def mask_by_ranks(T, window, n_global, n_random, seed):
    place = np.arange(T)
    base = (abs(place[:, None] - place) <= window) | (place[:, None] < n_global) | (place < n_global)
    numbers = np.random.default_rng(seed).random((T, T)) + 9 * base
    return base | (numbers.argsort(1).argsort(1) < n_random)


def mask_with_the_seed_put_back(T, window, n_global, n_random, seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        numbers = torch.rand(T, T)
    base = sparse_mask(T, window, n_global, 0, 0)
    return base | (numbers.masked_fill(base, 2).argsort(1).argsort(1) < n_random)


def split_with_random(files, share, seed):
    names = list(dict.fromkeys(files))
    held_out = set(random.Random(seed).sample(names, max(1, round(share * len(names)))))
    sides = [[], []]
    for i, name in enumerate(files):
        sides[name in held_out].append(i)
    return sides


def split_with_numpy(files, share, seed):
    names, which = np.unique(files, return_inverse=True)
    test = np.random.default_rng(seed).permutation(len(names))[:max(1, round(share * len(names)))]
    return np.flatnonzero(~np.isin(which, test)), np.flatnonzero(np.isin(which, test))


def split_of_numpy_names(files, share, seed):
    names = np.random.default_rng(seed).permutation(np.unique(files))
    test = set(names[:max(1, round(share * len(names)))])
    return [[i for i, name in enumerate(files) if (name in test) == side] for side in (False, True)]


def counts_by_one_hot(true, said, n):
    return F.one_hot(true, n).T @ F.one_hot(said, n)


def counts_by_lists(true, said, n):
    pairs = list(zip(true.tolist(), said.tolist(), strict=True))
    return [[pairs.count((i, j)) for j in range(n)] for i in range(n)]


def counts_in_numpy(true, said, n):
    counts = np.zeros((n, n))
    np.add.at(counts, (true.numpy(), said.numpy()), 1)
    return counts


@pytest.mark.parametrize("exercise_id, answer", [
    ("11.5", loss_by_kl_div), ("11.5", loss_less_entropy), ("11.6", states_by_loop), ("11.6", states_by_weights),
    ("11.6", lambda s, t, w, n: hidden_state_loss(F.linear(s, w), t, n)),
    ("11.7", mask_by_loops), ("11.7", mask_by_ranks), ("11.7", mask_with_the_seed_put_back),
    ("11.8", split_with_random), ("11.8", split_with_numpy), ("11.8", split_of_numpy_names),
    ("11.9", counts_by_one_hot), ("11.9", counts_by_lists), ("11.9", counts_in_numpy),
])
def test_unusual_right_answers_pass(exercise_id, answer):
    verdict = examine(exercise_id, answer)
    assert verdict.status == PASSED, verdict.message
    assert verdict.message.count("\n") == 0


# --- known mistakes, written another way ----------------------------------------------------------------------------

def mask_seeded_by_python(T, window, n_global, n_random, seed):
    random.seed(seed)
    mask = sparse_mask(T, window, n_global, 0, seed)
    for q in range(n_global, T):
        free = [k for k in range(T) if not mask[q, k]]
        mask[q, random.sample(free, min(n_random, len(free)))] = True
    return mask


def mask_drawn_with_repeats(T, window, n_global, n_random, seed):
    mask, draw = sparse_mask(T, window, n_global, 0, seed), random.Random(seed)
    for q in range(n_global, T):
        free = [k for k in range(T) if not mask[q, k]]
        if free and n_random:
            mask[q, draw.choices(free, k=n_random)] = True
    return mask


def split_seeded_by_numpy(files, share, seed):
    np.random.seed(seed)
    names = sorted(set(files))
    test = set(np.random.permutation(names)[:max(1, round(share * len(names)))].tolist())
    return [[i for i, name in enumerate(files) if (name in test) == side] for side in (False, True)]


def split_of_shuffled_examples(files, share, seed):
    places = list(range(len(files)))
    random.Random(seed).shuffle(places)
    cut = round((1 - share) * len(places))
    return places[:cut], places[cut:]


def split_by_hashes(files, share, seed):
    names = sorted(set(files), key=lambda name: hash(f"{seed} {name}"))
    test = names[:max(1, round(share * len(names)))]
    return [[i for i, name in enumerate(files) if (name in test) == side] for side in (False, True)]


def split_with_a_seed_of_its_own(files, share, seed):
    return split_by_file(files, share, 42)


@pytest.mark.parametrize("exercise_id, answer, words", [
    ("11.5", lambda s, t, T: T**2 * F.kl_div((t / T).log_softmax(-1), (s / T).softmax(-1), reduction="batchmean"),
     "the wrong way round"),
    ("11.5", lambda s, t, T: T**2 * F.kl_div((s / T).log_softmax(-1), (t / T).softmax(-1), reduction="mean"),
     "as F.kl_div does with reduction=\"mean\""),
    ("11.5", lambda s, t, T: F.kl_div((s / T).log_softmax(-1), (t / T).softmax(-1), reduction="batchmean"),
     "The factor τ² is missing"),
    ("11.5", lambda s, t, T: T**2 * F.cross_entropy(s / T, (t / T).softmax(-1)), "You give the cross-entropy"),
    ("11.6", lambda s, t, w, n: F.mse_loss(F.linear(s, w), t), "You count padding"),
    ("11.6", lambda s, t, w, n: sum(F.mse_loss(s[b, :m] @ w.T, t[b, :m]) for b, m in enumerate(n)) / len(n),
     "You take the mean of each text first"),
    ("11.7", mask_seeded_by_python, "You seed the whole program"),
    ("11.7", mask_drawn_with_repeats, "Your draws fall on keys that are allowed already, or twice"),
    ("11.8", split_seeded_by_numpy, "You seed the whole program"),
    ("11.8", split_of_shuffled_examples, "You draw examples"),
    ("11.8", split_with_a_seed_of_its_own, "Your test holds the same files for every seed"),
    ("11.8", split_by_hashes, "another one when Python is started anew"),
    ("11.9", lambda true, said, n: counts_in_numpy(said, true, n), "Your rows and columns changed places"),
])
def test_other_ways_to_make_a_known_mistake(exercise_id, answer, words):
    verdict = examine(exercise_id, answer)
    assert verdict.status == NOT_YET and verdict.misconception is not None, verdict.message
    assert words in verdict.message.splitlines()[0]


# --- mistakes on nobody's list --------------------------------------------------------------------------------------

def mask_of_later_keys(T, window, n_global, n_random, seed):
    """Draws among the free keys on the right only, and on the left where there are too few."""
    mask, draw = sparse_mask(T, window, n_global, 0, seed), random.Random(seed)
    for q in range(n_global, T):
        free = [k for k in range(T) if not mask[q, k]]
        later = [k for k in free if k > q]
        chosen = later if len(later) >= n_random else free
        mask[q, draw.sample(chosen, min(n_random, len(chosen)))] = True
    return mask


def split_after_shuffling_in_place(files, share, seed):
    """The right split of the caller's list, which it leaves in another order."""
    split = split_by_file(files, share, seed)
    random.Random(seed).shuffle(files)
    return split


@pytest.mark.parametrize("exercise_id, answer, words", [
    ("11.7", mask_of_later_keys, "Expected all keys that are left drawn alike often, got some left out."),
    ("11.7", lambda *inputs: sparse_mask(*inputs).float(), "True or False for each pair, got float32 numbers."),
    ("11.7", lambda *inputs: sparse_mask(*inputs)[:-1], "Expected a bool tensor of shape (T=24, T=24), got"),
    ("11.7", lambda T, window, *rest: sparse_mask(T, 2 * window, *rest), "Expected 3 further keys for each query"),
    ("11.8", lambda *inputs: split_by_file(*inputs)[1], "Expected two lists, train and test, got a list of length"),
    ("11.8", lambda *inputs: [[float(i) for i in part] for part in split_by_file(*inputs)],
     "Expected whole numbers in train, got"),
    ("11.8", lambda *inputs: [[i + 1 for i in part] for part in split_by_file(*inputs)],
     "got some in neither and some that do not exist."),
    ("11.8", split_after_shuffling_in_place, "files is changed in place"),
    ("11.9", lambda true, said, n: confusion_counts(true, said, n) + 1, "In counts: the first difference is at"),
])
def test_mistakes_on_nobodys_list_are_told_with_what_came(exercise_id, answer, words):
    verdict = examine(exercise_id, answer)
    assert verdict.status == NOT_YET and verdict.misconception is None, verdict.message
    assert words in verdict.message


@pytest.mark.parametrize("exercise_id", MINE)
def test_every_text_for_the_reader_is_short_and_plain(exercise_id):
    exercise = engine.get(exercise_id)
    for text in (*exercise.hints, *(mistake.sentence for mistake in exercise.misconceptions)):
        assert "\n" not in text and not text.endswith("!")
        sentences = text.removeprefix("You made two mistakes at once. ").split(". ")
        assert all(len(sentence.split()) <= 30 for sentence in sentences), text
