"""`SamplingPlayground`: a GPT writes token after token; temperature, top-k, top-p and a penalty steer the draw."""

import time
from dataclasses import dataclass

import numpy as np
import traitlets

from course_utils import figures
from course_utils.widgets.base import CourseWidget, Tensor, check_finite, clean, pack, readable, unpack

SEEDS = 20                        # places of the seed's slider
HOTTEST, HARDEST = 2.0, 2.0       # the largest temperature and penalty
LONGEST_PROMPT = 20_000           # characters: more are not even cut into tokens
SHOWN = 10                        # likeliest tokens in the picture
LOWEST = 1e-7                     # the floor of the picture's probabilities


# ---- the draw --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Settings:
    """What steers a draw. top_k: None is off; top_p, penalty: 1 is off; temperature: 0 takes the likeliest token."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    penalty: float = 1.0


@dataclass(frozen=True)
class Distribution:
    """What the next token is drawn from. All arrays are (V,) and in rank order, the likeliest token first.

    order: token ids. model: probabilities as the model has them. before: after penalty and temperature, before the
    cut. after: what is drawn from, 0 for the tokens that are dropped. by_k, by_p: tokens that each filter alone would
    leave (top-p counts within what top-k left). kept: tokens that are left.
    """

    order: np.ndarray
    model: np.ndarray
    before: np.ndarray
    after: np.ndarray
    by_k: int
    by_p: int

    @property
    def kept(self):
        return min(self.by_k, self.by_p)


def distribution(logits, settings, seen=()):
    """A `Distribution` from the model's scores: penalty, then temperature, top-k, top-p.

    logits: (V,). seen: ids of the text so far; the penalty makes them less likely (a positive score is divided by it,
    a negative one multiplied: Keskar et al., 2019). Of equal scores the smaller id comes first.
    """
    logits = np.asarray(logits, dtype=np.float64)
    scores, repeated = logits.copy(), sorted(set(seen))
    if settings.penalty != 1 and repeated:
        found = scores[repeated]
        scores[repeated] = np.where(found > 0, found / settings.penalty, found * settings.penalty)
    order = np.argsort(-scores, kind="stable")
    model, ranked = softmax(logits)[order], scores[order]
    by_k = min(settings.top_k or len(logits), len(logits))
    if settings.temperature == 0:
        certain = np.zeros(len(logits))
        certain[0] = 1.0
        return Distribution(order, model, certain, certain, by_k, 1)
    before = softmax(ranked / settings.temperature)
    mass = np.cumsum(before[:by_k])
    by_p = by_k if settings.top_p >= 1 else int(np.searchsorted(mass, settings.top_p * mass[-1])) + 1
    kept = min(by_k, by_p)
    after = np.where(np.arange(len(before)) < kept, before / mass[kept - 1], 0.0)
    return Distribution(order, model, before, after, by_k, by_p)


def softmax(scores):
    """Of one row. The sum is taken number by number, as in the browser, so that both round alike."""
    powers = np.exp(scores - scores.max())
    return powers / np.cumsum(powers)[-1]


def drawn_rank(after, uniform):
    """The rank, from 0, at which the running sum of probabilities first exceeds a number from [0, 1).

    after: (V,) probabilities in rank order. Rounding may leave the sum a little below 1: then it is the last one kept.
    """
    kept = int(np.count_nonzero(after))
    return min(int(np.searchsorted(np.cumsum(after[:kept]), uniform, side="right")), kept - 1)


def choose(logits, settings, uniform, seen=()):
    """The next token's id, by inverse cumulative probability in rank order; the browser chooses in the same way.

    logits: (V,). settings: `Settings`. uniform: a number from [0, 1). seen: ids of the text so far.
    """
    found = distribution(logits, settings, seen)
    return int(found.order[drawn_rank(found.after, uniform)])


def uniform_numbers(seed, count):
    """One number from [0, 1) for each token that may be written: float32 (count,), the same on every machine."""
    import torch

    return torch.rand(count, generator=torch.Generator().manual_seed(seed)).numpy()


# ---- the model at work -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reading:
    """What reading a text gave. logits: (V,) of the token that comes next. tokens: how many were read for it, in ms
    milliseconds. cache: (2, N, H, T, d_k), the shape of all keys and values that are kept, or None.
    """

    logits: np.ndarray
    tokens: int
    ms: float
    cache: tuple | None


class Reader:
    """A GPT that reads texts which grow and shrink at their end, and keeps keys and values of what it has read."""

    def __init__(self, model):
        self.model, self.ids, self.cache, self.version = model, [], None, None

    def read(self, ids, cached=True):
        """Read a text; with a cache only what is new, at least its last token. Returns a `Reading`."""
        import torch

        start = self._reusable(ids) if cached else 0
        cache = self._cut(start) if cached else None
        self.cache = None                              # whatever happens now, half a cache is none
        device, was_training = next(self.model.parameters()).device, self.model.training
        self.model.eval()
        try:
            with torch.no_grad():
                new = torch.tensor([ids[start:]], device=device)                  # (1, T_new)
                began = time.perf_counter()
                logits = self.model(new, cache=cache)[0, -1].float().cpu().numpy()
                ms = 1000 * (time.perf_counter() - began)
        finally:
            self.model.train(was_training)
        check_finite(logits, what="With this text the model computes numbers that are")
        self.ids, self.cache, self.version = list(ids), cache, self._weights()
        return Reading(logits, len(ids) - start, ms, cache_shape(cache))

    def _reusable(self, ids):
        """How many tokens of the cache can stay: those that begin this text, all but its last."""
        if self.cache is None or self.version != self._weights():
            return 0
        same = 0
        while same < min(len(ids) - 1, len(self.ids)) and ids[same] == self.ids[same]:
            same += 1
        return same

    def _cut(self, length):
        """The cache without what comes after `length` tokens."""
        if length == 0:
            return self.model.new_cache()
        return [{name: tensor[:, :, :length] for name, tensor in kept.items()} for kept in self.cache]

    def _weights(self):
        """A number that grows with every training step: what was cached before belongs to another model."""
        return sum(parameter._version for parameter in self.model.parameters())


def cache_shape(cache):
    """(2, N, H, T, d_k): keys and values of all blocks; None without a cache."""
    if not cache:
        return None
    _, heads, length, size = cache[0]["key"].shape
    return 2, len(cache), heads, length, size


# ---- tokens one can read ---------------------------------------------------------------------------------------------


def byte_characters():
    """The bytes behind the characters of a byte-level tokenizer: dict from character to byte.

    Printable bytes stand for themselves, the other 68 for the characters from 256 on (Radford et al., 2019).
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}


def token_texts(tokenizer, vocabulary):
    """What each of the ids 0 … vocabulary - 1 stands for. Bytes that are no whole character are written \\xec."""
    bytes_of = byte_characters() if type(tokenizer.decoder).__name__ == "ByteLevel" else {}
    special = set(getattr(tokenizer, "get_added_tokens_decoder", dict)())

    def text(number):
        token = tokenizer.id_to_token(number)
        if token is None:
            return f"[{number}]"
        if number in special or not all(character in bytes_of for character in token):
            return clean(token)
        return bytes(bytes_of[character] for character in token).decode("utf-8", "backslashreplace")

    return [text(number) for number in range(vocabulary)]


# ---- what may be asked -----------------------------------------------------------------------------------------------

LIMITS = {"temperature": (0, HOTTEST), "top_p": (0.01, 1), "penalty": (1, HARDEST)}


def check_setting(name, value, vocabulary):
    """Raise ValueError, in one sentence, for a setting that the widget does not have."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if name == "top_k":
        if value is not None and not (whole and 1 <= value <= vocabulary):
            raise ValueError(f"top_k={value!r} must be a whole number from 1 to {vocabulary}, or None for off")
    elif name == "seed":
        if not (whole and 0 <= value < SEEDS):
            raise ValueError(f"seed={value!r} must be a whole number from 0 to {SEEDS - 1}")
    else:
        low, high = LIMITS[name]
        number = whole or isinstance(value, (float, np.floating))
        if not (number and low <= value <= high):
            raise ValueError(f"{name}={value!r} does not lie from {low:g} to {high:g}")


def read_written(written, vocabulary):
    """The tokens that were written, as lists [id, probability in the model, probability in the draw]."""
    try:
        rows = [[int(number), float(model), float(after)] for number, model, after in written]
    except (TypeError, ValueError):
        raise ValueError("written must be a list of triples: an id and two probabilities") from None
    if not all(0 <= number < vocabulary and 0 <= model <= 1 and 0 <= after <= 1 for number, model, after in rows):
        raise ValueError("written holds an id or a probability that cannot be")
    return rows


class SamplingPlayground(CourseWidget):
    """Write on from a prompt, token by token, and see the whole distribution that every token is drawn from.

    The model computes scores in the kernel; filters and draws are computed in the browser, the same numbers as
    `distribution`'s and `choose`'s. Seed and number of the token decide the draw, so the same settings write the same
    text.

    model: a `GPT`, with `config` and `new_cache`. tokenizer: a `tokenizers.Tokenizer`. prompt: at least one token, at
    most the model's context. temperature: 0 … 2. top_k: None or 1 … V. top_p: 0.01 … 1. penalty: 1 … 2.
    seed: 0 … 19. use_cache: keep keys and values. steps: tokens to write at once. examples: prompts to choose from.
    Raises ValueError where one of these makes no sense, or the model computes NaN or infinity.
    """

    script = "sampling_playground.js"
    picture_depends_on = ("temperature", "top_k", "top_p", "penalty", "seed", "prompt", "written")

    tokens = traitlets.List(traitlets.Unicode()).tag(sync=True)       # what each id stands for
    uniforms = Tensor()                                               # (SEEDS, context) the draws
    sizes = traitlets.Dict().tag(sync=True)
    examples = traitlets.List(traitlets.Unicode()).tag(sync=True)
    temperature = traitlets.Float(1.0).tag(sync=True)
    top_k = traitlets.Int(None, allow_none=True).tag(sync=True)
    top_p = traitlets.Float(1.0).tag(sync=True)
    penalty = traitlets.Float(1.0).tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)
    use_cache = traitlets.Bool(True).tag(sync=True)

    def __init__(self, model, tokenizer, prompt="Return the", temperature=1.0, top_k=None, top_p=1.0, penalty=1.0,
                 seed=0, use_cache=True, steps=0, examples=None):
        if not hasattr(model, "config") or not hasattr(model, "new_cache"):
            raise ValueError("model must be a GPT: with `config` and `new_cache`")
        if not hasattr(tokenizer, "encode") or not hasattr(tokenizer, "id_to_token"):
            raise ValueError("tokenizer must be a `tokenizers.Tokenizer`, the one the model was trained with")
        if not isinstance(use_cache, (bool, np.bool_)):
            raise ValueError(f"use_cache={use_cache!r} is neither True nor False")
        config, self.tokenizer, self.reader = model.config, tokenizer, Reader(model)
        sizes = {"vocabulary": config.vocab_size, "layers": config.n_layers, "heads": config.n_heads,
                 "context": config.max_length, "end": tokenizer.token_to_id("<|endoftext|>")}
        settings = {"temperature": temperature, "top_k": top_k, "top_p": 1.0 if top_p is None else top_p,
                    "penalty": penalty, "seed": seed}
        for name, value in settings.items():
            check_setting(name, value, config.vocab_size)
        uniforms = np.stack([uniform_numbers(number, config.max_length) for number in range(SEEDS)])
        super().__init__(tokens=token_texts(tokenizer, config.vocab_size), uniforms=uniforms, sizes=sizes,
                         examples=[clean(example) for example in examples or []], use_cache=bool(use_cache), **settings)
        self.answer = {**self.respond(prompt, cached=self.use_cache), "id": 0}
        if steps:
            self.write(steps)

    # What has been read and written; another prompt is asked for in the widget, or with a new one.
    prompt = property(lambda self: self.answer["prompt"])
    written = property(lambda self: [row[0] for row in self.answer["written"]])
    settings = property(lambda self: Settings(self.temperature, self.top_k, self.top_p, self.penalty))
    text = property(lambda self: self.prompt + self.tokenizer.decode(self.written, skip_special_tokens=False))

    @traitlets.validate("temperature", "top_k", "top_p", "penalty", "seed")
    def _fits(self, proposal):
        """A setting that makes no sense is refused when it is made; the last good one stays."""
        try:
            check_setting(proposal["trait"].name, proposal["value"], self.sizes.get("vocabulary", np.inf))
        except ValueError as problem:
            raise traitlets.TraitError(str(problem)) from None
        return proposal["value"]

    def respond(self, prompt, written=(), cached=True):
        """Read a prompt and what was written after it.

        written: triples (id, probability in the model, probability in the draw). Returns the same, the prompt's ids,
        packed logits (V,) of the next token, and what the reading cost.
        """
        if not isinstance(prompt, str) or not prompt:
            raise ValueError("Type a prompt: the model needs at least one token to start from.")
        if len(prompt) > LONGEST_PROMPT:
            raise ValueError(f"{len(prompt):,} characters are too many for a prompt.")
        prompt, context, vocabulary = clean(prompt), self.sizes["context"], self.sizes["vocabulary"]
        written = read_written(written, vocabulary)
        start = self.tokenizer.encode(prompt, add_special_tokens=False).ids
        if not start:
            raise ValueError("This prompt gives no token: the model needs at least one to start from.")
        if len(start) > context:
            raise ValueError(f"The prompt has {len(start):,} tokens; the model's context is {context}.")
        if len(start) + len(written) > context:
            raise ValueError(self._full())
        ids = [*start, *(row[0] for row in written)]
        if max(ids) >= vocabulary:
            raise ValueError(f"The tokenizer gives id {max(ids)}; the model knows ids up to {vocabulary - 1}.")
        reading = self.reader.read(ids, bool(cached))
        if len(reading.logits) != vocabulary:
            raise ValueError(f"The model gives {len(reading.logits)} scores for {vocabulary} tokens.")
        return {"prompt": prompt, "start": start, "written": written, "logits": pack(reading.logits),
                "cached": bool(cached), "cache": reading.cache and list(reading.cache), "read": reading.tokens,
                "ms": reading.ms}

    def _full(self):
        return f"The context is full: the model reads at most {self.sizes['context']} tokens."

    def write(self, steps=1):
        """Write tokens with the present settings, as the button Step does. Raises ValueError at a full context."""
        answer = dict(self.answer)
        for _ in range(steps):
            ids = [*answer["start"], *(row[0] for row in answer["written"])]
            if len(ids) >= self.sizes["context"]:
                raise ValueError(self._full())
            found = distribution(unpack(answer["logits"]), self.settings, ids)
            rank = drawn_rank(found.after, self.uniforms[self.seed, len(answer["written"])])
            row = [int(found.order[rank]), float(found.model[rank]), float(found.after[rank])]
            answer = self.respond(answer["prompt"], [*answer["written"], row], self.use_cache)
        self.answer = {**answer, "id": self.request.get("id", 0)}

    def next_distribution(self):
        """The `Distribution` of the token that comes next, for the present settings."""
        return distribution(unpack(self.answer["logits"]), self.settings, [*self.answer["start"], *self.written])

    def summary(self):
        return "SamplingPlayground({})".format(
            ", ".join(f"{name}={self.sizes[name]}" for name in ("vocabulary", "layers", "heads", "context")))

    def figure(self):
        found = self.next_distribution()
        figure, (left, right) = figures.new_figure(9.6, 4.2, columns=2)
        left.get_gridspec().set_width_ratios([1.35, 1])
        draw_ranks(left, found, self.settings)
        draw_likeliest(right, found, [readable(token_name(self.tokens[number]), 14) for number in found.order[:SHOWN]])
        text = self.text if len(self.text) <= 60 else "…" + self.text[-59:]
        figure.suptitle(f"“{readable(text, 60)}” goes on: {tell_kept(found)}", x=0.01, ha="left", fontsize=11,
                        fontweight="bold")
        return figure


def token_name(text):
    """A token for a label: a space is a part of it, and one that cannot be seen."""
    return text.replace(" ", "␣")


def tell_kept(found):
    """How many tokens are left, and how much of the mass they hold."""
    count, mass = len(found.order), found.before[: found.kept].sum()
    if found.kept == count:
        return f"any of {count:,} tokens can come"
    return f"{found.kept:,} of {count:,} tokens can come, {mass:.2f} of the mass"


def draw_ranks(axes, found, settings):
    """All probabilities against rank, both logarithmic: kept ones blue, dropped ones grey, the cut-offs as lines."""
    edges = np.arange(1, len(found.before) + 2)                                   # token of rank r spans r … r + 1
    heights = np.maximum(found.before, LOWEST)
    if found.kept < len(heights):
        axes.stairs(heights, edges, baseline=LOWEST, fill=True, color=figures.COLOURS["mask"], label="dropped")
    axes.stairs(heights[: found.kept], edges[: found.kept + 1], baseline=LOWEST, fill=True,
                color=figures.COLOURS["brand"], label="kept")
    if settings.temperature != 1 or settings.penalty != 1:
        axes.stairs(np.maximum(found.model, LOWEST), edges, baseline=None, color=figures.COLOURS["ink"], linewidth=1,
                    label="the model's own")
    cuts = {} if settings.temperature == 0 else {
        f"top-k {settings.top_k}": (found.by_k, "--") if settings.top_k else None,
        f"top-p {settings.top_p:g}": (found.by_p, ":") if settings.top_p < 1 else None}
    for label, cut in cuts.items():
        if cut:
            axes.axvline(cut[0] + 1, color=figures.COLOURS["ink"], linestyle=cut[1], label=f"{label}: {cut[0]:,} left")
    axes.set(xscale="log", yscale="log", xlim=(1, len(found.before) + 1), ylim=(LOWEST, 1.5), xlabel="rank",
             title="next token: probability by rank")
    axes.legend(fontsize=8, loc="lower left", frameon=True, facecolor="white", edgecolor="none", framealpha=0.85)


def draw_likeliest(axes, found, names):
    """The likeliest tokens, in the model and in the draw, side by side."""
    places = np.arange(len(names))
    for values, offset, colour, label in ((found.after, -0.2, "brand", "drawn from"), (found.model, 0.2, "mask",
                                                                                       "the model's own")):
        axes.barh(places + offset, values[: len(names)], 0.38, color=figures.COLOURS[colour], label=label)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_title("likeliest tokens")
    axes.legend(fontsize=8)
