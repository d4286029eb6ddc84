"""Exercises and quizzes of chapter 01, Recurrent networks."""

import torch

from course_utils.exercises.combining import alone
from course_utils.exercises.engine import Case, Choice, Exercise, Question


def _weights(inputs, hidden, scale=0.5):
    """W_x (H, C), W_h (H, H) and b (H,), none of them symmetric or zero."""
    return scale * torch.randn(hidden, inputs), scale * torch.randn(hidden, hidden), 0.5 * torch.randn(hidden)


# --- 01.1 -----------------------------------------------------------------------------------------------------------

def recurrent_step(x, h, W_x, W_h, b):
    """One step of a plain RNN for a batch: tanh(W_x x + W_h h + b), row by row.

    x: (B, C) inputs; h: (B, H) states before the step; W_x: (H, C); W_h: (H, H); b: (H,).
    Returns (B, H): the states after the step.
    """
    return torch.tanh(x @ W_x.T + h @ W_h.T + b)


def _step_inputs(batch=2, inputs=3, hidden=4, scale=0.5):
    return lambda: (torch.randn(batch, inputs), 0.7 * torch.randn(batch, hidden), *_weights(inputs, hidden, scale))


RECURRENT_STEP = Exercise(
    id="01.1",
    title="One recurrent step",
    reference=recurrent_step,
    returns="(B, H)",
    without=("nn.RNN", "nn.RNNCell"),
    about=("rnn-recurrence",),
    hints=(
        "Two products and a bias are added, and tanh is taken of the sum.",
        "The formula multiplies a column: W_x x. Here each x is a row of a batch, and the transpose of W x is xᵀ Wᵀ. "
        "Write the shapes down: (B, C) @ (?, ?) -> (B, H).",
        "x @ W_x.T is (B, C) @ (C, H). The state takes its product in the same way, also though W_h is square.",
    ),
    cases=(
        Case("a batch of two", _step_inputs()),
        Case("other sizes", _step_inputs(batch=5, inputs=6, hidden=3)),
        Case("weights so large that tanh saturates", _step_inputs(scale=2.0)),
    ),
    misconceptions=alone(
        (lambda x, h, W_x, W_h, b: x @ W_x.T + h @ W_h.T + b,
         "The tanh is missing: your states can leave the interval from -1 to 1."),
        (lambda x, h, W_x, W_h, b: torch.tanh(x @ W_x.T + h @ W_h + b),
         "You multiply the state by W_h, not by its transpose. W_h is square, so no error tells you. Write h @ W_h.T, "
         "like x @ W_x.T."),
        (lambda x, h, W_x, W_h, b: torch.tanh(x @ W_x + h @ W_h + b),
         "You multiply rows by W_x as it stands. A batch of rows needs the transpose: (B, C) @ (C, H), with W_x.T."),
        (lambda x, h, W_x, W_h, b: torch.tanh(x @ W_x.T + b),
         "Your step forgets the past: the term with h is missing."),
        (lambda x, h, W_x, W_h, b: torch.tanh(x @ W_x.T + h @ W_h.T), "The bias b is missing."),
        (lambda x, h, W_x, W_h, b: torch.tanh(W_x @ x + W_h @ h + b),
         "You copied the formula for one column; here each x is a row: x @ W_x.T."),
        (lambda x, h, W_x, W_h, b: torch.tanh(x @ W_x.T + b + h @ W_h.T + b),
         "You add the bias twice. This step has one b, for both products together."),
        (lambda x, h, W_x, W_h, b: torch.relu(x @ W_x.T + h @ W_h.T + b),
         "You take relu, which sets all below 0 to 0 and has no upper limit. The plain RNN takes tanh."),
        (lambda x, h, W_x, W_h, b: torch.tanh(x @ W_x.T + h @ W_h.T) + b,
         "You add the bias after the tanh. It belongs inside: tanh is the last thing to happen."),
        (lambda x, h, W_x, W_h, b: torch.tanh(x @ W_x.T) + torch.tanh(h @ W_h.T + b),
         "You take tanh of each product and add. Add first, then take one tanh of the sum."),
        (lambda x, h, W_x, W_h, b: torch.sigmoid(x @ W_x.T + h @ W_h.T + b),
         "You take the sigmoid, so your states lie between 0 and 1. The plain RNN takes tanh."),
    ),
)

# --- 01.2 -----------------------------------------------------------------------------------------------------------

def unroll(x, h, W_x, W_h, b):
    """Run a plain RNN over whole sequences with the same weights at every step.

    x: (B, T, C) inputs; h: (B, H) states before the first step; W_x: (H, C); W_h: (H, H); b: (H,).
    Returns (B, T, H): the state after each step.
    """
    states = []
    for t in range(x.shape[1]):
        h = torch.tanh(x[:, t] @ W_x.T + h @ W_h.T + b)   # (B, H)
        states.append(h)
    return torch.stack(states, dim=1)                     # T times (B, H) -> (B, T, H)


def _unroll_inputs(batch=2, steps=5, inputs=3, hidden=4):
    return lambda: (torch.randn(batch, steps, inputs), 0.7 * torch.randn(batch, hidden), *_weights(inputs, hidden))


def _states(x, h, W_x, W_h, b):
    return list(unroll(x, h, W_x, W_h, b).unbind(dim=1))


def _before_each_step(x, h, W_x, W_h, b):
    return torch.cat([h.unsqueeze(1), unroll(x, h, W_x, W_h, b)[:, :-1]], dim=1)


def _viewed_apart(x, h, W_x, W_h, b):
    return torch.cat(_states(x, h, W_x, W_h, b)).view(x.shape[0], x.shape[1], -1)


def _without_tanh(x, h, W_x, W_h, b):
    states = []
    for x_t in x.unbind(dim=1):
        h = x_t @ W_x.T + h @ W_h.T + b
        states.append(h)
    return torch.stack(states, dim=1)


def _over_the_batch(x, h, W_x, W_h, b):
    states = []
    for x_t in x:
        h = torch.tanh(x_t @ W_x.T + h @ W_h.T + b)
        states.append(h)
    return torch.stack(states, dim=1)


UNROLL = Exercise(
    id="01.2",
    title="Unroll the recurrence",
    reference=unroll,
    returns="(B, T, H)",
    without=("nn.RNN", "nn.RNNCell"),
    about=("rnn-recurrence", "rnn-unrolling"),
    hints=(
        "A loop over time: at step t all sequences of the batch read their t-th input at once. x[:, t] is (B, C).",
        "The state of one step is the h of the next. Collect each state in a list before you go on.",
        "torch.stack(states, dim=1) turns T tensors (B, H) into one (B, T, H).",
    ),
    cases=(
        Case("five steps, and a first state that is not zero", _unroll_inputs()),
        Case("more sequences than steps", _unroll_inputs(batch=6, steps=3, inputs=5, hidden=2)),
        Case("a single step", _unroll_inputs(steps=1)),
    ),
    misconceptions=alone(
        (lambda *inputs: _states(*inputs)[-1], "You return the last state only. All T states are wanted, in order."),
        (lambda *inputs: torch.stack(_states(*inputs)),
         "Time stands before the batch: you return T states (B, H), as a list or stacked in front. torch.stack(states, "
         "dim=1) makes (B, T, H)."),
        (lambda *inputs: torch.cat(_states(*inputs), dim=-1),
         "You joined the states with torch.cat, side by side along the features. torch.stack makes a new axis for "
         "time."),
        (lambda x, h, W_x, W_h, b: torch.tanh(x @ W_x.T + (h @ W_h.T).unsqueeze(1) + b),
         "Every step starts from the first h: the new state never becomes the h of the next step."),
        (lambda x, h, W_x, W_h, b: unroll(x, torch.zeros_like(h), W_x, W_h, b),
         "You start from zeros and ignore the h you are given."),
        (_over_the_batch,
         "Your loop runs over the sequences of the batch, not over time. Step through axis 1: x[:, t]."),
        (lambda x, h, W_x, W_h, b: torch.cat([h.unsqueeze(1), unroll(x, h, W_x, W_h, b)], dim=1),
         "You return T + 1 states: the one before the first step is among them. Only those after a step are wanted."),
        (_before_each_step,
         "You store h before the step, so the first h is among your states and the last state is missing. Take the "
         "step first, then append."),
        (lambda x, h, W_x, W_h, b: unroll(x, h, W_x, W_h.T, b),
         "You multiply the state by W_h, not by its transpose. W_h is square, so no error tells you. Write h @ W_h.T."),
        (_without_tanh, "The tanh is missing: each new state is tanh of the sum."),
        (lambda x, h, W_x, W_h, b: unroll(x, h, W_x, W_h, torch.zeros_like(b)), "The bias b is missing."),
        (_viewed_apart,
         "Your reshape mixes the sequences: torch.cat(states) has the whole batch of step 0 first, then that of step "
         "1. torch.stack(states, dim=1) gives each sequence its own states."),
        (lambda x, h, W_x, W_h, b: unroll(x, h, W_x, W_h, b)[:, -1:].expand(-1, x.shape[1], -1),
         "The last state stands at every step: you store one buffer T times and write into it (h[:] = …). Make a new h "
         "at each step: h = torch.tanh(…)."),
    ),
)

# --- 01.3 -----------------------------------------------------------------------------------------------------------

def count_parameters(input_size, hidden_size, num_layers=1, bidirectional=False):
    """Number of weights in nn.RNN(input_size, hidden_size, num_layers, bidirectional=bidirectional).

    Each layer has, for each direction, W_x, W_h and two bias vectors of length hidden_size. A layer above the first
    reads the output of the one below. Returns an int.
    """
    directions = 2 if bidirectional else 1
    total = 0
    for layer in range(num_layers):
        inputs = input_size if layer == 0 else directions * hidden_size
        total += directions * hidden_size * (inputs + hidden_size + 2)
    return total


def _count(input_size, hidden_size, layers=1, two_way=False, biases=2, upper=None):
    """Count with `upper(H, directions)` inputs in upper layers and so many bias vectors."""
    directions = 2 if two_way else 1
    width = directions * hidden_size if upper is None else upper
    inputs = [input_size] + [width] * (layers - 1)
    return sum(directions * hidden_size * (size + hidden_size + biases) for size in inputs)


COUNT_PARAMETERS = Exercise(
    id="01.3",
    title="Count the weights",
    reference=count_parameters,
    without=("nn.RNN", "nn.RNNCell"),
    about=("rnn-variable-length", "bidirectional-rnn"),
    hints=(
        "Start with one layer and one direction: W_x is (H, C), W_h is (H, H), and there are two biases (H,).",
        "What does the second layer read? The first layer's output, so its W_x is not (H, C).",
        "The output of a bidirectional layer is both directions side by side, 2H features. So W_x of an upper layer is "
        "(H, 2H), once for each direction.",
    ),
    cases=(
        Case("one layer", lambda: (3, 5)),
        Case("three layers", lambda: (3, 5, 3)),
        Case("one bidirectional layer", lambda: (3, 5, 1, True)),
        Case("three bidirectional layers", lambda: (4, 7, 3, True)),
    ),
    misconceptions=alone(
        (lambda c, h, n=1, two=False: _count(c, h, n, two, biases=1),
         "You count one bias per layer and direction. PyTorch keeps two, one beside each matrix."),
        (lambda c, h, n=1, two=False: _count(c, h, n, two, biases=0),
         "You count the matrices only; the two bias vectors of each layer and direction are missing."),
        (lambda c, h, n=1, two=False: _count(c, h, n, two, upper=c),
         "Your upper layers read the input again. They read the output of the layer below, which has another size."),
        (lambda c, h, n=1, two=False: _count(c, h, n, two, upper=h),
         "Your upper bidirectional layers read H features, as if the net were just doubled. Below them two directions "
         "lie side by side: 2H."),
        (lambda c, h, n=1, two=False: _count(c, h, n, False),
         "You leave out the second direction: a bidirectional layer has its own weights for each."),
        (lambda c, h, n=1, two=False: _count(c, h, 1, two), "You count the first layer only; num_layers is not used."),
    ),
)

# --- 01.4 -----------------------------------------------------------------------------------------------------------

def last_states(outputs, lengths):
    """The output at the last real step of each sequence of a padded batch.

    outputs: (B, T, H), padding at the end; lengths: (B,) integers from 1 to T. Returns (B, H).
    """
    return outputs[torch.arange(len(lengths)), lengths - 1]


def _padded(lengths, steps, hidden=4, zero_padding=False):
    def make():
        outputs = torch.randn(len(lengths), steps, hidden)
        if zero_padding:
            real = torch.arange(steps) < torch.tensor(lengths).unsqueeze(1)   # (B, T)
            outputs = outputs * real.unsqueeze(-1)
        return outputs, torch.tensor(lengths)
    return make


def _mean_of_the_real_steps(outputs, lengths):
    real = torch.arange(outputs.shape[1]) < lengths.unsqueeze(1)   # (B, T)
    return (outputs * real.unsqueeze(-1)).sum(1) / lengths.unsqueeze(1)


def _gathered(outputs, lengths):
    index = (lengths - 1).view(-1, 1, 1).expand(-1, 1, outputs.shape[2])
    return outputs.gather(1, index)


LAST_STATES = Exercise(
    id="01.4",
    title="The last real state of padded sequences",
    reference=last_states,
    returns="(B, H)",
    about=("padding", "rnn-output-is-state"),
    hints=(
        "Sequence i ends at step lengths[i] - 1. A loop over the batch is a right answer; can it be done without?",
        "Two index tensors of one length walk together: outputs[rows, steps] picks (rows[0], steps[0]), "
        "(rows[1], steps[1]), and so on.",
        "The rows are torch.arange(B), the steps lengths - 1.",
    ),
    cases=(
        Case("lengths that differ", _padded([4, 1, 3], 6)),
        Case("one sequence fills all steps", _padded([2, 6, 5], 6)),
        Case("padding that is zero", _padded([2, 5, 1, 3], 7, hidden=6, zero_padding=True)),
        Case("no padding at all", _padded([5, 5], 5)),
    ),
    misconceptions=alone(
        (lambda outputs, lengths: outputs[:, -1],
         "You take the last step of every row. For a shorter sequence that is padding, not its end."),
        (lambda outputs, lengths: outputs[torch.arange(len(lengths)), lengths],
         "You are one step too far: a sequence of length n ends at step n - 1, and step n is padding or past the end."),
        (lambda outputs, lengths: outputs[:, lengths - 1],
         "Every row gets the end of every sequence: outputs[:, lengths - 1] is (B, B, H). Pair row and step with "
         "torch.arange."),
        (lambda outputs, lengths: outputs[lengths - 1],
         "Your index picks sequences, not steps: the first axis is the batch. Time is axis 1."),
        (_gathered, "Your time axis is still there, with size 1. squeeze(1) removes it."),
        (lambda outputs, lengths: outputs.gather(1, (lengths - 1).view(-1, 1, 1)).squeeze(1),
         "You get the first feature only: gather returns the shape of its index. Expand the index over the features."),
        (_mean_of_the_real_steps,
         "You average over the real steps. Only the last of them is wanted: a recurrent state already sums up those "
         "before."),
    ),
)

# --- 01.5 -----------------------------------------------------------------------------------------------------------

def states_with_truncation(cell, x, h, window):
    """All states of a recurrent net whose gradient reaches back through one window only (truncated BPTT).

    cell: a function, cell(x_t, h) -> h, from (B, C) inputs and (B, H) states to the next (B, H) states;
    x: (B, T, C); h: (B, H) states before the first step; window: number of steps. The gradient is cut before the
    steps window, 2 * window, and so on (the first step is step 0); the values stay what they are without the cuts.
    Returns (B, T, H): the state after each step.
    """
    states = []
    for t in range(x.shape[1]):
        if t > 0 and t % window == 0:
            h = h.detach()
        h = cell(x[:, t], h)                # (B, H)
        states.append(h)
    return torch.stack(states, dim=1)       # (B, T, H)


def _states_and_gradients(answer, cell, x, h, window):
    """States, and gradients with respect to x: of the last state's sum, and of a weighted sum of all states.

    The gradients are zeros where none flows. The weights are random, so that no two states can cancel.
    """
    x = x.clone().requires_grad_()
    states = answer(cell, x, h, window)
    if states is None:
        return None
    if not (isinstance(states, torch.Tensor) and states.requires_grad and states.ndim > 1):
        return states, torch.zeros_like(x), torch.zeros_like(x)
    weights = torch.randn(states.shape, generator=torch.Generator().manual_seed(1))
    sums = states[..., -1, :].sum(), (weights * states).sum()
    return states, *(
        torch.autograd.grad(sum_, x, retain_graph=True, allow_unused=True, materialize_grads=True)[0] for sum_ in sums)


def _truncation_inputs(steps, window, batch=2, inputs=3, hidden=4):
    def make():
        W_x, W_h, b = _weights(inputs, hidden)

        def cell(x_t, h):
            return torch.tanh(x_t @ W_x.T + h @ W_h.T + b)

        return cell, torch.randn(batch, steps, inputs), 0.7 * torch.randn(batch, hidden), window
    return make


def _with_cuts(cell, x, h, cut):
    """States with `h = cut(h, t)` before each step."""
    states = []
    for t in range(x.shape[1]):
        h = cell(x[:, t], cut(h, t))
        states.append(h)
    return torch.stack(states, dim=1)


def _cut_where(condition):
    """A misconception that detaches before the steps t for which condition(t, T, window)."""
    def answer(cell, x, h, window):
        return _with_cuts(cell, x, h, lambda h, t: h.detach() if condition(t, x.shape[1], window) else h)
    return answer


def _restart_from_zero(cell, x, h, window):
    return _with_cuts(cell, x, h, lambda h, t: torch.zeros_like(h) if t > 0 and t % window == 0 else h)


def _cut_the_stored_state(cell, x, h, window):
    states = []
    for t in range(x.shape[1]):
        h = cell(x[:, t], h)
        if (t + 1) % window == 0:
            h = h.detach()
        states.append(h)
    return torch.stack(states, dim=1)


def _cut_in_place(cell, x, h, window):
    return _with_cuts(cell, x, h, lambda h, t: h.detach_() if t > 0 and t % window == 0 else h)


def _cut_the_inputs(cell, x, h, window):
    states = []
    for t in range(x.shape[1]):
        if t > 0 and t % window == 0:
            x = x.detach()
        h = cell(x[:, t], h)
        states.append(h)
    return torch.stack(states, dim=1)


def _without_any_gradient(cell, x, h, window):
    with torch.no_grad():
        return _with_cuts(cell, x, h, lambda h, t: h)


STATES_WITH_TRUNCATION = Exercise(
    id="01.5",
    title="Truncate the backward pass",
    reference=states_with_truncation,
    returns=("the states (B, T, H)", "the gradient of the last state with respect to x (B, T, C)",
             "the gradient of all states with respect to x (B, T, C)"),
    run=_states_and_gradients,
    about=("rnn-unrolling",),
    hints=(
        "Write the unrolled loop first: call the cell, append, stack. It gives the right values, and a gradient "
        "that reaches back too far.",
        "h.detach() has the same numbers as h and no history: no gradient goes further back.",
        "Detach before the step, at t = window, 2 * window and so on. What is t % window there? And at t = 0?",
    ),
    cases=(
        Case("seven steps, window 3", _truncation_inputs(7, 3)),
        Case("six steps, window 3", _truncation_inputs(6, 3)),
        Case("eight steps, window 3", _truncation_inputs(8, 3)),
        Case("window 1: no gradient from step to step", _truncation_inputs(5, 1, batch=4, inputs=6, hidden=3)),
        Case("a window longer than the sequence: no cut at all", _truncation_inputs(5, 9)),
    ),
    misconceptions=alone(
        (_cut_where(lambda t, steps, window: False),
         "You never cut: the values are right, but the gradient reaches back to the first step. h.detach() alone "
         "changes nothing; write h = h.detach()."),
        (_cut_where(lambda t, steps, window: True),
         "You detach before every step, so no gradient passes from step to step. Cut only where a window begins."),
        (_restart_from_zero,
         "You set the state to zero where a window begins. That forgets the past itself; detach() keeps the numbers "
         "and drops only their history."),
        (_cut_the_stored_state,
         "You detach the state of a window's last step and store the detached one, so no gradient leaves that step at "
         "all. Store it first, or detach before the next step."),
        (_without_any_gradient,
         "No gradient reaches x at all: your states are made under torch.no_grad(), are all detached, or have left "
         "torch; or you detached x instead of h."),
        (_cut_the_inputs,
         "You detach x instead of h: the later inputs get no gradient, and through h it still reaches back to the "
         "first step. Write h = h.detach()."),
        (_cut_in_place,
         "You detach a state that is already stored: detach_() changes that state itself, so no gradient leaves it. h "
         "= h.detach() makes a new one."),
        (_cut_where(lambda t, steps, window: (t + 1) % window == 0),
         "Your cuts come one step too early: the windows start at 0, window, 2 * window and so on, where t % window == "
         "0."),
        (_cut_where(lambda t, steps, window: t == window),
         "You cut only once, before step window. Longer sequences need a cut before every further window too."),
        (_cut_where(lambda t, steps, window: t == steps - window),
         "You count the window from the end of the sequence. The windows are counted from its beginning."),
    ),
)

# --- 01.6 -----------------------------------------------------------------------------------------------------------

def next_token_pairs(ids, window):
    """Cut a text into training pairs for next-token prediction.

    ids: (T,) integers; window: tokens per pair. The inputs are consecutive windows that do not overlap; the target of
    each token is the one after it in the text. What does not fill a window, targets included, is dropped.
    Returns (inputs, targets), each (windows, window).
    """
    count = (len(ids) - 1) // window                             # the last token of all has no target
    inputs = ids[: count * window].reshape(count, window)        # (windows, window)
    targets = ids[1 : count * window + 1].reshape(count, window)
    return inputs, targets


def _text(length, window):
    return lambda: (torch.randint(0, 50, (length,)), window)


def _overlapping(ids, window):
    windows = ids.unfold(0, window, 1)   # (T - window + 1, window)
    return windows[:-1], windows[1:]


def _shifted_inside_chunks(ids, window):
    chunks = ids[: len(ids) // window * window].reshape(-1, window)
    return chunks[:, :-1], chunks[:, 1:]


def _without_room_for_the_last_target(ids, window):
    count = len(ids) // window
    return ids[: count * window].reshape(count, window), ids[1 : count * window + 1].reshape(count, window)


def _previous_as_target(ids, window):
    inputs, targets = next_token_pairs(ids, window)
    return targets, inputs


def _down_the_columns(ids, window):
    inputs, targets = next_token_pairs(ids, window)
    count = len(inputs)
    return inputs.reshape(window, count).T, targets.reshape(window, count).T


NEXT_TOKEN_PAIRS = Exercise(
    id="01.6",
    title="Cut a text into training pairs",
    reference=next_token_pairs,
    returns=("inputs (windows, window)", "targets (windows, window)"),
    about=("rnn-language-model",),
    hints=(
        "For ids 0 1 2 3 4 5 6 and window 3 the inputs are [0 1 2] and [3 4 5], the targets [1 2 3] and [4 5 6].",
        "How many windows fit if every token needs one after it? The last token of the text has none.",
        "Take windows * window tokens from position 0 for the inputs and as many from position 1 for the targets; "
        "reshape both to (windows, window).",
    ),
    cases=(
        Case("eleven tokens, window 3", _text(11, 3)),
        Case("twelve tokens, window 3: the fourth window would lack its last target", _text(12, 3)),
        Case("twenty-one tokens, window 4: everything is used", _text(21, 4)),
    ),
    misconceptions=alone(
        (lambda ids, window: (next_token_pairs(ids, window)[0],) * 2,
         "Your targets equal your inputs. The target of a token is the one after it: shift by one."),
        (lambda ids, window: (next_token_pairs(ids, window)[0], next_token_pairs(ids, window)[0].roll(-1, dims=1)),
         "You rolled each window: its last target is its own first token. Take the targets from the text, shifted by "
         "one, not from the window."),
        (lambda ids, window: list(zip(*next_token_pairs(ids, window), strict=True)),
         "You return a list of (input, target) pairs. Two tensors are wanted: all inputs in one, all targets in the "
         "other."),
        (_overlapping,
         "Your windows overlap: each starts one token after the one before. The next should start where the last one "
         "ends."),
        (_without_room_for_the_last_target,
         "You count len(ids) // window windows. The last token of all has no target, so one token fewer can be used: "
         "(len(ids) - 1) // window."),
        (_shifted_inside_chunks,
         "You shift inside each window, so a token is lost at every end and pairs have window - 1 tokens. Shift the "
         "text, then cut it."),
        (_previous_as_target,
         "Your shift goes the wrong way: each target is the token before its input. The model would learn to look "
         "back."),
        (_down_the_columns,
         "Your text runs down the columns. Row by row is wanted: one window of consecutive tokens in each row."),
    ),
)

# --- 01.7 -----------------------------------------------------------------------------------------------------------

def clip_by_global_norm(gradients, max_norm):
    """Shorten gradients that are too long together, without turning them.

    gradients: list of tensors of any shapes; max_norm: the largest norm allowed for all their numbers as one vector.
    Returns a list of new tensors: all multiplied by one common factor if their norm exceeds max_norm, else equal.
    """
    norm = sum((gradient ** 2).sum() for gradient in gradients).sqrt()
    factor = max_norm / norm if norm > max_norm else 1.0
    return [gradient * factor for gradient in gradients]


def _gradients(scale):
    return lambda: ([scale * torch.randn(4, 3), 3 * scale * torch.randn(4), scale * torch.randn(2, 1, 2)], 2.5)


def _global_norm(gradients):
    return torch.cat([gradient.flatten() for gradient in gradients]).norm()


def _each_by_its_own_norm(gradients, max_norm):
    return [g * max_norm / g.norm() if g.norm() > max_norm else g for g in gradients]


def _scaled_where_longer(gradients, max_norm, length):
    """Scale by max_norm / length where that length exceeds max_norm."""
    return [g * (max_norm / length if length > max_norm else 1.0) for g in gradients]


def _scaled_inside_the_loop(gradients, max_norm):
    clipped = []
    for position, gradient in enumerate(gradients, start=1):
        clipped += _scaled_where_longer([gradient], max_norm, _global_norm(gradients[:position]))
    return clipped


CLIP_BY_GLOBAL_NORM = Exercise(
    id="01.7",
    title="Clip gradients by their global norm",
    reference=clip_by_global_norm,
    returns="gradients",
    without=("nn.utils.clip_grad_norm_",),
    about=("gradient-clipping", "exploding-gradient"),
    hints=(
        "Think of all numbers of all tensors as one long vector. Its norm is the root of the sum of all squares.",
        "One factor for all tensors keeps the direction. Which factor makes a norm of 10 a norm of 2.5, and which one "
        "should a norm of 1 get?",
        "Sum (gradient ** 2).sum() over the tensors and take the root. Scale by max_norm / norm only where that norm "
        "is larger than max_norm.",
    ),
    cases=(
        Case("a norm above max_norm", _gradients(2.0)),
        Case("a norm below max_norm", _gradients(0.1), "Gradients that are short enough stay as they are."),
        Case("each tensor below max_norm, all together above", lambda: ([torch.full((3, 2), 0.9), torch.ones(5)], 2.8)),
        Case("gradients that are all zero", lambda: ([torch.zeros(3, 2), torch.zeros(4)], 2.5),
             "Their norm is 0, and 2.5 / 0 must not be taken."),
    ),
    misconceptions=alone(
        (_each_by_its_own_norm,
         "You clip each tensor by its own norm. That turns the step into another direction; all tensors need one "
         "common factor."),
        (lambda gradients, max_norm: [g.clamp(-max_norm, max_norm) for g in gradients],
         "You cut every number on its own (clipping by value). That turns the direction; one common factor keeps it."),
        (lambda gradients, max_norm: [g * (max_norm / _global_norm(gradients)) for g in gradients],
         "You always scale to max_norm, so short gradients grow and zero ones become NaN. Scale only where the norm is "
         "larger than max_norm."),
        (lambda gradients, max_norm: _scaled_where_longer(gradients, max_norm, _global_norm(gradients) ** 2),
         "You forgot the root: your norm is the sum of the squares."),
        (lambda gradients, max_norm: [
             g * max(1.0, float(_global_norm(gradients) / max_norm)) for g in gradients],
         "Your factor is upside down, so long gradients get longer. It is max_norm / norm."),
        (_scaled_inside_the_loop,
         "You scale in the loop that still adds up the norm, so the first tensors get the norm of a part. Finish the "
         "norm first, then scale in a second loop."),
        (lambda gradients, max_norm: _scaled_where_longer(gradients, max_norm, sum(g.norm() for g in gradients)),
         "You add the norms of the tensors. The global norm is the root of the sum of their squares, which is "
         "smaller."),
        (lambda gradients, max_norm: _scaled_where_longer(gradients, max_norm, max(g.norm() for g in gradients)),
         "You compare the longest single tensor with max_norm. Count all tensors as one long vector."),
        (lambda gradients, max_norm: _scaled_where_longer(
             gradients, max_norm, sum(g.abs().sum() for g in gradients)),
         "You add absolute values (the 1-norm). The norm meant here is the root of the sum of the squares."),
        (lambda gradients, max_norm: _scaled_where_longer(
             gradients, 1.0, _global_norm(gradients)) if _global_norm(gradients) > max_norm else gradients,
         "You scale to norm 1. Divide by the norm and multiply by max_norm."),
    ),
)

# --- 01.8 -----------------------------------------------------------------------------------------------------------

def may_read_backwards(task):
    """May a bidirectional net be used for this task?

    task is one of:
        "label each word of a finished sentence"
        "predict the next character"
        "live captions"
        "is this film review positive?"
        "translate live speech"
        "fill a gap in an old manuscript"
        "write down a recorded lecture"
        "warn of a failing machine, every second"
    Returns True where the whole input is there before any output is needed, else False.
    """
    return task in {
        "label each word of a finished sentence",
        "is this film review positive?",
        "fill a gap in an old manuscript",
        "write down a recorded lecture",
    }


TASKS = {
    "label each word of a finished sentence": "The whole sentence is there before the first label is needed.",
    "predict the next character": "What follows is the answer itself: a net that reads it has nothing left to predict.",
    "live captions": "They appear while the speaker talks; the words to come do not exist yet.",
    "is this film review positive?": "The review is complete, and one answer is given after all of it.",
    "translate live speech": "The translation starts before the speaker has ended; what follows cannot be read.",
    "fill a gap in an old manuscript": "The text after the gap is there to be read; only the gap is missing.",
    "write down a recorded lecture": "A recording is complete. Speech alone does not forbid a look ahead.",
    "warn of a failing machine, every second": "A warning is needed now, and the measurements of the next second "
                                               "are not there yet.",
}


def _task(task):
    return Case(f'the task "{task}"', lambda: (task,), TASKS[task])


MAY_READ_BACKWARDS = Exercise(
    id="01.8",
    title="Where a bidirectional net may be used",
    reference=may_read_backwards,
    about=("bidirectional-rnn",),
    hints=(
        "The backward direction starts at the last input. Is that input there when the first output is needed?",
        "Do not ask whether the input is speech or text, but when it ends. And for one of the tasks: what would the "
        "net read if it read backwards?",
    ),
    cases=tuple(_task(task) for task in TASKS),
    misconceptions=alone(
        (lambda task: True,
         "You allow it everywhere. Where outputs are needed while the input still arrives, there is no end to start "
         "from."),
        (lambda task: False,
         "You forbid it everywhere. Where the whole input is there first, both directions may be read."),
        (lambda task: not may_read_backwards(task),
         "Your True and False are exchanged: True means that reading backwards is allowed."),
        (lambda task: may_read_backwards(task) or task == "predict the next character",
         "You allow it for the next character. A net that reads backwards has already seen that character: the loss "
         "would be low and the net useless."),
        (lambda task: task == "is this film review positive?",
         "You allow it only for one answer per text. With one output per word it is allowed too, once the whole text "
         "is there."),
        (lambda task: may_read_backwards(task) and "lecture" not in task,
         "You forbid it for the recorded lecture. It is speech, but not live: its end is there before the work "
         "begins."),
        (lambda task: may_read_backwards(task) and "gap" not in task,
         "You forbid it for the gap. Only the gap's own letters are unknown; those behind it may be read."),
    ),
)

EXERCISES = [
    RECURRENT_STEP, UNROLL, COUNT_PARAMETERS, LAST_STATES, STATES_WITH_TRUNCATION, NEXT_TOKEN_PAIRS,
    CLIP_BY_GLOBAL_NORM, MAY_READ_BACKWARDS,
]

# --- quizzes --------------------------------------------------------------------------------------------------------

QUIZZES = {
    "01-opening": [
        Question(
            "A batch `x` has shape (32, 10), a weight matrix `W` has shape (20, 10). Which product has shape (32, 20)?",
            (
                Choice("`x @ W`", "The inner sizes do not fit: 10 columns of x meet 20 rows of W."),
                Choice("`W @ x.T`", "It fits, but gives (20, 32): the batch has become the columns."),
                Choice("`x @ W.T`",
                       "(32, 10) @ (10, 20) is (32, 20). One row per example stays one row.", correct=True),
                Choice("`x.T @ W`", "x.T is (10, 32), and its 32 columns do not fit the 20 rows of W."),
            ),
            about=("tensor-shapes",),
        ),
        Question(
            "Ten functions are applied one after the other, and each has slope 0.5 where it is used. What is the "
            "slope of the whole?",
            (
                Choice("0.5¹⁰ ≈ 0.001",
                       "By the chain rule slopes multiply. Keep the number in mind for this chapter.", correct=True),
                Choice("10 · 0.5 = 5",
                       "Slopes of functions that are added would add. One after the other, they multiply."),
                Choice("0.5", "The average slope is 0.5, but the chain rule multiplies all ten."),
                Choice("It cannot be known without the functions",
                       "The chain rule needs the slopes at the points used, and they are given."),
            ),
            about=("gradient",),
        ),
        Question(
            "The logits are not all equal. Each is multiplied by 3 before the softmax. What happens to the "
            "probabilities?",
            (
                Choice("They stay the same",
                       "Adding a number to all logits changes nothing. A factor changes their differences."),
                Choice("They become more even", "That is what a factor below 1 does: it shrinks the differences."),
                Choice("Each is multiplied by 3", "Then they would no longer sum to 1."),
                Choice("The largest probability grows",
                       "The differences triple, so the distribution becomes sharper.", correct=True),
            ),
            about=("logits", "softmax"),
        ),
        Question(
            "A classifier gets only the counts of the words in a sentence. What does it say about \"dog bites "
            "man\" and \"man bites dog\"?",
            (
                Choice("Different things, if it is deep enough",
                       "Depth does not help: the input of both is the same list of counts."),
                Choice("The same about both",
                       "Counts do not know the order. A recurrent network reads it.", correct=True),
                Choice("Different things, once it is trained on both",
                       "One input cannot be trained to give two outputs."),
            ),
            about=("sequential-data",),
        ),
        Question(
            "A network reads a text one character at a time. The text becomes twice as long. How many weights "
            "does the network need now? (A guess is fine.)",
            (
                Choice("Twice as many",
                       "So it would be for a layer with a weight per position. Reading step by step can use the same "
                       "weights again."),
                Choice("Four times as many",
                       "Four times as many pairs of positions, yes, but a step reads one character and one state."),
                Choice("As many as before",
                       "Every step uses the same weights. The work doubles, the model does not grow.", correct=True),
                Choice("It cannot read it: the length is fixed",
                       "For a plain multi-layer network that is so. Here each step is alike, so there may be any "
                       "number."),
            ),
            about=("rnn-variable-length",),
        ),
    ],
    "01-closing": [
        Question(
            "`outputs, h_n = nn.RNN(8, 16, batch_first=True)(x)`. What is `outputs[:, -1]`?",
            (
                Choice("The logits for the next token",
                       "The layer knows no vocabulary: a linear layer of your own makes logits of its outputs."),
                Choice("The same numbers as `h_n[0]`",
                       "A plain RNN's output is its hidden state, and h_n is the last one.", correct=True),
                Choice("`h_n[0]` times an output matrix",
                       "There is no weight between state and output in nn.RNN. The output is the state."),
                Choice("The mean of all states", "Nothing is averaged: outputs has one state for each step."),
            ),
            about=("rnn-output-is-state", "hidden-state"),
        ),
        Question(
            "W_h is used at every one of T steps. What is its gradient?",
            (
                Choice("That of the last step",
                       "The loss depends on W_h through every step, so earlier uses count too."),
                Choice("One gradient per step: T matrices", "There is one matrix W_h, so its gradient is one matrix."),
                Choice("The product over the steps",
                       "Along one path slopes multiply. The contributions of different uses are added."),
                Choice("The sum over the steps",
                       "Each use contributes, and contributions to one weight add up.", correct=True),
            ),
            about=("rnn-unrolling",),
        ),
        Question(
            "The largest singular value of W_h, the most that W_h can stretch a vector, is 0.5. At most how much of a "
            "gradient is left after 20 steps back?",
            (
                Choice("About 0.000001 of it",
                       "0.5²⁰ ≈ 10⁻⁶, and tanh, whose slope is at most 1, can only take more away.", correct=True),
                Choice("0.5 of it", "The factor comes in anew at every step."),
                Choice("A twentieth of 0.5", "The factors multiply; nothing is divided by the number of steps."),
                Choice("Anything: it depends on the inputs",
                       "The inputs change the slope of tanh, but it is never above 1. The bound holds for all inputs."),
            ),
            about=("vanishing-gradient",),
        ),
        Question(
            "An RNN without tanh: all eigenvalues of W_h are smaller than 1 in size, and its largest singular value, "
            "the most that W_h can stretch a vector, is 5. Can a gradient grow on its way back?",
            (
                Choice("No, never", "Eigenvalues rule the long run. Before that a matrix may stretch some directions."),
                Choice("Yes, and it keeps growing with the distance",
                       "In the long run the powers of such a matrix go to zero."),
                Choice("Yes, for a number of steps",
                       "A matrix that can stretch some vector may stretch first and shrink later.", correct=True),
            ),
            about=("exploding-gradient", "spectral-radius"),
        ),
        Question(
            "The gradients of all weights together have norm 10. You clip them to norm 2. What happens?",
            (
                Choice("Numbers above 2 are set to 2",
                       "That is clipping by value. It turns the direction of the step."),
                Choice("Every gradient is divided by 5",
                       "One factor for all. The step is shorter and points the same way.", correct=True),
                Choice("Each weight's gradient gets norm 2",
                       "Norm 2 is for all of them together. One norm for each would turn the direction."),
                Choice("This step is left out", "The step is taken, only shorter."),
            ),
            about=("gradient-clipping",),
        ),
        Question(
            "You train with truncated BPTT and windows of 35 steps, and hand the state on. What is lost?",
            (
                Choice("At the start of a window the net remembers nothing",
                       "The state is handed on with its numbers. `detach()` drops only its history."),
                Choice("Texts longer than 35 characters cannot be read",
                       "Any length can be read: reading needs no backward pass."),
                Choice("The forward pass gets less exact",
                       "The values are the same to the last digit. Only the gradient is cut."),
                Choice("The reach of the gradient beyond one window",
                       "The net may still remember for longer, but no gradient ever asks for it.", correct=True),
            ),
            about=("rnn-unrolling",),
        ),
        Question(
            "A bidirectional net learns to predict the next character. Its training loss is nearly 0, its samples"
            " are nonsense. Why?",
            (
                Choice("Its backward half has read the answer",
                       "The backward state at step t has already read character t + 1. While sampling, that character "
                       "is not there.", correct=True),
                Choice("It has twice the weights and overfits",
                       "Overfitting would show on new text. Here the loss is nearly 0 there too, since the answer is "
                       "in the input."),
                Choice("Sampling needs a lower temperature",
                       "No temperature helps a model that waits for a character it will not get."),
            ),
            about=("bidirectional-rnn",),
        ),
        Question(
            "One sequence of 1,000 steps runs through an RNN with a small hidden state. Your machine gets ten times as "
            "many cores. How much faster is it done?",
            (
                Choice("About 10 times as fast",
                       "For that the steps would have to be independent. Each needs the state before it."),
                Choice("About 1,000 times as fast: all steps at once",
                       "Training batches run side by side; the steps of one sequence cannot."),
                Choice("Hardly faster at all",
                       "Step t waits for step t - 1. Only the small product inside a step can be shared "
                       "out.", correct=True),
                Choice("About 10 times as fast, if the batch is larger",
                       "A larger batch uses the cores, but each sequence still takes 1,000 steps one after the other."),
            ),
            about=("sequential-bottleneck",),
        ),
        Question(
            "A character model has a cross-entropy of 1.39 nats per character. What does its perplexity of 4 say?",
            (
                Choice("It is right once in four characters",
                       "It may be right more or less often: perplexity rates probabilities, not hits."),
                Choice("It is as unsure as among 4 equal choices",
                       "Its perplexity is e^1.39 ≈ 4, that of an even choice among 4.", correct=True),
                Choice("It needs 4 bits for each character", "1.39 nats are 1.39 / ln 2 = 2 bits."),
                Choice("It knows 4 characters of context",
                       "Perplexity says nothing about how far back the model looks."),
            ),
            about=("rnn-language-model", "perplexity"),
        ),
        Question(
            "With one learning rate, an RNN fails to recall a symbol over a gap of 40 steps, for three seeds. "
            "What has been shown?",
            (
                Choice("An RNN cannot hold a symbol for 40 steps",
                       "There are weights that do. Whether training finds them is another question."),
                Choice("The state is too small for 40 symbols",
                       "It need not hold 40 symbols, only the first one, and a small state can hold that."),
                Choice("Nothing: a failure cannot show anything",
                       "It shows that this training does not get there. It does not show that none would."),
                Choice("This training finds no weights that recall it",
                       "Other learning rates have to be tried before the architecture is blamed.", correct=True),
            ),
            about=("long-range-dependence",),
        ),
        Question(
            "On new text, counting pairs of characters has perplexity 14 and counting triples 8. Your RNN, trained "
            "on the same text, reaches 13. What does this say?",
            (
                Choice("It learned a lot: a blind guess among 90 characters has 90",
                       "Against no knowledge at all anything looks good. Counting pairs takes one line and does as "
                       "well."),
                Choice("It uses little more than the last character",
                       "It is hardly better than the count that knows one character of the past, and far from the one "
                       "that knows two.", correct=True),
                Choice("It remembers far back: it has no fixed number of steps",
                       "An RNN could look further back than a count. The number says that this one does not."),
                Choice("It has overfitted: it is worse than counting",
                       "Overfitting is a gap between training text and new text, and only new text was measured here."),
            ),
            about=("baseline", "rnn-language-model"),
        ),
    ],
}
