"""`FillInTheBlank`: words of a sentence are hidden, and models that were trained to fill blanks say what stands there.

Every blank is filled twice: by a model that reads the whole sentence, and by the same model when everything to the
right of the blank is cut away. Both answers travel at once, so that the browser can compare them without the kernel.
"""

from dataclasses import dataclass

import numpy as np
import traitlets

from course_utils import figures
from course_utils.data.subword import MASK, UNK, load_tokenizer
from course_utils.data.vocabulary import pad_ids
from course_utils.widgets.base import CourseWidget, check_finite, clean, one_line, pack, readable, unpack
from course_utils.widgets.transformer_flow import read_examples

SENTENCES = ("Return the number of items in the list.", "Raise an error if the file does not exist.",
             "If the value is None, a new list is returned.", "Return True if the object is a string.")
MOST_MODELS = 3                   # columns that stand side by side
MOST_WORDS = 40                   # buttons that fit in the card
LONGEST_TEXT = 1_000              # characters
SHOWN = 8                         # likeliest pieces of a blank
PREPARED = 24                     # up to so many words, the first sentence's single blanks are filled in advance
MOST_ROWS = 3                     # blanks that the PNG shows
CONTEXTS = ("full sentence", "left part only")


# ---- a sentence as words and pieces ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Word:
    """A word that the reader can hide. text: as it was typed; pieces: its WordPieces; places: theirs among the ids."""

    text: str
    pieces: list
    places: list

    @property
    def is_blank(self):
        """Whether the reader typed [MASK] here: then nobody knows the right word."""
        return self.pieces == [MASK]


@dataclass(frozen=True)
class Sentence:
    """What a model reads. ids: with the special tokens that the tokenizer put `before` and `after` the words."""

    text: str
    ids: list
    words: list
    before: list
    after: list


def read_sentence(tokenizer, text):
    """A text as a Sentence. Raises ValueError, in one line, for a text that gives nothing to hide, or too much."""
    if not isinstance(text, str) or not text.strip():
        raise ValueError("Type a sentence: without words there is nothing to hide.")
    text = clean(text)
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"{len(text):,} characters are too many: {LONGEST_TEXT:,} is the most.")
    encoding = tokenizer.encode(text)
    if encoding.overflowing:
        raise ValueError("The sentence is too long: the tokenizer cuts it off.")
    real = sum(encoding.attention_mask)                    # a tokenizer may be set to pad
    words, special = [], [place for place in range(real) if encoding.word_ids[place] is None]
    for place in range(real):
        number, piece = encoding.word_ids[place], encoding.tokens[place]
        if number is None:
            continue
        if words and number == encoding.word_ids[place - 1]:
            words[-1].pieces.append(piece)
            words[-1].places.append(place)
        else:
            words.append(Word(encoding.offsets[place], [piece], [place]))
    words = [Word(written(text, encoding.offsets, word.places), word.pieces, word.places) for word in words]
    check_words(tokenizer, words)
    first = words[0].places[0]
    return Sentence(text, encoding.ids[:real], words, [encoding.tokens[place] for place in special if place < first],
                    [encoding.tokens[place] for place in special if place > first])


def written(text, offsets, places):
    """The part of the text that these pieces come from."""
    return text[offsets[places[0]][0] : offsets[places[-1]][1]]


def check_words(tokenizer, words):
    """Raise ValueError where there is no word, too many, or a special token other than [MASK] and [UNK]."""
    if not words:
        raise ValueError("Type a sentence: the tokenizer finds no word in this one.")
    if len(words) > MOST_WORDS:
        raise ValueError(f"{len(words)} words and signs are too many: {MOST_WORDS} is the most.")
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special}
    typed = [word.pieces[0] for word in words if word.pieces[0] in special - {MASK, UNK}]
    if typed:
        raise ValueError(f"{typed[0]} cannot be typed: the tokenizer puts it where it belongs. Only {MASK} can.")


def read_hidden(hidden, words):
    """Numbers of the words to hide, sorted, as a list; one number stands for a list of one. Raises ValueError."""
    hidden = [hidden] if isinstance(hidden, (int, np.integer)) else hidden
    if not isinstance(hidden, (list, tuple, set, frozenset, range, np.ndarray)):
        raise ValueError(f"hidden={readable(repr(hidden), 40)} is no list of word numbers")
    for number in hidden:
        whole = isinstance(number, (int, np.integer)) and not isinstance(number, bool)
        if not whole or not 0 <= number < len(words):
            raise ValueError(f"hidden={readable(repr(number), 40)} is no word: they are numbered from 0 to "
                             f"{len(words) - 1}")
    return sorted({int(number) for number in hidden if not words[number].is_blank})


def carried(hidden, before, after):
    """Which words of a changed sentence stay hidden: those that stand in the unchanged part at its start or its end.

    hidden: numbers of words in `before`. before, after: texts of the words.
    """
    same = 0
    while same < min(len(before), len(after)) and before[same] == after[same]:
        same += 1
    tail = 0
    while tail < min(len(before), len(after)) - same and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    shift = len(after) - len(before)
    return [number if number < same else number + shift for number in hidden
            if number < same or number >= len(before) - tail]


# ---- what the models say ---------------------------------------------------------------------------------------------


def blanks_of(sentence, hidden, mask_id):
    """What models read to fill some words: rows of ids, and the blanks as (word, piece, place, row of the left part).

    Row 0 is the whole sentence, with every piece of a hidden word replaced by [MASK]. For each hidden word there is a
    row that ends with it: what is to the right is cut away, [SEP] too, for it would tell that the sentence ends here.
    """
    typed = [number for number, word in enumerate(sentence.words) if word.is_blank]
    ids, blanks, rows = list(sentence.ids), [], []
    chosen = sorted({*hidden, *typed})
    for number in chosen:
        for place in sentence.words[number].places:
            ids[place] = mask_id
    rows.append(ids)
    for number in chosen:
        places = sentence.words[number].places
        rows.append(ids[: places[-1] + 1])
        blanks += [(number, piece, place, len(rows) - 1) for piece, place in enumerate(places)]
    return rows, blanks


def probabilities_at(model, rows, wanted, what):
    """A model's probabilities of all pieces, (Q, V), at the wanted (row, place). rows: lists of ids, read in one batch.

    Raises ValueError, in one line that begins with `what`, where the model returns something else or NaN.
    """
    import torch

    from course_utils.models.tracing import evaluating

    ids, lengths = pad_ids(rows)
    device = next(iter(model.parameters()), ids).device
    ids, lengths = ids.to(device), lengths.to(device)
    try:
        with torch.no_grad(), evaluating(model):
            output = model(ids, lengths, torch.zeros_like(ids))              # one sentence: segment 0 everywhere
    except TypeError as error:                                               # a GPT takes no lengths, for example
        raise ValueError(f"{what} cannot be called with ids, lengths and segments, as a PretrainingBERT is: "
                         f"{one_line(error)}") from error
    logits = output[0] if isinstance(output, (tuple, list)) else output
    shape = tuple(getattr(logits, "shape", ()))
    if len(shape) != 3 or shape[:2] != tuple(ids.shape):
        raise ValueError(f"{what} must return word logits (B, T, V), here {tuple(ids.shape)} + (V,), not {shape}")
    chosen, places = torch.tensor(wanted, device=device).T
    found = logits[chosen, places].float().softmax(-1).cpu()                 # (R, T, V) -> (Q, V)
    check_finite(found.numpy(), what=f"With this sentence {what} computes numbers that are")
    return found


def longest_input(model):
    """How many tokens a model can read; None where it does not say."""
    return getattr(getattr(model, "config", None), "max_length", None)


class Filler:
    """Models, by name, and the tokenizer they share. Raises ValueError where these do not fit together."""

    def __init__(self, models, tokenizer):
        self.tokenizer = load_tokenizer("wordpiece") if tokenizer is None else tokenizer
        if not all(hasattr(self.tokenizer, name) for name in ("encode", "token_to_id", "get_added_tokens_decoder")):
            raise ValueError(f"tokenizer must be a tokenizers.Tokenizer, not {type(tokenizer).__name__}")
        self.mask_id = self.tokenizer.token_to_id(MASK)
        if self.mask_id is None:
            raise ValueError(f"the tokenizer has no {MASK}: it belongs to models that fill no blanks")
        models = models if isinstance(models, dict) else {"the model": models}
        if not 1 <= len(models) <= MOST_MODELS:
            raise ValueError(f"{len(models)} models: 1 to {MOST_MODELS} can stand side by side")
        for name, model in models.items():
            if not callable(model) or not hasattr(model, "parameters"):
                raise ValueError(f"the model {readable(str(name), 40)!r} must be a PretrainingBERT, not "
                                 f"{type(model).__name__}")
        self.models = {clean(name): model for name, model in models.items()}
        if len(self.models) < len(models):
            names = ", ".join(readable(clean(name), 40) for name in models)
            raise ValueError(f"two models have the same name: {names}")
        self.pieces = self.tokenizer.get_vocab_size()

    def read(self, text):
        """A text as a Sentence that every model can read. Raises ValueError."""
        sentence = read_sentence(self.tokenizer, text)
        for name, model in self.models.items():
            most = longest_input(model)
            if most is not None and len(sentence.ids) > most:
                raise ValueError(f"{len(sentence.ids)} tokens are too many: {readable(name, 40)!r} reads {most}.")
        return sentence

    def fill(self, sentence, sets):
        """Fill a sentence several times in one batch. sets: lists of hidden words. A list of what travels, one each.

        blanks: word, piece and number of pieces, and the true piece (None where nobody knows). For Q blanks, M models
        and both contexts: top (Q, M, 2, 8) the likeliest pieces, probability theirs; chance (Q, M, 2) of the true
        piece and its rank from 1 (NaN and 0 where there is none).
        """
        rows, wanted, counts, truths = [], [], [], []
        for hidden in sets:
            more, blanks = blanks_of(sentence, hidden, self.mask_id)
            for number, piece, place, left in blanks:
                wanted += [(len(rows), place), (len(rows) + left, place)]
                truths.append((number, piece))
            rows += more
            counts.append(len(blanks))
        told = [self._say(model, name, rows, wanted, sentence, truths) for name, model in self.models.items()]
        ends = np.cumsum(counts)
        return [self._pack(sentence, truths[end - count : end], [part[end - count : end] for part in told])
                for count, end in zip(counts, ends, strict=True)]

    def _say(self, model, name, rows, wanted, sentence, truths):
        """One model's answer for each blank: a list of (top ids (2, K), probability (2, K), chance (2,), rank (2,))."""
        if not wanted:
            return []
        found = probabilities_at(model, rows, wanted, f"the model {readable(name, 40)!r}")
        if found.shape[1] != self.pieces:
            raise ValueError(f"the model {readable(name, 40)!r} knows {found.shape[1]:,} pieces, the tokenizer "
                             f"{self.pieces:,}: they do not belong together")
        values, order = found.topk(min(SHOWN, self.pieces))
        values, order, told = values.numpy(), order.numpy(), []
        for number, (word, piece) in enumerate(truths):
            word, both = sentence.words[word], slice(2 * number, 2 * number + 2)
            chance, rank = np.full(2, np.nan), np.zeros(2, int)
            if not word.is_blank:
                chance = found[both, sentence.ids[word.places[piece]]].numpy()
                rank = 1 + (found[both].numpy() > chance[:, None]).sum(1)
            told.append((order[both], values[both], chance, rank))
        return told

    def _pack(self, sentence, truths, told):
        blanks = [{"word": number, "piece": piece, "of": len(sentence.words[number].pieces),
                   "truth": None if sentence.words[number].is_blank else clean(sentence.words[number].pieces[piece])}
                  for number, piece in truths]
        size = (len(truths), len(told), 2)
        top, probability, chance, rank = (
            np.array([[model[blank][part] for model in told] for blank in range(len(truths))]).reshape(*size, *rest)
            for part, rest in enumerate([(-1,), (-1,), (), ()] if truths else [(SHOWN,), (SHOWN,), (), ()]))
        tokens = [self.tokenizer.id_to_token(int(number)) for number in top.ravel()]
        tokens = np.array([clean(token) for token in tokens], dtype=object).reshape(top.shape)
        return {"blanks": blanks, "top": tokens.tolist(), "probability": pack(probability), "chance": pack(chance),
                "rank": pack(rank, "int32")}


# ---- the widget ------------------------------------------------------------------------------------------------------


class FillInTheBlank(CourseWidget):
    """Click a word to hide it; the models read the rest and say what stands there, with their probabilities.

    A word of several pieces is hidden whole, and each piece is its own blank: it is filled without knowing what the
    others get, as BERT does. models: a dict from a name to a `PretrainingBERT`, or one model; up to three.
    tokenizer: the `tokenizers.Tokenizer` they were trained with, None for the course's WordPiece. sentences: to choose
    from; the first is shown unless `text` gives another. hidden: numbers of the words hidden at first, from 0,
    [CLS] not counted. left: also show what the models say when all words to the right of a blank are cut away.
    Raises ValueError where one of these makes no sense.
    """

    script = "fill_in_the_blank.js"
    picture_depends_on = ("answer", "left")

    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    examples = traitlets.List(traitlets.Unicode()).tag(sync=True)
    prepared = traitlets.Dict().tag(sync=True)       # the first sentence with each word hidden alone: needs no kernel
    left = traitlets.Bool(False).tag(sync=True)

    def __init__(self, models, tokenizer=None, sentences=SENTENCES, text=None, hidden=(), left=False):
        self._filler, examples = Filler(models, tokenizer), read_examples(sentences)
        if text is None and not examples:
            raise ValueError("give a text, or at least one of sentences")
        if not isinstance(left, (bool, np.bool_)):
            raise ValueError(f"left={readable(repr(left), 40)} is neither True nor False")
        answer = {**self.respond(examples[0] if text is None else text, hidden), "id": 0}
        super().__init__(names=list(self._filler.models), examples=examples, answer=answer, left=bool(left),
                         prepared=self._prepare(answer["text"]))

    # What the picture shows; another sentence is asked for in the widget, or with a new one.
    text = property(lambda self: self.answer["text"])
    hidden = property(lambda self: self.answer["hidden"])

    def respond(self, text, hidden=(), of=None):
        """Fill a sentence. hidden: numbers of words; where `of` is given, of the words of that sentence."""
        sentence = self._filler.read(text)
        if of is not None and of != sentence.text:
            before = self._filler.read(of).words
            texts = ([word.text for word in words] for words in (before, sentence.words))
            hidden = carried(read_hidden(hidden, before), *texts)
        hidden = read_hidden(hidden, sentence.words)
        [filled] = self._filler.fill(sentence, [hidden])
        return {
            "text": sentence.text, "hidden": hidden, "before": sentence.before, "after": sentence.after,
            "words": [{"text": word.text, "pieces": [clean(piece) for piece in word.pieces], "blank": word.is_blank,
                       "unknown": UNK in word.pieces} for word in sentence.words],
            "pieces": self._filler.pieces, **filled,
        }

    def _prepare(self, text):
        sentence = self._filler.read(text)
        if len(sentence.words) > PREPARED:
            return {}
        sets = [[number] for number in range(len(sentence.words))]
        return {"text": text, "sets": [[], *sets], "filled": self._filler.fill(sentence, [[], *sets])}

    def predictions(self):
        """What is shown, as a list of dicts, one for each blank, model and context: word, piece, truth, model, context,
        top (a list of (piece, probability)), chance and rank of the true piece (None where nobody knows it)."""
        arrays = {name: unpack(self.answer[name]) for name in ("probability", "chance", "rank")}
        found = []
        for place in np.ndindex(arrays["rank"].shape):
            blank, model, context = place
            entry, known = self.answer["blanks"][blank], arrays["rank"][place] > 0
            top = self.answer["top"][blank][model][context]
            found.append({
                "word": entry["word"], "piece": entry["piece"], "truth": entry["truth"], "model": self.names[model],
                "context": CONTEXTS[context],
                "top": list(zip(top, arrays["probability"][place].tolist(), strict=True)),
                "chance": float(arrays["chance"][place]) if known else None,
                "rank": int(arrays["rank"][place]) if known else None,
            })
        return found

    def summary(self):
        hidden = {blank["word"] for blank in self.answer["blanks"]}
        return f"FillInTheBlank(models={len(self.names)}, words={len(self.answer['words'])}, hidden={len(hidden)})"

    def figure(self):
        shown = [entry for entry in self.predictions() if self.left or entry["context"] == CONTEXTS[0]]
        columns = len(self.names) * (2 if self.left else 1)
        rows = [shown[start : start + columns] for start in range(0, len(shown), columns)][:MOST_ROWS]
        if rows:
            size = {"width": max(6.0, 3.2 * columns), "height": 1.0 + 1.9 * len(rows)}
            figure, axes = figures.new_figure(**size, columns=columns, rows=len(rows))
            self._draw_rows(np.reshape(axes, (len(rows), columns)), rows)
        else:
            figure, empty = figures.new_figure(height=1.0)
            empty.set_axis_off()
        figure.suptitle(self._finding(shown), x=0.01, ha="left", fontsize=11, fontweight="bold")
        return figure

    def _draw_rows(self, axes, rows):
        """A panel for each prediction: a row for each blank, a column for each model and context."""
        widest = max(entry["top"][0][1] for entries in rows for entry in entries)
        for panels, entries in zip(axes, rows, strict=True):
            word = self.answer["words"][entries[0]["word"]]["text"]
            panels[0].set_ylabel(f"‘{readable(word, 16)}’")
            for panel, entry in zip(panels, entries, strict=True):
                self._draw(panel, entry, widest)
        for panel, entry in zip(axes[0], rows[0], strict=True):
            context = f"\n{entry['context']}" if self.left else ""
            panel.set_title(readable(entry["model"], 26) + context, fontsize=9.5, fontweight="normal", pad=4)
        axes[0, 0].figure.align_ylabels(axes[:, 0])

    def _draw(self, axes, entry, widest):
        """The likeliest pieces of one blank as bars, the true one dark; below them its rank if it is none of them."""
        top = entry["top"][:5]
        if entry["rank"] is not None and entry["truth"] not in [piece for piece, _ in top]:
            top = [*top, (f"{entry['truth']} (rank {entry['rank']:,})", entry["chance"])]
        figures.bars([readable(piece, 24) for piece, _ in top], [value for _, value in top], colour="brand",
                     numbers="{:.3f}", axes=axes)
        axes.set(xlim=(0, 1.25 * widest), xticks=[])
        for bar, (piece, _) in zip(axes.patches, top, strict=True):
            bar.set_alpha(1.0 if entry["rank"] and piece.split(" ")[0] == entry["truth"] else 0.4)

    def _with_blanks(self):
        """The sentence as it was typed, with [MASK] in place of hidden words."""
        hidden, written, at = {blank["word"] for blank in self.answer["blanks"]}, "", 0
        for number, word in enumerate(self.answer["words"]):
            start = self.text.index(word["text"], at)
            written += self.text[at:start] + (MASK if number in hidden else word["text"])
            at = start + len(word["text"])
        return written + self.text[at:]

    def _finding(self, shown):
        """The picture's title: the sentence with its blanks, and what each model puts into the first."""
        sentence = readable(self._with_blanks(), 70)
        if not shown:
            return f"{sentence}\nNo word is hidden, so there is nothing to fill in."
        first = [entry for entry in shown if (entry["word"], entry["piece"]) == (shown[0]["word"], shown[0]["piece"])
                 and entry["context"] == CONTEXTS[0]]
        said = " · ".join(f"{readable(entry['model'], 26)}: ‘{readable(entry['top'][0][0], 16)}’"
                          f"{' ✓' if entry['rank'] == 1 else ''} {entry['top'][0][1]:.2f}" for entry in first)
        return f"{sentence}\n{said}"


