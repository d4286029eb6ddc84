"""Chapter 11: ALBERT's two savings, each on and off: what they change in weights, in computing and in word loss.

Four models of one depth and width fill the blanks of single docstring sentences for the same number of steps. With the
first seed each tries every learning rate; the other seeds take the one that was best for it on the validation part.
"""

import itertools

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from course_utils.data.subword import WORDPIECE_SPECIAL
from course_utils.data.vocabulary import pad_ids
from course_utils.models.bert import IGNORED, corrupt, pretraining_loss
from course_utils.models.compact import ALBERTConfig, PretrainingALBERT
from course_utils.recordings import docstring_bert, median_seconds
from course_utils.recordings.docstring_bert import CLS_ID, MASK_ID, SEP_ID, Batch, blanks, corpus, unigram_log_probs
from course_utils.training import adamw_with_cosine, train, weights_of

SETTINGS = {
    "sizes": {"d_model": 64, "n_heads": 4, "d_ff": 256, "n_layers": 4},
    "d_embedding": 16,
    "steps": 600,
    "batch_size": 32,
    "trained_rate": 0.3,             # of the blanks in training: more to learn from a sentence; tested with BERT's 15 %
    "rates": [1.5e-3, 3e-3, 6e-3],
    "seeds": [0, 1, 2],
    "test_batches": 60,
    "rounds": 15,
    **{name: docstring_bert.SETTINGS[name] for name in (
        "vocab_size", "max_length", "init_std", "warmup", "weight_decay", "max_norm")},
}
# name -> (embedding factorised, one block for all depths)
VARIANTS = {"plain": (False, False), "factorised": (True, False), "shared": (False, True), "both": (True, True)}


def new_model(variant):
    """An untrained PretrainingALBERT. The scores of its words start at their log frequencies, as in chapter 08."""
    factorised, shared = VARIANTS[variant]
    model = PretrainingALBERT(ALBERTConfig(
        **SETTINGS["sizes"], d_embedding=SETTINGS["d_embedding"] if factorised else None, shared=shared,
        **{name: SETTINGS[name] for name in ("vocab_size", "max_length", "init_std")}))
    with torch.no_grad():
        model.word_bias.copy_(unigram_log_probs())
    return model


def sentence_batch(data, generator, batch_size):
    """Random sentences, each alone, `[CLS] … [SEP]`, as a Batch without pairs."""
    places = torch.randint(len(data.sentences), (batch_size,), generator=generator).tolist()
    ids, lengths = pad_ids([[CLS_ID, *data.sentences[place], SEP_ID] for place in places])
    return Batch(ids, lengths, torch.zeros_like(ids), torch.full((batch_size,), IGNORED))


def word_loss(model, batch, draw, share):
    """The loss at random blanks, this share of a batch's words: a scalar. It is `pretraining_loss` without pairs."""
    is_word = batch.ids >= len(WORDPIECE_SPECIAL)                            # no special token, no padding
    inputs, labels = corrupt(batch.ids, is_word, SETTINGS["vocab_size"], MASK_ID, draw, share)
    return pretraining_loss(model, inputs, labels, batch.lengths, batch.segments, batch.is_random)[0]


def trained(variant, seed, rate):
    """A model of that variant, pre-trained with a learning rate, and its History."""
    torch.manual_seed(seed)
    model, data, draw = new_model(variant), corpus("train"), torch.Generator().manual_seed(seed)
    optimizer, schedule = adamw_with_cosine(model, SETTINGS["steps"], SETTINGS["warmup"], rate,
                                            SETTINGS["weight_decay"], fused=True)

    def loss_at(step):
        return word_loss(model, sentence_batch(data, draw, SETTINGS["batch_size"]), draw, SETTINGS["trained_rate"])

    return model, train(model, SETTINGS["steps"], loss_at, optimizer, schedule, SETTINGS["max_norm"], label=variant)


# ---------------------------------------------------------------- what it knows, and what it costs


def measured(model, part="validation", seed=0):
    """Loss (nats) and accuracy at the blanks of a part, the same for every model; and the loss of frequencies alone."""
    data, draw, found = corpus(part), torch.Generator().manual_seed(seed), []
    with torch.no_grad():
        for _ in range(SETTINGS["test_batches"]):
            batch = sentence_batch(data, draw, 32)
            inputs, labels = blanks(batch, draw)
            chosen = labels != IGNORED
            logits, wanted = model.word_logits(model.bert(inputs, batch.lengths)[chosen]), labels[chosen]
            found.append(torch.stack([F.cross_entropy(logits, wanted, reduction="none"),
                                      (logits.argmax(-1) == wanted).float(), -unigram_log_probs()[wanted]]))
    names = ("word_loss", "word_accuracy", "unigram_loss")
    return dict(zip(names, torch.cat(found, 1).mean(1).tolist(), strict=True))               # (3, blanks) -> (3,)


def counted_flops(loss_of):
    """Floating-point operations, in millions, of a loss and its gradient: a multiplication and an addition are two.

    loss_of: function without arguments. Matrix products are counted, those of attention too, and they are nearly all.
    """
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:            # fused ones are not seen
        loss_of().backward()
    return counter.get_total_flops() / 1e6


def costs(rounds):
    """What a step of each variant costs: weights of the encoder, FLOPs (millions), milliseconds; a list of rows."""
    models = {variant: new_model(variant) for variant in VARIANTS}
    batch = sentence_batch(corpus("train"), torch.Generator().manual_seed(0), SETTINGS["batch_size"])

    def loss_of(model):
        return word_loss(model, batch, torch.Generator().manual_seed(0), SETTINGS["trained_rate"])

    steps = {name: lambda model=model: loss_of(model).backward() for name, model in models.items()}
    seconds = median_seconds(steps, rounds)
    return [{"variant": name, "weights": weights_of(model.bert),
             "mflops": round(counted_flops(lambda model=model: loss_of(model)), 1),
             "milliseconds": round(1000 * seconds[name], 2)} for name, model in models.items()]


def best_rate(rows, variant):
    """The learning rate with the smallest validation loss with the first seed."""
    tried = [row for row in rows if (row["variant"], row["seed"]) == (variant, SETTINGS["seeds"][0])]
    return min(tried, key=lambda row: row["validation"]["word_loss"])["rate"]


def chosen_rows(rows):
    """The runs with each variant's chosen learning rate: one for each seed."""
    return [row for row in rows if row["rate"] == best_rate(rows, row["variant"])]


def run(progress=list):
    """Costs; then the first seed with every learning rate, and the other seeds with the chosen one."""
    found, rows = costs(SETTINGS["rounds"]), []
    first, *others = SETTINGS["seeds"]
    cells = [*itertools.product(VARIANTS, [first], SETTINGS["rates"]), *itertools.product(VARIANTS, others, [None])]
    for variant, seed, rate in progress(cells):
        rate = best_rate(rows, variant) if rate is None else rate
        model, history = trained(variant, seed, rate)
        rows.append({"variant": variant, "seed": seed, "rate": rate, "seconds": round(history.seconds, 1),
                     "validation": measured(model), "test": measured(model, "test")})
    return {"costs": found, "rows": rows}
