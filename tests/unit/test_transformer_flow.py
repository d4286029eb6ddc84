"""`TransformerFlow` in Python: what a run holds, parts switched off, what travels, what is refused."""

import numpy as np
import pytest
import torch
import traitlets

from course_utils.data.translation import source_tokens, translate, vocabularies
from course_utils.data.vocabulary import EOS, EOS_ID, SOS_ID
from course_utils.decoding import greedy_search
from course_utils.models.tracing import trace
from course_utils.models.transformer import Transformer, without
from course_utils.widgets import TransformerFlow
from course_utils.widgets.base import unpack
from course_utils.widgets.transformer_flow import (
    SWITCHES,
    Part,
    Run,
    complete,
    describe,
    first_difference,
    joined_steps,
    pack_parts,
    traced_parts,
)

TEXT = "I love you"


def small_model(seed=0, **options):
    torch.manual_seed(seed)
    source, target = vocabularies()
    return Transformer(len(source), len(target), **{"d_model": 8, "n_heads": 2, "d_ff": 16, "n_layers": 2, **options})


def ids_of(text):
    return torch.tensor([vocabularies()[0].encode(source_tokens(text))])


def read_ids(widget):
    return torch.tensor([[SOS_ID, *vocabularies()[1].encode(widget.answer["target"][:-1])]])


def array(widget, name, what):
    [part] = [part for part in widget.answer["parts"] if part["name"] == name]
    numbers, place = unpack(widget.answer["numbers"]), part[what]
    return numbers[place["at"] : place["at"] + np.prod(place["shape"])].reshape(place["shape"])


def small_run(**changes):
    parts = [Part(f"{side}.{name}", np.ones((2, 3))) for side in ("encoder", "decoder")
             for name in ("words", "positions", "blocks.0.around_feed_forward.sum")]
    values = {"source": ["a", "b"], "target": ["c", EOS], "parts": parts, "top": [["c"], [EOS]],
              "probability": [[0.5], [0.5]]}
    return Run(**{**values, **changes})


# ---- a run -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("off", [(), ("positions",), ("mask",), ("residual", "norm"), SWITCHES])
def test_tokens_are_those_of_greedy_search_with_these_parts_off(off):
    model = small_model()
    widget = TransformerFlow(model, TEXT, off=off)
    changed, ids = without(model, *off).eval(), ids_of(TEXT)
    [wanted] = greedy_search(changed.step, changed.encode(ids, torch.tensor([4])), 1, SOS_ID, EOS_ID, 14)
    written = vocabularies()[1].encode(widget.answer["target"])
    assert [number for number in written if number != EOS_ID] == wanted
    assert widget.answer["ended"] == (written[-1] == EOS_ID)
    assert widget.off == [part for part in SWITCHES if part in off]
    full = TransformerFlow(model, TEXT).answer["target"]
    assert widget.answer["full"] == full
    assert widget.answer["differs"] == first_difference(widget.answer["target"], full)


def test_without_a_model_it_is_the_recorded_one():
    widget = TransformerFlow()
    assert widget.answer["written"] == translate(widget.text)
    assert TransformerFlow(text="my friend eats cold bread", polite=True).answer["ended"]


def test_the_numbers_are_the_models():
    model = small_model()
    widget = TransformerFlow(model, TEXT)
    stages = trace(model, ids_of(TEXT), torch.tensor([4]), read_ids(widget))
    assert [part["name"] for part in widget.answer["parts"]] == [stage.name for stage in stages]
    for stage in stages:
        np.testing.assert_array_equal(widget.tensor(stage.name), stage.values[0].numpy())
        if stage.weights is not None:
            weights = array(widget, stage.name, "weights").transpose(1, 0, 2)      # (T_q, H, T_k) -> (H, T_q, T_k)
            hidden = np.isnan(weights)
            assert hidden.any() == ("self_attention" in stage.name)
            np.testing.assert_array_equal(np.where(hidden, 0, weights), stage.weights[0].numpy())
    probabilities = torch.tensor(widget.tensor("head")).softmax(-1).sort(-1, descending=True).values[:, :5]
    np.testing.assert_allclose(unpack(widget.answer["probability"]), probabilities, rtol=1e-4)
    assert [row[0] for row in widget.answer["top"]] == widget.answer["target"]


def test_without_the_mask_every_step_has_rows_of_its_own():
    model = small_model()
    widget = TransformerFlow(model, TEXT, off=["mask"])
    ids, read = ids_of(TEXT), read_ids(widget)
    changed, T = without(model, "mask"), len(widget.answer["target"])
    for length in (1, 2, T):
        first = length * (length - 1) // 2
        for stage in trace(changed, ids, torch.tensor([4]), read[:, :length]):
            if stage.name.startswith("encoder") or stage.name.endswith("hidden"):
                continue
            rows = widget.tensor(stage.name)
            assert len(rows) == T * (T + 1) // 2
            np.testing.assert_array_equal(rows[first : first + length], stage.values[0].numpy())
            if stage.name.endswith("self_attention"):
                weights = array(widget, stage.name, "weights")[first : first + length]
                np.testing.assert_array_equal(weights[..., :length], stage.weights[0].transpose(0, 1).numpy())
                assert np.isnan(weights[..., length:]).all()


def test_a_part_that_is_off_passes_on_what_it_gets():
    model = small_model()
    widget = TransformerFlow(model, TEXT, off=["norm", "positions"])
    assert [part["name"] for part in widget.answer["parts"]] == [
        part["name"] for part in TransformerFlow(model, TEXT).answer["parts"]]
    for of in ("self_attention", "cross_attention", "feed_forward"):
        around = f"decoder.blocks.1.around_{of}"
        np.testing.assert_array_equal(widget.tensor(f"{around}.norm"), widget.tensor(f"{around}.sum"))
    np.testing.assert_array_equal(widget.tensor("encoder.positions"), widget.tensor("encoder.words"))
    names = ["decoder.words", "decoder.positions", "decoder.blocks.0.around_self_attention.norm",
             "decoder.blocks.0.self_attention", "decoder.blocks.0.around_self_attention.sum"]        # pre-norm
    parts = [Part(name, np.full((1, 2), place)) for place, name in enumerate(names) if not name.endswith("norm")]
    assert [part.values[0, 0] for part in complete(parts, names)] == [0, 1, 1, 3, 4]


def only_adds(model):
    model.decoder.blocks[0].around_feed_forward.skip = False


def sees_the_future(model):
    model.causal = False


def other_weights(model):
    model.target_embedding.weight.data.mul_(-2)        # .data: torch does not count this as a change


@pytest.mark.parametrize("change", [only_adds, sees_the_future, other_weights])
def test_a_machine_with_parts_off_follows_every_change_of_the_model(change):
    model = small_model()
    widget = TransformerFlow(model, TEXT, off=["norm"])
    change(model)
    renewed, wanted = widget.respond(TEXT, off=["norm"]), TransformerFlow(model, TEXT, off=["norm"]).answer
    assert renewed["numbers"]["data"] == wanted["numbers"]["data"] != widget.answer["numbers"]["data"]
    assert model.decoder.blocks[0].around_feed_forward.norm_at == "post"        # only a copy lost its norms


def test_a_model_in_training_is_left_in_training():
    model = small_model(dropout=0.5).train()
    widget = TransformerFlow(model, TEXT)
    assert model.training
    assert widget.respond(TEXT)["numbers"]["data"] == widget.answer["numbers"]["data"]
    model.encoder.eval()
    modes = [part.training for part in model.modules()]
    widget.respond(TEXT, off=["mask"])
    assert [part.training for part in model.modules()] == modes and len(set(modes)) == 2


def test_sixteen_words_stay_small():
    model = small_model(d_model=64, n_heads=4, d_ff=256).eval()
    source = [4] * 17                                  # with the register
    read = [SOS_ID] * 17
    steps = [traced_parts(model, source, read[:length]) for length in range(1, 18)]
    assert len(pack_parts(steps[-1])[1]["data"]) < 0.5e6
    assert len(pack_parts(joined_steps(steps))[1]["data"]) < 1.5e6


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("question", "told"), [
    ({"text": ""}, "Type an English sentence"), ({"text": None}, "Type an English sentence"),
    ({"text": "  "}, "Type an English sentence"), ({"text": "a " * 30}, "30 words are too many"),
    ({"text": "I love xyzzy"}, "xyzzy"), ({"text": "love you I"}, "The grammar covers"),
    ({"text": TEXT, "off": ["softmax"]}, "'softmax' cannot be switched off"),
    ({"text": TEXT, "off": [["mask"]]}, "cannot be switched off"), ({"text": TEXT, "off": 5}, "off=5 is no list"),
    ({"text": TEXT, "polite": "no"}, "polite='no' is neither True nor False"),
    ({"text": "i\u202elove"}, "i·love"), ({"text": "I $love$ you"}, '"$love$"'),
])
def test_what_cannot_be_translated_is_told_in_one_line_and_the_last_run_stays(question, told):
    widget = TransformerFlow(small_model(), TEXT)
    before = widget.answer
    widget.request = {"id": 1, **question}
    assert told in widget.problem["message"] and "\n" not in widget.problem["message"]
    assert widget.answer is before


def test_settings_that_make_no_sense_are_refused():
    model = small_model()
    with pytest.raises(ValueError, match="must be a Transformer"):
        TransformerFlow(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="source vocabulary has 5 words"):
        TransformerFlow(Transformer(5, 5, d_model=8, n_heads=2))
    with pytest.raises(ValueError, match="not both"):
        TransformerFlow(model, translate=lambda *asked: None)
    with pytest.raises(ValueError, match="function of text"):
        TransformerFlow(translate=3)
    with pytest.raises(ValueError, match="must return a Run"):
        TransformerFlow(translate=lambda *asked: None)
    widget = TransformerFlow(model, TEXT, token=3, part="encoder.blocks.1.attention")
    widget.set_state({"token": -1})
    assert widget.token == 3 and "token=-1" in widget.problem["message"]
    with pytest.raises(traitlets.TraitError, match="none of the machine's"):
        widget.part = "decoder.blocks.7.cross_attention"
    assert widget.part == "encoder.blocks.1.attention"


@pytest.mark.parametrize(("settings", "told"), [
    ({"off": None}, "off=None is no list"), ({"off": 5}, "off=5 is no list"), ({"off": "masks"}, "'masks' cannot be"),
    ({"examples": None}, "list of sentences"), ({"examples": TEXT}, "list of sentences"),
    ({"examples": [None]}, "list of sentences"),
    ({"token": -1}, "token=-1"), ({"token": 99}, "token=99"), ({"token": 1.5}, "token=1.5"), ({"token": True}, "token"),
    ({"part": "decoder.blocks.7.cross_attention"}, "none of the machine's"), ({"part": 5}, "part=5"),
    ({"part": "a\n\u202e"}, "none of the machine's"),
    ({"polite": "no"}, "neither True nor False"), ({"polite": float("nan")}, "neither True nor False"),
])
def test_arguments_that_make_no_sense_are_told_in_one_line(settings, told):
    with pytest.raises(ValueError, match=told) as caught:
        TransformerFlow(translate=lambda *asked: small_run(), **settings)
    assert str(caught.value).isprintable()


def test_one_part_may_be_named_without_a_list():
    assert TransformerFlow(small_model(), TEXT, off="mask").off == ["mask"]
    assert TransformerFlow(small_model(), TEXT, off={"norm", "mask"}).off == ["mask", "norm"]


@pytest.mark.parametrize("changes", [
    {"source": []}, {"target": []}, {"parts": []}, {"top": [["c"]]}, {"probability": [[0.5]]},
    {"parts": small_run().parts[1:]}, {"parts": small_run().parts[:3]},
    *({"parts": [*small_run().parts, extra]} for extra in (
        Part("encoder.norm", np.ones((3, 3))), Part("decoder.norm", np.ones(2)), Part("somewhere", np.ones((2, 3))),
        Part("encoder.norm", np.full((2, 3), np.nan)))),
])
def test_a_run_that_does_not_hold_together_is_refused(changes):
    assert TransformerFlow(translate=lambda *asked: small_run()).answer["target"] == ["c", EOS]
    with pytest.raises(ValueError):
        TransformerFlow(translate=lambda *asked: small_run(**changes))


def test_a_function_that_fails_is_told_in_one_line():
    def translate(text, polite, off):
        if off:
            raise KeyError("gone\nwrong")
        return small_run()

    widget = TransformerFlow(translate=translate)
    widget.request = {"id": 1, "text": TEXT, "off": ["norm"]}
    assert widget.problem["message"].startswith("translate failed: KeyError")


def test_a_model_that_computes_nan_is_told():
    model = small_model()
    with torch.no_grad():
        model.head.bias[3] = float("nan")
    with pytest.raises(ValueError, match="NaN"):
        TransformerFlow(model, TEXT)


# ---- small parts and the picture -------------------------------------------------------------------------------------


def test_names_tell_the_place_in_the_diagram():
    assert describe("head")["kind"] == "head"
    last = describe("encoder.norm")
    assert (last["side"], last["layer"], last["kind"], last["of"]) == ("encoder", -1, "norm", "")
    found = describe("decoder.blocks.11.around_cross_attention.sum")
    assert (found["side"], found["layer"], found["kind"], found["of"]) == ("decoder", 11, "sum", "cross_attention")
    assert describe("encoder.blocks.0.feed_forward.hidden")["kind"] == "hidden"
    assert describe("encoder.blocks.0.attention")["kind"] == "attention"
    with pytest.raises(ValueError, match="no part"):
        describe("encoder.blocks.x")


def test_first_difference():
    assert first_difference(["a", "b"], ["a", "b"]) is None
    assert first_difference(["a", "b"], ["a", "c"]) == 1
    assert first_difference(["a"], ["a", "b"]) == first_difference(["a", "b"], ["a"]) == 1


@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize("off", [(), ("mask",), SWITCHES])
def test_the_picture_names_the_parts_and_says_what_was_looked_at(norm, off):
    widget = TransformerFlow(small_model(norm=norm), TEXT, off=off)
    machine, matrix = widget.figure().axes
    texts = [text.get_text() for text in machine.texts]
    assert {"encoder", "decoder", "feed-forward", "cross-attention", "linear, softmax", "2 ×"} <= set(texts)
    assert ("self-attention, no mask" in texts) == ("mask" in off)
    assert matrix.get_yticklabels()[0].get_text() == widget.answer["target"][0]
    title = widget.figure().get_suptitle()
    assert TEXT in title and ("without" in title) == bool(off)


def test_the_picture_of_another_machine_needs_no_attention():
    widget = TransformerFlow(translate=lambda *asked: small_run())
    assert widget.picture().startswith(b"\x89PNG")
