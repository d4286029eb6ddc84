"""Exercises and quizzes of chapter 02, LSTM and GRU."""

import itertools
from collections.abc import Iterator

import numpy as np
import torch

from course_utils.exercises.combining import alone
from course_utils.exercises.comparing import as_tensor
from course_utils.exercises.engine import Case, Choice, Exercise, Question, RuleBroken
from course_utils.exercises.running import LONGEST_ITERATOR


def _gated_weights(blocks, inputs, hidden, scale=0.5):
    """Weights (blocks*H, C) and (blocks*H, H), none of them symmetric or zero."""
    return scale * torch.randn(blocks * hidden, inputs), scale * torch.randn(blocks * hidden, hidden)


def _listed(values):
    """What a generator, `map` or other iterator gives, as a list; anything else as it is."""
    return list(itertools.islice(values, LONGEST_ITERATOR)) if isinstance(values, Iterator) else values


def _tensors_of_shapes(values, shapes):
    """What an answer gave back as new float64 tensors, or None unless there is one for each shape, of that shape."""
    if not isinstance(values, list | tuple | torch.Tensor | np.ndarray) or getattr(values, "ndim", 1) == 0:
        return None
    tensors = [as_tensor(value) for value in values]
    fit = len(tensors) == len(shapes) and all(
        tensor is not None and tensor.shape == shape for tensor, shape in zip(tensors, shapes, strict=True))
    return [tensor.double().clone() for tensor in tensors] if fit else None


# --- 02.1 -----------------------------------------------------------------------------------------------------------

def memory_left(f):
    """How much of each step's cell state is left at the end: ∂c_T/∂c_t with all gates held fixed.

    f: (B, T, H) forget gates, numbers from 0 to 1, in c_t = f_t * c_{t-1} + i_t * g_t. T is the last step.
    Returns (B, T, H): at step t the factor by which a change of c_t reaches the last cell state.
    """
    later = torch.cat([f[:, 1:], torch.ones_like(f[:, :1])], dim=1)   # (B, T, H): the gates from step t + 1 on
    return later.flip(1).cumprod(1).flip(1)                           # multiplied up from the end


def _forget_gates(batch=2, steps=5, hidden=3):
    return lambda: (torch.sigmoid(1 + torch.randn(batch, steps, hidden)),)


def _one_gate_closed():
    f = torch.sigmoid(1 + torch.randn(3, 6, 4))
    f[:, 3, 1] = 0.0
    return (f,)


def _from_the_end(f, dim=1):
    """Product of the entries from each place to the end, that place included."""
    return f.flip(dim).cumprod(dim).flip(dim)


def _later(f, dim=1, last=1.0):
    """The gates moved one place back along an axis, and `last` in the last place."""
    size = f.shape[dim]
    return torch.cat([f.narrow(dim, 1, size - 1), torch.full_like(f.narrow(dim, 0, 1), last)], dim=dim)


def _one_gate_too_early(f):
    return _from_the_end(torch.cat([f[:, :-1], torch.ones_like(f[:, :1])], dim=1))


def _last_gate_left_out(f):
    return _from_the_end(torch.cat([f[:, 1:-1], torch.ones_like(f[:, :2])], dim=1))


def _last_step_left_out(f):
    left = torch.zeros_like(f)
    left[:, :-1] = memory_left(f)[:, :-1]
    return left


def _powers(f):
    return f ** torch.arange(f.shape[1] - 1, -1, -1).view(1, -1, 1)   # (1, T, 1): steps still to come


MEMORY_LEFT = Exercise(
    id="02.1",
    title="What is left of a memory",
    reference=memory_left,
    returns="(B, T, H)",
    about=("cell-state",),
    hints=(
        "Write c_3 out in terms of c_1: c_3 = f_3 * (f_2 * c_1 + …) + …. Which gates stand before c_1? And which "
        "stand before c_3 itself?",
        "The slope of one step is f. By the chain rule the slopes of all later steps multiply, separately for each "
        "unit; a product of no gates is 1.",
        "A loop from the last step back to the first works. So does a flip: f.flip(1).cumprod(1) multiplies from the "
        "end. Mind that f_t itself does not act on c_t.",
    ),
    cases=(
        Case("five steps", _forget_gates()),
        Case("more sequences than steps", _forget_gates(batch=7, steps=4, hidden=2)),
        Case("one gate is exactly 0", _one_gate_closed,
             "Nothing from before that step reaches the end. What comes after it still does."),
        Case("all gates 0.99 over 100 steps", lambda: (torch.full((1, 100, 2), 0.99),),
             "Of the first cell state 0.99 ** 99, about 0.37, is left."),
        Case("a single step", _forget_gates(steps=1), "c_T is c_t itself."),
    ),
    misconceptions=alone(
        (_from_the_end,
         "You multiply by the step's own gate too. f_t acts on c_{t-1}, before c_t is there; only the gates of later "
         "steps act on c_t."),
        (_one_gate_too_early,
         "Your product starts one gate too early and ends one too early: you take f_t … f_{T-1}; it is f_{t+1} … f_T."),
        (_last_gate_left_out,
         "Your product ends too early: you take f_{t+1} … f_{T-1}, and f_T is missing. It acts on c_{T-1} and all "
         "before it."),
        (lambda f: f.cumprod(1),
         "Your product starts at the first step. That is what is left at step t of the state before step 1. You want "
         "what is left of step t at the end."),
        (lambda f: torch.cat([torch.ones_like(f[:, :1]), f[:, :-1].cumprod(1)], dim=1),
         "You multiply the gates of the earlier steps. What happened before step t cannot change what is left of c_t. "
         "Take the later steps."),
        (lambda f: f.prod(1, keepdim=True).expand_as(f),
         "Every step gets the product of all gates. A late state passes only the few gates after it."),
        (lambda f: _later(f),
         "You take the gate of the next step only. The state passes all gates up to the end, so they multiply."),
        (lambda f: _later(f, last=0.0).flip(1).cumsum(1).flip(1),
         "You add the later gates. Each gate scales what the one before it has left, so they multiply."),
        (_last_step_left_out,
         "The last step is 0 in your answer. No gate comes after it, and a product of nothing is 1: ∂c_T/∂c_T = 1."),
        (lambda f: memory_left(f)[:, :-1],
         "The last step is missing: you return T - 1 steps. At the last step the answer is 1."),
        (_powers,
         "You raise the gate of one step to a power. The gates change from step to step: multiply those of the later "
         "steps."),
        (lambda f: _later(f).flip(1).cumprod(1),
         "You turned time round and did not turn it back: your answer has the last step first. Flip once more."),
        (lambda f: f.flip(1).cumprod(1),
         "You turned time round and did not turn it back; besides, the step's own gate is among your factors."),
        (lambda f: f.prod(1, keepdim=True) / f.cumprod(1),
         "You divide one product by another (or subtract logarithms). Where a gate is exactly 0 this is 0 / 0, which "
         "is NaN. Multiply the later gates only, from the end."),
        (lambda f: _from_the_end(_later(f, dim=2), dim=2),
         "Your product runs over the units (axis 2). Each unit has its own memory; multiply over time, axis 1."),
        (lambda f: _from_the_end(_later(f, dim=0), dim=0),
         "Your product runs over the sequences of the batch (axis 0). Multiply over time, axis 1."),
    ),
)

# --- 02.2 -----------------------------------------------------------------------------------------------------------

def lstm_step(x, h, c, W_ih, W_hh, b):
    """One step of an LSTM for a batch.

    x: (B, C) inputs; h, c: (B, H) states before the step. W_ih: (4H, C), W_hh: (4H, H) and b: (4H,) hold four blocks
    of H rows, in the order i, f, g, o: input gate, forget gate, candidate, output gate.
    Returns (h, c), each (B, H): the states after the step.
    """
    i, f, g, o = (x @ W_ih.T + h @ W_hh.T + b).chunk(4, dim=1)        # (B, 4H) -> four times (B, H)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def _lstm_inputs(batch=2, inputs=3, hidden=4, scale=0.5, cell=0.7):
    return lambda: (
        torch.randn(batch, inputs), 0.7 * torch.randn(batch, hidden), cell * torch.randn(batch, hidden),
        *_gated_weights(4, inputs, hidden, scale), 0.5 * torch.randn(4 * hidden))


def _right_end(i, f, g, o, c):
    c = f * c + i * g
    return o * c.tanh(), c


def _lstm_by(end=_right_end, order="ifgo", gate=torch.sigmoid, candidate=torch.tanh):
    """An LSTM step with one part of it exchanged.

    end(i, f, g, o, c): what is done with the open gates and the old cell; order: the blocks' order; gate, candidate:
    the functions that i, f, o and g go through.
    """
    def answer(x, h, c, W_ih, W_hh, b):
        blocks = dict(zip(order, (x @ W_ih.T + h @ W_hh.T + b).chunk(4, dim=1), strict=True))
        return end(gate(blocks["i"]), gate(blocks["f"]), candidate(blocks["g"]), gate(blocks["o"]), c)
    return answer


def _squashed_cell(i, f, g, o, c):
    c = (f * c + i * g).tanh()
    return o * c, c


def _shows_the_bare_cell(i, f, g, o, c):
    c = f * c + i * g
    return o * c, c


def _shows_the_sigmoid(i, f, g, o, c):
    c = f * c + i * g
    return o * c.sigmoid(), c


def _writes_with_the_rest(i, f, g, o, c):
    return _right_end(1 - f, f, g, o, c)


def _keeps_with_the_rest(i, f, g, o, c):
    return _right_end(i, 1 - i, g, o, c)


def _interleaved(x, h, c, W_ih, W_hh, b):
    blocks = x @ W_ih.T + h @ W_hh.T + b                              # (B, 4H)
    i, f, g, o = blocks.view(len(x), -1, 4).unbind(-1)
    return _right_end(i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid(), c)


def _pieces_of_four(x, h, c, W_ih, W_hh, b):
    i, f, g, o = (x @ W_ih.T + h @ W_hh.T + b).split(4, dim=1)
    return _right_end(i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid(), c)


def _cut_along_the_batch(x, h, c, W_ih, W_hh, b):
    i, f, g, o = (x @ W_ih.T + h @ W_hh.T + b).chunk(4)
    return _right_end(i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid(), c)


LSTM_STEP = Exercise(
    id="02.2",
    title="One LSTM step",
    reference=lstm_step,
    returns=("h (B, H)", "c (B, H)"),
    without=("nn.LSTM", "nn.LSTMCell", "torch.lstm_cell"),
    about=("lstm-gates",),
    hints=(
        "All four blocks come from one sum, as in the plain RNN: x @ W_ih.T + h @ W_hh.T + b is (B, 4H).",
        "chunk(4, dim=1) cuts it into i, f, g, o, each (B, H). Three of them become gates between 0 and 1, one becomes "
        "a candidate between -1 and 1. Which function does which?",
        "The new c comes first: f keeps a part of the old c, i adds a part of g. Then o shows a part of tanh of the "
        "new c.",
    ),
    cases=(
        Case("a batch of two", _lstm_inputs()),
        Case("other sizes", _lstm_inputs(batch=5, inputs=6, hidden=3)),
        Case("a cell state far from 0", _lstm_inputs(cell=3.0)),
        Case("weights so large that the gates are nearly 0 or 1", _lstm_inputs(scale=2.0)),
    ),
    misconceptions=alone(
        (_lstm_by(order="figo"),
         "Your i and f are exchanged. The blocks stand in the order i, f, g, o; f multiplies the old c, i multiplies "
         "g."),
        (_lstm_by(order="ifog"),
         "You read the blocks as i, f, o, g. Here the candidate g comes third and the output gate o last."),
        (_lstm_by(order="fiog"), "You read the blocks as f, i, o, g. Here the order is i, f, g, o."),
        (_lstm_by(candidate=torch.sigmoid),
         "You take the sigmoid of g as well. g is no gate but what is written: tanh lets it be negative too."),
        (_lstm_by(candidate=lambda g: g),
         "You write g as it is. Take tanh of it first, so that one step adds at most 1."),
        (_lstm_by(gate=lambda block: block),
         "The sigmoid is missing: your gates are not between 0 and 1. i, f and o all go through it."),
        (_lstm_by(gate=torch.tanh),
         "You take tanh of the gates. A gate lets through a part between 0 and 1, so i, f and o go through the "
         "sigmoid."),
        (_lstm_by(_shows_the_bare_cell), "The tanh between c and h is missing: h = o * tanh(c)."),
        (_lstm_by(_shows_the_sigmoid),
         "You show the sigmoid of c. The cell can be negative, and tanh keeps the sign: h = o * tanh(c)."),
        (_lstm_by(_squashed_cell),
         "You keep tanh(c) as the new cell. tanh is for h only: on the path from c to c nothing may squeeze, or the "
         "gradient shrinks again."),
        (_lstm_by(lambda i, f, g, o, c: (o * c.tanh(), f * c + i * g)),
         "Your h shows the old cell. Compute the new c first, then h = o * tanh(c) with it."),
        (_lstm_by(lambda i, f, g, o, c: (o * (i * g).tanh(), i * g)),
         "Your cell forgets everything: the term f * c is missing."),
        (_lstm_by(lambda i, f, g, o, c: (o * (f * c + g).tanh(), f * c + g)),
         "Your input gate does nothing: g is written in full. The new cell is f * c + i * g."),
        (_lstm_by(lambda i, f, g, o, c: ((f * c + i * g).tanh(), f * c + i * g)),
         "Your output gate does nothing: h = o * tanh(c)."),
        (_lstm_by(_writes_with_the_rest),
         "You write with 1 - f in place of i. A GRU couples its two parts in this way; an LSTM has a gate for each."),
        (_lstm_by(_keeps_with_the_rest),
         "You keep with 1 - i in place of f. An LSTM has a gate for each, so that it can keep and write at once."),
        (lambda *inputs: lstm_step(*inputs)[::-1], "You return c before h. The order is (h, c), as in torch."),
        (lambda *inputs: lstm_step(*inputs)[0], "You return h only. The next step needs c too: return h, c."),
        (lambda x, h, c, W_ih, W_hh, b: lstm_step(x, h, c, W_ih, W_hh, torch.zeros_like(b)), "The bias b is missing."),
        (lambda x, h, c, W_ih, W_hh, b: lstm_step(x, h, c, W_ih, W_hh, 2 * b),
         "You add the bias b twice, once to each product. torch has two bias vectors; here there is one, and it is "
         "added once."),
        (lambda x, h, c, W_ih, W_hh, b: lstm_step(x, torch.zeros_like(h), c, W_ih, W_hh, b),
         "Your gates do not look at the past: the term with h is missing."),
        (lambda x, h, c, W_ih, W_hh, b: lstm_step(x, c, c, W_ih, W_hh, b),
         "Your gates look at c. Only h goes through W_hh; c meets nothing but the gates."),
        (_interleaved,
         "Your blocks are mixed: you take every fourth number. Each block is H numbers in a row: chunk(4, dim=1)."),
        (_pieces_of_four,
         "You cut with split(4): that makes pieces of 4 columns. chunk(4, dim=1) makes 4 pieces, of H columns each."),
        (_cut_along_the_batch,
         "You cut along the batch: chunk(4) without dim=1 cuts rows. The blocks lie side by side, on axis 1."),
        (lambda x, h, c, W_ih, W_hh, b: x @ W_ih + h @ W_hh + b,
         "You multiply rows by the weights as they stand. A batch of rows needs the transpose: x @ W_ih.T and h @ "
         "W_hh.T."),
    ),
)

# --- 02.3 -----------------------------------------------------------------------------------------------------------

def keep_first(T):
    """Gates by hand: the first symbol is kept for ever.

    T: number of steps, at least 1. The cell is c_t = f_t * c_{t-1} + i_t * g_t for t = 1 … T, with one unit.
    Returns (f, i), each (T,), every number 0 or 1, so that c_T = g_1 whatever c_0 and the other g are.
    """
    f, i = torch.ones(T), torch.zeros(T)
    f[0], i[0] = 0.0, 1.0       # at the first step: drop c_0, write g_1; after it: keep everything, write nothing
    return f, i


NOT_A_GATE = 1e-6   # a gate set by hand may be so far from 0 or 1: rounding


def _shares(answer, T):
    """What reaches c_T: of the state before each step, and of each g. Comparing these explains more than the gates.

    Both are (T,), and only the right gates give the right shares. What cannot be read as two gates (T,) comes back as
    it is, and its shapes are told. A gate that is not 0 or 1 is told as such: 0.999 is no rounding.
    """
    gates = _listed(answer(T))
    tensors = _tensors_of_shapes(gates, [(T,), (T,)])
    if tensors is None:
        return gates
    f, i = tensors
    for name, gate in (("f", f), ("i", i)):
        for place, value in enumerate(gate.tolist()):
            if not min(abs(value), abs(value - 1)) <= NOT_A_GATE:   # so that NaN counts too
                raise RuleBroken(f"Every gate must be exactly 0 or 1. In {name}, index [{place}]: expected 0 or 1, "
                                 f"got {value:.7g}.")
    kept = _from_the_end(f, dim=0)
    return kept, i * torch.cat([kept[1:], torch.ones(1, dtype=torch.float64)])


def _gates_with(f=None, i=None):
    """A misconception: gates of ones and zeros. f, i: fill them, given T; where None, as in the reference."""
    def answer(T):
        right = keep_first(T)
        return (right[0] if f is None else f(T)), (right[1] if i is None else i(T))
    return answer


def _one_step_late(T):
    f, i = torch.ones(T), torch.zeros(T)
    f[1], i[1] = 0.0, 1.0
    return f, i


KEEP_FIRST = Exercise(
    id="02.3",
    title="Keep the first symbol for ever",
    reference=keep_first,
    returns=("f, by the share of c_{t-1} in c_T (T)", "i, by the share of g_t in c_T (T)"),
    run=_shares,
    about=("gate-extremes",),
    hints=(
        "Three things must happen: c_0 goes, g_1 comes in, and nothing changes after that. Which gate does which?",
        "f is what is kept of the state before the step, i is what is written of this step's g. Step 1 of the formula "
        "is place 0 of your tensors.",
        "Only the first step differs from the rest. Go through c_1 and c_2 with pencil and paper.",
    ),
    cases=(
        Case("five steps", lambda: (5,), "Index 0 belongs to step 1."),
        Case("two steps", lambda: (2,)),
        Case("a single step", lambda: (1,), "c_1 = g_1 is wanted: c_0 must not be in it."),
    ),
    misconceptions=alone(
        (_gates_with(f=torch.ones),
         "Your first forget gate is open, so c_0 is still in c_T. It must close where g_1 is written."),
        (_gates_with(i=torch.ones),
         "You write at every step, so c_T is the sum of all g. Close the input gate after the first step."),
        (_gates_with(f=torch.ones, i=torch.ones), "Every gate is open: c_T is c_0 plus the sum of all g."),
        (_gates_with(f=torch.zeros),
         "Your forget gate is closed at the last step, or at every one: nothing written before that reaches c_T. Its "
         "name misleads: f = 0 forgets, f = 1 keeps."),
        (_gates_with(f=torch.zeros, i=torch.ones),
         "Your c_T is the last g, not the first: at step T the old cell is dropped (f = 0) and g_T is written (i = "
         "1)."),
        (_gates_with(f=torch.ones, i=torch.zeros),
         "You write nothing at all, so c_T is c_0. With f = 1 and i = 0 everywhere the cell is frozen."),
        (_gates_with(i=torch.zeros), "You drop c_0, but write nothing: c_T is 0. The input gate has to open once."),
        (lambda T: tuple(1 - gate for gate in keep_first(T)),
         "Your gates are the wrong way round: 1 lets through, 0 blocks. They are right once you exchange 0 and 1, or f "
         "and i."),
        (_one_step_late, "You count from 1: place 1 of a tensor is the second step. The first step is place 0."),
        (_gates_with(f=lambda T: torch.cat([torch.zeros(min(T, 2)), torch.ones(max(T - 2, 0))])),
         "Your forget gate is closed at the second step too, and that wipes out the g_1 just written."),
    ),
)

# --- 02.4 -----------------------------------------------------------------------------------------------------------

def set_forget_bias(bias_ih, bias_hh, value):
    """Give an LSTM's forget gate a bias of `value`; everything else stays as it is.

    bias_ih, bias_hh: (4H,), torch's two bias vectors, blocks in the order i, f, g, o; the cell adds the two.
    Returns a new pair (bias_ih, bias_hh), each (4H,). At the forget gate the two must sum to `value`; every other
    number of each vector stays as it is. The arguments are not changed.
    """
    H = len(bias_ih) // 4
    bias_ih, bias_hh = bias_ih.clone(), bias_hh.clone()
    bias_ih[H:2 * H] = value
    bias_hh[H:2 * H] = 0.0
    return bias_ih, bias_hh


def _sum_at_the_forget_gate(answer, bias_ih, bias_hh, value):
    """The two biases, with their sum in place of the first one's forget block and zeros in place of the second's.

    So any split of the sum is right. What cannot be read as two vectors (4H,) comes back as it is.
    """
    pair = _listed(answer(bias_ih, bias_hh, value))
    tensors = _tensors_of_shapes(pair, [bias_ih.shape, bias_hh.shape])
    if tensors is None:
        return pair
    of_x, of_h = tensors
    forget = slice(len(of_x) // 4, len(of_x) // 2)
    of_x[forget] += of_h[forget]
    of_h[forget] = 0.0
    return of_x, of_h


def _biases(hidden, value):
    return lambda: (0.5 * torch.randn(4 * hidden), 0.5 * torch.randn(4 * hidden), value)


def _with_blocks(bias_ih, bias_hh, of_x, of_h, block=1):
    """Copies with one block of each filled; None leaves it as it is."""
    H = len(bias_ih) // 4
    filled = bias_ih.clone(), bias_hh.clone()
    for bias, value in zip(filled, (of_x, of_h), strict=True):
        if value is not None:
            bias[block * H:(block + 1) * H] = value
    return filled


def _added_to_what_is_there(bias_ih, bias_hh, value):
    H = len(bias_ih) // 4
    return _with_blocks(bias_ih, bias_hh, bias_ih[H:2 * H] + value, None)


def _one_number_set(place):
    """A misconception that sets a single number; place(H) is where."""
    def answer(bias_ih, bias_hh, value):
        bias_ih, bias_hh = bias_ih.clone(), bias_hh.clone()
        where = place(len(bias_ih) // 4)
        bias_ih[where], bias_hh[where] = value, 0.0
        return bias_ih, bias_hh
    return answer


SET_FORGET_BIAS = Exercise(
    id="02.4",
    title="Set the forget gate's bias",
    reference=set_forget_bias,
    returns=("bias_ih, the sum of both at the forget gate (4H)", "bias_hh, apart from the forget gate (4H)"),
    run=_sum_at_the_forget_gate,
    about=("forget-bias",),
    hints=(
        "Each vector has four blocks of H = len(bias_ih) // 4 numbers. Which of them is the forget gate's?",
        "torch adds the two vectors, so what counts is the sum. How can two numbers be chosen so that they sum to "
        "value?",
        "Clone both. Put value into the block H:2 * H of one of them, and 0 into the same block of the other.",
    ),
    cases=(
        Case("H = 3, value 1", _biases(3, 1.0)),
        Case("H = 5, value 4", _biases(5, 4.0)),
        Case("a value below 0", _biases(2, -1.5)),
        Case("the value 0", _biases(4, 0.0), "The two biases must cancel at the forget gate."),
    ),
    misconceptions=alone(
        (lambda of_x, of_h, value: _with_blocks(of_x, of_h, value, value),
         "You give both vectors the full value. The cell adds them, so the forget gate gets twice as much."),
        (lambda of_x, of_h, value: _with_blocks(of_x, of_h, value, None),
         "The old bias_hh is still in the sum: the cell adds the two vectors, and you changed only one of them."),
        (lambda of_x, of_h, value: _with_blocks(of_x, of_h, None, value),
         "The old bias_ih is still in the sum. Set its forget block instead of adding to it (+=), and mind that the "
         "cell adds the two vectors."),
        (_added_to_what_is_there,
         "You add value to what is there: both old biases are still in the sum. It should be value itself."),
        (lambda of_x, of_h, value: _with_blocks(of_x, of_h, value, 0.0, block=0),
         "You set the first block. That is the input gate's; the order is i, f, g, o."),
        (lambda of_x, of_h, value: _with_blocks(of_x, of_h, value, 0.0, block=2),
         "You set the third block. That is the candidate's; the order is i, f, g, o, and the first block starts at 0."),
        (lambda of_x, of_h, value: _with_blocks(of_x, of_h, value, 0.0, block=3),
         "You set the last block. That is the output gate's; the order is i, f, g, o."),
        (lambda of_x, of_h, value: (torch.full_like(of_x, value), torch.zeros_like(of_h)),
         "You set all four blocks. Only the forget gate's block may change."),
        (lambda of_x, of_h, value: (_with_blocks(of_x, of_h, value, None)[0], torch.zeros_like(of_h)),
         "You set all of bias_hh to 0. The input and output gate and the candidate lose their bias with it; clear only "
         "the forget gate's block."),
        (lambda of_x, of_h, value: _with_blocks(of_x, of_h, float(torch.tensor(value).sigmoid()), 0.0),
         "You set the bias to sigmoid(value). The cell takes the sigmoid itself: the bias stands before it."),
        (_one_number_set(lambda H: 1),
         "You set place 1 of each vector, one number of the input gate's block. The forget gate's block is H:2 * H."),
        (_one_number_set(lambda H: H),
         "You set one number only, the first of the forget gate's block. Each of the H units has its own."),
    ),
)

# --- 02.5 -----------------------------------------------------------------------------------------------------------

def gru_step(x, h, W_ih, W_hh, b_ih, b_hh):
    """One step of torch's GRU for a batch.

    r = sigmoid(W_ir x + b_ir + W_hr h + b_hr), the reset gate; z likewise, the update gate;
    n = tanh(W_in x + b_in + r * (W_hn h + b_hn)), the candidate; new h = (1 - z) * n + z * h.

    x: (B, C) inputs; h: (B, H) states before the step. W_ih: (3H, C), W_hh: (3H, H), b_ih and b_hh: (3H,) hold three
    blocks of H rows, in the order r, z, n. Returns (B, H): the states after the step.
    """
    r_x, z_x, n_x = (x @ W_ih.T + b_ih).chunk(3, dim=1)               # (B, 3H) -> three times (B, H)
    r_h, z_h, n_h = (h @ W_hh.T + b_hh).chunk(3, dim=1)
    r, z = torch.sigmoid(r_x + r_h), torch.sigmoid(z_x + z_h)
    n = torch.tanh(n_x + r * n_h)
    return (1 - z) * n + z * h


def _gru_inputs(batch=2, inputs=3, hidden=4, scale=0.5):
    return lambda: (
        torch.randn(batch, inputs), 0.7 * torch.randn(batch, hidden), *_gated_weights(3, inputs, hidden, scale),
        0.5 * torch.randn(3 * hidden), 0.5 * torch.randn(3 * hidden))


def _right_candidate(r, n_x, n_h):
    return torch.tanh(n_x + r * n_h)


def _right_mix(r, z, n, h):
    return (1 - z) * n + z * h


def _gru_by(candidate=_right_candidate, mix=_right_mix, order="rzn", gate=torch.sigmoid):
    """A GRU step with one part of it exchanged: the candidate(r, n_x, n_h), the mix(r, z, n, h), and so on."""
    def answer(x, h, W_ih, W_hh, b_ih, b_hh):
        of_x = dict(zip(order, (x @ W_ih.T + b_ih).chunk(3, dim=1), strict=True))
        of_h = dict(zip(order, (h @ W_hh.T + b_hh).chunk(3, dim=1), strict=True))
        r, z = gate(of_x["r"] + of_h["r"]), gate(of_x["z"] + of_h["z"])
        return mix(r, z, candidate(r, of_x["n"], of_h["n"]), h)
    return answer


def _reset_with(part, mix=_right_mix):
    """A misconception with another part in place of r * (W_hn h + b_hn): part(r, h, W_hn, b_hn)."""
    def answer(x, h, W_ih, W_hh, b_ih, b_hh):
        H = h.shape[1]
        instead = part(_reset_gate(x, h, W_ih, W_hh, b_ih, b_hh), h, W_hh[2 * H:], b_hh[2 * H:])
        step = _gru_by(candidate=lambda r, n_x, n_h: torch.tanh(n_x + instead), mix=mix)
        return step(x, h, W_ih, W_hh, b_ih, b_hh)
    return answer


def _reset_gate(x, h, W_ih, W_hh, b_ih, b_hh):
    return torch.sigmoid(x @ W_ih.T + b_ih + h @ W_hh.T + b_hh)[:, :h.shape[1]]


def _summed_before_cutting(x, h, W_ih, W_hh, b_ih, b_hh):
    r, z, n = (x @ W_ih.T + b_ih + h @ W_hh.T + b_hh).chunk(3, dim=1)
    return _right_mix(r, z.sigmoid(), torch.tanh(r.sigmoid() * n), h)


def _states_blocks_not_transposed(x, h, W_ih, W_hh, b_ih, b_hh):
    turned = torch.cat([block.T for block in W_hh.chunk(3)])          # h @ block is h @ turned_block.T
    return gru_step(x, h, W_ih, turned, b_ih, b_hh)


def _gru_cut_along_the_batch(x, h, W_ih, W_hh, b_ih, b_hh):
    r_x, z_x, n_x = (x @ W_ih.T + b_ih).chunk(3)
    r_h, z_h, n_h = (h @ W_hh.T + b_hh).chunk(3)
    r, z = torch.sigmoid(r_x + r_h), torch.sigmoid(z_x + z_h)
    return _right_mix(r, z, _right_candidate(r, n_x, n_h), h)


GRU_STEP = Exercise(
    id="02.5",
    title="The GRU from its equations",
    reference=gru_step,
    returns="(B, H)",
    without=("nn.GRU", "nn.GRUCell", "torch.gru_cell"),
    about=("gru",),
    hints=(
        "Keep the two products apart: x @ W_ih.T + b_ih and h @ W_hh.T + b_hh, each (B, 3H), each cut into three.",
        "For r and z the two are added and go through the sigmoid. For n the part of h meets r first.",
        "The last line is a weighted mean of n and h: the two weights, 1 - z and z, sum to 1.",
    ),
    cases=(
        Case("a batch of two", _gru_inputs()),
        Case("other sizes", _gru_inputs(batch=4, inputs=6, hidden=3)),
        Case("weights so large that the gates are nearly 0 or 1", _gru_inputs(scale=2.0)),
    ),
    misconceptions=alone(
        (_gru_by(mix=lambda r, z, n, h: z * n + (1 - z) * h),
         "Your z is the other way round: you write n where z is 1. Some papers do; in torch z = 1 keeps the old h."),
        (_reset_with(lambda r, h, W, b: (r * h) @ W.T + b),
         "You reset h before the product: W_hn (r * h). So the first paper has it; torch takes r * (W_hn h + b_hn)."),
        (_reset_with(lambda r, h, W, b: r * (h @ W.T) + b),
         "Your b_hn stands outside the bracket. r multiplies the bias too: r * (W_hn h + b_hn)."),
        (_gru_by(candidate=lambda r, n_x, n_h: torch.tanh(n_x + n_h)),
         "Your reset gate does nothing: r is missing from the candidate n."),
        (_summed_before_cutting,
         "You multiply the input's part of n by r as well. r resets only what comes from h, so keep the two products "
         "apart."),
        (_gru_by(candidate=lambda r, n_x, n_h: torch.tanh(r * n_x + n_h)),
         "You multiply the wrong part by r: it resets what comes from h, not what comes from x."),
        (_gru_by(order="zrn"), "Your r and z are exchanged. The blocks stand in the order r, z, n."),
        (_gru_by(candidate=lambda r, n_x, n_h: torch.sigmoid(n_x + r * n_h)),
         "You take the sigmoid of the candidate. n is no gate but what is written: tanh lets it be negative too."),
        (_gru_by(candidate=lambda r, n_x, n_h: n_x + r * n_h), "The tanh is missing from the candidate n."),
        (_gru_by(gate=lambda block: block), "The sigmoid is missing: your gates r and z are not between 0 and 1."),
        (_gru_by(mix=lambda r, z, n, h: n),
         "You return the candidate n. The new state mixes it with the old one: (1 - z) * n + z * h."),
        (_gru_by(mix=lambda r, z, n, h: n + z * h),
         "You write n in full. Its weight is 1 - z, so that the state stays a mean of n and h."),
        (_gru_by(mix=lambda r, z, n, h: (1 - z) * n + h),
         "You keep h in full. Its weight is z, so that the state stays a mean of n and h."),
        (_gru_by(mix=lambda r, z, n, h: 1 - z * n + z * h),
         "You write 1 - z * n, and Python multiplies first. It needs brackets: (1 - z) * n."),
        (_gru_by(mix=lambda r, z, n, h: r * n + z * h),
         "You mix with two gates, as an LSTM does. Here one gate serves both: 1 - z for n, z for h."),
        (lambda x, h, W_ih, W_hh, b_ih, b_hh: gru_step(x, h, W_ih, W_hh, b_ih, torch.zeros_like(b_hh)),
         "The bias b_hh is missing."),
        (lambda x, h, W_ih, W_hh, b_ih, b_hh: gru_step(x, h, W_ih, W_hh, torch.zeros_like(b_ih), b_hh),
         "The bias b_ih is missing."),
        (_reset_with(lambda r, h, W, b: (r * h) @ W.T + b, mix=lambda r, z, n, h: z * n + (1 - z) * h),
         "You follow the formula of Chung et al. (2014) in both places: there z is the other way round, and r stands "
         "before the product. Here it is (1 - z) * n + z * h, and r * (W_hn h + b_hn)."),
        (_states_blocks_not_transposed,
         "Your blocks of W_hh are not transposed. Each is (H, H), so h @ block runs, with wrong numbers: take h @ "
         "block.T."),
        (_gru_cut_along_the_batch,
         "You cut along the batch: chunk(3) without dim=1 cuts rows. The blocks lie side by side, on axis 1."),
        (lambda x, h, W_ih, W_hh, b_ih, b_hh: x @ W_ih + b_ih,
         "You multiply rows by the weights as they stand. A batch of rows needs the transpose: x @ W_ih.T and h @ "
         "W_hh.T."),
    ),
)

# --- 02.6 -----------------------------------------------------------------------------------------------------------

def flip_update_gate(weight_ih, weight_hh, bias_ih, bias_hh):
    """Carry a GRU's weights from the other convention of z over to torch's.

    They were trained with: new h = z * n + (1 - z) * h (Chung et al., 2014). torch has: new h = (1 - z) * n + z * h.
    All else is alike in both: z = sigmoid(W_iz x + b_iz + W_hz h + b_hz), and the blocks stand in the order r, z, n.

    weight_ih: (3H, C); weight_hh: (3H, H); bias_ih, bias_hh: (3H,).
    Returns four new tensors in this order. With them torch's GRU computes what the old weights computed.
    """
    H = weight_hh.shape[1]
    flipped = []
    for tensor in (weight_ih, weight_hh, bias_ih, bias_hh):
        tensor = tensor.clone()
        tensor[H:2 * H] *= -1               # 1 - sigmoid(a) = sigmoid(-a)
        flipped.append(tensor)
    return tuple(flipped)


def _summed_gate_biases(answer, weight_ih, weight_hh, bias_ih, bias_hh):
    """The four tensors, with the sum of the biases at r and z, where only their sum acts.

    So any split of that sum is right. What cannot be read as four tensors of these shapes comes back as it is.
    """
    given = weight_ih, weight_hh, bias_ih, bias_hh
    flipped = _listed(answer(*given))
    tensors = _tensors_of_shapes(flipped, [tensor.shape for tensor in given])
    if tensors is None:
        return flipped
    *weights, of_x, of_h = tensors
    gates = 2 * weight_hh.shape[1]
    of_x[:gates] += of_h[:gates]
    of_h[:gates] = 0.0
    return *weights, of_x, of_h


def _gru_weights(inputs, hidden):
    return lambda: (*_gated_weights(3, inputs, hidden), 0.5 * torch.randn(3 * hidden), 0.5 * torch.randn(3 * hidden))


def _changed(tensors, change, block=1, places=(0, 1, 2, 3)):
    """Copies of the four tensors, with change(rows) in one block (None: in all rows) of those at `places`."""
    H = tensors[1].shape[1]
    rows = slice(None) if block is None else slice(block * H, (block + 1) * H)
    copies = [tensor.clone() for tensor in tensors]
    for place in places:
        copies[place][rows] = change(copies[place][rows])
    return tuple(copies)


def _negated(place):
    """A misconception that negates tensor[place(tensor, C, H)] of each of the four."""
    def answer(*tensors):
        copies = [tensor.clone() for tensor in tensors]
        for copy in copies:
            copy[place(copy, tensors[0].shape[1], tensors[1].shape[1])] *= -1
        return tuple(copies)
    return answer


def _columns(tensor, _, H):
    return slice(None), slice(H, 2 * H)


def _blocks_reordered(tensors, order):
    return tuple(torch.cat([tensor.chunk(3)[block] for block in order]) for tensor in tensors)


FLIP_UPDATE_GATE = Exercise(
    id="02.6",
    title="Two conventions for the update gate",
    reference=flip_update_gate,
    returns=("weight_ih (3H, C)", "weight_hh (3H, H)", "bias_ih, the sum of both at r and z (3H)",
             "bias_hh, apart from r and z (3H)"),
    run=_summed_gate_biases,
    about=("gru",),
    hints=(
        "The new z has to be 1 minus the old z, for every x and h. All else stays.",
        "z is the sigmoid of a sum. What must happen to the sum a so that sigmoid(a) becomes 1 - sigmoid(a)? Try a = 0 "
        "and a = 2.",
        "sigmoid(-a) = 1 - sigmoid(a), and a has four terms. Where do their z blocks stand in the four tensors?",
    ),
    cases=(
        Case("three inputs, four units", _gru_weights(3, 4)),
        Case("five inputs, two units", _gru_weights(5, 2)),
    ),
    misconceptions=alone(
        (lambda *tensors: tensors,
         "You return the weights as they came. The gate that said how much is new would now say how much is old."),
        (lambda *tensors: _changed(tensors, lambda rows: 1 - rows),
         "You subtract the weights from 1. It is the gate that becomes 1 - z, after the sigmoid; the sum before it "
         "only changes its sign."),
        (lambda *tensors: _changed(tensors, lambda rows: -rows, places=(0, 1)),
         "The biases of z keep their sign. They are terms of the same sum as the weights: all of it is negated."),
        (lambda *tensors: _changed(tensors, lambda rows: -rows, places=(2, 3)),
         "You negate the biases of z only. The products with x and h are terms of the same sum."),
        (lambda *tensors: _changed(tensors, lambda rows: -rows, places=(0, 1, 2)),
         "You negate bias_ih of z, but not bias_hh. Both are added into the sum, so both change their sign."),
        (lambda *tensors: _changed(tensors, lambda rows: -rows, places=(0, 2)),
         "You negate the input's side only. z also depends on h: weight_hh and bias_hh change their sign too."),
        (lambda *tensors: _changed(tensors, lambda rows: -rows, places=(1, 3)),
         "You negate the side of h only. z also depends on x: weight_ih and bias_ih change their sign too."),
        (lambda *tensors: _changed(tensors, lambda rows: -rows, block=None),
         "You negate everything. Then r and n change too; only the block of z may."),
        (_negated(lambda tensor, C, H: slice(2 * H)),
         "You negate r as well as z. Only z differs between the two conventions: rows H:2 * H, not :2 * H."),
        (_negated(lambda tensor, C, H: slice(C, 2 * C)),
         "You take H from weight_ih.shape[1]. That is C, the number of inputs; H is weight_hh.shape[1]."),
        (_negated(lambda tensor, C, H: _columns(tensor, C, H) if tensor.ndim == 2 else slice(H, 2 * H)),
         "You negate columns of the matrices: [:, H:2 * H]. A block is H rows: [H:2 * H]."),
        (_negated(_columns),
         "You take columns, [:, H:2 * H], and a bias has none. A block is H rows, in the matrices too: [H:2 * H]."),
        (lambda *tensors: _changed(tensors, lambda rows: -rows, block=0),
         "You negate the first block. That is r; the order is r, z, n."),
        (lambda *tensors: _changed(tensors, lambda rows: -rows, block=2),
         "You negate the third block. That is n; the order is r, z, n, and the first block starts at 0."),
        (lambda *tensors: _blocks_reordered(tensors, (1, 0, 2)),
         "You exchange the blocks of r and z. Their order is the same in both conventions; only what z means differs."),
        (lambda *tensors: _blocks_reordered(tensors, (0, 2, 1)),
         "You exchange the blocks of z and n. In the formula n and h change places, but n is still computed from its "
         "own block."),
    ),
)

# --- 02.7 -----------------------------------------------------------------------------------------------------------

def count_parameters(kind, input_size, hidden_size):
    """Number of weights in one layer, one direction, of nn.RNN, nn.GRU or nn.LSTM.

    kind: "rnn", "gru" or "lstm"; input_size, hidden_size: as in torch. The two bias vectors count too.
    Returns an int.
    """
    blocks = {"rnn": 1, "gru": 3, "lstm": 4}[kind]                    # r, z, n; i, f, g, o
    return blocks * hidden_size * (input_size + hidden_size + 2)


BLOCKS = {"rnn": 1, "gru": 3, "lstm": 4}


def _counted(blocks=BLOCKS, biases=2):
    """A misconception that counts with these blocks and so many bias vectors."""
    return lambda kind, c, h: blocks[kind] * h * (c + h + biases)


COUNT_PARAMETERS = Exercise(
    id="02.7",
    title="One, three, four",
    reference=count_parameters,
    without=("nn.RNN", "nn.GRU", "nn.LSTM", "nn.RNNCell", "nn.GRUCell", "nn.LSTMCell"),
    about=("parameter-counts",),
    hints=(
        "Start with the plain RNN: W_ih is (H, C), W_hh is (H, H), and there are two biases (H,).",
        "A GRU stacks several such sets on top of each other, and so does an LSTM. Look at the shapes of the "
        "weights in exercises 02.2 and 02.5.",
        "Not only the gates have weights: the candidate (n in a GRU, g in an LSTM) has a block of its own.",
    ),
    cases=(
        Case("a plain RNN", lambda: ("rnn", 3, 5)),
        Case("a GRU", lambda: ("gru", 4, 7)),
        Case("an LSTM", lambda: ("lstm", 6, 2)),
        Case("a GRU whose input is as wide as its state", lambda: ("gru", 8, 8)),
        Case("an LSTM with a large state", lambda: ("lstm", 10, 100)),
    ),
    misconceptions=alone(
        (_counted({"rnn": 1, "gru": 2, "lstm": 3}),
         "You count the gates only. The candidate (n in a GRU, g in an LSTM) has a block of weights too: 3 and 4."),
        (_counted({"rnn": 1, "gru": 2, "lstm": 4}),
         "You count only the two gates of the GRU. Its candidate n has a block of weights too, as g has in the LSTM: 3 "
         "and 4."),
        (_counted(biases=1), "You count one bias vector. PyTorch keeps two, one beside each matrix."),
        (_counted(biases=0), "You count the matrices only; the two bias vectors are missing."),
        (_counted({"rnn": 1, "gru": 1, "lstm": 1}),
         "Your count is the same for every kind. A GRU has three blocks, an LSTM four."),
        (_counted({"rnn": 1, "gru": 4, "lstm": 3}), "Your GRU and LSTM are exchanged: the GRU is the smaller one."),
        (_counted({"rnn": 1, "gru": 4, "lstm": 4}),
         "You give the GRU four blocks. It has r, z and n: one gate fewer than an LSTM."),
        (_counted({"rnn": 1, "gru": 3, "lstm": 5}),
         "You count the cell state of the LSTM as a block. c is a state, computed at every step, and no weight."),
        (lambda kind, c, h: BLOCKS[kind] * h * c + h * h + 2 * h,
         "You take several blocks for the input only. Every block also has its own rows in W_hh and in both biases."),
        (lambda kind, c, h: BLOCKS[kind] * h * (c + h) + 2 * h,
         "You count the biases of one block. Each bias vector has H numbers for every block."),
        (lambda kind, c, h: BLOCKS[kind] * h * (c + h) + 2,
         "You count each bias vector as one number. It has one number for each row of its matrix."),
        (lambda kind, c, h: BLOCKS[kind] * c * (c + h + 2),
         "Your input_size and hidden_size are exchanged: each block has hidden_size rows."),
    ),
)

EXERCISES = [
    MEMORY_LEFT, LSTM_STEP, KEEP_FIRST, SET_FORGET_BIAS, GRU_STEP, FLIP_UPDATE_GATE, COUNT_PARAMETERS,
]

# --- quizzes --------------------------------------------------------------------------------------------------------

QUIZZES = {
    "02-opening": [
        Question(
            "A gradient goes back through 10 steps, and each step multiplies it by the same number. About half of it "
            "is left. What is the number?",
            (
                Choice("About 0.5", "Then half is left after one step already. After 10 steps it is 0.5¹⁰ ≈ 0.001."),
                Choice("About 0.99", "0.99¹⁰ ≈ 0.90. Nearly all of it comes through 10 steps."),
                Choice("About 0.93",
                       "0.93¹⁰ ≈ 0.48. A small loss at each step is a large one in the end.", correct=True),
                Choice("About 0.05", "Half divided by 10: that would suit a sum. Here the factors multiply."),
            ),
            about=("vanishing-gradient",),
        ),
        Question(
            "A plain RNN with 16 hidden units has read 30 steps. How many numbers does it carry over to step 31?",
            (
                Choice("16: the hidden state",
                       "All it knows about the 30 steps is in this one state, and the state is also its "
                       "output.", correct=True),
                Choice("480: a state for each step",
                       "There are 30 outputs, if you keep them. The next step itself reads only the last one."),
                Choice("32: the hidden state and the output",
                       "In a plain RNN the output is the hidden state. Count it once."),
                Choice("256: the matrix W_h",
                       "W_h is used again at step 31, but it knows nothing about what was read in these 30 steps."),
            ),
            about=("hidden-state", "rnn-output-is-state"),
        ),
        Question(
            "In chapter 01 some weights made a plain RNN hold one bit for as long as we liked. Still, training often "
            "failed to recall a symbol over a gap of 40 steps. What does training lack?",
            (
                Choice("A larger hidden state", "One symbol of eight needs only 3 bits, and the net had 64 units."),
                Choice("The symbol: tanh has washed it out before the end",
                       "The bit was held through tanh too. The forward pass can be fine."),
                Choice("A clipped gradient", "Clipping shortens a gradient that is too long. It was on already."),
                Choice("A useful gradient at the first step",
                       "On its way back it has shrunk to nearly nothing, or grown out of all measure.", correct=True),
            ),
            about=("long-range-dependence", "vanishing-gradient"),
        ),
        Question(
            "The gradient of all weights has norm 0.5. The part of it that comes from step 1 of a long sequence has "
            "norm 10⁻¹⁰. You clip to norm 1. What is the norm of that part now?",
            (
                Choice("1", "Clipping never makes a gradient longer."),
                Choice("10⁻¹⁰",
                       "The whole is short enough, so nothing changes. Clipping answers exploding gradients; a "
                       "vanished one needs something else.", correct=True),
                Choice("2 · 10⁻¹⁰", "That would be scaling to norm 1 in any case. Clipping only shortens."),
                Choice("0", "Nothing is cut off. Clipping multiplies all of the gradient by one factor, here by 1."),
            ),
            about=("gradient-clipping",),
        ),
        Question(
            "A gate is the sigmoid of a sum: sigmoid(a) = 1 / (1 + e⁻ᵃ), 0 is closed and 1 is open. At the start of "
            "training all the weights in the sum are tiny, and its bias is 0. How far open is the gate?",
            (
                Choice("Almost closed", "Tiny weights make the sum tiny, and sigmoid(0) is not 0."),
                Choice("Wide open", "sigmoid needs a sum of about 5 to be nearly 1."),
                Choice("Half open", "sigmoid(0) = 0.5. Keep it in mind: it decides how training starts.", correct=True),
                Choice("It depends on the input", "The input is multiplied by tiny weights, so it hardly counts yet."),
            ),
            about=("forget-bias",),
        ),
        Question(
            "Two ways to update a memory c with something new: (a) c ← tanh(W c + new), (b) c ← c + new. Along which "
            "of them does a gradient come back through many steps without loss? (A guess is fine.)",
            (
                Choice("Along (b) only",
                       "The slope of c + new with respect to c is 1, at every step. This is the idea of the "
                       "chapter.", correct=True),
                Choice("Along (a) only", "Each step multiplies by W and by the slope of tanh: chapter 01's problem."),
                Choice("Along both, if W is the identity",
                       "The slope of tanh is below 1 wherever its input is not 0, so (a) still loses some at each "
                       "step."),
                Choice("Along neither: every long chain loses",
                       "A chain of factors loses when they are below 1. In one of the two they are exactly 1."),
            ),
            about=("cell-state",),
        ),
    ],
    "02-closing": [
        Question(
            "Follow only the direct path from one cell state to the one before, from c_t back to c_{t-1}. By what is "
            "the gradient multiplied there?",
            (
                Choice("By the slope of tanh at c_t",
                       "tanh stands between c_t and h_t. On the way from cell to cell there is none."),
                Choice("By the transpose of weight_hh",
                       "That is the way through h and the gates. The direct path meets no matrix."),
                Choice("By the forget gate f_t",
                       "c_t = f_t ⊙ c_{t-1} + …, so over many steps the forget gates multiply.", correct=True),
                Choice("By 1: the path is additive",
                       "It would be without a forget gate, as in the first LSTM. Here f_t scales the old cell first."),
            ),
            about=("cell-state",),
        ),
        Question(
            "The forget gates of an LSTM stay at 0.9. How much of a gradient is left on the path through the cell "
            "after 100 steps?",
            (
                Choice("All of it: LSTMs have no vanishing gradient",
                       "Only f = 1 loses nothing. The problem is made smaller, not abolished."),
                Choice("About 0.00003 of it",
                       "0.9¹⁰⁰. A gate has to stay near 1 to help: with 0.99 it would be 0.37.", correct=True),
                Choice("About 0.9 of it", "The factor comes in anew at every step."),
                Choice("About 0.37 of it", "That is 0.99¹⁰⁰. A gate of 0.9 loses ten times as much at each step."),
            ),
            about=("cell-state", "vanishing-gradient"),
        ),
        Question(
            "An LSTM has stored a number. It is to hold it for 50 steps and show nothing of it until then. What "
            "should its gates do in between?",
            (
                Choice("f near 1, i near 0, o near 0", "Keep, write nothing, show nothing.", correct=True),
                Choice("f near 0, i near 0, o near 0",
                       "A forget gate at 0 wipes out the number at once. f is what is kept."),
                Choice("f near 1, i near 1, o near 0", "With the input gate open every step adds to the number."),
                Choice("f near 1, i near 0, o near 1", "The number is kept, but it shows in h at every step."),
            ),
            about=("lstm-gates",),
        ),
        Question(
            "`outputs, (h, c) = nn.LSTM(8, 16, batch_first=True)(x)`. To which of these is `outputs[:, -1]` equal?",
            (
                Choice("`c[0]`", "The cell state stays inside. Only the last one is handed out, for the next call."),
                Choice("`torch.cat([h[0], c[0]], dim=-1)`", "Then an output would have 32 features. It has 16."),
                Choice("`c[0].tanh()`", "It would be with an output gate of exactly 1. In general o scales it."),
                Choice("`h[0]`",
                       "The output is the hidden state, as in the plain RNN. c is the private one.", correct=True),
            ),
            about=("lstm-gates", "cell-state"),
        ),
        Question(
            "All units of an LSTM have f = 1 and i = 0 at every step, exactly. What do we have?",
            (
                Choice("The same as a plain RNN",
                       "A plain RNN writes a new state at every step. Here the cell takes in nothing at all."),
                Choice("A frozen cell; h may still change",
                       "c_t = c_{t-1} for ever. h_t = o_t ⊙ tanh(c_t) moves with the output gate, which still reads "
                       "x_t.", correct=True),
                Choice("A cell that adds up all it reads", "That is f = 1 and i = 1. With i = 0 nothing is added."),
                Choice("A network with the same output at every step",
                       "The cell is constant, but the output gate still depends on the input, and so does h."),
            ),
            about=("gate-extremes",),
        ),
        Question(
            "With which fixed gates does an LSTM come closest to a plain RNN?",
            (
                Choice("f = 1, i = 1, o = 1",
                       "Then the cell adds up every g and forgets nothing. A plain RNN replaces its state."),
                Choice("f = 1, i = 0, o = 1", "That freezes the cell: nothing that is read ever gets in."),
                Choice("f = 0, i = 0, o = 1", "The cell is then always 0, and so is h."),
                Choice("f = 0, i = 1, o = 1",
                       "c_t = g_t, so h_t = tanh(tanh(W x_t + W h_{t-1} + b)): a plain RNN with one tanh "
                       "more.", correct=True),
            ),
            about=("gate-extremes",),
        ),
        Question(
            "An LSTM is made with torch's default weights and biases. What can be said about a gradient over 80 steps "
            "at the first training step?",
            (
                Choice("It has nearly vanished: the forget gates are near 0.5",
                       "Such gates about halve it at each step. The path is there, but hardly anything comes through "
                       "yet.", correct=True),
                Choice("It comes through: the cell's path is there from the start",
                       "The path is there, but half closed at each of the 80 steps."),
                Choice("It explodes: the untrained gates add too much",
                       "Each gate is about 0.5, and factors below 1 do not make a gradient explode."),
                Choice("It is exactly 0 until the gates have learned to open",
                       "A sigmoid is never exactly 0, and all weights are trained together."),
            ),
            about=("forget-bias",),
        ),
        Question(
            "You want forget gates that start at sigmoid(1) ≈ 0.73. So you fill the forget block of `bias_ih` and that "
            "of `bias_hh` with 1. The weights are tiny. Where do the gates start?",
            (
                Choice("At 0.73", "That would be so if only one vector acted. The cell adds the two."),
                Choice("At 0.50", "That is where they start with both blocks at 0."),
                Choice("At 0.88", "The biases add up to 2, and sigmoid(2) ≈ 0.88.", correct=True),
                Choice("At 1.46, cut to 1", "The biases are added before the sigmoid, not the gates after it."),
            ),
            about=("forget-bias",),
        ),
        Question(
            "In torch's GRU the update gate of a unit is z = 1 at some step. What is the unit's new state?",
            (
                Choice("Its old state, unchanged",
                       "h = (1 - z) n + z h, and z = 1 leaves only the old h.", correct=True),
                Choice("The candidate n",
                       "So it is in the paper of Chung et al. (2014), where z is the part that is new. In torch it is "
                       "the part that is kept."),
                Choice("The sum of candidate and old state",
                       "Their weights are 1 - z and z: one grows as the other shrinks."),
                Choice("Zero: an update with gate 1 resets it",
                       "Resetting is the other gate's work, and it acts only inside the candidate."),
            ),
            about=("gru",),
        ),
        Question(
            "In torch's GRU the reset gate of a unit is r = 0 at some step. What does its candidate n depend on?",
            (
                Choice("On the old state only",
                       "It is the old state's part that r multiplies, so exactly that part is gone."),
                Choice("On nothing: n is 0", "r multiplies only one part of the sum inside the tanh."),
                Choice("On the input and the old state, as with r = 1",
                       "r multiplies W_hn h + b_hn. With r = 0 that part is gone."),
                Choice("On the input only", "n = tanh(W_in x + b_in): as if nothing had come before.", correct=True),
            ),
            about=("gru",),
        ),
        Question(
            "A GRU layer has two gates. Why has it three times the weights of a plain RNN layer, and not twice?",
            (
                Choice("Its second bias vector counts as a block",
                       "Every layer in torch has two bias vectors, the plain RNN too."),
                Choice("The candidate has a block of weights too",
                       "Blocks r, z and n, each as large as the plain RNN: the plain RNN is a candidate without "
                       "gates.", correct=True),
                Choice("The update gate counts twice, for z and 1 - z",
                       "1 - z is computed from z. It needs no weights."),
            ),
            about=("gru", "parameter-counts"),
        ),
        Question(
            "A model has an embedding with 1,000,000 weights and a plain RNN layer with 10,000. You put an LSTM of the "
            "same sizes in place of the RNN. How much larger is the whole model?",
            (
                Choice("4 times as large", "1 : 4 holds for the recurrent layer alone. The embedding stays as it is."),
                Choice("About 4 % larger", "The LSTM has 40,000 weights, but 10,000 of them replace the RNN's."),
                Choice("About 3 % larger", "1,040,000 in place of 1,010,000: 30,000 more.", correct=True),
                Choice("No larger at all",
                       "The LSTM's four blocks are four times the RNN's one: 40,000 in place of 10,000."),
            ),
            about=("parameter-counts",),
        ),
        Question(
            "At a gap of 40 the LSTM with its usual start failed the recall task on every seed, at every learning rate "
            "of the sweep. With a forget bias of 5 it solved it on every seed, at the best rate. What does this show?",
            (
                Choice("The bias does the work: a plain RNN with a higher bias would gain as much",
                       "A plain RNN has no gate that the bias could open. There it only shifts the input of tanh."),
                Choice("The LSTM with its usual start has no weights that could hold the symbol",
                       "Both have the same weights to choose from; the bias is trained too. Only the start differs."),
                Choice("The start decides whether this training finds weights that hold the symbol",
                       "Gates and their initialisation work together. With another training budget it may look "
                       "different.", correct=True),
                Choice("Gates are useless without a high bias, on any task",
                       "One task shows nothing about all: adding was solved at T = 80 with either start."),
            ),
            about=("gated-memory", "forget-bias"),
        ),
        Question(
            "You compare a GRU with a plain RNN. For the GRU you try five learning rates; the RNN gets the GRU's best "
            "one. On three seeds out of three the GRU is better. What follows?",
            (
                Choice("Little: the RNN may do well at a rate of its own",
                       "Each model needs the same search. Otherwise one is tuned and the other is not.", correct=True),
                Choice("The GRU is better on this task: the rate is the same for both",
                       "The same rate is not the same chance: it was chosen for one of the two."),
                Choice("Little: three seeds are not enough, whatever the rates",
                       "More seeds would make the wrong comparison more exact."),
            ),
            about=("gated-memory",),
        ),
        Question(
            "An LSTM reads one sequence of 1,000 steps. How many steps must be computed one after the other?",
            (
                Choice("4,000: four blocks a step", "The four blocks of a step come from one product, side by side."),
                Choice("1,000, as in a plain RNN",
                       "The gates of step t read h_{t-1}. The memory is better, the chain is as long.", correct=True),
                Choice("A few: a sum over time can be computed at once",
                       "It could if f, i and g were known. They depend on the state before, so each step waits."),
            ),
            about=("still-sequential",),
        ),
    ],
}
