"""Chapter 07's recording of cost: whole; the memory is counted right, and grows as the text says."""

import pytest
import torch
from torch import nn

from course_utils.recordings import model_cost, recorded


def test_the_recording_has_every_length_and_kind():
    results = recorded("model_cost")["results"]
    for unit in ("milliseconds", "megabytes"):
        assert list(results[unit]) == list(model_cost.stacks())
        assert {len(values) for values in results[unit].values()} == {len(model_cost.SETTINGS["lengths"])}


def test_what_is_kept_is_counted_once_and_without_weights():
    """exp keeps its result, cos its input, a product both factors: 24 bytes for 6 numbers; a view adds nothing."""
    x = torch.randn(2, 3, requires_grad=True)
    assert model_cost.kept_bytes(torch.exp, x) == 24
    assert model_cost.kept_bytes(lambda x: x.exp() * x.exp().cos(), x) == 3 * 24
    assert model_cost.kept_bytes(lambda x: x.exp().view(3, 2).square(), x) == 24
    assert model_cost.kept_bytes(nn.Linear(3, 4), x) == 0


@pytest.mark.parametrize(("name", "power"), [("GRU", 1), ("Transformer, fused attention", 1),
                                             ("Transformer, explicit attention", 2)])
def test_memory_grows_with_length_as_expected(name, power):
    torch.manual_seed(0)
    layer = model_cost.stacks()[name]
    kept = [model_cost.kept_bytes(layer, torch.randn(2, T, 64, requires_grad=True)) for T in (256, 512, 1024)]
    steps = [(kept[2] - kept[1]) / (kept[1] - kept[0])] if power == 1 else [kept[2] / kept[1]]
    assert 2 ** power * 0.8 < steps[0] < 2 ** power * 1.2
    at = model_cost.SETTINGS["lengths"].index(256)
    recorded_there = recorded("model_cost")["results"]["megabytes"][name][at]
    shared = 8 / 2                                        # the recording has 8 sequences, not 2
    assert kept[0] * shared / 1e6 == pytest.approx(recorded_there, rel=0.05)
