"""Attention: a query looks at all keys, and takes a weighted mean of their values. Chapter 04 on.

Sources: Bahdanau, Cho and Bengio, "Neural Machine Translation by Jointly Learning to Align and Translate" (2015), for
additive attention; Luong, Pham and Manning, "Effective Approaches to Attention-based Neural Machine Translation"
(2015), for dot, general and concat; Vaswani et al., "Attention Is All You Need" (2017), for the rest.

Shapes: B batch, T time (T_q queries, T_k keys; S source words), C features, H heads, d_k size of a head.
Masks are boolean, True = may attend. A query that may attend to nothing gets weights of zero, never NaN.
"""

import inspect

import torch
import torch.nn.functional as F
from torch import nn

from course_utils.models.recurrent import check_sizes

# ---------------------------------------------------------------- masks


def causal_mask(T):
    """Who may look at whom when nobody may look ahead: (T, T), True where key ≤ query."""
    check_sizes(T=T)
    return torch.ones(T, T, dtype=torch.bool).tril()


def padding_mask(lengths, T):
    """Which keys are real: lengths (B,) of sequences filled up to T -> (B, 1, 1, T), True before each one's length.

    The two ones stand for heads and queries. Raises ValueError unless every length is a whole number from 0 to T.
    """
    lengths = torch.as_tensor(lengths)
    whole = lengths.dim() == 1 and not lengths.is_floating_point() and lengths.dtype != torch.bool
    if not whole or ((lengths < 0) | (lengths > T)).any():
        raise ValueError(f"lengths must be (B,) whole numbers from 0 to T={T}, got {lengths.tolist()}")
    return (torch.arange(T, device=lengths.device) < lengths.unsqueeze(1))[:, None, None]      # (B, T) -> (B, 1, 1, T)


def combine_masks(*masks):
    """Allowed only where every mask allows it; None allows everything. Shapes broadcast; None if all are None."""
    masks = [mask for mask in masks if mask is not None]
    for mask in masks:
        check_mask(mask)
    combined = masks[0] if masks else None
    for mask in masks[1:]:
        combined = combined & mask
    return combined


def check_mask(mask):
    """Raise ValueError unless the mask is a boolean tensor."""
    if not isinstance(mask, torch.Tensor) or mask.dtype != torch.bool:
        kind = mask.dtype if isinstance(mask, torch.Tensor) else type(mask).__name__
        raise ValueError(f"a mask is a boolean tensor, True = may attend; got {kind}")


# ---------------------------------------------------------------- one attention


def masked_softmax(scores, mask=None):
    """Softmax over the keys that a query may attend to; the others get exactly 0.

    scores (…, T_q, T_k), mask broadcastable to them -> weights of the same shape: each row sums to 1, and is all zero
    where the mask allows nothing. Raises ValueError for a mask that is not boolean.
    """
    if mask is None:
        return scores.softmax(-1)
    check_mask(mask)
    scores = scores.masked_fill(~mask, float("-inf"))
    empty = (scores == float("-inf")).all(-1, keepdim=True)                  # (…, T_q, 1): queries with no key at all
    return scores.masked_fill(empty, 0).softmax(-1).masked_fill(empty, 0)    # softmax of a row of -inf would be NaN


def scaled_dot_product_attention(query, key, value, mask=None, dropout=0.0):
    """softmax(Q Kᵀ / √d_k) V, equation 1 of Vaswani et al.

    query (…, T_q, d_k), key (…, T_k, d_k), value (…, T_k, d_v), mask broadcastable to (…, T_q, T_k)
    -> output (…, T_q, d_v), weights (…, T_q, T_k). Dropout, if any, acts on the weights that form the output, not on
    those returned.
    """
    scores = query / key.shape[-1] ** 0.5 @ key.mT                           # (…, T_q, d_k) @ (…, d_k, T_k)
    weights = masked_softmax(scores, mask)                                   # (…, T_q, T_k)
    return F.dropout(weights, dropout) @ value, weights                      # (…, T_q, T_k) @ (…, T_k, d_v)


# ---------------------------------------------------------------- attention for a recurrent decoder


class AdditiveAttention(nn.Module):
    """Bahdanau's alignment model: score(q, k) = vᵀ tanh(W_q q + W_k k). Query and key may differ in size.

    forward: query (B, T, query_size), key (B, S, key_size), mask broadcastable to (B, T, S)
    -> context (B, T, key_size), weights (B, T, S). The keys are the values, too.
    """

    def __init__(self, query_size, key_size, attention_size):
        super().__init__()
        check_sizes(query_size=query_size, key_size=key_size, attention_size=attention_size)
        self.w_q = nn.Linear(query_size, attention_size)
        self.w_k = nn.Linear(key_size, attention_size, bias=False)           # one bias is enough: they are added
        self.v = nn.Linear(attention_size, 1, bias=False)

    def scores(self, query, projected):
        """query (B, T, query_size), W_k k (B, S, attention_size) -> scores (B, T, S)."""
        pairs = self.w_q(query).unsqueeze(2) + projected.unsqueeze(1)        # (B, T, 1, A) + (B, 1, S, A)
        return self.v(torch.tanh(pairs)).squeeze(-1)                         # (B, T, S, A) -> (B, T, S)

    def forward(self, query, key, mask=None):
        check_pairs(query, key, self.w_q.in_features, self.w_k.in_features, mask)
        weights = masked_softmax(self.scores(query, self.w_k(key)), mask)    # (B, T, S)
        return weights @ key, weights                                        # (B, T, S) @ (B, S, key_size)


class LuongAttention(nn.Module):
    """Luong's three scores: "dot" qᵀk, "general" qᵀ W k, "concat" vᵀ tanh(W [q; k]).

    forward: query (B, T, query_size), key (B, S, key_size), mask broadcastable to (B, T, S)
    -> context (B, T, key_size), weights (B, T, S). The keys are the values, too.
    Raises ValueError for another score, and for "dot" with two sizes.
    """

    def __init__(self, query_size, key_size, score="dot"):
        super().__init__()
        check_sizes(query_size=query_size, key_size=key_size)
        if score not in ("dot", "general", "concat"):
            raise ValueError(f"score={score!r} is none of 'dot', 'general', 'concat'")
        if score == "dot" and query_size != key_size:
            raise ValueError(f"a dot product needs equal sizes, got query_size={query_size} and key_size={key_size}")
        self.score, self.sizes = score, (query_size, key_size)
        if score == "general":
            self.w = nn.Linear(key_size, query_size, bias=False)
        if score == "concat":
            self.w = nn.Linear(query_size + key_size, query_size, bias=False)
            self.v = nn.Linear(query_size, 1, bias=False)

    def scores(self, query, key):
        """query (B, T, query_size), key (B, S, key_size) -> scores (B, T, S)."""
        if self.score == "concat":               # W [q; k] = W_q q + W_k k: no need to put every pair side by side
            w_q, w_k = self.w.weight.split([query.shape[-1], key.shape[-1]], dim=1)
            pairs = F.linear(query, w_q).unsqueeze(2) + F.linear(key, w_k).unsqueeze(1)    # (B, T, S, query_size)
            return self.v(torch.tanh(pairs)).squeeze(-1)                                   # (B, T, S)
        return query @ (self.w(key) if self.score == "general" else key).mT

    def forward(self, query, key, mask=None):
        check_pairs(query, key, *self.sizes, mask)
        weights = masked_softmax(self.scores(query, key), mask)              # (B, T, S)
        return weights @ key, weights                                        # (B, T, S) @ (B, S, key_size)


def check_pairs(query, key, query_size, key_size, mask):
    """Raise ValueError unless query is (B, T, query_size), key (B, S, key_size), and the mask, if any, 3-D and fits."""
    if query.dim() != 3 or key.dim() != 3 or len(query) != len(key) or (query.shape[2], key.shape[2]) != (
            query_size, key_size):
        raise ValueError(f"expected query (B, T, {query_size}) and key (B, S, {key_size}), "
                         f"got {tuple(query.shape)} and {tuple(key.shape)}")
    if mask is not None:
        check_mask(mask)
        scores = (len(query), query.shape[1], key.shape[1])
        if mask.dim() != 3 or not fits(mask, scores):
            raise ValueError(f"a mask of shape {tuple(mask.shape)} does not fit scores (B, T, S) = {scores}; "
                             "for padding give (B, 1, S): mask.unsqueeze(1)")


def fits(mask, shape):
    """Whether a mask can be broadcast to exactly this shape."""
    sizes = zip(reversed(mask.shape), reversed(shape), strict=False)
    return mask.dim() <= len(shape) and all(size in (1, wanted) for size, wanted in sizes)


# ---------------------------------------------------------------- many heads


def split_heads(x, n_heads):
    """Cut the features into heads: (B, T, n_heads·d_k) -> (B, n_heads, T, d_k)."""
    B, T, C = x.shape
    return x.view(B, T, n_heads, C // n_heads).transpose(1, 2)               # (B, T, H, d_k) -> (B, H, T, d_k)


def merge_heads(x):
    """Put the heads side by side again: (B, H, T, d_k) -> (B, T, H·d_k)."""
    B, H, T, d_k = x.shape
    return x.transpose(1, 2).reshape(B, T, H * d_k)                          # (B, T, H, d_k) -> (B, T, C)


class MultiHeadAttention(nn.Module):
    """Several attentions side by side, each in a space of its own; equal to `nn.MultiheadAttention`.

    kdim, vdim: features of key and value, d_model unless given. forward: query (B, T_q, d_model), key (B, T_k, kdim),
    value (B, T_k, vdim), mask broadcastable to (B, H, T_q, T_k) -> output (B, T_q, d_model), weights (B, H, T_q, T_k)
    or None. need_weights=False takes PyTorch's fused path: the same output, and no T_q × T_k matrix to store.
    cache: a dict of the caller's, empty at first; keys and values of earlier calls are kept in it (chapter 09).
    Raises ValueError for sizes that do not fit, and for a mask that is not boolean.
    """

    def __init__(self, d_model, n_heads, dropout=0.0, bias=True, kdim=None, vdim=None):
        super().__init__()
        check_heads(d_model, n_heads)
        self.n_heads, self.dropout = n_heads, dropout
        self.w_q = nn.Linear(d_model, d_model, bias)
        self.w_k = nn.Linear(d_model if kdim is None else kdim, d_model, bias)
        self.w_v = nn.Linear(d_model if vdim is None else vdim, d_model, bias)
        self.w_o = nn.Linear(d_model, d_model, bias)

    def forward(self, query, key, value, mask=None, need_weights=True, cache=None):
        check_inputs(self, query, key, value, mask, cache)
        q = split_heads(self.w_q(query), self.n_heads)                       # (B, T_q, C) -> (B, H, T_q, d_k)
        k = split_heads(self.w_k(key), self.n_heads)                         # (B, T_k, kdim) -> (B, H, T_k, d_k)
        v = split_heads(self.w_v(value), self.n_heads)                       # (B, T_k, vdim) -> (B, H, T_k, d_k)
        if cache is not None:
            k, v = extend_cache(cache, k, v)                                 # (B, H, past + T_k, d_k)
        dropout = self.dropout if self.training else 0.0
        if need_weights:
            heads, weights = scaled_dot_product_attention(q, k, v, mask, dropout)
        else:
            heads, weights = F.scaled_dot_product_attention(q, k, v, mask, dropout), None
        return self.w_o(merge_heads(heads)), weights                         # (B, H, T_q, d_k) -> (B, T_q, C)


def extend_cache(cache, key, value):
    """Append new keys and values (B, H, T_new, d_k) to those of a cache dict; returns all (B, H, T, d_k)."""
    if cache:
        key, value = torch.cat([cache["key"], key], dim=2), torch.cat([cache["value"], value], dim=2)
    cache.update(key=key, value=value)
    return key, value


def check_heads(d_model, n_heads):
    """Raise ValueError unless d_model features can be dealt out to n_heads heads of equal size."""
    check_sizes(d_model=d_model, n_heads=n_heads)
    if d_model % n_heads:
        raise ValueError(f"d_model={d_model} is not divisible by n_heads={n_heads}")


def check_inputs(attention, query, key, value, mask, cache):
    """Raise ValueError unless query, key, value are (B, T, C) of the layer's sizes and the mask, if any, fits."""
    layers = (attention.w_q, attention.w_k, attention.w_v)
    for name, x, layer in zip(("query", "key", "value"), (query, key, value), layers, strict=True):
        if x.dim() != 3 or x.shape[2] != layer.in_features:
            raise ValueError(f"expected {name} of shape (B, T, {layer.in_features}), got {tuple(x.shape)}")
    if not (len(query) == len(key) == len(value) and key.shape[1] == value.shape[1]):
        shapes = ", ".join(str(tuple(x.shape)) for x in (query, key, value))
        raise ValueError(f"query, key and value must share B, key and value also T_k; got {shapes}")
    if mask is not None:
        check_mask(mask)
        if mask.dim() == 3:      # would be read as (1, H, T_q, T_k): the batch would meet the heads
            raise ValueError(f"a mask of shape {tuple(mask.shape)} leaves open what its first axis is; "
                             "give (B, 1, T_q, T_k): mask.unsqueeze(1)")
        past = cache["key"].shape[2] if cache else 0
        scores = (len(query), attention.n_heads, query.shape[1], past + key.shape[1])
        if mask.dim() < 2 or not fits(mask, scores):
            raise ValueError(f"a mask of shape {tuple(mask.shape)} does not fit scores (B, H, T_q, T_k) = {scores}")


# ---------------------------------------------------------------- looking inside


def copy_torch_attention(ours, theirs):
    """Copy the weights of an `nn.MultiheadAttention` (theirs) into a `MultiHeadAttention` of the same sizes (ours).

    torch keeps W_Q, W_K and W_V in one matrix of 3·d_model rows, unless key or value have another size.
    Raises ValueError where the sizes differ, before anything is copied.
    """
    mine = (ours.w_q.in_features, ours.n_heads, ours.w_k.in_features, ours.w_v.in_features, ours.w_q.bias is not None)
    other = (theirs.embed_dim, theirs.num_heads, theirs.kdim, theirs.vdim, theirs.in_proj_bias is not None)
    if mine != other or theirs.bias_k is not None or theirs.add_zero_attn:
        raise ValueError(f"d_model, heads, kdim, vdim, bias differ: {mine} here, {other} there (or there is a bias_kv)")
    together = theirs.in_proj_weight is not None
    weights = theirs.in_proj_weight.chunk(3) if together else (
        theirs.q_proj_weight, theirs.k_proj_weight, theirs.v_proj_weight)
    with torch.no_grad():
        for layer, weight in zip((ours.w_q, ours.w_k, ours.w_v), weights, strict=True):
            layer.weight.copy_(weight)
        ours.w_o.weight.copy_(theirs.out_proj.weight)
        if theirs.in_proj_bias is not None:
            for layer, bias in zip((ours.w_q, ours.w_k, ours.w_v), theirs.in_proj_bias.chunk(3), strict=True):
                layer.bias.copy_(bias)
            ours.w_o.bias.copy_(theirs.out_proj.bias)


def attention_maps(model, *inputs, **options):
    """The attention weights of one forward pass: a list of (name, weights (B, H, T_q, T_k)) in the order of the calls.

    Every layer whose forward takes `need_weights` is asked for its weights of each head; one that is called twice
    appears twice. The model is left as it was: hooks are taken off even after an error.
    """
    found, handles = [], []

    def ask(layer, arguments, keywords):
        call = inspect.signature(layer.forward).bind_partial(*arguments, **keywords)
        call.arguments["need_weights"] = True                                # given by position or by name
        if "average_attn_weights" in inspect.signature(layer.forward).parameters:
            call.arguments["average_attn_weights"] = False                   # torch's own layer: each head apart
        return call.args, call.kwargs

    def record(name):
        def keep(layer, arguments, result):
            if isinstance(result, tuple) and isinstance(result[1], torch.Tensor) and result[1].dim() == 4:
                found.append((name, result[1].detach()))
        return keep

    try:
        for name, layer in model.named_modules():
            if "need_weights" in inspect.signature(layer.forward).parameters:
                handles.append(layer.register_forward_pre_hook(ask, with_kwargs=True))
                handles.append(layer.register_forward_hook(record(name)))
        with torch.no_grad():
            model(*inputs, **options)
    finally:
        for handle in handles:
            handle.remove()
    return found
