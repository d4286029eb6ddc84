"""From scores to text: how a model's next-token scores become tokens."""

import torch


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
