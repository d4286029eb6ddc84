"""The race of a GRU and two attentions: what runs is what is said, and the recording is whole."""

import time

import torch

from course_utils.recordings import recorded, sequence_cost
from course_utils.recordings.sequence_cost import SETTINGS, measure, sequence_layers


def test_both_attentions_compute_the_same_and_all_three_keep_the_shape():
    torch.manual_seed(0)
    layers, x = sequence_layers(d_model=12, n_heads=3), torch.randn(2, 7, 12)
    results = {name: layer(x) for name, layer in layers.items()}
    assert all(result.shape == x.shape for result in results.values())
    torch.testing.assert_close(results["explicit attention"], results["fused attention"], rtol=1e-5, atol=1e-5)


def test_each_layer_is_asked_forward_and_backward_as_often_as_said(monkeypatch):
    calls = []
    monkeypatch.setattr(sequence_cost, "forward_and_backward", lambda layer, x: calls.append(tuple(x.shape)))
    monkeypatch.setattr(time, "perf_counter", lambda: len(calls) ** 2 / 1000)      # the n-th call takes 2n - 1 ms
    found = measure([3, 5], rounds=3)
    B, C = SETTINGS["batch_size"], SETTINGS["d_model"]
    assert calls == [(B, 3, C)] * 12 + [(B, 5, C)] * 12          # three layers: one run to warm up, three rounds
    wanted = {"GRU": [13, 37], "explicit attention": [15, 39], "fused attention": [17, 41]}     # of the second rounds
    assert {name: [round(ms, 6) for ms in row] for name, row in found.items()} == wanted


def test_a_run_reaches_the_input():
    x = torch.randn(2, 4, SETTINGS["d_model"], requires_grad=True)
    for layer in sequence_layers().values():
        x.grad = None
        sequence_cost.forward_and_backward(layer, x)
        assert x.grad is not None and x.grad.abs().sum() > 0


def test_the_recording_has_every_length():
    times = recorded("sequence_cost")["results"]["milliseconds"]
    assert list(times) == list(sequence_layers())
    assert all(len(row) == len(SETTINGS["lengths"]) and min(row) > 0 for row in times.values())
