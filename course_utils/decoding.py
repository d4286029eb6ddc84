"""From scores to text: how a model's next-token scores become tokens."""

import torch

from course_utils.models.recurrent import check_sizes


def sample_recurrent(model, ids, n_new, temperature=1.0, generator=None):
    """Continue a sequence with a recurrent language model, one sampled token at a time.

    The state carries everything read so far, so each new token costs one step whatever the length before it.
    ids: list of at least one token id. n_new: tokens to add. temperature: below 1 the likely tokens gain, above 1 they
    lose; 0 always takes the likeliest. Returns the list of new ids. Raises ValueError for an empty start or a negative
    temperature.
    """
    if len(ids) == 0:
        raise ValueError("ids is empty: the model needs at least one token to start from")
    if temperature < 0:
        raise ValueError(f"temperature={temperature} must not be negative")
    device = next(model.parameters()).device
    new = []
    with torch.no_grad():
        logits, state = model(torch.tensor([ids], device=device))             # (1, T, V)
        for _ in range(n_new):
            scores = logits[0, -1].cpu()                                      # (V,)
            if temperature == 0:
                token = int(scores.argmax())
            else:
                token = int(torch.multinomial((scores / temperature).softmax(-1), 1, generator=generator))
            new.append(token)
            logits, state = model(torch.tensor([[token]], device=device), state)
    return new


def greedy_search(step, state, batch_size, start, end, limit):
    """Write a sequence for each row of a batch, always with the likeliest token, until it ends.

    step: function of tokens (B,) and a state that returns logits (B, V) and the next state. start, end: token ids.
    limit: most tokens to write. Returns B lists of ids without start and end; one that never ended has `limit` ids.
    Raises ValueError for a limit or a batch below 1, a state of another batch, and scores that are no numbers.
    """
    check_sizes(limit=limit, batch_size=batch_size)
    tokens = torch.full((batch_size,), start)
    written, going = [], torch.ones(batch_size, dtype=torch.bool)
    with torch.no_grad():
        for _ in range(limit):
            logits, state = step(tokens, state)                               # (B, V)
            check_scores(logits, batch_size)
            tokens = logits.argmax(-1)                                        # (B, V) -> (B,)
            going = going & (tokens.cpu() != end)
            if not going.any():
                break
            written.append(torch.where(going, tokens.cpu(), end))
    rows = torch.stack(written, 1).tolist() if written else [[]] * batch_size  # up to limit times (B,) -> (B, T)
    return [[token for token in row if token != end] for row in rows]


def beam_search(step, state, start, end, width=4, limit=30, length_penalty=0.0):
    """Keep the `width` likeliest sequences at every step, instead of one; for a single sequence.

    A sequence that has ended stays in the beam with its score, until none is left that could grow. Each carries a
    state of its own, so `step` is called with one token at a time.
    step: function of tokens (1,) and a state that returns logits (1, V) and the next state. length_penalty: at the
    end scores are divided by length (<end> counts) to this power: 0 ranks by probability, which favours short
    sequences, 1 by the mean per token.
    Returns up to `width` pairs (ids without start and end, log-probability), best first.
    Raises ValueError for a width or limit below 1, a penalty beyond 0 … 10, a state of another batch, and scores that
    are no numbers.
    """
    check_sizes(limit=limit, width=width)
    if not 0 <= length_penalty <= 10:
        raise ValueError(f"length_penalty={length_penalty} is not between 0 and 10")
    beams = [((start,), 0.0, state)]
    with torch.no_grad():
        for _ in range(limit):
            beams = [longer for beam in beams for longer in extensions(beam, step, end, width)]
            beams = sorted(beams, key=lambda beam: beam[1], reverse=True)[:width]
            if all(ids[-1] == end for ids, _, _ in beams):
                break
    beams.sort(key=lambda beam: beam[1] / (len(beam[0]) - 1) ** length_penalty, reverse=True)
    return [([token for token in ids[1:] if token != end], score) for ids, score, _ in beams]


def extensions(beam, step, end, width):
    """The `width` likeliest ways to continue one sequence; a sequence that has ended stays as it is.

    beam: (ids, log-probability, state). Returns a list of the same kind.
    """
    ids, score, state = beam
    if ids[-1] == end:
        return [beam]
    logits, state = step(torch.tensor([ids[-1]]), state)                      # (1, V)
    check_scores(logits, 1)
    log_probs = logits[0].log_softmax(-1).cpu()                               # (V,)
    best = log_probs.topk(min(width, len(log_probs))).indices.tolist()
    return [((*ids, token), score + log_probs[token].item(), state) for token in best if log_probs[token] > -torch.inf]


def check_scores(logits, batch_size):
    """Raise ValueError unless logits are (B, V), each row with a token that may follow; minus infinity forbids one."""
    if logits.dim() != 2 or len(logits) != batch_size:
        raise ValueError(f"expected scores of shape ({batch_size}, V), got {tuple(logits.shape)}; whose state is it?")
    if logits.isnan().any() or logits.amax(-1).isinf().any():
        raise ValueError("the model's scores are not numbers, or forbid every token")


# ---------------------------------------------------------------- sampling


def apply_temperature(logits, temperature):
    """Scores (…, V) divided by the temperature: below 1 the likely tokens gain, above 1 they lose.

    Raises ValueError unless temperature is above 0: greedy decoding is no division.
    """
    if not 0 < temperature < float("inf"):
        raise ValueError(f"temperature={temperature} must be above 0")
    return logits / temperature


def top_k_filter(logits, k):
    """Scores (…, V) in which only the k largest of each row stay; the others become minus infinity.

    Tokens that tie with the last one kept stay, too. k above V keeps all. Raises ValueError for k below 1
    (Fan, Lewis and Dauphin, "Hierarchical Neural Story Generation", 2018).
    """
    check_sizes(k=k)
    least = logits.topk(min(k, logits.shape[-1])).values[..., -1:]            # (…, V) -> (…, 1)
    return logits.masked_fill(logits < least, float("-inf"))


def top_p_filter(logits, p):
    """Scores (…, V) in which the likeliest tokens stay until their probabilities sum to p; the rest: minus infinity.

    The token that passes p stays: the sum of what is kept is at least p, and one token is always left.
    Raises ValueError unless 0 < p <= 1 (Holtzman et al., "The Curious Case of Neural Text Degeneration", 2020).
    """
    if not 0 < p <= 1:
        raise ValueError(f"p={p} is not above 0 and at most 1")
    if p == 1:                                                                # sums of rounded numbers may pass 1
        return logits
    scores, order = logits.sort(descending=True)                              # (…, V)
    probs = scores.softmax(-1)
    before = probs.cumsum(-1) - probs                                         # mass of the likelier tokens
    late = before >= p                                                        # a p below float32's least is read as 0
    late[..., 0] = False
    dropped = late.scatter(-1, order, late)                                   # back to the vocabulary's order
    return logits.masked_fill(dropped, float("-inf"))


def repetition_penalty(logits, ids, penalty):
    """Scores (…, V) in which tokens that occur in ids (…, T) lose: divided by the penalty if positive, else multiplied.

    penalty 1 changes nothing. Raises ValueError unless it is above 0 (Keskar et al., "CTRL", 2019, section 4.1).
    """
    if not 0 < penalty < float("inf"):
        raise ValueError(f"penalty={penalty} must be above 0")
    seen = logits.gather(-1, ids)                                             # (…, V) -> (…, T)
    return logits.scatter(-1, ids, torch.where(seen > 0, seen / penalty, seen * penalty))


def next_distribution(logits, temperature=1.0, top_k=None, top_p=None):
    """Probabilities (…, V) after temperature, top-k and top-p, in this order. temperature 0: all on the likeliest."""
    if 0 <= temperature < 1e-20:                         # greedy; a division by so little would overflow
        logits = torch.full_like(logits, float("-inf")).scatter(-1, logits.argmax(-1, keepdim=True), 0.0)
    else:
        logits = apply_temperature(logits, temperature)
    logits = logits if top_k is None else top_k_filter(logits, top_k)
    logits = logits if top_p is None else top_p_filter(logits, top_p)
    return logits.softmax(-1)


def generate(model, ids, n_new, temperature=1.0, top_k=None, top_p=None, penalty=1.0, generator=None, use_cache=True,
             end=None):
    """Continue a text with a GPT: each new token is drawn from `next_distribution`.

    ids: list of at least one token id. n_new: most tokens to add; fewer if `end`, an id, is drawn (it is not returned).
    use_cache: keep keys and values of earlier tokens; without, all are read again at every step: the same tokens.
    Returns the list of new ids. Raises ValueError for an empty start, for more tokens than the model's context, and as
    the filters do.
    """
    check_sizes(n_new=n_new)
    if not 0 < len(ids) <= model.config.max_length - n_new:
        raise ValueError(f"{len(ids)} tokens and {n_new} new ones: the first must be there, and the context is "
                         f"{model.config.max_length}")
    device = model.words.weight.device
    text, cache = torch.tensor([ids], device=device), model.new_cache() if use_cache else None
    unread = text                                                             # what the cache has not seen: (1, T)
    was_training = model.training
    model.eval()                                                              # no dropout while writing
    try:
        with torch.no_grad():
            for _ in range(n_new):
                logits = model(unread, cache)[:, -1]                          # (1, T, V) -> (1, V)
                check_scores(logits, 1)
                probs = next_distribution(repetition_penalty(logits, text, penalty), temperature, top_k, top_p).cpu()
                token = probs.argmax(-1, keepdim=True) if temperature == 0 else torch.multinomial(
                    probs, 1, generator=generator)                            # (1, V) -> (1, 1)
                if token.item() == end:
                    break
                text = torch.cat([text, token.to(device)], dim=1)             # (1, T + 1)
                unread = token.to(device) if use_cache else text
    finally:
        model.train(was_training)                                             # after an error, too
    return text[0, len(ids):].tolist()
