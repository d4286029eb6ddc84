"""Exercises 09.6 to 09.9, where the tests of all chapters cannot look: facts, other answers, mistakes."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from course_utils.data.subword import load_tokenizer
from course_utils.exercises import engine
from course_utils.exercises.chapter_09 import cached_step, embed_step, few_shot_prompt, gpt1_inputs
from course_utils.exercises.engine import NOT_YET, PASSED, examine
from course_utils.exercises.running import run
from course_utils.models.attention import extend_cache

MINE = ["09.6", "09.7", "09.8", "09.9"]


def inputs_of(exercise_id, case):
    """The inputs of a case, drawn as the engine draws them."""
    return run(lambda *inputs: inputs, engine.get(exercise_id).cases[case].make, 5).inputs


def cases_of(exercise_id):
    return [inputs_of(exercise_id, case) for case in range(len(engine.get(exercise_id).cases))]


# --- the references by themselves -----------------------------------------------------------------------------------

def test_steps_with_a_cache_give_what_causal_attention_gives_at_once():
    torch.manual_seed(3)
    query, key, value = torch.randn(3, 9, 6).unbind()
    cache = {}
    steps = [cached_step(*rows, cache) for rows in zip(*(t.split(1) for t in (query, key, value)), strict=True)]
    whole = F.scaled_dot_product_attention(query[None], key[None], value[None], is_causal=True)[0]
    torch.testing.assert_close(torch.cat(steps), whole, rtol=1e-5, atol=1e-6)
    assert torch.equal(cache["key"], key) and torch.equal(cache["value"], value)


def test_the_cache_grows_as_the_courses_own_does():
    _, key, value, cache = inputs_of("09.6", 0)
    theirs = {name: rows[None, None].clone() for name, rows in cache.items()}
    extend_cache(theirs, key[None, None], value[None, None])
    cached_step(key, key, value, cache)
    assert all(torch.equal(cache[name], theirs[name][0, 0]) for name in ("key", "value"))


@pytest.mark.parametrize("sizes", [(7,), (1,) * 7, (3, 4), (2, 1, 4)])
def test_a_text_embedded_in_pieces_is_the_text_embedded_at_once(sizes):
    torch.manual_seed(5)
    ids, words, positions = torch.randint(11, (2, 7)), torch.randn(11, 4), torch.randn(7, 4)
    starts = [0, *itertools.accumulate(sizes)]
    pieces = [embed_step(piece, start, words, positions)
              for piece, start in zip(ids.split(sizes, 1), starts, strict=False)]
    assert torch.equal(torch.cat(pieces, 1), words[ids] + positions)


def test_no_case_of_the_places_leaves_a_table_even_with_a_mistake_of_one():
    for ids, cached, words, positions in cases_of("09.7"):
        assert len(ids) * cached + ids.shape[1] < len(positions)
        assert cached + ids.shape[1] <= len(words) <= len(positions)


def test_the_prompts_written_out():
    assert few_shot_prompt("Write the opposite.", [("hot", "cold"), ("up", "down")], "big") == (
        "Write the opposite.\n\nInput: hot\nOutput: cold\n\nInput: up\nOutput: down\n\nInput: big\nOutput:")
    assert few_shot_prompt("Write the opposite.", [], "big") == "Write the opposite.\n\nInput: big\nOutput:"


def test_a_space_at_the_end_leads_to_other_tokens():
    """What the sentence about it says: a word's token brings its space along, so the pair after a space is another."""
    tokenizer = load_tokenizer("bpe")
    prompt = few_shot_prompt("Name it.", [("one", "the")], "two")
    apart = [*tokenizer.encode(prompt + " ").ids, *tokenizer.encode("the").ids]
    assert len(tokenizer.encode(" the").ids) == 1
    assert tokenizer.encode(prompt + " the").ids == [*tokenizer.encode(prompt).ids, *tokenizer.encode(" the").ids]
    assert tokenizer.encode(prompt + " the").ids != apart


def test_the_prompts_are_short_enough_to_be_compared_whole():
    run_of = engine.get("09.9").run
    for inputs in cases_of("09.9"):
        lines = run_of(few_shot_prompt, *inputs)
        assert lines[:-1] != lines[1:] and lines[-1] == "(the end of the text)"


@pytest.mark.parametrize("task, texts, wanted", [
    ("classification", [[5]], [[1, 5, 3]]),
    ("entailment", [[5, 6], [7]], [[1, 5, 6, 2, 7, 3]]),
    ("similarity", [[5, 6], [7]], [[1, 5, 6, 2, 7, 3], [1, 7, 2, 5, 6, 3]]),
    ("choice", [[5], [6], [7, 8]], [[1, 5, 2, 6, 3], [1, 5, 2, 7, 8, 3]]),
])
def test_the_four_tasks_written_out(task, texts, wanted):
    assert gpt1_inputs(task, texts, 1, 2, 3) == wanted


def test_another_task_is_refused_with_the_names_of_the_four():
    with pytest.raises(ValueError, match="'classification', 'entailment', 'similarity' or 'choice', not 'Choice'"):
        gpt1_inputs("Choice", [[5], [6]], 1, 2, 3)


def test_the_special_ids_stand_in_no_text():
    for _, texts, *special in cases_of("09.8"):
        assert len(set(special)) == 3 and not set(special) & set(itertools.chain(*texts))


# --- right answers that look different ------------------------------------------------------------------------------

def step_by_torch(query, key, value, cache):
    cache["key"] = torch.cat([cache.get("key", key[:0]), key])
    cache["value"] = torch.cat([cache.get("value", value[:0]), value])
    return F.scaled_dot_product_attention(query[None], cache["key"][None], cache["value"][None])[0]


def step_in_numpy(query, key, value, cache):
    rows = {"key": key.numpy(), "value": value.numpy()}
    for name in rows:
        cache[name] = np.vstack([cache[name], rows[name]]) if name in cache else rows[name]
    scores = cache["key"] @ query[0].numpy() / np.sqrt(query.shape[1])
    weights = np.exp(scores - scores.max())
    return (weights / weights.sum())[None] @ cache["value"]


def step_with_lists(query, key, value, cache):
    cache.update({name: [*cache.get(name, []), rows[0]] for name, rows in (("key", key), ("value", value))})
    scores = [float(query[0] @ old) / key.shape[1] ** 0.5 for old in cache["key"]]
    weights = torch.tensor(scores).softmax(0)
    return sum(weight * old for weight, old in zip(weights, cache["value"], strict=True))[None]


def step_under_a_mask_that_hides_nothing(query, key, value, cache):
    old = [cache[name] for name in ("key", "value")] if cache else [key[:0], value[:0]]
    cache["key"], cache["value"] = torch.vstack([old[0], key]), torch.vstack([old[1], value])
    n = len(cache["key"])
    mask = torch.ones(n, n).tril()[-1:].bool()
    scores = torch.einsum("qd,kd->qk", query, cache["key"]) * key.shape[-1] ** -0.5
    return scores.masked_fill(~mask, float("-inf")).softmax(1) @ cache["value"]


def step_that_keeps_more(query, key, value, cache):
    cache["query"] = query
    cache["steps"] = cache.get("steps", 0) + 1
    kept = {name: cache[name] for name in ("key", "value") if name in cache}
    output = cached_step(query, key, value, kept)
    cache.update(kept)
    return output


def places_by_loop(token_ids, cached, word_table, position_table):
    out = torch.zeros(*token_ids.shape, word_table.shape[1])
    for b, row in enumerate(token_ids):
        for t, token in enumerate(row):
            out[b, t] = word_table[token] + position_table[cached + t]
    return out


def places_with_modules(token_ids, cached, word_table, position_table):
    words, positions = nn.Embedding.from_pretrained(word_table), nn.Embedding.from_pretrained(position_table)
    return words(token_ids) + positions(torch.arange(token_ids.shape[1])[None] + cached)


def places_by_one_hot(token_ids, cached, word_table, position_table):
    words = F.one_hot(token_ids, len(word_table)).float() @ word_table
    return words + position_table.narrow(0, cached, token_ids.shape[1])


def places_as_lists(token_ids, cached, word_table, position_table):
    return [[(word_table[token] + position_table[place]).tolist() for place, token in enumerate(row, start=cached)]
            for row in token_ids.tolist()]


def places_of_the_whole_text(token_ids, cached, word_table, position_table):
    T_new = token_ids.shape[1]
    return word_table.numpy()[token_ids.numpy()] + position_table.numpy()[:cached + T_new][-T_new:]


def prompt_piece_by_piece(instruction, examples, question):
    text = instruction + "\n\n"
    for given, wanted in examples:
        text += "Input: " + given + "\n" + "Output: " + wanted + "\n\n"
    return text + "Input: " + question + "\nOutput:"


def prompt_from_lines(instruction, examples, question):
    lines = [instruction, ""]
    for example in examples:
        lines += [f"Input: {example[0]}", f"Output: {example[1]}", ""]
    return "\n".join([*lines, f"Input: {question}", "Output:"])


def prompt_by_templates(instruction, examples, question):
    shot, prompt = "Input: %s\nOutput: %s\n\n", "{}\n\n{}Input: {}\nOutput:"
    return prompt.format(instruction, "".join(shot % example for example in examples), question)


def prompt_with_a_last_example(instruction, examples, question):
    pairs = [*examples, (question, "")]
    return f"{instruction}\n\n" + "\n\n".join(f"Input: {x}\nOutput: {y}" for x, y in pairs).rstrip(" ")


def inputs_by_dict(task, texts, start, delimiter, extract):
    makers = {
        "classification": lambda text: [(text,)], "entailment": lambda *pair: [pair],
        "similarity": lambda *pair: itertools.permutations(pair),
        "choice": lambda context, *answers: itertools.product([context], answers),
    }
    if task not in makers:
        raise ValueError(task)
    bodies = (itertools.chain(*([delimiter, *text] for text in order)) for order in makers[task](*texts))
    return [(start, *list(body)[1:], extract) for body in bodies]


def inputs_by_match(task, texts, start, delimiter, extract):
    def pair(one, other):
        return torch.tensor([start, *one, delimiter, *other, extract])

    match task, texts:
        case "classification", [text]:
            return torch.tensor([[start, *text, extract]])
        case "entailment", [premise, hypothesis]:
            return [pair(premise, hypothesis)]
        case "similarity", [a, b]:
            return torch.stack([pair(a, b), pair(b, a)])
        case "choice", [context, *answers]:
            return [pair(context, answer) for answer in answers]
    raise ValueError("no such task")


def inputs_as_generator(task, texts, start, delimiter, extract):
    if task == "classification":
        yield np.array([start, *texts[0], extract])
    elif task in ("entailment", "similarity"):
        yield [start, *texts[0], delimiter, *texts[1], extract]
        if task == "similarity":
            yield [start, *texts[1], delimiter, *texts[0], extract]
    elif task == "choice":
        for answer in texts[1:]:
            yield [start, *texts[0], delimiter, *answer, extract]
    else:
        raise ValueError(f"unknown task {task}")


@pytest.mark.parametrize("exercise_id, answer", [
    ("09.6", step_by_torch), ("09.6", step_in_numpy), ("09.6", step_with_lists),
    ("09.6", step_under_a_mask_that_hides_nothing), ("09.6", step_that_keeps_more),
    ("09.7", places_by_loop), ("09.7", places_with_modules), ("09.7", places_by_one_hot), ("09.7", places_as_lists),
    ("09.7", places_of_the_whole_text),
    ("09.9", prompt_piece_by_piece), ("09.9", prompt_from_lines), ("09.9", prompt_by_templates),
    ("09.9", prompt_with_a_last_example), ("09.9", lambda *inputs: np.str_(few_shot_prompt(*inputs))),
    ("09.9", lambda *inputs: np.array(few_shot_prompt(*inputs))),
    ("09.8", inputs_by_dict), ("09.8", inputs_by_match),
    ("09.8", lambda *inputs: tuple(torch.tensor(ids) for ids in gpt1_inputs(*inputs))),
])
def test_unusual_right_answers_pass(exercise_id, answer):
    verdict = examine(exercise_id, answer)
    assert verdict.status == PASSED, verdict.message
    assert verdict.message.count("\n") == 0


# --- known mistakes, written another way ----------------------------------------------------------------------------

def grows_a_local_dict(query, key, value, cache):
    cache = {name: torch.cat([cache[name], rows]) if cache else rows for name, rows in
             (("key", key), ("value", value))}
    return (query @ cache["key"].T / key.shape[1] ** 0.5).softmax(-1) @ cache["value"]


def attends_before_it_grows(query, key, value, cache):
    if not cache:
        cache["key"], cache["value"] = key, value
        return value.clone()
    output = (query @ cache["key"].T / key.shape[1] ** 0.5).softmax(-1) @ cache["value"]
    cache["key"], cache["value"] = torch.cat([cache["key"], key]), torch.cat([cache["value"], value])
    return output


def puts_a_causal_mask_on_one_row(query, key, value, cache):
    cached_step(query, key, value, cache)
    scores = query @ cache["key"].T / key.shape[1] ** 0.5
    later = torch.ones_like(scores).triu(1).bool()
    return scores.masked_fill(later, float("-inf")).softmax(-1) @ cache["value"]


def keeps_old_queries(query, key, value, cache):
    cache["asked"] = [*cache.get("asked", []), query]
    cached_step(query, key, value, rows := {name: cache[name] for name in ("key", "value") if name in cache})
    cache.update(rows)
    scores = torch.cat(cache["asked"]) @ cache["key"].T / query.shape[-1] ** 0.5
    return scores.softmax(-1) @ cache["value"]


def overwrites(query, key, value, cache):
    cache["key"], cache["value"] = key, value
    return (query @ cache["key"].T / key.shape[1] ** 0.5).softmax(-1) @ cache["value"]


def adds_to_the_first_row_itself(query, key, value, cache):
    cache["key"] = torch.cat([cache.get("key", key), key])
    cache["value"] = torch.cat([cache.get("value", value), value])
    return (query @ cache["key"].T / key.shape[1] ** 0.5).softmax(-1) @ cache["value"]


def ends_with_what_an_example_ends_with(instruction, examples, question):
    return "".join([f"{instruction}\n\n", *(f"Input: {x}\nOutput: {y}\n\n" for x, y in [*examples, (question, "")])])


def keeps_a_dict(instruction, examples, question):
    output_of = {}
    for given, wanted in examples:
        output_of[given] = wanted
    return few_shot_prompt(instruction, output_of.items(), question)


def forgets_the_other_order(task, texts, start, delimiter, extract):
    if task == "similarity":
        task = "entailment"
    return gpt1_inputs(task, texts, start, delimiter, extract)


def one_text_as_it_is(task, texts, start, delimiter, extract):
    found = gpt1_inputs(task, texts, start, delimiter, extract)
    return found if len(found) > 1 else torch.tensor(found[0])


def two_texts(similarity):
    """Right but for similarity. similarity: a, b, start, delimiter, extract -> the second sequence."""
    def answer(task, texts, *special):
        found = gpt1_inputs(task, texts, *special)
        return [found[0], similarity(*texts, *special)] if task == "similarity" else found
    return answer


def answers_from_0(task, texts, start, delimiter, extract):
    if task != "choice":
        return gpt1_inputs(task, texts, start, delimiter, extract)
    return [[start, *texts[0], delimiter, *texts[i], extract] for i in range(len(texts) - 1)]


def nests_the_texts(task, texts, *special):
    return gpt1_inputs(task, [[text] for text in texts], *special)


@pytest.mark.parametrize("exercise_id, answer, words", [
    ("09.6", grows_a_local_dict, "a new dict under the name cache is another dict"),
    ("09.6", attends_before_it_grows, "looks at itself only when the cache is empty"),
    ("09.6", puts_a_causal_mask_on_one_row, "the first row of a causal mask"),
    ("09.6", overwrites, "You overwrite the cache with the new token"),
    ("09.6", keeps_old_queries, "You keep the queries, too"),
    ("09.6", adds_to_the_first_row_itself, "Your first token stands in the cache twice"),
    ("09.6", lambda q, k, v, cache: cached_step(q / 2, k, v, cache) if len(q[0]) == 4 else
        cached_step(q / len(q[0]) ** 0.5, k, v, cache), "Your scores are divided by d_k."),
    ("09.7", lambda ids, cached, words, positions: F.embedding(ids, words) + positions[:ids.shape[1]],
     "Your places begin at 0 again"),
    ("09.7", lambda ids, cached, words, positions: words[ids] + positions[cached], "all get the place `cached`"),
    ("09.7", lambda ids, cached, words, positions:
        words[ids] + positions[cached + 1:cached + 1 + ids.shape[1]], "one too high"),
    ("09.7", lambda ids, cached, words, positions: torch.stack([words[row] + positions[cached + b]
                                                                for b, row in enumerate(ids)]), "along the batch"),
    ("09.7", lambda ids, cached, words, positions: words[ids] + positions[cached:ids.shape[1]],
     "Your slice ends at T_new"),
    ("09.7", lambda ids, cached, words, positions: torch.stack([
        torch.stack([words[token] + positions[cached + b + j] for j, token in enumerate(row)])
        for b, row in enumerate(ids)]), "as in cached + b + j"),
    ("09.9", ends_with_what_an_example_ends_with, "an example with an empty output"),
    ("09.9", lambda *inputs: prompt_piece_by_piece(*inputs) + "\n", "Your text ends with a new line"),
    ("09.9", lambda *inputs: prompt_piece_by_piece(*inputs) + " ", "Your text ends with a space"),
    ("09.9", keeps_a_dict, "You put the examples into a dict"),
    ("09.9", lambda i, e, q: few_shot_prompt(i, [*e], q).split("\n\n"), "You return a list."),
    ("09.9", lambda i, e, q: few_shot_prompt(i, e, q).replace("\n\n", "\n"), "You made two mistakes at once."),
    ("09.8", forgets_the_other_order, "Your similarity has one order only"),
    ("09.8", one_text_as_it_is, "one sequence also comes in a list"),
    ("09.8", two_texts(lambda a, b, s, d, e: [s, *[*a, d, *b][::-1], e]), "its texts are read backwards"),
    ("09.8", two_texts(lambda a, b, s, d, e: [s, *a[::-1], d, *b[::-1], e]), "turned round in its own place"),
    ("09.8", two_texts(lambda a, b, s, d, e: [s, *a, d, *b, e][::-1]), "is the first one backwards"),
    ("09.8", answers_from_0, "Your choice counts the answers from 0"),
    ("09.8", nests_the_texts, "Your texts stand in the sequences as lists"),
    ("09.8", lambda task, *others: [] if task == "translation" else gpt1_inputs(task, *others),
     "You return an empty list for another task"),
    ("09.8", lambda task, texts, s, d, e: gpt1_inputs(task, texts, s, e, e), "You put extract between the texts"),
    ("09.8", lambda task, texts, s, d, e: gpt1_inputs(task, texts, s, d, d), "Your sequences end with the delimiter"),
    ("09.8", lambda task, texts, s, d, e: gpt1_inputs(task, texts, e, d, s), "start and extract changed places"),
])
def test_other_ways_to_make_a_known_mistake(exercise_id, answer, words):
    verdict = examine(exercise_id, answer)
    assert verdict.status == NOT_YET and verdict.misconception is not None, verdict.message
    assert words in verdict.message.splitlines()[0]


def test_a_generator_that_refuses_too_late_is_told():
    """Its first line runs only when somebody asks for a sequence, and by then the caller's try is over."""
    verdict = examine("09.8", inputs_as_generator)
    assert verdict.status == NOT_YET and "unknown task translation" in verdict.message


# --- mistakes on nobody's list --------------------------------------------------------------------------------------

def turns_the_values_around(query, key, value, cache):
    output = cached_step(query, key, value, cache)
    cache["value"] = cache["value"].flip(0)
    return output


def keeps_other_names(query, key, value, cache):
    if cache:
        key, value = torch.cat([cache["key"], key]), torch.cat([cache["value"], value])
    cache["keys"], cache["values"] = key, value
    return (query @ key.T / key.shape[1] ** 0.5).softmax(-1) @ value


def asks_for_other_names(query, key, value, cache):
    cache["keys"] = torch.cat([cache.get("keys", key[:0]), key])
    cache["values"] = torch.cat([cache.get("values", value[:0]), value])
    return (query @ cache["keys"].T / key.shape[1] ** 0.5).softmax(-1) @ cache["values"]


def reads_other_names(query, key, value, cache):
    if cache:
        key, value = torch.cat([cache["keys"], key]), torch.cat([cache["values"], value])
    cache["keys"], cache["values"] = key, value
    return (query @ key.T / key.shape[1] ** 0.5).softmax(-1) @ value


def clears_the_cache(query, key, value, cache):
    output = cached_step(query, key, value, cache)
    cache.clear()
    return output


def formats_last(instruction, examples, question):
    return ("{}\n\n" + "".join(f"Input: {x}\nOutput: {y}\n\n" for x, y in examples) + "Input: {}\nOutput:").format(
        instruction, question)


def percent_last(instruction, examples, question):
    shots = "".join(f"Input: {x}\nOutput: {y}\n\n" for x, y in examples)
    return ("%s\n\n" + shots + "Input: %s\nOutput:") % (instruction, question)


def grows_the_examples(instruction, examples, question):
    text = few_shot_prompt(instruction, examples, question)
    examples.append((question, "?"))
    return text


def grows_a_text(task, texts, start, delimiter, extract):
    found = gpt1_inputs(task, texts, start, delimiter, extract)
    texts[0].append(extract)
    return found


def gives_no_value_for_another_task(task, texts, start, delimiter, extract):
    if task in ("classification", "entailment", "similarity", "choice"):
        found = gpt1_inputs(task, texts, start, delimiter, extract)
    return found


@pytest.mark.parametrize("exercise_id, answer, words", [
    ("09.6", turns_the_values_around, "In cache['value']: the first difference is at index [0, 0] of (t + 1, d_k)"),
    ("09.6", keeps_other_names, "under the names 'key' and 'value' in the cache, got them under 'keys' and 'values'."),
    ("09.6", asks_for_other_names, "in the cache, got them under 'keys' and 'values'."),
    ("09.6", reads_other_names, "to be read under the names 'key' and 'value', got a KeyError for 'keys'."),
    ("09.6", clears_the_cache, "Expected a cache with 'key' and 'value' after the call, got none for 'key'."),
    ("09.6", lambda q, k, v, cache: cached_step(2 * q, k, v, cache), "In output: the first difference"),
    ("09.7", lambda *inputs: embed_step(*inputs) / 2, "The first difference is at index [0, 0, 0] of (B, T_new, C)"),
    ("09.7", lambda *inputs: embed_step(*inputs).flatten(0, 1), "Expected shape (B=2, T_new=3, C=5), got (6, 5)"),
    ("09.9", lambda *inputs: few_shot_prompt(*inputs).replace("Output: ", "Output:  "),
     "In line 4: expected 'Output: cold', got 'Output:  cold'."),
    ("09.9", lambda i, e, q: few_shot_prompt(i + ":", e, q), "In line 1: expected 'Write the opposite.', got"),
    ("09.9", lambda *inputs: few_shot_prompt(*inputs)[:-1], "In line 10: expected 'Output:', got 'Output'."),
    ("09.9", lambda *inputs: few_shot_prompt(*inputs) + "\n\nAnswer", "expected '(the end of the text)', got ''."),
    ("09.9", lambda *inputs: few_shot_prompt(*inputs).replace("\n", "\r\n"), "got 'Write the opposite.\\r'"),
    ("09.9", lambda *inputs: few_shot_prompt(*inputs).encode(), "got bytes: a str is wanted"),
    ("09.9", lambda *inputs: len(few_shot_prompt(*inputs)), "Expected one text, got 88."),
    ("09.9", formats_last, "read the signs { } and % in a text as commands"),
    ("09.9", percent_last, "read the signs { } and % in a text as commands"),
    ("09.9", grows_the_examples, "examples is changed in place"),
    ("09.8", lambda *inputs: [[*ids[1:-1], 9] for ids in gpt1_inputs(*inputs)],
     "In sequences[0]: expected [90, 5, 6, 7, 80], got [5, 6, 7, 9]."),
    ("09.8", lambda *inputs: [[*ids[:-1], 9] for ids in gpt1_inputs(*inputs)], "expected 80, got 9."),
    ("09.8", gives_no_value_for_another_task, "Expected a ValueError for the task 'translation', got a name that only"),
    ("09.8", grows_a_text, "texts is changed in place"),
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
