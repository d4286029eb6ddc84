"""Chapter 11: ELECTRA against the masked language model, at equal computing: which body is worth more with few labels?

Both pre-train a network of one size on single docstring sentences, ELECTRA for fewer steps: as many as cost the same
floating-point operations, those of its generator included. Then both, and the same network from scratch, are fine-tuned
as in `few_labels`. All learning rates are chosen with the first seed on training sentences that were held out.
"""

import copy
import functools
import itertools

import torch
import torch.nn.functional as F

from course_utils.data.subword import WORDPIECE_SPECIAL, load_tokenizer
from course_utils.models.attention import padding_mask
from course_utils.models.bert import BERT, IGNORED, BERTConfig, PretrainingBERT, corrupt
from course_utils.models.compact import DETECTION_WEIGHT, ELECTRA, electra_loss, replace_tokens
from course_utils.recordings import albert_variants, few_labels, median_seconds
from course_utils.recordings.albert_variants import counted_flops, sentence_batch, word_loss
from course_utils.recordings.docstring_bert import MASK_ID, corpus, unigram_log_probs
from course_utils.recordings.few_labels import draw_sentences, predict
from course_utils.training import adamw_with_cosine, train

SETTINGS = {
    "sizes": {"d_model": 64, "n_heads": 4, "d_ff": 256, "n_layers": 2},
    "generator": {"n_layers": 1, "d_ff": 64},                # what is smaller than in the discriminator
    "steps": 1500,                                           # of the masked language model
    "rate": 0.25,                                            # of the blanks, in both methods; ELECTRA-LARGE's
    "batch_size": 32,
    "rates": [5e-4, 1.5e-3, 3e-3],
    "labels": 50,
    "fine_tuning_rates": [1e-3, 2e-3, 4e-3, 8e-3],
    "seeds": [0, 1, 2],
    "test_batches": 40,
    "counted_batches": 4,
    "rounds": 15,
    **{name: albert_variants.SETTINGS[name] for name in (
        "vocab_size", "max_length", "init_std", "warmup", "weight_decay", "max_norm")},
}
METHODS = ("MLM", "ELECTRA", "scratch")


def config(**smaller):
    """The sizes of the body that all methods share; smaller: those that differ in the generator."""
    names = ("vocab_size", "max_length", "init_std")
    return BERTConfig(**{**SETTINGS["sizes"], **smaller}, dropout=0.0, **{name: SETTINGS[name] for name in names})


def new_model(method):
    """An untrained model: a PretrainingBERT, or an ELECTRA whose discriminator has the same body."""
    model = PretrainingBERT(config(**(SETTINGS["generator"] if method == "ELECTRA" else {})))
    with torch.no_grad():
        model.word_bias.copy_(unigram_log_probs())
    return ELECTRA(model, BERT(config())) if method == "ELECTRA" else model


def masked(batch, draw):
    """ELECTRA's blanks: every chosen token becomes [MASK], none a random one. -> inputs, labels (B, T)"""
    is_word = batch.ids >= len(WORDPIECE_SPECIAL)
    _, labels = corrupt(batch.ids, is_word, SETTINGS["vocab_size"], MASK_ID, draw, SETTINGS["rate"])
    return batch.ids.masked_fill(labels != IGNORED, MASK_ID), labels


def detection_losses(model, batch, draw):
    """`electra_loss` of a batch: (word loss, detection loss)."""
    inputs, labels = masked(batch, draw)
    return electra_loss(model, batch.ids, inputs, labels, batch.lengths, draw)


def loss_of(method, model, batch, draw):
    """What a method minimises, a scalar."""
    if method == "MLM":
        return word_loss(model, batch, draw, SETTINGS["rate"])
    words, detection = detection_losses(model, batch, draw)
    return words + DETECTION_WEIGHT * detection


def counted_steps():
    """What is counted and timed of each method: some batches, forward and backward; a dict of lists of functions."""
    found = {}
    for method in METHODS[:2]:
        with torch.random.fork_rng(devices=[]):
            model = new_model(method)
        draw, data = torch.Generator().manual_seed(0), corpus("train")
        batches = [sentence_batch(data, draw, SETTINGS["batch_size"]) for _ in range(SETTINGS["counted_batches"])]
        found[method] = [functools.partial(loss_of, method, model, batch, draw) for batch in batches]
    return found


@functools.cache
def step_flops(method):
    """Floating-point operations of a step, in millions: forward and backward through all parts, mean of some batches.

    The drawing of tokens and the optimiser are no matrix products and do not count.
    """
    counts = [counted_flops(loss) for loss in counted_steps()[method]]
    return sum(counts) / len(counts)


def steps_of(method):
    """How many steps a method gets for the operations of SETTINGS["steps"] steps of the masked language model."""
    return round(SETTINGS["steps"] * step_flops("MLM") / step_flops(method))


def trained(method, seed, rate):
    """A model pre-trained with a learning rate, and its History."""
    torch.manual_seed(seed)
    model, data, draw = new_model(method), corpus("train"), torch.Generator().manual_seed(seed)
    steps = steps_of(method)
    optimizer, schedule = adamw_with_cosine(model, steps, SETTINGS["warmup"], rate, SETTINGS["weight_decay"],
                                            fused=True)

    def loss_at(step):
        return loss_of(method, model, sentence_batch(data, draw, SETTINGS["batch_size"]), draw)

    return model, train(model, steps, loss_at, optimizer, schedule, SETTINGS["max_norm"], label=method)


def body(model):
    """What is kept after pre-training: a copy of the BERT that was trained on all places, without any head."""
    return copy.deepcopy(model.discriminator.bert if hasattr(model, "discriminator") else model.bert)


# ---------------------------------------------------------------- measures


def blank_share(batches=20):
    """The share of real places with a loss in the masked language model; in ELECTRA it is 1."""
    draw, data = torch.Generator().manual_seed(0), corpus("validation")
    counts = [(masked(batch, draw)[1].ne(IGNORED).sum(), batch.lengths.sum())
              for batch in (sentence_batch(data, draw, 32) for _ in range(batches))]
    return (sum(blank for blank, _ in counts) / sum(real for _, real in counts)).item()


def detection(model, part="test", seed=0):
    """How the two halves of an ELECTRA do on a part's sentences, the blanks the same for every model.

    Returns a dict: word_loss of the generator (nats) and the share of its words that are right; accuracy of the
    detector at all real places, original_share, what "original" everywhere would get, and found, the share of replaced
    tokens that it finds.
    """
    data, draw, words, places = corpus(part), torch.Generator().manual_seed(seed), [], []
    with torch.no_grad():
        for _ in range(SETTINGS["test_batches"]):
            batch = sentence_batch(data, draw, 32)
            inputs, labels = masked(batch, draw)
            chosen = labels != IGNORED
            logits = model.generator.word_logits(model.generator.bert(inputs, batch.lengths)[chosen])
            ids, is_replaced = replace_tokens(batch.ids, chosen, logits, draw)
            words.append(torch.stack([F.cross_entropy(logits, labels[chosen], reduction="none"),
                                      (~is_replaced[chosen]).float()]))
            real = padding_mask(batch.lengths, ids.shape[1])[:, 0, 0]
            said = model.discriminator(ids, batch.lengths) > 0
            places.append(torch.stack([said[real], is_replaced[real]]))
    (loss, right), (said, replaced) = torch.cat(words, 1).mean(1).tolist(), torch.cat(places, 1)
    return {"word_loss": loss, "drawn_right": right, "accuracy": (said == replaced).float().mean().item(),
            "original_share": (~replaced).float().mean().item(), "found": said[replaced].float().mean().item()}


def fine_tune(bert, seed, rate):
    """Train a body and a new layer on few labels, as `few_labels.fine_tune` does. Returns a BERTClassifier."""
    torch.manual_seed(seed)
    count = SETTINGS["labels"]
    return few_labels.train_classifier(bert, load_tokenizer("wordpiece"), count, seed, rate,
                                       f"fine-tuning, {count} labels")[0]


def topic_accuracy(bert, seed, rate, part):
    """Share of right topics after fine-tuning. part: "held out" or "test"."""
    data = draw_sentences(part, few_labels.SETTINGS["test"], seed if part == "held out" else 0)
    said = predict(fine_tune(bert, seed, rate), load_tokenizer("wordpiece"), data.texts).argmax(-1)
    return (said == data.topics).float().mean().item()


def best_rates(search, method):
    """The two learning rates, (pre-training, fine-tuning), with the most right topics on held-out sentences."""
    best = max((row for row in search if row["method"] == method), key=lambda row: row["held_out"])
    return best["rate"], best["fine_tuning_rate"]


def searched(method, seed=0):
    """Rows of the search for one method: every rate of pre-training (None from scratch) with every one of fine-tuning.

    Returns the rows, and the pre-trained models by their rates.
    """
    rates = [None] if method == "scratch" else SETTINGS["rates"]
    models = {rate: start(method, seed, rate) for rate in rates}
    return [{"method": method, "rate": rate, "fine_tuning_rate": fine,
             "held_out": topic_accuracy(body(models[rate]), seed, fine, "held out")}
            for rate, fine in itertools.product(rates, SETTINGS["fine_tuning_rates"])], models


def start(method, seed, rate):
    """The model that a method fine-tunes, pre-trained unless from scratch."""
    if method == "scratch":
        torch.manual_seed(seed)
        return new_model("MLM")
    return trained(method, seed, rate)[0]


def recorded_row(method, seed, rates, model):
    """One model with its measures on the test part."""
    measures = {"MLM": lambda: {"words": albert_variants.measured(model, "test")},
                "ELECTRA": lambda: {"detection": detection(model)}, "scratch": dict}[method]()
    return {"method": method, "seed": seed, "rate": rates[0], "fine_tuning_rate": rates[1], **measures,
            "test": topic_accuracy(body(model), seed, rates[1], "test")}


def run(progress=list):
    """The search with the first seed, then every method and seed; the first seed's models are those of the search."""
    search, rows, (first, *others) = [], [], SETTINGS["seeds"]
    for method in progress(list(METHODS)):
        found, models = searched(method, first)
        search += found
        rates = best_rates(search, method)
        rows.append(recorded_row(method, first, rates, models[rates[0]]))
        rows += [recorded_row(method, seed, rates, start(method, seed, rates[0])) for seed in others]
    seconds = median_seconds({method: lambda losses=losses: losses[0]().backward()
                              for method, losses in counted_steps().items()}, SETTINGS["rounds"])
    costs = {method: {"mflops": round(step_flops(method), 1), "steps": steps_of(method),
                      "milliseconds": round(1000 * seconds[method], 2)} for method in METHODS[:2]}
    return {"costs": costs, "blank_share": blank_share(), "search": search, "rows": rows}
