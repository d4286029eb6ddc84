"""The training loop, decoding and set-up."""

import math

import pytest
import torch
from torch import nn

from course_utils import training
from course_utils.decoding import sample_recurrent
from course_utils.models.recurrent import RecurrentLanguageModel


def fit(steps=30, **settings):
    torch.manual_seed(0)
    model = nn.Linear(2, 1)
    x = torch.randn(20, 2)
    y = x @ torch.tensor([[1.0], [-2.0]])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return model, training.train(model, steps, lambda step: (model(x) - y).square().mean(), optimizer, **settings)


def test_training_lowers_the_loss_and_remembers_every_step():
    seen = []
    model, history = fit(at={0: lambda: seen.append(0), 30: lambda: seen.append(30)})
    assert history.losses[-1] < history.losses[0] / 10
    assert len(history.losses) == 30 and seen == [0, 30]
    assert not history.interrupted and not model.training


def test_an_interrupt_keeps_what_was_reached(capsys):
    parameter = nn.Parameter(torch.tensor(1.0))

    def loss_at(step):
        if step == 5:
            raise KeyboardInterrupt
        return parameter**2

    optimizer = torch.optim.SGD([parameter], lr=0.1)
    history = training.train(nn.ParameterList([parameter]), 30, loss_at, optimizer)
    assert history.interrupted and len(history.losses) == 5
    assert abs(parameter.item() - 0.8**5) < 1e-6
    assert "stopped after 5 of 30 steps" in capsys.readouterr().out


def test_a_loss_that_is_no_number_stops_with_a_reason():
    weight = nn.Parameter(torch.tensor(1.0))
    with pytest.raises(FloatingPointError, match="at step 0: try a smaller learning rate"):
        training.train(nn.ParameterList([weight]), 3, lambda step: weight * math.inf, torch.optim.SGD([weight], lr=1.0))


def test_clipping_limits_the_step():
    weight = nn.Parameter(torch.tensor(0.0))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    training.train(nn.ParameterList([weight]), 1, lambda step: 100 * weight, optimizer, max_norm=0.5)
    assert abs(weight.item() + 0.5) < 1e-4


def test_the_schedule_rises_then_falls():
    factor = training.warmup_then_cosine(steps=100, warmup=10)
    rates = [factor(step) for step in range(101)]
    assert rates[0] < 0.2 and rates[100] < 1e-6
    top = rates.index(max(rates))
    assert rates[:top] == sorted(rates[:top]) and rates[top:] == sorted(rates[top:], reverse=True)


def test_the_device_can_be_chosen(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "cpu")
    before = torch.get_num_threads()
    assert training.prepare(2) == torch.device("cpu")
    torch.set_num_threads(before)
    monkeypatch.setenv("COURSE_DEVICE", "toaster")
    with pytest.raises(ValueError, match="'toaster' is no device"):
        training.prepare(before)


def test_sampling_follows_its_generator_and_temperature():
    torch.manual_seed(0)
    model = RecurrentLanguageModel(9, 4, 5)

    def sample(seed, temperature):
        return sample_recurrent(model, [1, 2], 40, temperature, torch.Generator().manual_seed(seed))

    assert sample(0, 1.0) == sample(0, 1.0) != sample(1, 1.0)
    assert sample(0, 0) == sample(1, 0), "temperature 0 leaves nothing to chance"
    logits, _ = model(torch.tensor([[1, 2, *sample(0, 0)[:-1]]]))
    assert logits[0, 1:].argmax(-1).tolist() == sample(0, 0), "the carried state equals reading everything again"
    with pytest.raises(ValueError, match="empty"):
        sample_recurrent(model, [], 3)
    with pytest.raises(ValueError, match="negative"):
        sample_recurrent(model, [1], 3, temperature=-1)
