"""What `refresh` drops, what it keeps, and that it writes the same bytes every time."""

import small
from nbformat import v4

from course_utils.commands import notebooks

VIEW = notebooks.WIDGET_VIEW
BAR = "training:  45%|####5     | 9/20 [00:01<00:01,  8.91it/s]"


def outputs_after(*outputs):
    nb = small.notebook(small.code("some-cell", "f()", outputs=outputs))
    return notebooks.normalise(nb)["cells"][0]["outputs"]


def test_a_widget_keeps_its_picture_and_its_text():
    widget = small.shown(**{VIEW: {"model_id": "1"}, "image_png": "aGk=", "text_plain": "Widget(size=2)"})
    [output] = outputs_after(widget)
    assert set(output["data"]) == {"image/png", "text/plain"}


def test_a_widget_without_a_picture_leaves_its_text():
    assert outputs_after(small.shown(**{VIEW: {}, "text_plain": "Box()"}))[0]["data"] == {"text/plain": "Box()"}
    assert outputs_after(small.shown(**{VIEW: {}})) == []


def test_progress_bars_go_in_every_form():
    assert outputs_after(small.shown(**{VIEW: {}, "text_plain": BAR})) == []
    assert outputs_after(small.shown(text_plain="0it [00:00, ?it/s]")) == []
    assert outputs_after(small.printed(f"\r  0%|   | 0/9 [00:00<?, ?it/s]\r{BAR}\n", "stderr")) == []


def test_a_warning_beside_a_progress_bar_stays():
    assert outputs_after(small.printed(f"{BAR}\nWarning: odd\n", "stderr"))[0]["text"] == "Warning: odd\n"


def test_text_that_resembles_a_progress_bar_stays():
    table = "loss 45% | 9/20 [best]\naccuracy|12%|\n"
    assert outputs_after(small.printed(table))[0]["text"] == table


def test_pieces_of_a_stream_are_joined_and_others_keep_their_order():
    pieces = [small.printed("a"), small.printed("b\n"), small.shown(text_plain="1"), small.printed("c\n")]
    after = outputs_after(*pieces)
    assert [output.get("text") for output in after] == ["ab\n", None, "c\n"]


def test_a_bar_between_two_pieces_does_not_part_them():
    after = outputs_after(small.printed("a\n"), small.shown(**{VIEW: {}, "text_plain": BAR}), small.printed("b\n"))
    assert [output["text"] for output in after] == ["a\nb\n"]


def test_what_a_carriage_return_overwrote_goes():
    assert outputs_after(small.printed("one\rtwo\nthree\r\n"))[0]["text"] == "two\nthree\n"


def test_metadata_is_stable_and_ids_stay():
    nb = small.clean()
    nb["metadata"] = {"widgets": {"x": 1}, "language_info": {"version": "3.11.2", "name": "python"}, "title": "T"}
    nb["cells"][2]["metadata"].update(execution={"iopub.execute_input": "now"}, collapsed=False)
    after = notebooks.normalise(nb)
    assert after["metadata"] == {**notebooks.METADATA, "title": "T"}
    assert after["cells"][2]["metadata"] == {**small.SLIDE, "tags": ["nbval-check-output"]}
    assert [cell["id"] for cell in after["cells"]] == ["title-cell", "import-cell", "one-half"]
    assert "widgets" in nb["metadata"]                       # the given notebook is not changed


def test_the_same_notebook_gives_the_same_text(tmp_path):
    once = notebooks.text_of(notebooks.normalise(small.clean()))
    path = tmp_path / "once.ipynb"
    path.write_text(once, encoding="utf-8")
    assert notebooks.text_of(notebooks.normalise(notebooks.read(path))) == once
    assert once.endswith("}\n")


def test_doubled_ids_survive_reading(tmp_path):
    nb = small.clean()
    nb["cells"][0]["id"] = "one-half"
    path = tmp_path / "double.ipynb"
    path.write_text(v4.writes(nb), encoding="utf-8")
    assert [cell["id"] for cell in notebooks.read(path)["cells"]].count("one-half") == 2
