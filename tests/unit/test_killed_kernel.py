"""A kernel that dies in the middle of training: nothing the learner achieved is lost, and the next start works."""

import json
import os
import queue
import signal

import pytest
from jupyter_client.manager import KernelManager

TRAINING = """
import torch
from torch import nn
import course_utils
from course_utils.exercises import check
from course_utils.training import train

course_utils.set_up()
def recurrent_step(x, h, W_x, W_h, b):
    return torch.tanh(x @ W_x.T + h @ W_h.T + b)
check("01.1", recurrent_step)

weight = nn.Parameter(torch.tensor(1.0))
def loss_at(step):
    if step == 20:
        print("in the middle of training", flush=True)
    return weight ** 2
train(nn.ParameterList([weight]), STEPS, loss_at, torch.optim.SGD([weight], lr=0.01))
print("training ended", flush=True)
"""


class Kernel:
    """A real IPython kernel, as JupyterLab starts it."""

    def __init__(self, environment):
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(env=environment)
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run_until(self, code, text):
        """Run code and wait until it has printed `text`; what it printed so far."""
        self.client.execute(code)
        printed = ""
        while text not in printed:
            try:
                message = self.client.get_iopub_msg(timeout=60)
            except queue.Empty:
                raise AssertionError(f"{text!r} was not printed; there is only {printed!r}") from None
            assert message["msg_type"] != "error", message["content"]
            printed += message["content"].get("text", "")
        return printed

    def stop(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture
def kernels(tmp_path):
    environment = os.environ | {"COURSE_PROGRESS": str(tmp_path / "progress.json"), "COURSE_DEVICE": "cpu"}
    started = []

    def start():
        started.append(Kernel(environment))
        return started[-1]

    yield start
    for kernel in started:
        kernel.stop()


def test_a_kernel_killed_while_training_loses_nothing(kernels, tmp_path):
    kernel = kernels()
    kernel.run_until(TRAINING.replace("STEPS", "10**9"), "in the middle of training")
    os.kill(kernel.manager.provisioner.pid, signal.SIGKILL)
    kernel.manager.provisioner.process.wait(timeout=30)

    assert list(json.loads((tmp_path / "progress.json").read_text(encoding="utf-8"))), "progress is whole"
    printed = kernels().run_until(
        "from course_utils.progress import Progress\nprint('passed before:', Progress().passed('01.1'))\n"
        + TRAINING.replace("STEPS", "50"),
        "training ended",
    )
    assert "passed before: True" in printed
