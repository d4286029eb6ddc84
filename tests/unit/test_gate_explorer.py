"""GateExplorer's Python side: one run of each cell against torch, what forcing means, and what is refused."""

import functools

import numpy as np
import pytest
import torch
import traitlets
from matplotlib.colors import to_hex
from torch import nn

from course_utils import figures
from course_utils.models.recurrent import (
    GRUCell,
    LSTMCell,
    RNNCell,
    SequenceReader,
    copy_torch_weights,
    scan,
    set_gate_bias,
)
from course_utils.widgets import GateExplorer, gate_run
from course_utils.widgets.gate_explorer import CUE, EXAMPLE, gate_weights, letters, read_symbols, recorded_models

CELLS = {"LSTM": LSTMCell, "GRU": GRUCell, "RNN": RNNCell}
INPUTS = [2, 7, 0, 0, 5, 1, CUE]
SPREAD = 1.5                     # of the weights: the usual ones are so small that all gates stay near a half


def reader(kind, hidden_size=5, seed=0, **options):
    torch.manual_seed(seed)
    model = SequenceReader(CUE + 1, hidden_size, CUE, functools.partial(CELLS[kind], **options))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=SPREAD)
    return model


def run_of(kind, inputs=INPUTS, forced=None, start=1, **options):
    return gate_run(kind, gate_weights(reader(kind, **options))[1], inputs, forced, start)


# ---- one run against torch -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", CELLS)
def test_a_free_run_is_what_the_model_computes(kind, bias):
    model = reader(kind, bias=bias).double()
    x = torch.eye(CUE + 1, dtype=torch.float64)[INPUTS].unsqueeze(0)                  # (1, T, C)
    found = run_of(kind, bias=bias)
    np.testing.assert_allclose(found["probabilities"], model(x).softmax(-1)[0].detach(), atol=1e-6)
    outputs, _ = scan(model.recurrent.cells[0], x)
    np.testing.assert_allclose(found["hidden"], outputs[0].detach(), atol=1e-6)


def test_every_gate_and_state_of_an_lstm_is_torchs():
    cell = reader("LSTM").double().recurrent.cells[0]
    found, state = run_of("LSTM"), cell.initial_state(torch.zeros(1, 1, dtype=torch.float64))
    for t, token in enumerate(INPUTS):
        x = torch.eye(CUE + 1, dtype=torch.float64)[[token]]
        i, f, g, o = cell.gates(x, state[0])
        state = cell(x, state)
        for name, wanted in {"i": i, "f": f, "candidate": g, "o": o, "hidden": state[0], "cell": state[1]}.items():
            np.testing.assert_allclose(found[name][t], wanted[0].detach(), atol=1e-6, err_msg=f"{name}, step {t + 1}")


def test_every_gate_of_a_gru_is_torchs():
    cell = reader("GRU").double().recurrent.cells[0]
    found, h = run_of("GRU"), torch.zeros(1, 5, dtype=torch.float64)
    for t, token in enumerate(INPUTS):
        x = torch.eye(CUE + 1, dtype=torch.float64)[[token]]
        for name, wanted in zip(("r", "z", "candidate"), cell.gates(x, h), strict=True):
            np.testing.assert_allclose(found[name][t], wanted[0].detach(), atol=1e-6, err_msg=f"{name}, step {t + 1}")
        h = cell(x, h)


def test_an_untrained_net_with_torchs_own_weights_agrees_with_torch():
    torch.manual_seed(1)
    theirs, ours = nn.LSTM(CUE + 1, 6, batch_first=True), SequenceReader(CUE + 1, 6, CUE, LSTMCell)
    copy_torch_weights(ours.recurrent, theirs)
    wanted, (_, c) = theirs(torch.eye(CUE + 1)[INPUTS].unsqueeze(0))
    found = gate_run("LSTM", gate_weights(ours)[1], INPUTS)
    np.testing.assert_allclose(found["hidden"], wanted[0].detach(), atol=1e-6)
    np.testing.assert_allclose(found["cell"][-1], c[0, 0].detach(), atol=1e-6)


def test_large_numbers_do_not_overflow():
    kind, weights = gate_weights(reader("LSTM"))
    with np.errstate(all="raise", under="ignore"):
        found = gate_run(kind, {name: 1e6 * values for name, values in weights.items()}, INPUTS)
    assert all(np.isfinite(values).all() for values in found.values())
    assert found["probabilities"].sum() == pytest.approx(1)


# ---- what forcing means ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "forced"), [
    ("LSTM", {"f": 0.3, "o": 0.0}), ("LSTM", {"i": 1}), ("GRU", {"z": 0.25, "r": 1}),
])
def test_a_forced_gate_has_its_value_from_the_start_on_and_is_free_before(kind, forced):
    free, found = run_of(kind), run_of(kind, forced=forced, start=4)
    for name in free:
        if name not in ("survival", "probabilities"):
            np.testing.assert_array_equal(found[name][:3], free[name][:3])
    for name, value in forced.items():
        assert (found[name][3:] == value).all()
    assert not np.allclose(found["hidden"][3:], free["hidden"][3:])


def test_a_frozen_cell_keeps_its_state_to_the_last_digit_while_the_hidden_state_moves():
    found = run_of("LSTM", forced={"f": 1, "i": 0}, start=3)
    assert (found["cell"][1:] == found["cell"][1]).all()
    np.testing.assert_allclose(found["hidden"], found["o"] * np.tanh(found["cell"]), atol=1e-7)
    assert np.abs(np.diff(found["hidden"][2:], axis=0)).max() > 0.01, "h must move with o: the LSTM is no plain RNN"
    shut = run_of("LSTM", forced={"f": 1, "i": 0, "o": 1}, start=3)
    assert (shut["hidden"][2:] == shut["hidden"][2]).all()


def test_an_lstm_frozen_from_the_first_step_never_writes_anything():
    found = run_of("LSTM", forced={"f": 1, "i": 0})
    assert not found["cell"].any() and not found["hidden"].any()
    other = run_of("LSTM", inputs=[5, *INPUTS[1:]], forced={"f": 1, "i": 0})
    np.testing.assert_array_equal(found["probabilities"], other["probabilities"])


def test_a_gru_that_only_updates_keeps_its_state():
    found = run_of("GRU", forced={"z": 1}, start=2)
    assert (found["hidden"] == found["hidden"][0]).all()


def test_a_gru_without_its_gates_is_a_plain_net():
    weights = gate_weights(reader("GRU"))[1]
    third = {name: values if "head" in name else np.split(values, 3)[2] for name, values in weights.items()}
    plain, found = gate_run("RNN", third, INPUTS), gate_run("GRU", weights, INPUTS, {"z": 0, "r": 1})
    np.testing.assert_array_equal(found["hidden"], plain["hidden"])
    np.testing.assert_array_equal(found["probabilities"], plain["probabilities"])


def test_an_lstm_without_its_gates_has_one_tanh_more_than_a_plain_net():
    found = run_of("LSTM", forced={"f": 0, "i": 1, "o": 1})
    np.testing.assert_array_equal(found["cell"], found["candidate"])
    np.testing.assert_allclose(found["hidden"], np.tanh(found["candidate"]), atol=1e-7)


@pytest.mark.parametrize(("kind", "gate"), [("LSTM", "f"), ("GRU", "z")])
def test_what_is_left_of_step_1_is_the_product_of_the_later_gates(kind, gate):
    found = run_of(kind)
    for t in range(len(INPUTS)):
        np.testing.assert_allclose(found["survival"][t], found[gate][1:t + 1].prod(axis=0))
    steady = run_of(kind, inputs=[0] * 40 + [CUE], forced={gate: 0.9})
    np.testing.assert_allclose(steady["survival"][:, 0], 0.9 ** np.arange(41))
    assert "survival" not in run_of("RNN")


def test_what_is_left_is_the_gradient_along_the_cells_own_path():
    found = run_of("LSTM")
    f, written = torch.tensor(found["f"]), torch.tensor(found["i"] * found["candidate"], requires_grad=True)
    c = torch.zeros(5, dtype=torch.float64)
    for t in range(len(INPUTS)):
        c = f[t] * c + written[t]
    c.sum().backward()
    np.testing.assert_allclose(found["survival"][-1], written.grad[0])


@pytest.mark.parametrize(("arguments", "message"), [
    (("lstm", INPUTS), "kind='lstm' is none of LSTM, GRU, RNN"),
    (("LSTM", []), "inputs must be at least one id from 0 to 8"),
    (("LSTM", [0, 9]), "from 0 to 8"),
    (("LSTM", [-1]), "from 0 to 8"),
    (("LSTM", [0.5]), "from 0 to 8"),
    (("LSTM", INPUTS, {"z": 1}), "'z' is no gate of LSTM"),
    (("RNN", INPUTS, {"f": 1}), "'f' is no gate of RNN, which has none"),
    (("LSTM", INPUTS, {"f": 1.5}), "f cannot be 1.5"),
    (("LSTM", INPUTS, {"f": float("nan")}), "f cannot be nan"),
    (("LSTM", INPUTS, {"f": "1"}), "f cannot be '1'"),
    (("LSTM", INPUTS, {}, 0), "start=0 is no step"),
])
def test_a_run_that_makes_no_sense_is_refused_in_one_line(arguments, message):
    kind, *others = arguments
    weights = gate_weights(reader(kind if kind in CELLS else "LSTM"))[1]
    with pytest.raises(ValueError, match=message) as caught:
        gate_run(kind, weights, *others)
    assert "\n" not in str(caught.value)


# ---- the widget ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def nets():
    return {kind: reader(kind) for kind in CELLS}


def test_symbols_are_letters_or_ids():
    assert read_symbols("hab") == read_symbols([7, 0, 1]) == read_symbols(np.array([7, 0, 1])) == [7, 0, 1]
    assert letters([*read_symbols(EXAMPLE), CUE]) == EXAMPLE + "?"
    assert len(EXAMPLE) == 21


def broken(model, part, value):
    dict(model.named_parameters())[part].data.view(-1)[0] = value
    return model


def two_layers():
    model = SequenceReader(CUE + 1, 4, CUE)
    model.recurrent.cells.append(RNNCell(4, 4))
    return model


@pytest.mark.parametrize(("models", "message"), [
    ({}, "a dict of 1 to 3 nets"),
    ([1], "a dict of 1 to 3 nets"),
    (dict.fromkeys("abcd"), "a dict of 1 to 3 nets"),
    ({"x": nn.Linear(2, 2)}, r"models\['x'\]: Linear is no SequenceReader"),
    ({"x": two_layers()}, "SequenceReader is no SequenceReader with one LSTMCell, GRUCell or RNNCell"),
    ({"x": SequenceReader(4, 5, CUE)}, "reads 9 features and gives 8 answers, this one reads 4 and gives 8"),
    ({"x": SequenceReader(CUE + 1, 5, 2, LSTMCell)}, "this one reads 9 and gives 2"),
    ({"x": SequenceReader(CUE + 1, 65, CUE)}, "hidden_size=65"),
    ({"x": reader("RNN", nonlinearity="relu")}, "an RNNCell with relu cannot be shown"),
    ({"x": broken(reader("GRU"), "head.bias", float("nan"))}, "NaN or infinite"),
    ({"x": broken(reader("GRU"), "recurrent.cells.0.weight_hh", float("inf"))}, "NaN or infinite"),
])
def test_models_that_cannot_be_shown_are_refused_in_one_line(models, message):
    with pytest.raises(ValueError, match=message) as caught:
        GateExplorer(models)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("settings", "message"), [
    ({"symbols": ""}, "0 symbols: the picture holds 3 to 61"),
    ({"symbols": "ab"}, "2 symbols"),
    ({"symbols": "a" * 62}, "62 symbols"),
    ({"symbols": "abz"}, "'z' is no symbol"),
    ({"symbols": [0, 1, 8]}, "are not all ids from 0 to 7"),
    ({"symbols": [0, 1, 1.5]}, "are not all ids from 0 to 7"),
    ({"symbols": 7}, "symbols=7 is neither"),
    ({"forced": {"g": 1}}, "'g' is no gate; there are f, i, o, z, r"),
    ({"forced": {"f": -0.1}}, "f cannot be -0.1"),
    ({"forced": [1]}, r"forced=\[1\] is no dict"),
    ({"start": 0}, "start=0 is no step"),
    ({"start": 63}, "start=63 is no step"),
    ({"start": 1.5}, "start=1.5 is no step"),
    ({"shown": "CNN"}, "shown='CNN' is none of the models"),
])
def test_settings_that_make_no_sense_are_refused_and_the_last_good_ones_stay(nets, settings, message):
    with pytest.raises(ValueError, match=message):
        GateExplorer(nets, **settings)
    widget = GateExplorer(nets)
    (name, value), = settings.items()
    before = getattr(widget, name)
    with pytest.raises(traitlets.TraitError):
        setattr(widget, name, value)
    assert getattr(widget, name) == before


def test_only_the_gates_a_net_has_are_forced_in_it(nets):
    widget = GateExplorer(nets, symbols="cab", forced={"f": 1.0, "z": 0.5}, start=2)
    assert (widget.run("LSTM")["f"][1:] == 1).all() and (widget.run("GRU")["z"][1:] == 0.5).all()
    np.testing.assert_array_equal(widget.run("RNN")["hidden"], GateExplorer(nets, symbols="cab").run("RNN")["hidden"])
    assert repr(widget) == (
        "GateExplorer(models=['LSTM', 'GRU', 'RNN'], hidden_size=5, steps=4, forced={'f': 1.0, 'z': 0.5})"
    )


def test_the_picture_follows_the_settings(nets):
    widget = GateExplorer(nets)
    seen = [widget.picture()]
    changes = {"forced": {"f": 0.5}, "start": 3, "shown": "RNN", "symbols": read_symbols("abcdefgh" * 7)}
    for name, value in changes.items():
        setattr(widget, name, value)
        seen.append(widget.picture())
        assert len(seen[-1]) < 150_000
    assert len(set(seen)) >= 4                    # the plain net of the last pictures does not feel what is forced


@pytest.mark.parametrize(("forced", "start", "right"), [
    ({}, 1, "LSTM, GRU right"), ({"f": 1, "i": 0, "z": 1}, 1, "no net right"), ({"f": 0, "z": 0}, 1, ": GRU right"),
    ({"f": 1, "i": 0, "z": 1}, 2, "LSTM, GRU right"),
])
def test_the_example_shows_what_the_chapter_says(forced, start, right):
    """The recorded nets: a lucky guess of a frozen one is not called right."""
    title = GateExplorer(forced=forced, start=start).figure().get_suptitle()
    assert right in title and "RNN" not in title


def test_gates_have_the_colours_of_the_course():
    picture = GateExplorer().figure()
    for axes, name in zip(picture.axes, ("forget", "input", "output"), strict=False):
        assert axes.get_ylabel().startswith(name)
        assert to_hex(axes.collections[0].get_cmap()(1.0)) == figures.COLOURS[name]
        assert axes.collections[0].get_clim() == (0, 1)


def test_one_net_under_an_odd_name_is_enough():
    widget = GateExplorer({"$x^2$ </script>\n": reader("GRU")})
    assert widget.picture().startswith(b"\x89PNG")
    assert "\n" not in repr(widget)


def test_nets_of_one_kind_can_be_compared():
    plain, biased = reader("LSTM"), reader("LSTM")
    set_gate_bias(biased, 5.0)
    widget = GateExplorer({"bias 0": plain, "bias 5": biased}, shown="bias 5")
    assert widget.run("bias 5")["f"].mean() > widget.run("bias 0")["f"].mean()


# ---- the recorded nets ----------------------------------------------------------------------------------------------


def test_presets_do_to_the_recorded_nets_what_the_chapter_says():
    """What is written once and then kept is named after any gap; what is never written cannot be."""
    widget, kept = GateExplorer(), {"f": 1, "i": 0, "z": 1}
    rest = np.random.default_rng(0).integers(CUE, size=60).tolist()
    for kind, gates in (("LSTM", ("f", "i")), ("GRU", ("z",))):
        weights = gate_weights(recorded_models()[kind])[1]
        forced = {name: kept[name] for name in gates}
        for start, least, most in ((2, 7, 8), (1, 1, 1)):
            runs = [gate_run(kind, weights, [first, *rest, CUE], forced, start) for first in range(CUE)]
            right = sum(run["probabilities"].argmax() == first for first, run in enumerate(runs))
            assert least <= right <= most, f"{kind} from step {start}: {right} of 8"
    assert [model["name"] for model in widget.models] == list(CELLS)


def test_a_cell_that_the_notebook_defines_is_known_by_its_name():
    scope = {}
    exec("from course_utils.models.recurrent import LSTMCell as Known\nclass LSTMCell(Known): pass", scope)
    model = SequenceReader(9, 4, 8, scope["LSTMCell"])
    assert gate_weights(model)[0] == "LSTM"
    assert gate_weights(model.bfloat16())[1]["weight_hh"].dtype == np.float32


@pytest.mark.parametrize("names", [[1, "1"], [""], [" "]])
def test_names_that_cannot_be_shown_are_refused(names):
    model = SequenceReader(9, 4, 8, LSTMCell)
    with pytest.raises(ValueError, match="the names of the models must be texts"):
        GateExplorer(dict.fromkeys(names, model))


def test_a_head_that_is_no_linear_layer_is_refused():
    model = SequenceReader(9, 4, 8, LSTMCell)
    model.head = torch.nn.Sequential(model.head)
    with pytest.raises(ValueError, match="is no SequenceReader"):
        gate_weights(model)
