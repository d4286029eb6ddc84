"""The training loop, decoding and set-up."""

import itertools
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


@pytest.mark.parametrize(("d_model", "warmup", "message"), [
    (0, 10, "d_model=0 must be a whole number of at least 1"),
    (64, 0, "warmup=0 must be a whole number of at least 1"),
    (64, -3, "warmup=-3 must be"),
    (64, 2.5, "warmup=2.5 must be"),
])
def test_a_schedule_needs_sizes_of_at_least_one(d_model, warmup, message):
    with pytest.raises(ValueError, match=message) as error:
        training.warmup_then_inverse_sqrt(d_model, warmup)
    assert "\n" not in str(error.value)


def test_the_papers_schedule_rises_straight_and_falls_slower():
    rate = training.warmup_then_inverse_sqrt(d_model=64, warmup=10)
    rates = [rate(step) for step in range(100)]
    rises = [after - before for before, after in itertools.pairwise(rates[:10])]
    assert max(rises) - min(rises) < 1e-9 < rises[0]
    assert rates[9:] == sorted(rates[9:], reverse=True) and rates[0] > 0
    assert abs(rates[39] / rates[9] - 0.5) < 1e-9, "four times as late, half the rate"


@pytest.mark.parametrize("smoothing", [-0.1, 1.1, float("nan")])
def test_smoothing_is_a_part_of_the_whole(smoothing):
    with pytest.raises(ValueError, match=r"smoothing=.* is not between 0 and 1") as error:
        training.smoothed_cross_entropy(torch.zeros(2, 5), torch.tensor([1, 2]), smoothing)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("targets", [torch.tensor([1]), torch.tensor([[1, 2]]), torch.ones(2, 5, dtype=torch.long)],
                         ids=lambda targets: str(tuple(targets.shape)))
def test_targets_must_have_the_shape_of_the_logits_without_v(targets):
    with pytest.raises(ValueError, match=r"targets \(.*\) do not fit logits \(2, 5\)") as error:
        training.smoothed_cross_entropy(torch.zeros(2, 5), targets)
    assert "\n" not in str(error.value)


def test_a_smoothed_loss_is_smallest_at_the_smoothed_target_and_not_at_certainty():
    V, smoothing = 5, 0.1

    def loss(probability):
        """Of a model that gives the right token this probability and shares the rest out evenly."""
        rest = torch.full((V - 1,), (1 - probability) / (V - 1))
        logits = torch.cat([torch.tensor([probability]), rest]).log()
        return training.smoothed_cross_entropy(logits, torch.tensor(0), smoothing).item()

    best = 1 - smoothing + smoothing / V
    assert loss(best) < min(loss(best - 0.01), loss(best + 0.01))
    assert loss(1 - 1e-6) > loss(best) + 0.5
    plain = training.smoothed_cross_entropy(torch.tensor([0.3, 0.7]).log(), torch.tensor(1), smoothing=0.0)
    assert plain.item() == pytest.approx(-math.log(0.7))


def test_tokens_that_do_not_count_do_not_count():
    torch.manual_seed(0)
    logits, targets = torch.randn(2, 4, 6), torch.tensor([[1, 2, 3, 0], [4, 0, 0, 0]])
    loss = training.smoothed_cross_entropy(logits, targets, ignore_index=0)
    by_hand = [training.smoothed_cross_entropy(logits[row, t], targets[row, t]) for row, t in
               ((0, 0), (0, 1), (0, 2), (1, 0))]
    torch.testing.assert_close(loss, torch.stack(by_hand).mean())      # the mean over real tokens, not over sentences
    changed = logits.clone()
    changed[targets == 0] = 50.0
    torch.testing.assert_close(training.smoothed_cross_entropy(changed, targets, ignore_index=0), loss)


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
