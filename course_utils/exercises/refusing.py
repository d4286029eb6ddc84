"""Exercises whose answer must refuse wrong arguments with a ValueError: how that is compared, and what goes wrong."""

from course_utils.exercises.engine import Misconception


def value_or_refusal(answer, inputs, wrong):
    """The answer's value; where the inputs are wrong, what it does instead of giving one, as text."""
    if not wrong:
        return answer(*inputs)
    try:
        value = answer(*inputs)
    except (ValueError, AssertionError) as error:
        return "raises ValueError" if isinstance(error, ValueError) else "raises AssertionError"
    except Exception as error:
        if type(error) is Exception:
            return "raises Exception"
        raise  # a mistake in the answer's own code is told as such
    if isinstance(value, ValueError):
        return "returns a ValueError"
    return "returns None" if value is None else value


def refusing(unchecked, wrong, error=ValueError):
    """An answer that refuses wrong inputs and else does what `unchecked` does. wrong: called with the inputs."""
    def answer(*inputs):
        if wrong(*inputs):
            raise error("refused")
        return unchecked(*inputs)
    return answer


def _giving(unchecked, wrong, value):
    return lambda *inputs: value if wrong(*inputs) else unchecked(*inputs)


def weak_refusals(right, wrong, what):
    """The misconceptions of an answer whose numbers are right and that refuses wrong inputs in another way.

    right: called with right inputs only; what: the wrong inputs in words, such as "an empty list".
    """
    return (
        Misconception(
            _giving(right, wrong, None),
            f"You return nothing for {what}, so the mistake shows only later, somewhere else. Write raise "
            "ValueError(…): it stops the caller here.",
        ),
        Misconception(
            _giving(right, wrong, ValueError("refused")),
            f"You return the error for {what}. Write raise ValueError(…): only raise stops the caller.",
        ),
        Misconception(
            refusing(right, wrong, Exception),
            f"You raise Exception for {what}, which may mean anything. Write raise ValueError(…): it says that a value "
            "is wrong, and a caller can catch just that.",
        ),
        Misconception(
            refusing(right, wrong, AssertionError),
            f"You refuse {what} by assert. Python can be told to skip assertions (-O), so they are no guard against a "
            "caller's mistake: raise ValueError(…).",
        ),
    )
