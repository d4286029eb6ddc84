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
    if logits.isnan().any() or (logits.amax(-1) == -torch.inf).any():
        raise ValueError("the model's scores are not numbers, or forbid every token")
