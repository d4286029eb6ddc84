"""Run a reader's code: with a time limit, its printing caught, and the reader's world left as it was."""

import contextlib
import io
import itertools
import linecache
import os
import random
import signal
import sys
import threading
import time
import types
import warnings
from dataclasses import dataclass

import numpy as np
import torch

from course_utils.exercises.comparing import plain
from course_utils.layout import ROOT

SEED = 20170612
LONGEST_ITERATOR = 10_000


class OutOfTime(BaseException):
    """The time limit. Not an `Exception`, so that a reader's `except Exception` does not swallow it."""


@dataclass(frozen=True)
class Outcome:
    """What became of one call.

    value: what came back, as `plain` reads it; error: the exception instead, or None; line, source: the reader's own
    line where it happened (None, "" where there is none, as when the call itself failed); timed_out; limited: whether
    there was a time limit at all; printed: number of lines printed; inputs: the arguments as they were after the call.
    """

    value: object = None
    error: BaseException | None = None
    line: int | None = None
    source: str = ""
    timed_out: bool = False
    limited: bool = True
    printed: int = 0
    inputs: tuple = ()


def run(call, make_inputs, seconds):
    """Call `call(*make_inputs())` in a known world, for at most `seconds`. Returns an Outcome.

    KeyboardInterrupt passes through: it is the reader's Ctrl-C. Off the main thread, and where the system has no
    interval timer, there is no limit.
    """
    printed = _Counter()
    with undisturbed(), _time_limit(seconds) as limit:
        inputs = make_inputs()
        torch.manual_seed(SEED)
        value = error = None
        try:
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                value = _call(call, inputs)
        except KeyboardInterrupt:
            raise
        except BaseException as caught:  # SystemExit and OutOfTime too: neither may end the reader's kernel
            error = caught
    line, source = _own_line(error)
    if error is not None:
        BaseException.with_traceback(error, None)  # frames would keep the reader's tensors alive
    return Outcome(value, error, line, source, limit.fired > 0, limit.possible, printed.lines, inputs)


def _call(call, inputs):
    """The frame by which the time limit recognises that the reader's code is running."""
    return plain(_drained(call(*inputs)))


def _drained(value):
    """A generator's items as a list, drawn here so that they too fall under the limit."""
    if isinstance(value, types.GeneratorType | map | filter | zip):
        return list(itertools.islice(value, LONGEST_ITERATOR))
    if isinstance(value, types.CoroutineType):
        value.close()  # never awaited, on purpose: Python would warn
    return value


class _Counter(io.TextIOBase):
    """A stream that keeps nothing but the number of lines: a loop that prints for ever must not fill the memory."""

    def __init__(self):
        self.ends, self.open = 0, False

    def writable(self):
        return True

    def write(self, text):
        self.ends += text.count("\n")
        if text:
            self.open = not text.endswith("\n")
        return len(text)

    @property
    def lines(self):
        return self.ends + self.open


# --- the time limit -------------------------------------------------------------------------------------------------

class _Limit:
    """State shared by the signal handler and `run`."""

    def __init__(self, possible):
        self.possible, self.fired = possible, 0

    def handle(self, _signal, frame):
        """Raise OutOfTime where the reader's code runs; in the engine's own frames do nothing."""
        if not _inside_call(frame):
            return
        self.fired += 1
        if self.fired > 1:
            _raise_at_next_line(frame)
        raise OutOfTime


def _raise_at_next_line(frame):
    """Raise OutOfTime again at the reader's next line.

    A loop around a bare `except:` swallows every exception raised inside its `try`. The line that runs next stands in
    its handler, and what is raised there leaves the `try` and the loop.
    """
    def tracer(frame, event, _argument):
        if not _inside_call(frame):
            return None
        if event == "line":
            raise OutOfTime  # Python then stops tracing by itself
        return tracer

    while frame.f_code is not _call.__code__:
        frame.f_trace = tracer
        frame = frame.f_back
    sys.settrace(tracer)


def _inside_call(frame):
    while frame is not None:
        if frame.f_code is _call.__code__:
            return True
        frame = frame.f_back
    return False


@contextlib.contextmanager
def _time_limit(seconds):
    """Raise OutOfTime in the reader's code after `seconds`, again and again until it ends. Yields a _Limit."""
    limit = _Limit(hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread())
    if not limit.possible:
        yield limit
        return
    handler = signal.signal(signal.SIGALRM, limit.handle)
    delay, interval = signal.setitimer(signal.ITIMER_REAL, seconds, 0.02)
    started, tracer = time.monotonic(), sys.gettrace()
    try:
        yield limit
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if sys.gettrace() is not tracer:
            sys.settrace(tracer)
        signal.signal(signal.SIGALRM, signal.SIG_DFL if handler is None else handler)
        if delay:  # somebody else's timer was running: it goes on with what is left
            signal.setitimer(signal.ITIMER_REAL, max(delay - (time.monotonic() - started), 0.001), interval)


# --- the reader's world ---------------------------------------------------------------------------------------------

@contextlib.contextmanager
def undisturbed():
    """A known world inside, the reader's own afterwards.

    Covers the random states of torch, numpy and Python, default dtype and device, grad mode, threads, warnings, numpy's
    errors, the recursion limit and memory that nobody filled: a check must not change the numbers of the cells that
    follow it, nor the answer those of the next check.
    """
    torch_state, numpy_state, python_state = torch.get_rng_state(), np.random.get_state(), random.getstate()
    cuda_states = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    dtype, device, threads = torch.get_default_dtype(), torch.get_default_device(), torch.get_num_threads()
    recursion, deterministic = sys.getrecursionlimit(), torch.get_deterministic_debug_mode()
    try:
        torch.set_default_dtype(torch.float32)
        _set_device(torch.device("cpu"))
        # torch.empty then gives NaN. Left as it was found, memory may hold the right numbers of an earlier check.
        torch.set_deterministic_debug_mode("warn")
        _seed_all()
        with torch.inference_mode(False), torch.enable_grad(), warnings.catch_warnings(), np.errstate():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.setrecursionlimit(recursion)
        torch.set_deterministic_debug_mode(deterministic)
        torch.set_rng_state(torch_state)
        np.random.set_state(numpy_state)
        random.setstate(python_state)
        if cuda_states is not None:
            torch.cuda.set_rng_state_all(cuda_states)
        torch.set_default_dtype(dtype)
        _set_device(device)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def _seed_all():
    torch.manual_seed(SEED)
    np.random.seed(SEED % 2**32)
    random.seed(SEED)


def _set_device(device):
    if torch.get_default_device() != device:  # setting it at all slows every later call a little
        torch.set_default_device(device)


# --- the reader's line ----------------------------------------------------------------------------------------------

def _own_line(error):
    """(line number, source line) of the last line of the reader's code that `error` passed through, or (None, "")."""
    line, source = None, ""
    traceback = error.__traceback__ if error is not None else None
    while traceback is not None:
        filename = traceback.tb_frame.f_code.co_filename
        if _is_readers(filename):
            line = traceback.tb_lineno
            source = linecache.getline(filename, line).strip()
        traceback = traceback.tb_next
    return line, source


def _is_readers(filename):
    """False for the course's package, Python's own modules and installed packages."""
    package, standard = str(ROOT / "course_utils"), os.path.dirname(os.__file__)
    return not (filename.startswith((package + os.sep, standard + os.sep, "<frozen")) or "site-packages" in filename)
