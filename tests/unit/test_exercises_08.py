"""Chapter 08's exercises, where the tests of all chapters cannot look: right answers of other kinds, other mistakes."""

from collections import Counter, defaultdict
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from course_utils.data.subword import MASK, load_tokenizer
from course_utils.exercises import engine
from course_utils.exercises.chapter_08 import best_pair, mask_tokens, segment_ids, split_word
from course_utils.exercises.engine import NOT_YET, PASSED, examine
from course_utils.exercises.running import run


def inputs_of(exercise_id, case):
    """The inputs of a case, drawn as the engine draws them."""
    return run(lambda *inputs: inputs, engine.get(exercise_id).cases[case].make, 5).inputs


def every_case(exercise_id):
    return pytest.mark.parametrize("case", range(len(engine.get(exercise_id).cases)))


# --- the references by themselves -----------------------------------------------------------------------------------

def test_the_best_pairs_join_into_the_words_of_a_small_text():
    words = {tuple("lower"): 3, tuple("low"): 4}
    joined = []
    for _ in range(4):
        first, second = best_pair(words)
        joined.append(first + second)
        for word in list(words):
            text = "|".join(word).replace(f"{first}|{second}", first + second)
            words[tuple(text.split("|"))] = words.pop(word)
    assert joined == ["lo", "low", "er", "lower"]   # of l o and o w, both 7 times, the first in the alphabet


@pytest.mark.parametrize("word", ["reading", "tokenizer", "parameters", "deprecated", "x", "한", "undone", "🙂"])
def test_split_word_gives_the_librarys_pieces(word):
    tokenizer = load_tokenizer("wordpiece")
    expected = tokenizer.encode(word, add_special_tokens=False).tokens
    assert split_word(word, list(tokenizer.get_vocab())) == expected


@pytest.mark.parametrize("texts", [
    [("return a list", "of names")], [("a", "b"), ("return the number of names in a list", "or none")],
    ["one text", ("and", "two")], ["a", "one text alone"],
])
def test_segment_ids_are_the_librarys(texts):
    tokenizer = load_tokenizer("wordpiece")
    tokenizer.enable_padding()
    rows = tokenizer.encode_batch(texts)
    ids, types = (torch.tensor([getattr(row, name) for row in rows]) for name in ("ids", "type_ids"))
    assert segment_ids(ids).equal(types)


def test_nine_tokens_in_ten_change_where_all_are_chosen():
    torch.manual_seed(0)
    ids, random_ids = torch.randint(5, 3000, (2, 50, 200))
    mask_id = load_tokenizer("wordpiece").token_to_id(MASK)
    inputs, labels = mask_tokens(ids, torch.ones_like(ids, dtype=torch.bool), torch.rand(50, 200), mask_id, random_ids)
    shares = [(inputs == tokens).float().mean().item() for tokens in (mask_id, random_ids, ids)]
    assert np.allclose(shares, [0.8, 0.1, 0.1], atol=0.02) and labels.equal(ids)


@every_case("08.4")
def test_what_is_not_chosen_is_read_as_it_is_and_not_asked(case):
    ids, chosen, *others = inputs_of("08.4", case)
    inputs, labels = mask_tokens(ids, chosen, *others)
    assert inputs[~chosen].equal(ids[~chosen]) and (labels == -100).equal(~chosen)


# --- right answers that look different ------------------------------------------------------------------------------

def pair_by_counter(words):
    counts = Counter()
    for word, count in words.items():
        counts.update({pair: count * times for pair, times in Counter(pairwise(word)).items()})
    best = max(counts.values())
    return min(pair for pair, count in counts.items() if count == best)


def pair_by_sorting(words):
    counts = defaultdict(int)
    for word in words:
        for place in range(1, len(word)):
            counts[word[place - 1], word[place]] += words[word]
    return sorted(sorted(counts), key=counts.get, reverse=True)[0]   # a stable sort: ties stay in the alphabet's order


def pair_written_out(words):
    every = [pair for word, count in words.items() for _ in range(count) for pair in pairwise(word)]
    return list(min(set(every), key=lambda pair: (-every.count(pair), pair)))


def split_by_recursion(word, vocabulary, mark=""):
    known = set(vocabulary)
    for end in reversed(range(1, len(word) + 1)):
        if mark + word[:end] in known:
            rest = split_by_recursion(word[end:], vocabulary, "##") if word[end:] else []
            return ["[UNK]"] if rest == ["[UNK]"] else [mark + word[:end], *rest]
    return ["[UNK]"]


def split_by_sorted_vocabulary(word, vocabulary):
    pieces, rest = [], word
    for mark in ("", *["##"] * len(word)):
        fitting = [piece for piece in vocabulary if piece.startswith("##") == bool(mark)
                   and rest and rest.startswith(piece.removeprefix("##"))]
        if not rest:
            return tuple(pieces)
        if not fitting:
            return ("[UNK]",)
        pieces.append(max(fitting, key=len))
        rest = rest[len(pieces[-1]) - len(mark):]
    return pieces


def split_by_marking_the_rest(word, vocabulary):
    pieces, rest = [], word
    while rest.removeprefix("##"):
        shorter = rest
        while shorter not in vocabulary:
            shorter = shorter[:-1]
            if shorter in ("", "#", "##"):
                return ["[UNK]"]
        pieces.append(shorter)
        rest = "##" + rest[len(shorter):]
    return pieces


def segments_by_loop(ids, sep=3):
    rows = []
    for row in ids.tolist():
        first, *others = (place for place, token in enumerate(row) if token == sep)
        rows.append([int(bool(others) and first < place <= others[0]) for place in range(len(row))])
    return rows


def segments_in_numpy(ids, sep=3):
    ids = ids.numpy()
    shifted = np.pad(ids == sep, ((0, 0), (1, 0)))[:, :-1]
    return (shifted.cumsum(1) == 1) * (ids != 0)


def segments_from_the_right(ids, sep=3):
    is_sep = ids == sep
    return (is_sep.flip(1).cumsum(1).flip(1) == 1) & (is_sep.sum(1, keepdim=True) == 2)


def segments_by_first_place(ids, sep=3):
    first = (ids == sep).float().argmax(1, keepdim=True)
    return torch.where((torch.arange(ids.shape[1]) > first) & ids.bool(), 1.0, 0.0)


def segments_in_place_of_zeros(ids, sep=3):
    segments = torch.zeros_like(ids)
    for row, tokens in zip(segments, ids, strict=True):
        ends = (tokens == sep).nonzero().flatten()
        if len(ends) > 1:
            row[ends[0] + 1:ends[1] + 1] = 1
    return segments


def mask_by_indexing(ids, chosen, action, mask_id, random_ids):
    inputs, labels = ids.clone(), ids.clone()
    labels[~chosen] = -100
    masked = chosen & (action < 0.8)
    random = chosen & ~masked & (action < 0.9)
    inputs[masked] = mask_id
    inputs[random] = random_ids[random]
    return inputs, labels


def mask_by_loop(ids, chosen, action, mask_id, random_ids):
    inputs, labels = ids.tolist(), torch.full_like(ids, -100)
    for b, t in chosen.nonzero().tolist():
        labels[b, t] = ids[b, t]
        if action[b, t] < 0.8:
            inputs[b][t] = mask_id
        elif action[b, t] < 0.9:
            inputs[b][t] = random_ids[b, t].item()
    return [inputs, labels.tolist()]


def mask_in_numpy(*inputs):
    ids, chosen, action, mask_id, random_ids = (np.asarray(value) for value in inputs)
    replaced = np.select([action < 0.8, action < 0.9], [np.broadcast_to(mask_id, ids.shape), random_ids], ids)
    return np.where(chosen, replaced, ids), np.where(chosen, ids, -100)


def mask_in_steps(ids, chosen, action, mask_id, random_ids):
    """Random over masked over kept: later steps write over earlier ones."""
    inputs = ids.masked_fill(chosen & (action < 0.9), -1)
    inputs = torch.where(inputs == -1, random_ids, inputs)
    inputs = inputs.masked_fill(chosen & (action < 0.8), mask_id)
    return inputs, ids.masked_fill(chosen.logical_not(), -100)


@pytest.mark.parametrize("exercise_id, answer", [
    ("08.1", pair_by_counter), ("08.1", pair_by_sorting), ("08.1", pair_written_out),
    ("08.1", lambda words: np.array(best_pair(words))),
    ("08.2", split_by_recursion), ("08.2", split_by_sorted_vocabulary), ("08.2", split_by_marking_the_rest),
    ("08.2", lambda word, vocabulary: np.array(split_word(word, dict.fromkeys(vocabulary)))),
    ("08.2", lambda word, vocabulary: (piece for piece in split_word(word, set(vocabulary)))),
    ("08.3", segments_by_loop), ("08.3", segments_in_numpy), ("08.3", segments_from_the_right),
    ("08.3", segments_by_first_place), ("08.3", segments_in_place_of_zeros),
    ("08.3", lambda ids, sep=3: ((F.pad(ids, (1, -1)) == sep).cumsum(1) == 1) * ids.clamp(max=1)),
    ("08.4", mask_by_indexing), ("08.4", mask_by_loop), ("08.4", mask_in_numpy), ("08.4", mask_in_steps),
])
def test_unusual_right_answers_pass(exercise_id, answer):
    verdict = examine(exercise_id, answer)
    assert verdict.status == PASSED and "\n" not in verdict.message, verdict.message


# --- mistakes, written in other ways --------------------------------------------------------------------------------

def counted(words, count=lambda times: times):
    counts = Counter()
    for word, times in words.items():
        for pair in pairwise(word):
            counts[pair] += count(times)
    return counts


def pair_over_word_ends(words):
    text = [piece for word, count in words.items() for _ in range(count) for piece in word]
    return Counter(pairwise(text)).most_common(1)[0][0]


def likeliest_pair(words):
    pairs, pieces = counted(words), Counter()
    for word, count in words.items():
        for piece in word:
            pieces[piece] += count
    return max(pairs, key=lambda pair: pairs[pair] / pieces[pair[0]] / pieces[pair[1]])


def commonest_pieces(words):
    pieces = Counter()
    for word, count in words.items():
        pieces.update(list(word) * count)
    return tuple(piece for piece, _ in pieces.most_common(2))


def pair_found_in_text(words, between=" "):
    counts = Counter()
    for pair in counted(words):
        for word, count in words.items():
            counts[pair] += count * between.join(word).count(between.join(pair))
    return min(counts, key=lambda pair: (-counts[pair], pair))


def pair_without_overlap(words):
    counts = Counter()
    for word, count in words.items():
        for pair in set(pairwise(word)):
            place = 0
            while place < len(word) - 1:
                found = word[place:place + 2] == pair
                counts[pair] += found * count
                place += 1 + found
    return min(counts, key=lambda pair: (-counts[pair], pair))


def pair_of_the_last_word(words):
    for word, count in words.items():
        counts = Counter()
        for pair in pairwise(word):
            counts[pair] += count
    return min(counts, key=lambda pair: (-counts[pair], pair))


def shortest_first(word, vocabulary):
    pieces, start = [], 0
    for end in range(1, len(word) + 1):
        piece = ("##" if start else "") + word[start:end]
        if piece in vocabulary:
            pieces.append(piece)
            start = end
    return pieces if start == len(word) else ["[UNK]"]


def takes_without_mark(word, vocabulary):
    pieces = []
    while word:
        end = next((end for end in range(len(word), 0, -1) if word[:end] in vocabulary), 0)
        if not end:
            return ["[UNK]"]
        pieces.append(word[:end])
        word = word[end:]
    return pieces


def no_way_out(word, vocabulary):
    pieces, start = [], 0
    while start < len(word):
        end = len(word)
        while ("##" if start else "") + word[start:end] not in vocabulary:
            end -= 1
        pieces.append(("##" if start else "") + word[start:end])
        start = end
    return pieces


def rest_never_empty(word, vocabulary):
    pieces = []
    while word:
        end = next((end for end in range(len(word), 0, -1) if word[:end] in vocabulary), 0)
        if not end:
            return ["[UNK]"]
        pieces.append(word[:end])
        word = "##" + word[end:]
    return pieces


def toggled(ids, sep=3):
    segments = torch.zeros_like(ids)
    for b, row in enumerate(ids):
        segment = 0
        for t, token in enumerate(row):
            segments[b, t] = segment
            if token == sep:
                segment = 1 - segment
    return segments


def raised_and_never_lowered(ids, sep=3):
    segments = torch.zeros_like(ids)
    for b, row in enumerate(ids):
        first = row.tolist().index(sep)
        segments[b, first + 1:] = 1
    return segments


def shifted_one_place(ids, sep=3):
    return torch.cat([torch.zeros_like(ids[:, :1]), segment_ids(ids, sep)[:, :-1]], 1)


def masks_in_place(ids, chosen, action, mask_id, random_ids):
    inputs = ids
    inputs[chosen & (action < 0.8)] = mask_id
    random = chosen & (action >= 0.8) & (action < 0.9)
    inputs[random] = random_ids[random]
    return inputs, torch.where(chosen, ids, -100)


def masks_in_place_with_labels_first(ids, *others):
    labels = torch.where(others[0], ids, -100)
    return masks_in_place(ids, *others)[0], labels


def masks_all(ids, chosen, action, mask_id, random_ids):
    labels = ids.clone()
    labels[~chosen] = -100
    return ids.masked_fill(chosen, mask_id), labels


def random_from_the_whole_text(ids, chosen, action, mask_id, random_ids):
    inputs = torch.where(chosen & (action < 0.8), mask_id, ids)
    inputs = torch.where((action >= 0.8) & (action < 0.9), random_ids, inputs)
    return inputs, torch.where(chosen, ids, -100)


def masks_without_parentheses(ids, chosen, action, mask_id, random_ids):
    inputs = ids.clone()
    inputs[chosen & action < 0.8] = mask_id
    inputs = torch.where(chosen & (action >= 0.8) & (action < 0.9), random_ids, inputs)
    return inputs, torch.where(chosen, ids, -100)


def random_over_the_masked(ids, chosen, action, mask_id, random_ids):
    inputs, labels = ids.clone(), ids.masked_fill(~chosen, -100)
    inputs[chosen & (action < 0.8)] = mask_id
    random = chosen & (action < 0.9)
    inputs[random] = random_ids[random]
    return inputs, labels


def labels_of_the_changed(ids, *others):
    inputs, labels = mask_tokens(ids, *others)
    labels[inputs == ids] = -100
    return inputs, labels


def masks_all_and_asks_for_all(ids, chosen, action, mask_id, random_ids):
    return ids.masked_fill(chosen, mask_id), ids


@pytest.mark.parametrize("exercise_id, answer, words", [
    ("08.1", lambda words: max(counted(words, lambda times: 1).items(), key=lambda item: item[1])[0],
     "two mistakes at once. You count each word once"),
    ("08.1", lambda words: counted(words).most_common(1)[0][0], "the first of the commonest pairs that came"),
    ("08.1", lambda words: counted(words).most_common(1), "what most_common(1) gives"),
    ("08.1", lambda words: counted(words).most_common(1)[0], "two mistakes at once. You take the first"),
    ("08.1", pair_over_word_ends, "over the end of a word"),
    ("08.1", likeliest_pair, "WordPiece's score"),
    ("08.1", commonest_pieces, "You count single pieces"),
    ("08.1", lambda words: "+".join(best_pair(words)), "xpected ('e', 's'), got 'e+s'."),
    ("08.1", lambda words: best_pair(words)[::-1], "In item 0: expected 'e', got 's'."),
    ("08.1", lambda words: set(best_pair(words)), "xpected ('e', 's'), got a set."),
    ("08.1", pair_found_in_text, "There b a is found in ab a"),
    ("08.1", lambda words: pair_found_in_text(words, ""), "in the joined word"),
    ("08.1", pair_without_overlap, "the two places overlap"),
    ("08.1", pair_of_the_last_word, "of 12 cases agree"),
    ("08.2", shortest_first, "You take the shortest piece that fits"),
    ("08.2", takes_without_mark, "You leave \"##\" out altogether"),
    ("08.2", rest_never_empty, "does your loop stop when nothing is left?"),
    ("08.2", no_way_out, "still running"),
    ("08.2", lambda word, vocabulary: [piece.removeprefix("##") for piece in split_word(word, vocabulary)],
     "write those that continue the word without"),
    ("08.2", lambda word, vocabulary: "##".join(split_word(word, vocabulary)), "xpected ['read', '##ing'], got"),
    ("08.2", lambda word, vocabulary: ["[CLS]", *split_word(word, vocabulary), "[SEP]"],
     "got ['[CLS]', 'read', '##ing', '[SEP]']"),
    ("08.2", lambda word, vocabulary: [word if word in vocabulary else "[UNK]"], "['read', '##ing'], got ['[UNK]']"),
    ("08.2", lambda word: [word], "keep the arguments of the stub"),
    ("08.3", toggled, "padding behind a single text gets 1"),
    ("08.3", raised_and_never_lowered, "Your padding gets 1"),
    ("08.3", lambda ids, sep=3: (ids == sep).cumsum(1), "two mistakes at once. Your [SEP] counts itself"),
    ("08.3", lambda ids, sep=3: (ids == sep).cumsum(1) % 2, "two mistakes at once. Your [SEP] counts itself"),
    ("08.3", lambda ids, sep=3: (ids == sep).cumsum(1) * ids.bool(), "Your first [SEP] gets 1 and your second 2"),
    ("08.3", lambda ids, sep=3: (ids == sep).cumsum(1) - (ids == sep).long(), "Your number goes on rising"),
    ("08.3", lambda ids, sep=3: segment_ids(ids, 3), "look for the id 3"),
    ("08.3", lambda ids, sep=3: segment_ids(ids, sep) + 1, "Your numbers begin with 1"),
    ("08.3", lambda ids, sep=3: (ids != 0).long(), "You mark tokens and padding"),
    ("08.3", shifted_one_place, "he first difference is at index [0, 5] of (B, T): expected 1, got 0"),
    ("08.3", lambda ids, sep=3: segment_ids(ids, sep)[0], "xpected shape (B=2, T=10), got (10,)"),
    ("08.3", lambda ids: segment_ids(ids), "keep the arguments of the stub"),
    ("08.4", masks_in_place, "Your labels hold what the model reads"),
    ("08.4", masks_in_place_with_labels_first, "ids is changed in place"),
    ("08.4", masks_all, "You mask every chosen token"),
    ("08.4", masks_without_parentheses, "Your & binds more tightly than <. Write chosen & (action < 0.8)."),
    ("08.4", random_over_the_masked, "Your random tokens also replace the masked ones. Random starts at 0.8."),
    ("08.4", random_from_the_whole_text, "It is 10 % of the chosen tokens"),
    ("08.4", labels_of_the_changed, "Your labels stand where the token changed"),
    ("08.4", masks_all_and_asks_for_all, "two mistakes at once. You mask every chosen token"),
    ("08.4", lambda ids, *others: (ids, mask_tokens(ids, *others)[1]), "In inputs: the first difference"),
    ("08.4", lambda *inputs: torch.stack(mask_tokens(*inputs)).flip(0), "You return the labels first"),
    ("08.4", lambda ids, *others: (mask_tokens(ids, *others)[0], ids.masked_fill(~others[0], -1)),
     "In labels: the first difference"),
    ("08.4", lambda ids, chosen, action, mask_id, random_ids: ids.masked_fill(chosen and action < 0.8, mask_id),
     "one True or False"),
])
def test_other_ways_to_make_a_mistake(exercise_id, answer, words):
    exercise = replace(engine.get(exercise_id), seconds=0.5 if answer is no_way_out else 5.0)
    verdict = engine.diagnose(exercise, answer)
    assert verdict.status == NOT_YET and words in verdict.message, verdict.message
