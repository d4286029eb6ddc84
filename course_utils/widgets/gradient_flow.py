"""`GradientFlow`: how much of a loss's gradient reaches an early step of a recurrent net."""

import functools

import numpy as np
import traitlets

from course_utils import figures
from course_utils.widgets.base import CourseWidget, Tensor

ACTIVATIONS = ("tanh", "identity", "relu")
LONGEST = 200
GRID = 2.0**26
INPUT_SPREAD = 0.1                # small, so that it is W_h and not the input that drives tanh into its flat ends


@functools.cache
def network(hidden_size=32, seed=0):
    """The fixed random numbers of the experiment, rounded to float32 so that the browser gets the very same ones.

    Returns a dict: `recurrent` (H, H) normal, scaled to spectral radius 1; `inputs` (LONGEST, H), the term W_x x_t + b
    of every step, normal with spread INPUT_SPREAD; `readout` (H,), a direction of length 1; `eigenvalues` (H, 2), their
    real and imaginary parts.
    """
    random = np.random.default_rng(seed)
    matrix = random.normal(size=(hidden_size, hidden_size))
    matrix = matrix / np.abs(np.linalg.eigvals(matrix)).max()
    inputs = random.normal(scale=INPUT_SPREAD, size=(LONGEST, hidden_size))
    readout = random.normal(size=hidden_size)
    recurrent = matrix.astype(np.float32)
    eigenvalues = np.linalg.eigvals(recurrent.astype(np.float64))
    return {
        "recurrent": recurrent,
        "inputs": inputs.astype(np.float32),
        "readout": (readout / np.linalg.norm(readout)).astype(np.float32),
        "eigenvalues": np.stack([eigenvalues.real, eigenvalues.imag], axis=1).astype(np.float32),
    }


def activate(total, activation):
    """The activation and its slope. total: (H,) -> state (H,), slope (H,)."""
    if activation == "identity":
        return total, np.ones_like(total)
    if activation == "relu":
        return np.maximum(total, 0.0), (total > 0).astype(float)
    # States are rounded to 26 binary digits, finer than float32. A net whose gradient explodes also makes the last
    # digit of a state explode, and without rounding the browser's tanh and numpy's would end in different places.
    state = np.floor(np.tanh(total) * GRID + 0.5) / GRID
    return state, 1.0 - state**2


def norm(vector):
    """Euclidean length. Scaled first, so that squares of numbers below 1e-154 do not turn into zero."""
    largest = np.abs(vector).max()
    return largest * np.sqrt(np.sum((vector / largest) ** 2)) if largest > 0 else 0.0


def gradient_flow(spectral_radius=1.0, length=50, activation="tanh", hidden_size=32, seed=0):
    """The norm of the gradient of the loss with respect to every state of a random recurrent net.

    h_t = act(W_h h_{t-1} + W_x x_t + b) from h_0 = 0, for t = 1 … T. W_h is a fixed random matrix scaled to the given
    spectral radius; the terms W_x x_t + b are fixed random numbers. The loss reads the last state in one fixed random
    direction v of length 1: L = v · h_T, so the gradient at t = T has norm 1.

    spectral_radius: largest absolute eigenvalue of W_h. length: T, 1 to 200. activation: "tanh", "identity", "relu".
    Returns (T,) float64: the norm of dL/dh_t for t = 1 … T.
    Raises ValueError for an unknown activation, or a radius or length out of range.
    """
    check_settings(spectral_radius, length, activation)
    parts = network(hidden_size, seed)
    recurrent = spectral_radius * parts["recurrent"].astype(np.float64)
    state, slopes = np.zeros(hidden_size), []
    for step in range(length):
        state, slope = activate(recurrent @ state + parts["inputs"][step], activation)
        slopes.append(slope)
    gradient, norms = parts["readout"].astype(np.float64), np.empty(length)
    norms[-1] = norm(gradient)
    for step in range(length - 1, 0, -1):
        gradient = recurrent.T @ (slopes[step] * gradient)      # dL/dh_{t-1} = W_hᵀ (act' ⊙ dL/dh_t)
        norms[step - 1] = norm(gradient)
    return norms


def check_settings(spectral_radius, length, activation):
    """Raise ValueError, in one sentence, where a setting makes no sense."""
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation={activation!r} is none of {', '.join(ACTIVATIONS)}")
    if not 0 < spectral_radius <= 10:
        raise ValueError(f"spectral_radius={spectral_radius} is not between 0 and 10")
    if int(length) != length or not 1 <= length <= LONGEST:
        raise ValueError(f"length={length} is not a whole number from 1 to {LONGEST}")


class GradientFlow(CourseWidget):
    """Move spectral radius, length and activation; see how much of the gradient of L = v · h_T reaches every step.

    The same computation as `gradient_flow`, done in the browser, so it also works without a kernel.
    Raises ValueError for settings out of range.
    """

    script = "gradient_flow.js"
    picture_depends_on = ("spectral_radius", "length", "activation")

    spectral_radius = traitlets.Float(1.0).tag(sync=True)
    length = traitlets.Int(50).tag(sync=True)
    activation = traitlets.Enum(ACTIVATIONS, "tanh").tag(sync=True)
    recurrent = Tensor()
    inputs = Tensor()
    readout = Tensor()
    eigenvalues = Tensor()

    def __init__(self, spectral_radius=1.0, length=50, activation="tanh", hidden_size=32, seed=0):
        check_settings(spectral_radius, length, activation)
        if hidden_size < 1 or seed < 0:
            raise ValueError(f"hidden_size={hidden_size} must be at least 1 and seed={seed} not negative")
        if not 0.1 <= spectral_radius <= 2 or length < 2:
            raise ValueError(f"radius {spectral_radius}, length {length}: the sliders go from 0.1 to 2 and 2 to 200")
        self.hidden_size, self.seed = hidden_size, seed
        super().__init__(
            spectral_radius=spectral_radius, length=length, activation=activation, **network(hidden_size, seed)
        )

    @traitlets.validate("spectral_radius", "length", "activation")
    def _fits(self, proposal):
        """A setting out of range is refused when it is made; the last good one stays."""
        settings = {name: getattr(self, name) for name in ("spectral_radius", "length", "activation")}
        try:
            check_settings(**settings | {proposal["trait"].name: proposal["value"]})
        except ValueError as problem:
            raise traitlets.TraitError(str(problem)) from None
        return proposal["value"]

    def summary(self):
        return (
            f"GradientFlow(spectral_radius={self.spectral_radius:g}, length={self.length}, "
            f"activation={self.activation!r}, hidden_size={self.hidden_size})"
        )

    def figure(self):
        norms = gradient_flow(self.spectral_radius, self.length, self.activation, self.hidden_size, self.seed)
        steps = np.arange(1, self.length + 1)
        arrives = f"{norms[0] / norms[-1]:.2g}"
        norms = np.where(norms > 0, norms, np.nan)              # a log axis has no place for zero
        guess = self.spectral_radius ** (self.length - steps.astype(float))
        return figures.curves(
            steps, {"computed": norms, "guess: radius to the power T − t": guess}, logy=True,
            title=f"{self.activation}, ρ = {self.spectral_radius:g}: {arrives} times the last gradient reaches step 1",
            xlabel="step t", ylabel=r"$\|\partial L / \partial h_t\|$",
        )
