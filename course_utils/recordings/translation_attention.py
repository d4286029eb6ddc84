"""Chapter 04: chapter 03's translation again, with and without attention, all else equal. Three seeds of every model.

Not as in chapter 03, all lengths of sentences come equally often, and the optimizer has weight decay: both for every
model. The decay is chosen for each of the two kinds, with and without attention, by exact match on the validation
set. The weights of the best model's first seed are the checkpoint `attention`.
"""

import torch

from course_utils.data.alignment import content_links
from course_utils.data.translation import source_tokens, translation_splits, vocabularies
from course_utils.data.vocabulary import EOS_ID, SOS_ID
from course_utils.decoding import greedy_search
from course_utils.metrics import exact_match
from course_utils.models.seq2seq import Seq2Seq
from course_utils.recordings import translation_rnn
from course_utils.recordings.translation_rnn import encode_pairs, exact_by_length, train_translator, translations
from course_utils.training import weights_of

SETTINGS = {
    **{name: translation_rnn.SETTINGS[name] for name in ("pairs", "embedding_size", "hidden_size", "batch_size",
                                                         "warmup", "max_norm", "seeds", "longest", "buckets")},
    "steps": 1800,
    "learning_rate": 1e-2,
    "betas": [0.9, 0.98],
    "weight_decay": 0.3,
    "decays": [0.0, 0.1, 0.3],
    "short_first": 1.0,
}
# name -> attention, bidirectional
VARIANTS = {
    "no attention": (None, False),
    "no attention, both directions": (None, True),
    "dot": ("dot", False),
    "dot, both directions": ("dot", True),
    "general, both directions": ("general", True),
    "concat, both directions": ("concat", True),
    "additive, both directions": ("additive", True),
}
BEST = "dot, both directions"


def translator(attention, bidirectional):
    """An untrained model with the recording's sizes."""
    source, target = vocabularies()
    return Seq2Seq(len(source), len(target), SETTINGS["embedding_size"], SETTINGS["hidden_size"],
                   attention=attention, bidirectional=bidirectional)


def train_variant(model, pairs, seed, weight_decay=SETTINGS["weight_decay"], steps=SETTINGS["steps"]):
    """Chapter 03's training, with all lengths equally often and AdamW. Returns the History."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=SETTINGS["learning_rate"], betas=SETTINGS["betas"],
                                  weight_decay=weight_decay)
    return train_translator(model, pairs, seed, steps, optimizer=optimizer, short_first=SETTINGS["short_first"])


def alignment_of(model, english, polite=False):
    """The model's own greedy translation, and where it looked: weights (T, S), T Korean tokens, S English tokens.

    The last Korean token is <eos> where the model ended by itself. Raises ValueError for a sentence that the grammar
    does not cover.
    """
    source_words, target_words = vocabularies()
    read = source_tokens(english, polite)
    ids, lengths = torch.tensor([source_words.encode(read)]), torch.tensor([len(read)])
    [new] = greedy_search(model.step, model.encode(ids, lengths), 1, SOS_ID, EOS_ID, SETTINGS["longest"])
    ended = [EOS_ID] if len(new) < SETTINGS["longest"] else []
    with torch.no_grad():                                # row t: the step that reads token t - 1 and writes token t
        [weights] = model.alignment(ids, lengths, torch.tensor([[SOS_ID, *new, *ended][:-1]]))
    return weights, [target_words.tokens[number] for number in [*new, *ended]], list(read)


def alignment_hits(model, pairs):
    """Share of content words whose row of the alignment is largest at their own English word; right inputs are read."""
    hits = total = 0
    ids, lengths, wanted = encode_pairs(pairs)
    with torch.no_grad():
        looked_at = model.alignment(ids, lengths, wanted[:, :-1]).argmax(-1)                 # (N, T)
    for row, pair in zip(looked_at.tolist(), pairs, strict=True):
        links = content_links(pair)
        hits, total = hits + sum(row[t] == s for t, s in links), total + len(links)
    return hits / total


def measured(model, splits):
    """All scores of one trained model."""
    references = [pair.target for pair in splits.longer]
    return {
        "test": exact_by_length(model, splits.test),
        "train": exact_by_length(model, splits.train[:4000]),
        "exact_longer": exact_match(translations(model, splits.longer), references),
        "hits": alignment_hits(model, splits.test) if model.attends else None,
        "weights": weights_of(model),
    }


def trained(variant, seed, splits, weight_decay=SETTINGS["weight_decay"]):
    """A model of that variant, trained from that seed, and its History."""
    torch.manual_seed(seed)
    model = translator(*VARIANTS[variant])
    return model, train_variant(model, splits.train, seed, weight_decay)


def run(progress=list):
    """All runs; progress wraps the list of them. Returns the choice of the weight decay, and a row for each run."""
    splits = translation_splits(train=SETTINGS["pairs"])
    jobs = [("choice", variant, 0, decay) for variant in ("no attention, both directions", BEST)
            for decay in SETTINGS["decays"]]
    jobs += [("rows", variant, seed, SETTINGS["weight_decay"]) for variant in VARIANTS for seed in SETTINGS["seeds"]]
    results = {"choice": [], "rows": []}
    for kind, variant, seed, decay in progress(jobs):
        model, history = trained(variant, seed, splits, decay)
        row = {"variant": variant, "seed": seed, "weight_decay": decay, "seconds": round(history.seconds, 1)}
        if kind == "choice":
            row |= {"validation": exact_by_length(model, splits.validation)}
        else:
            row |= measured(model, splits)
        results[kind].append(row)
        if (kind, variant, seed) == ("rows", BEST, 0):
            results["weights"] = {"attention": model}
    return results
