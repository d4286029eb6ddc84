"""GPT: a decoder stack without an encoder, trained to say the next token. Chapter 09.

Sources: Radford et al., "Improving Language Understanding by Generative Pre-Training" (2018), GPT-1; Radford et al.,
"Language Models are Unsupervised Multitask Learners" (2019), GPT-2; Brown et al., "Language Models are Few-Shot
Learners" (2020), GPT-3.

Shapes: B batch, T time, C or d_model features, H heads, V vocabulary, N layers.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from course_utils.models.attention import causal_mask
from course_utils.models.recurrent import check_sizes
from course_utils.models.seq2seq import check_ids
from course_utils.models.transformer import EncoderBlock, check_choice, load_matching, renamed


@dataclass(frozen=True)
class GPTConfig:
    """The sizes of a GPT. The defaults are those of the smallest GPT-2."""

    vocab_size: int = 50257             # V: byte-level sub-words
    d_model: int = 768                  # C: features of a token
    n_heads: int = 12                   # H
    d_ff: int | None = None             # features inside a feed-forward network; None: 4·d_model
    n_layers: int = 12                  # N
    max_length: int = 1024              # the context: no token sees further back
    dropout: float = 0.1
    norm: str = "pre"                   # "post" in GPT-1
    activation: str = "gelu_tanh"       # GELU by the tanh formula, as in the published weights
    scale_residuals: bool = True        # start the layers that end a sublayer smaller, by 1/√(2N)
    init_std: float = 0.02              # spread of the weights at the start


GPT1 = GPTConfig(vocab_size=40478, max_length=512, norm="post", scale_residuals=False)
GPT2 = GPTConfig()


# ---------------------------------------------------------------- the model


class GPTBlock(EncoderBlock):
    """A decoder block without cross-attention. What is left is chapter 07's encoder block under a causal mask.

    forward: x (B, T, d_model), mask broadcastable to (B, H, T, T_k), cache: a dict that keeps this block's keys and
    values, or None -> the same shape as x.
    """

    def forward(self, x, mask=None, cache=None):
        def attend(x):
            return self.attention(x, x, x, mask=mask, need_weights=False, cache=cache)[0]

        x = self.around_attention(x, attend)
        return self.around_feed_forward(x, self.feed_forward)


class GPT(nn.Module):
    """Word and place vectors, N blocks under a causal mask, and the table of word vectors once more as output layer.

    forward: ids (B, T) -> logits (B, T, V), scores of the token after each. cache: from `new_cache`; the ids are then
    those that follow what the cache has seen, and it grows by them.
    Raises ValueError for sizes that do not fit, ids outside the vocabulary, and more than max_length tokens.
    """

    def __init__(self, config):
        super().__init__()
        check_config(config)
        self.config = config
        d_ff = 4 * config.d_model if config.d_ff is None else config.d_ff
        self.words = nn.Embedding(config.vocab_size, config.d_model)
        self.positions = nn.Embedding(config.max_length, config.d_model)
        self.dropout = nn.Dropout(config.dropout)
        sizes = (config.d_model, config.n_heads, d_ff, config.dropout, config.activation, config.norm)
        self.blocks = nn.ModuleList(GPTBlock(*sizes) for _ in range(config.n_layers))
        self.norm = nn.LayerNorm(config.d_model) if config.norm == "pre" else nn.Identity()
        initialise(self)

    def embed(self, ids, start=0):
        """Ids (B, T), the first of them at place `start` -> vectors (B, T, d_model)."""
        check_ids(ids, self.config.vocab_size, "input")
        end = start + ids.shape[1]
        if end > self.config.max_length:
            raise ValueError(f"{end} tokens, but the model's context is {self.config.max_length}")
        places = torch.arange(start, end, device=ids.device)                 # (T,)
        return self.dropout(self.words(ids) + self.positions(places))        # (B, T, C) + (T, C)

    def hidden_states(self, ids, cache=None):
        """What enters the first block and what leaves each, the last one normed: N + 1 tensors (B, T, d_model)."""
        check_cache(cache, len(self.blocks), len(ids))
        start = cached_length(cache)
        states = [self.embed(ids, start)]
        T = start + ids.shape[1]
        mask = causal_mask(T)[start:].to(ids.device)                         # (T, T) -> (T_new, T)
        for block, kept in zip(self.blocks, cache or [None] * len(self.blocks), strict=True):
            states.append(block(states[-1], mask=mask, cache=kept))
        return [*states[:-1], self.norm(states[-1])]

    def hidden(self, ids, cache=None):
        """The state of each token after the last block and norm, (B, T, d_model)."""
        return self.hidden_states(ids, cache)[-1]

    def forward(self, ids, cache=None):
        return F.linear(self.hidden(ids, cache), self.words.weight)          # (B, T, C) -> (B, T, V)

    def new_cache(self):
        """An empty cache: one dict for each block, which will hold "key" and "value" (B, H, T, d_k)."""
        return [{} for _ in self.blocks]


class GPTTask(nn.Module):
    """GPT-1's fine-tuning: one linear layer on the state of the last token, the extract token. Nothing else is new.

    forward: ids (B, T), lengths (B,) -> scores (B, n_outputs), and the language model's logits (B, T, V) beside them.
    """

    def __init__(self, gpt, n_outputs):
        super().__init__()
        check_sizes(n_outputs=n_outputs)
        self.gpt = gpt
        self.head = nn.Linear(gpt.config.d_model, n_outputs)
        nn.init.normal_(self.head.weight, std=gpt.config.init_std)
        nn.init.zeros_(self.head.bias)

    def forward(self, ids, lengths):
        hidden = self.gpt.hidden(ids)                                        # (B, T) -> (B, T, C)
        lengths = torch.as_tensor(lengths)
        whole = lengths.shape == (len(ids),) and lengths.dtype in (torch.int32, torch.int64)
        if not whole or ((lengths < 1) | (lengths > ids.shape[1])).any():
            raise ValueError(f"expected {len(ids)} whole lengths from 1 to {ids.shape[1]}, got {lengths.tolist()}")
        last = hidden[torch.arange(len(ids)), lengths - 1]                  # (B, T, C) -> (B, C)
        return self.head(last), F.linear(hidden, self.gpt.words.weight)


def initialise(model):
    """GPT-2's start: matrices from N(0, init_std²), biases 0, and w_o and w_2 of every block smaller by 1/√(2N).

    Each block adds twice to the sum that runs through the network: with 2N equal, independent terms its variance would
    grow 2N times. The factor is the same in every block.
    """
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=model.config.init_std)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    if model.config.scale_residuals:
        for block in model.blocks:
            for layer in (block.attention.w_o, block.feed_forward.w_2):
                nn.init.normal_(layer.weight, std=model.config.init_std / (2 * len(model.blocks)) ** 0.5)


def check_config(config):
    """Raise ValueError for sizes below 1 and a norm that is none."""
    check_choice("norm", config.norm, ("post", "pre"))
    check_sizes(vocab_size=config.vocab_size, d_model=config.d_model, n_layers=config.n_layers,
                max_length=config.max_length)


def cached_length(cache):
    """How many tokens a cache has seen; 0 for None and for an empty one."""
    return cache[0]["key"].shape[2] if cache and cache[0] else 0


def check_cache(cache, n_blocks, batch_size):
    """Raise ValueError unless a cache has one dict for each block and, if not empty, as many rows as the ids."""
    if cache is not None and len(cache) != n_blocks:
        raise ValueError(f"a cache of {len(cache)} blocks for a model of {n_blocks}; new_cache() makes one")
    if cached_length(cache) and len(cache[0]["key"]) != batch_size:
        raise ValueError(f"{batch_size} rows of ids for a cache of {len(cache[0]['key'])}")


def cache_bytes(cache):
    """What a cache holds, in bytes: keys and values of all blocks."""
    return sum(tensor.nbytes for kept in cache for tensor in kept.values())


# ---------------------------------------------------------------- next-token loss


def causal_loss(logits, ids, ignore_index=-100):
    """Mean cross-entropy of each token after the first, given those before it. logits (B, T, V), ids (B, T) -> ().

    The scores at place t are for the token at t + 1: the last scores and the first id have no partner.
    """
    if logits.shape[:2] != ids.shape or ids.shape[1] < 2:
        raise ValueError(f"scores {tuple(logits.shape)} and ids {tuple(ids.shape)} must share (B, T), T at least 2")
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten(), ignore_index=ignore_index)


# ---------------------------------------------------------------- published weights

NAMES = (
    ("transformer.", ""), ("wte", "words"), ("wpe", "positions"), ("tokens_embed", "words"),
    ("positions_embed", "positions"), ("attn.c_proj", "attention.w_o"), ("ln_1", "around_attention.norm"),
    ("ln_2", "around_feed_forward.norm"), ("mlp.c_fc", "feed_forward.w_1"), ("mlp.c_proj", "feed_forward.w_2"),
    ("ln_f", "norm"),
)


def copy_transformers_gpt(ours, theirs):
    """Copy the weights of `transformers`' GPT2LMHeadModel or OpenAIGPTLMHeadModel, or a state dict, into our GPT.

    They keep W_Q, W_K and W_V side by side in one matrix, and matrices as (in, out): ours are (out, in).
    Raises ValueError where names or sizes differ, before anything is copied.
    """
    weights = {}
    for name, value in (theirs.state_dict() if isinstance(theirs, nn.Module) else theirs).items():
        name = renamed(name, NAMES)
        name = f"blocks.{name[2:]}" if name.startswith("h.") else name
        if value.dim() == 2 and name.startswith("blocks."):
            value = value.mT                                                 # (in, out) -> (out, in)
        parts = dict(zip(("w_q", "w_k", "w_v"), value.chunk(3), strict=False)) if "attn.c_attn" in name else {}
        weights.update({name.replace("attn.c_attn", f"attention.{part}"): third for part, third in parts.items()}
                       or {name: value})
    load_matching(ours, weights)
