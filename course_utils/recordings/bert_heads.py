"""Chapter 08: three kinds of heads looked for in a real BERT: previous token, [SEP], and pronoun to noun.

The model is all-MiniLM-L6-v2 in the course's own `BERT`. Heads are chosen on one half of the sentences and reported on
the other: the best of 72 is best partly by luck.
"""

import random

import torch

from course_utils.models.attention import attention_maps
from course_utils.models.pretrained import load_pretrained
from course_utils.recordings.real_heads import PRONOUNS, labelled_sentences, rounded

SETTINGS = {"weights": "all-MiniLM-L6-v2", "sentences": 300, "pronouns": 300, "seed": 0}
WOMEN = ("Anna", "Mary", "Susan", "Lisa", "Karen", "Emma", "Julia", "Laura", "Alice", "Helen")
MEN = ("Peter", "John", "David", "Paul", "Mark", "James", "Robert", "Thomas", "Frank", "George")
VERBS = ("met", "called", "saw", "helped", "thanked", "visited", "asked", "followed", "heard", "found")
REASONS = ("was ill", "was late", "felt tired", "needed money", "liked music", "lost a key", "was at home",
           "knew the city")


def pronoun_sentences(count=SETTINGS["pronouns"], seed=SETTINGS["seed"]):
    """Different sentences with a woman, a man and one pronoun: a list of (text, pronoun, its name, the other name).

    Who comes first and whom the pronoun means are drawn apart, so neither place nor distance tells.
    """
    draw, found = random.Random(seed), {}
    while len(found) < count:
        woman, man = draw.choice(WOMEN), draw.choice(MEN)
        pronoun, own, other = draw.choice((("she", woman, man), ("he", man, woman)))
        first, second = draw.choice(((own, other), (other, own)))
        text = f"{first} {draw.choice(VERBS)} {second} because {pronoun} {draw.choice(REASONS)}."
        found[text] = (text, pronoun, own.lower(), other.lower())
    return list(found.values())


def all_heads(model, tokenizer, text):
    """One text through the model: its tokens (T) and the weights of all heads (L, H, T, T)."""
    encoding = tokenizer.encode(text)
    maps = attention_maps(model, torch.tensor([encoding.ids]))
    return encoding.tokens, torch.cat([weights for _, weights in maps])


def token_habits(model, tokenizer, texts):
    """For each text and head: share of tokens whose largest weight is on the token before; mean weight on [SEP], [CLS].

    Only tokens after the first word ask. Returns three tensors (texts, L, H).
    """
    previous, on_sep, on_cls = [], [], []
    for text in texts:
        _, weights = all_heads(model, tokenizer, text)
        rows = weights[:, :, 2:-1]                                           # from the second word on: (L, H, T - 3, T)
        before = torch.arange(1, 1 + rows.shape[2])
        previous.append((rows.argmax(-1) == before).float().mean(-1))
        on_sep.append(rows[..., -1].mean(-1))
        on_cls.append(rows[..., 0].mean(-1))
    return torch.stack(previous), torch.stack(on_sep), torch.stack(on_cls)


def pronoun_hits(model, tokenizer, sentences):
    """Does each head's pronoun look more at its own name than at the other? Returns 1 or 0, (sentences, L, H)."""
    hits = []
    for text, pronoun, own, other in sentences:
        tokens, weights = all_heads(model, tokenizer, text)
        own_weight, other_weight = (weights[:, :, tokens.index(pronoun), tokens.index(name)] for name in (own, other))
        hits.append((own_weight > other_weight).float())
    return torch.stack(hits)


def things():
    """Sentences in which only the meaning of one word tells what "it" is: as `pronoun_sentences` gives them."""
    return [(text.format(ending), "it", own, other) for text, first, second, *endings in PRONOUNS
            for ending, own, other in ((endings[0], first, second), (endings[1], second, first))]


def best_head(scores):
    """The head with the largest mean over every second text, and its mean over the others: a dict.

    scores: (texts, L, H). head: [layer, number], from 0.
    """
    chosen = scores[::2].mean(0)
    layer, number = divmod(chosen.argmax().item(), chosen.shape[1])
    return {"head": [layer, number], "share": scores[1::2, layer, number].mean().item(), "texts": len(scores[1::2])}


def run(progress=list):
    """All three kinds: every head's mean, the best head on texts that did not choose it, and the hard pronouns."""
    model, tokenizer = load_pretrained(SETTINGS["weights"])
    texts = [" ".join(words) + "." for words, _ in labelled_sentences(SETTINGS["sentences"])]
    previous, on_sep, on_cls = token_habits(model, tokenizer, progress(texts))
    people = pronoun_hits(model, tokenizer, progress(pronoun_sentences()))
    hard = pronoun_hits(model, tokenizer, things())
    scores = {"previous token": previous, "[SEP]": on_sep, "pronoun": people}
    layer, number = best_head(people)["head"]
    return rounded({"by_head": {name: each.mean(0).tolist() for name, each in scores.items()},
                    "best": {name: best_head(each) for name, each in scores.items()},
                    "on_cls": {"mean": on_cls.mean().item(), "above_half": (on_cls.mean(0) >= 0.5).sum().item()},
                    "uniform": sum(1 / len(tokenizer.encode(text).ids) for text in texts) / len(texts),
                    "hard": {"share": hard[:, layer, number].mean().item(), "texts": len(hard)}})
