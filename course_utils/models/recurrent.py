"""Recurrent networks, chapter 01 on.

Sources: Elman, "Finding Structure in Time" (1990), for the plain network; Schuster and Paliwal, "Bidirectional
Recurrent Neural Networks" (1997); Mikolov et al., "Recurrent Neural Network Based Language Model" (2010); Hochreiter
and Schmidhuber, "Long Short-Term Memory" (1997), with the forget gate of Gers, Schmidhuber and Cummins, "Learning to
Forget" (2000), and its bias as Jozefowicz, Zaremba and Sutskever, "An Empirical Exploration of Recurrent Network
Architectures" (2015); Cho et al., "Learning Phrase Representations using RNN Encoder–Decoder" (2014), for the GRU.
Parameters bear torch's names, so that weights can be copied from `torch.nn` and back: `weight_ih` is W_x in the text,
`weight_hh` is W_h.

Shapes: B batch, T time, C input features, H hidden size, V vocabulary, D directions (1 or 2).
"""

import numbers

import torch
import torch.nn.functional as F
from torch import nn


class RNNCell(nn.Module):
    """One step of a plain recurrent network: h_t = tanh(W_x x_t + b_x + W_h h_{t-1} + b_h).

    Equal to `nn.RNNCell`. The two biases always act as their sum; there are two because torch has two.

    forward: x (B, C), h (B, H) or None for zeros -> h (B, H).
    Raises ValueError for a size below 1 or an unknown nonlinearity ("tanh" and "relu" are known).
    """

    def __init__(self, input_size, hidden_size, bias=True, nonlinearity="tanh"):
        super().__init__()
        check_sizes(input_size=input_size, hidden_size=hidden_size)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity={nonlinearity!r} is neither 'tanh' nor 'relu'")
        self.hidden_size = hidden_size
        self.activation = torch.tanh if nonlinearity == "tanh" else torch.relu
        self.weight_ih = nn.Parameter(torch.empty(hidden_size, input_size))                 # W_x
        self.weight_hh = nn.Parameter(torch.empty(hidden_size, hidden_size))                # W_h
        self.bias_ih = nn.Parameter(torch.empty(hidden_size)) if bias else None
        self.bias_hh = nn.Parameter(torch.empty(hidden_size)) if bias else None
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)            # as torch does

    def initial_state(self, x):
        """Zeros (B, H) on the device and in the dtype of x."""
        return x.new_zeros(x.shape[0], self.hidden_size)

    def forward(self, x, h=None):
        h = self.initial_state(x) if h is None else h
        return self.activation(F.linear(x, self.weight_ih, self.bias_ih) + F.linear(h, self.weight_hh, self.bias_hh))


class GatedCell(nn.Module):
    """Weights of a cell that computes several blocks of H numbers at each step: 4 in an LSTM, 3 in a GRU.

    The same weights as `RNNCell`'s, with `blocks` times as many rows. Raises ValueError for a size below 1.
    """

    def __init__(self, blocks, input_size, hidden_size, bias=True):
        super().__init__()
        check_sizes(input_size=input_size, hidden_size=hidden_size)
        self.hidden_size = hidden_size
        rows = blocks * hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(rows)) if bias else None
        self.bias_hh = nn.Parameter(torch.empty(rows)) if bias else None
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)            # as torch does

    def blocks_of(self, x, h, blocks):
        """W x + b and W h + b, each cut into its blocks: (B, C), (B, H) -> two lists of (B, H)."""
        of_x, of_h = F.linear(x, self.weight_ih, self.bias_ih), F.linear(h, self.weight_hh, self.bias_hh)
        return of_x.chunk(blocks, dim=-1), of_h.chunk(blocks, dim=-1)       # (B, blocks*H) -> blocks times (B, H)


class LSTMCell(GatedCell):
    """One step of a long short-term memory: three gates, and a cell state c beside the hidden state h.

    Equal to `nn.LSTMCell`; the blocks stand in torch's order i, f, g, o.
    forward: x (B, C), state (h, c), each (B, H), or None for zeros -> (h, c).
    """

    def __init__(self, input_size, hidden_size, bias=True):
        super().__init__(4, input_size, hidden_size, bias)

    def initial_state(self, x):
        """Zeros for h and for c, each (B, H)."""
        return x.new_zeros(x.shape[0], self.hidden_size), x.new_zeros(x.shape[0], self.hidden_size)

    def gates(self, x, h):
        """Input, forget and output gate, between 0 and 1, and the candidate g, between -1 and 1: i, f, g, o (B, H)."""
        i, f, g, o = (of_x + of_h for of_x, of_h in zip(*self.blocks_of(x, h, 4), strict=True))
        return i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()

    def forward(self, x, state=None):
        h, c = self.initial_state(x) if state is None else state
        i, f, g, o = self.gates(x, h)
        c = f * c + i * g                                       # the additive path: no weight matrix on it
        return o * torch.tanh(c), c


class GRUCell(GatedCell):
    """One step of a gated recurrent unit: two gates, and no state beside the hidden one.

    Equal to `nn.GRUCell`; the blocks stand in torch's order r, z, n. As in torch, z = 1 keeps the old state, and r
    acts after the product with the weights. forward: x (B, C), h (B, H) or None for zeros -> h (B, H).
    """

    def __init__(self, input_size, hidden_size, bias=True):
        super().__init__(3, input_size, hidden_size, bias)

    def initial_state(self, x):
        """Zeros (B, H)."""
        return x.new_zeros(x.shape[0], self.hidden_size)

    def gates(self, x, h):
        """Reset and update gate, between 0 and 1, and the candidate n, between -1 and 1: r, z, n (B, H)."""
        (r_x, z_x, n_x), (r_h, z_h, n_h) = self.blocks_of(x, h, 3)
        r, z = torch.sigmoid(r_x + r_h), torch.sigmoid(z_x + z_h)
        return r, z, torch.tanh(n_x + r * n_h)

    def forward(self, x, h=None):
        h = self.initial_state(x) if h is None else h
        _, z, n = self.gates(x, h)
        return (1 - z) * n + z * h


def set_gate_bias(module, value):
    """Let every gate that decides what is kept start at sigmoid(value): the forget gate of each `LSTMCell`, the update
    gate of each `GRUCell` in the module.

    torch adds two bias vectors: the first gets the value, the second zero. Both would double it.
    Raises ValueError for a cell without biases.
    """
    for cell in module.modules():
        if hasattr(cell, "gates"):
            if cell.bias_ih is None:
                raise ValueError(f"this {type(cell).__name__} was made with bias=False: it has no bias to set")
            keeps = slice(cell.hidden_size, 2 * cell.hidden_size)       # second block: f of i, f, g, o; z of r, z, n
            with torch.no_grad():
                cell.bias_ih[keeps] = value
                cell.bias_hh[keeps] = 0.0


def hold(new, old, going):
    """The new state where a sequence is still going on, the old one where it has ended.

    new, old: (B, H), or a pair of them (an LSTM's state). going: (B,) boolean.
    """
    if isinstance(new, tuple):
        return tuple(hold(a, b, going) for a, b in zip(new, old, strict=True))
    return torch.where(going.unsqueeze(1), new, old)


def scan(cell, x, state=None, lengths=None, reverse=False):
    """Run a cell over time, the same weights at every step.

    x: (B, T, C). state: the cell's state before the first step, or None for zeros. lengths: (B,) real steps of each
    sequence, the rest is padding. reverse: read from the last real step to the first.
    Returns outputs (B, T, H), zero at padding, and the state after the last step read. `Recurrent` checks the shapes.
    """
    state = cell.initial_state(x) if state is None else state
    outputs = [None] * x.shape[1]
    steps = list(enumerate(x.unbind(1)))                        # T times x_t (B, C)
    for t, x_t in reversed(steps) if reverse else steps:
        new = cell(x_t, state)
        state = new if lengths is None else hold(new, state, t < lengths)
        outputs[t] = state[0] if isinstance(state, tuple) else state
    outputs = torch.stack(outputs, dim=1)                       # T times (B, H) -> (B, T, H)
    if lengths is not None:
        real = torch.arange(x.shape[1], device=x.device) < lengths.unsqueeze(1)             # (B, T)
        outputs = outputs * real.unsqueeze(2)
    return outputs, state


class Recurrent(nn.Module):
    """Layers of a recurrent cell, in one or both directions; equal to `nn.RNN`, `nn.LSTM` or `nn.GRU` with
    batch_first=True.

    cell: a class, `RNNCell`, `LSTMCell` or `GRUCell`. forward: x (B, T, C), state as returned or None, lengths (B,) or
    None -> outputs (B, T, D*H) of the last layer, state (num_layers*D, B, H), or an LSTM's pair of these; D is 2 when
    bidirectional, else 1.
    Raises ValueError for sizes below 1, and in forward for shapes that do not fit.
    """

    def __init__(self, cell, input_size, hidden_size, num_layers=1, bidirectional=False):
        super().__init__()
        check_sizes(num_layers=num_layers)
        self.input_size, self.directions = input_size, 2 if bidirectional else 1
        sizes = [input_size] + [hidden_size * self.directions] * (num_layers - 1)
        self.cells = nn.ModuleList(cell(size, hidden_size) for size in sizes for _ in range(self.directions))

    def forward(self, x, state=None, lengths=None):
        check_sequences(x, self.input_size, lengths)
        check_state(state, self.cells, len(x))
        last = []
        for layer in range(0, len(self.cells), self.directions):
            outputs = []
            for direction in range(self.directions):
                before = None if state is None else pick_state(state, layer + direction)
                cell = self.cells[layer + direction]
                output, after = scan(cell, x, before, lengths, reverse=direction == 1)
                outputs.append(output)
                last.append(after)
            x = torch.cat(outputs, dim=-1)                      # D times (B, T, H) -> (B, T, D*H)
        return x, stack_states(last)


def check_sizes(**sizes):
    """Raise ValueError unless every size is a whole number of at least 1."""
    for name, size in sizes.items():
        if not isinstance(size, numbers.Integral) or size < 1:
            raise ValueError(f"{name}={size!r} must be a whole number of at least 1")


def check_sequences(x, input_size, lengths):
    """Raise ValueError unless x is (B, T, input_size) with B, T >= 1 and lengths, if given, are (B,) in 1..T."""
    if x.dim() != 3 or 0 in x.shape[:2] or x.shape[2] != input_size:
        raise ValueError(f"expected x of shape (B, T, C) with B, T >= 1 and C={input_size}, got {tuple(x.shape)}")
    if lengths is None:
        return
    whole = isinstance(lengths, torch.Tensor) and not lengths.is_floating_point() and lengths.shape == x.shape[:1]
    if not whole or lengths.min() < 1 or lengths.max() > x.shape[1]:
        given = lengths.tolist() if isinstance(lengths, torch.Tensor) else lengths
        raise ValueError(f"lengths must be a tensor of B={len(x)} whole numbers from 1 to T={x.shape[1]}, got {given}")


def check_state(state, cells, batch_size):
    """Raise ValueError unless a given state is (cells, B, H), or for LSTM cells a pair of these."""
    if state is None:
        return
    zero = cells[0].initial_state(torch.zeros(batch_size, 0))
    pair, one = isinstance(zero, tuple), zero[0] if isinstance(zero, tuple) else zero
    expected, parts = (len(cells), *one.shape), state if pair else (state,)
    fits = isinstance(parts, tuple) and len(parts) == (2 if pair else 1) and all(
        isinstance(part, torch.Tensor) and part.shape == expected for part in parts)
    if not fits:
        given = tuple(state.shape) if isinstance(state, torch.Tensor) else type(state).__name__
        raise ValueError(f"expected a state of shape {expected}, layers and directions first"
                         f"{', twice: (h, c)' if pair else ''}; got {given}")


def pick_state(state, index):
    """State of one layer and direction: (layers, B, H) -> (B, H), or the same for each part of a pair."""
    return tuple(part[index] for part in state) if isinstance(state, tuple) else state[index]


def stack_states(states):
    """States of all layers and directions as one: n times (B, H) -> (n, B, H), or the same for each part of a pair."""
    if isinstance(states[0], tuple):
        return tuple(torch.stack(parts) for parts in zip(*states, strict=True))
    return torch.stack(states)


def copy_torch_weights(ours, theirs):
    """Copy the weights of `nn.RNN`, `nn.GRU` or `nn.LSTM` (theirs) into a `Recurrent` of the same sizes (ours).

    Raises ValueError where the number of cells differs, RuntimeError where a weight's shape does.
    """
    ends = [""] if not theirs.bidirectional else ["", "_reverse"]
    names = [f"_l{layer}{end}" for layer in range(theirs.num_layers) for end in ends]      # "_l0", "_l0_reverse", …
    for cell, name in zip(ours.cells, names, strict=True):
        cell.load_state_dict({part: getattr(theirs, part + name) for part, _ in cell.named_parameters()})


class RecurrentLanguageModel(nn.Module):
    """Guesses the next token at every position: embedding -> recurrent layers -> one score per token.

    cell: class of the recurrent cell. forward: ids (B, T), state as returned or None -> logits (B, T, V), state.
    """

    def __init__(self, vocab_size, embedding_size, hidden_size, cell=RNNCell, num_layers=1):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        self.recurrent = Recurrent(cell, embedding_size, hidden_size, num_layers)
        self.head = nn.Linear(hidden_size, vocab_size)

    def forward(self, ids, state=None):
        outputs, state = self.recurrent(self.embedding(ids), state)       # (B, T) -> (B, T, C) -> (B, T, H)
        return self.head(outputs), state                                  # (B, T, H) -> (B, T, V)


class SequenceReader(nn.Module):
    """Reads a sequence of vectors to its end, then answers once from the last state.

    cell: class of the recurrent cell. forward: x (B, T, C), lengths (B,) or None -> answers (B, output_size).
    """

    def __init__(self, input_size, hidden_size, output_size, cell=RNNCell):
        super().__init__()
        self.recurrent = Recurrent(cell, input_size, hidden_size)
        self.head = nn.Linear(hidden_size, output_size)

    def forward(self, x, lengths=None):
        _, state = self.recurrent(x, lengths=lengths)
        h = state[0] if isinstance(state, tuple) else state               # an LSTM's state is a pair
        return self.head(h[-1])                                           # (1, B, H) -> (B, H) -> (B, output_size)
