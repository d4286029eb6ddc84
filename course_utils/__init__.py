"""Recurrence to Attention: the package behind the notebooks. Importing it loads neither torch nor matplotlib."""

__version__ = "0.1.0"


def set_up(threads=1):
    """Prepare a notebook: fix torch's threads, show figures as PNG, choose the device.

    A fixed number of threads makes the same seed give the same numbers on the next run; more threads would
    change the order of additions and with it the last digits. One is the default: for the small models of the course
    a second thread brings nothing (measured), and with other programs running it costs much.

    threads: number of CPU threads for one operation.
    Returns the torch.device to train on: CUDA where there is some, else the CPU (`COURSE_DEVICE` overrides).
    """
    from course_utils import figures, training

    figures.register_png()
    return training.prepare(threads)
