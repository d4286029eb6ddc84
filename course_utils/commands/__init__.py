"""The commands behind `python3 -m course_utils`: one module each, with `add_arguments(parser)` and `run(arguments)`."""


class CommandError(Exception):
    """What went wrong, as one clear sentence for the reader. Shown without a traceback; the command ends with 1."""
