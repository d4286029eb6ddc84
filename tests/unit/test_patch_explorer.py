"""`PatchExplorer` in Python: images of any kind, patches, what models say, what travels, what is refused."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
import traitlets
from ipywidgets.widgets.widget import _remove_buffers
from PIL import Image
from torch import nn

from course_utils.models.attention import attention_maps
from course_utils.models.vit import ViT, ViTClassifier, ViTConfig, attention_rollout, cut_patches
from course_utils.widgets import PatchExplorer
from course_utils.widgets import patch_explorer as module
from course_utils.widgets.base import unpack
from course_utils.widgets.patch_explorer import (
    fitted,
    likeness,
    nearest_size,
    offered_sizes,
    patches_of,
    read_image,
    shuffled,
)

IMAGE = np.random.default_rng(0).random((3, 12, 12)).astype(np.float32)
OTHER = np.random.default_rng(1).random((1, 12, 12)).astype(np.float32)


def small_model(seed=0, classes=3, **options):
    """Three rows of three patches; a spread that makes weights and answers differ from patch to patch."""
    torch.manual_seed(seed)
    sizes = {"image_size": 12, "patch_size": 4, "n_channels": 3, "d_model": 8, "n_heads": 2, "d_ff": 16, "n_layers": 3,
             "init_std": 0.8, **options}
    return ViTClassifier(ViT(ViTConfig(**sizes)), classes).eval()


def file_of(image, form="PNG", **options):
    """The bytes of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def wave(side=40):
    return Image.fromarray((np.indices((side, side)).sum(0) * 3).astype(np.uint8)).convert("RGB")


def noise(side=40):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8))


# ---- patches ---------------------------------------------------------------------------------------------------------


def test_patches_are_those_of_the_models_and_leave_a_rest_on_both_sides():
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    grid, patches = patches_of(pixels, 4)
    wanted = cut_patches(torch.tensor(pixels).permute(2, 0, 1)[None], 4)[0].view(9, 3, 4, 4).permute(0, 2, 3, 1)
    assert grid == 3
    np.testing.assert_array_equal(patches, wanted)
    grid, patches = patches_of(pixels, 5)
    assert grid == 2
    np.testing.assert_array_equal(patches[3], pixels[6:11, 6:11])


def test_likeness_is_the_cosine_from_the_mean_colour():
    _, patches = patches_of(np.rint(IMAGE * 255).astype(np.uint8).transpose(1, 2, 0), 4)
    vectors = torch.tensor(patches.astype(float))
    vectors = (vectors - vectors.mean((0, 1, 2))).flatten(1)
    np.testing.assert_allclose(likeness(patches, 5), torch.cosine_similarity(vectors[5:6], vectors), atol=1e-9)
    assert np.isnan(likeness(np.full((4, 2, 2, 1), 7, np.uint8), 0)).all()


def test_an_order_depends_on_its_seed_alone_and_seed_0_changes_nothing():
    assert shuffled(9, 0) == list(range(9))
    orders = [tuple(shuffled(9, seed)) for seed in range(1, 200)]
    assert all(sorted(order) == list(range(9)) for order in orders) and len(set(orders)) > 190
    assert shuffled(9, 5) == shuffled(9, 5)
    first = np.bincount([order[0] for order in orders], minlength=9)
    assert first.min() > 5                                 # every patch comes to every place


def test_sizes_of_patches_that_are_offered():
    assert offered_sizes(224) == [14, 16, 28, 32, 56, 112] and offered_sizes(8) == [1, 2, 4]
    assert offered_sizes(1) == [1] and offered_sizes(224, 50) == [14, 16, 28, 32, 50, 56, 112]
    assert offered_sizes(224, 2) == offered_sizes(224)
    assert (nearest_size([1, 2, 4], 16), nearest_size([1, 4], 2), nearest_size([14, 16], 15)) == (4, 1, 16)


# ---- images of any kind ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [
    lambda: IMAGE, lambda: torch.tensor(IMAGE), lambda: IMAGE[0], lambda: IMAGE[0] > 0.5,
    lambda: (IMAGE * 255).astype(np.uint8), lambda: wave(), lambda: file_of(wave()), lambda: file_of(wave(), "JPEG"),
    lambda: file_of(wave().convert("P"), "GIF"), lambda: file_of(wave().convert("1")),
    lambda: file_of(wave().convert("LA")), lambda: file_of(wave().convert("CMYK"), "TIFF"),
    lambda: file_of(Image.fromarray(np.arange(1600, dtype=np.uint16).reshape(40, 40) * 40)),
    lambda: wave().convert("RGBA").convert("RGBa"), lambda: wave().convert("LA").convert("La"),
    lambda: Image.fromarray(IMAGE[0]), lambda: np.random.default_rng(0).random((4, 300, 17)),
])
@pytest.mark.parametrize("model", [None, small_model(), small_model(n_channels=1)])
def test_every_kind_of_image_gives_a_picture(make, model):
    widget = PatchExplorer({"it": make()}, model)
    pixels = unpack(widget.pictures[0]["pixels"])
    assert pixels.dtype == np.uint8 and pixels.shape[0] == pixels.shape[1] and np.ptp(pixels) > 0
    if model is not None:
        assert pixels.shape == (12, 12, model.vit.config.n_channels)
    assert np.isfinite(widget.weights()).all()


def test_pixels_arrive_as_they_are_and_transparent_parts_become_white(tmp_path):
    wanted = np.rint(IMAGE * 255).transpose(1, 2, 0)
    clear = np.concatenate([IMAGE, np.zeros((1, 12, 12), np.float32)])
    clear[3, :, :6] = 1
    path = tmp_path / "it.png"
    Image.fromarray(wanted.astype(np.uint8)).save(path)
    widget = PatchExplorer({"array": IMAGE, "path": path, "text": str(path), "clear": clear})
    array, *files, half = (unpack(picture["pixels"]) for picture in widget.pictures)
    for pixels in (array, *files):
        np.testing.assert_array_equal(pixels, wanted)
    np.testing.assert_array_equal(half[:, :6], wanted[:, :6])
    assert (half[:, 6:] == 255).all()


def test_a_turned_photograph_is_turned_back():
    picture = Image.new("RGB", (30, 20), "white")
    picture.paste((0, 0, 0), (0, 0, 30, 10))               # black above …
    exif = Image.Exif()
    exif[274] = 3                                          # … but the camera stood on its head
    pixels = unpack(PatchExplorer({"it": file_of(picture, exif=exif)}).pictures[0]["pixels"])
    assert pixels[:8].min() > 200 and pixels[12:].max() < 55


def test_odd_sizes_are_cut_from_the_middle_and_told():
    values = np.zeros((1, 10, 30), np.float32)
    values[:, :, 10:20] = 1
    square, note = fitted(*read_image(values, "it"))
    assert square.shape == (1, 10, 10) and square.min() == 1 and note == "the middle 10 × 10 of 30 × 10 pixels"
    square, note = fitted(*read_image(values, "it"), 4, 3)
    assert square.shape == (3, 4, 4) and note == "the middle 10 × 10 of 30 × 10 pixels, brought to 4 × 4"
    square, note = fitted(IMAGE, (12, 12), 12, 1)
    assert note == "made grey"
    np.testing.assert_allclose(square[0], 0.299 * IMAGE[0] + 0.587 * IMAGE[1] + 0.114 * IMAGE[2], rtol=1e-5)
    assert fitted(np.ones((3, 500, 500), np.float32), (500, 500))[1] == "500 × 500 pixels brought to 224 × 224"
    assert fitted(IMAGE, (12, 12))[1] == ""


@pytest.mark.parametrize(("image", "message"), [
    (np.full((3, 4, 4), np.nan), "holds NaN"), (np.zeros((3, 0, 4)), "is empty"),
    (np.zeros(5), r"has the shape \(5,\)"),
    (np.zeros((5, 4, 3)), r"\.transpose\(2, 0, 1\)"), (np.zeros((2, 4, 4)), "1, 3 or 4 channels"),
    (np.zeros((1, 3, 4, 4)), "has the shape"), (np.full((3, 4, 4), 16.0), "floats must lie in 0…1"),
    (np.full((3, 4, 4), -1), "whole numbers in 0…255"), (np.full((3, 4, 4), 1j), "complex"),
    ([[1, 2], [3]], "must be an array"), (None, "must be an array"), (b"", "no image that can be read"),
    (b"<svg onload=alert(1)>", "no image that can be read"), (file_of(noise())[:900], "broken"),
    (Image.open(io.BytesIO(file_of(noise())[:900])), "broken"),
    ("no/such/file.png", "cannot be opened"), ("\x00", "cannot be opened"), ("/", "cannot be opened"),
])
def test_an_image_that_is_none_is_refused_in_one_line(image, message):
    with pytest.raises(ValueError, match=message) as caught:
        PatchExplorer({"good": IMAGE, "bad": image})
    assert str(caught.value).startswith("the image 'bad'") and "\n" not in str(caught.value)


def test_a_large_photograph_is_made_small_before_it_is_computed_with(monkeypatch):
    asked = []
    monkeypatch.setattr(module, "read_numbers", lambda values, what: asked.append(values.shape) or (values / 255, None))
    clear = Image.new("RGBA", (3000, 2000))
    clear.paste((0, 0, 0, 255), (0, 0, 1500, 2000))
    picture = PatchExplorer({"it": file_of(clear)}).pictures[0]
    assert asked == [(3, 1024, 1024)]                      # six million pixels as floats would be much for one image
    assert picture["note"] == "the middle 2000 × 2000 of 3000 × 2000 pixels, brought to 224 × 224"
    pixels = unpack(picture["pixels"])
    assert pixels[:, :110].max() == 0 and pixels[:, 114:].min() == 255


def test_huge_files_are_refused_before_they_are_decoded(monkeypatch):
    monkeypatch.setattr(module, "MOST_PIXELS", 1000)
    with pytest.raises(ValueError, match=r"has 40 × 40 pixels: 1,000 is the most"):
        PatchExplorer({"it": file_of(wave())})
    monkeypatch.setattr(module, "MOST_BYTES", 50)
    with pytest.raises(ValueError, match="MB is the most"):
        PatchExplorer({"it": file_of(wave())})
    monkeypatch.undo()
    head = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))
    with pytest.raises(ValueError, match=r"has too many pixels: 50,000,000 is the most"):
        PatchExplorer({"it": bomb + file_of(wave())[33:]})


# ---- what models say -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 7])
def test_weights_and_classes_are_the_models_in_every_order(seed):
    model, without = small_model(), small_model(1, positions=False)
    widget = PatchExplorer({"it": IMAGE}, model, without_positions=without, classes=["cat", "dog", "bird"], seed=seed,
                           token=4)
    image, order = torch.tensor(IMAGE)[None], torch.tensor(shuffled(9, seed))
    maps = [weights for _, weights in attention_maps(model, image, order=order)]
    np.testing.assert_allclose(widget.weights(), maps[2][0, :, 4].mean(0), atol=1e-6)
    widget.layer, widget.head, widget.token = 1, 1, 0
    np.testing.assert_allclose(widget.weights(), maps[1][0, 1, 0], atol=1e-6)
    for fusion in ("mean", "max", "min"):
        widget.show, widget.fusion = "rollout", fusion
        np.testing.assert_allclose(widget.weights(), attention_rollout(maps, fusion)[0, 0], atol=1e-6)
    for name, ours in (("model", model), ("without positions", without)):
        with torch.no_grad():
            chances = ours(image, order=order)[0].softmax(-1)
        found = dict(widget.predictions()[name])
        wanted = {["cat", "dog", "bird"][number]: value.item() for number, value in enumerate(chances)}
        assert found == pytest.approx(wanted, rel=1e-4) and list(found) == sorted(found, key=found.get, reverse=True)
    assert widget.order == order.tolist()


def test_a_shuffle_changes_the_answer_only_where_there_are_positions():
    widget = PatchExplorer({"it": IMAGE}, small_model(), without_positions=small_model(1, positions=False))
    before = widget.predictions()
    widget.request = {"id": 1, "image": 0, "seed": 3}
    assert widget.answer["id"] == 1 and widget.answer["seed"] == 3
    reading = widget.answer["reading"]
    assert dict(reading["before"]) == dict(before["model"])
    assert dict(reading["says"]) != pytest.approx(dict(before["model"]), abs=1e-3)
    assert dict(reading["without"]) == pytest.approx(dict(before["without positions"]), rel=1e-4)


def test_pixels_are_compared_with_a_model_too_and_go_with_their_patches():
    widget = PatchExplorer({"it": IMAGE}, small_model(), token=2)
    widget.show = "pixels"
    plain = PatchExplorer({"it": IMAGE}, patch_size=4, token=2)
    np.testing.assert_allclose(widget.weights(), plain.weights())
    plain.seed = 5
    place = plain.order.index(1)                           # where patch 2 stands now
    np.testing.assert_allclose(plain.weights(), [likeness(patches_of(plain._shown.pixels, 4)[1], plain.order[1])[patch]
                                                 for patch in plain.order])
    plain.token = place + 1
    np.testing.assert_allclose(plain.weights()[plain.order.index(7)], widget.weights()[7])


def test_many_weights_travel_as_bytes_that_are_close_and_further_images_wait(monkeypatch):
    model, images = small_model(), {"one": IMAGE, "two": OTHER}
    exact = PatchExplorer(images, model)
    assert [picture["reading"] is not None for picture in exact.pictures] == [True, True]
    attention = unpack(exact.pictures[0]["reading"]["attention"]["weights"])
    assert attention.dtype == np.float32 and attention.shape == (3, 2, 10, 10)
    monkeypatch.setattr(module, "EXACT", 100)
    monkeypatch.setattr(module, "PREPARED", 1500)
    coarse = PatchExplorer(images, model, image="two")
    assert [picture["reading"] is not None for picture in coarse.pictures] == [False, True]
    packed = coarse.respond(0)["reading"]["attention"]
    codes = unpack(packed["weights"])
    assert codes.dtype == np.uint8
    np.testing.assert_allclose(codes * (unpack(packed["largest"])[..., None] / 255), attention, atol=2.1e-3)


def test_labels_by_name_or_in_order_name_the_true_class():
    names, images = ["cat", "dog", "bird"], {"one": IMAGE, "two": OTHER}
    for labels in ({"two": 1}, [None, 1], {"two": torch.tensor(1)}, {"two": "dog"}):
        widget = PatchExplorer(images, small_model(), labels=labels, classes=names)
        assert [picture["label"] for picture in widget.pictures] == [None, "dog"]
    assert [picture["label"] for picture in PatchExplorer(images, small_model(), labels=torch.tensor([2, 0])).pictures
            ] == ["2", "0"]
    assert PatchExplorer(images, labels=["x", 7]).pictures[1]["label"] == "7"


class Wrong(nn.Module):
    """A model with the right config whose forward does what it is told."""

    def __init__(self, forward):
        super().__init__()
        self.vit, self.told = small_model().vit, forward

    def forward(self, images, order=None):
        return self.told(self.vit, images)


@pytest.mark.parametrize(("model", "message"), [
    (nn.Linear(2, 2), "must be a ViTClassifier"), (object(), "must be a ViTClassifier"),
    (lambda images: images, "must be a ViTClassifier"),
    (Wrong(lambda vit, images: vit(images)), r"must return scores \(1, classes\)"),
    (Wrong(lambda vit, images: vit(images)[0, :0]), r"must return scores \(1, classes\)"),
    (Wrong(lambda vit, images: "cat"), "not str"), (Wrong(lambda vit, images: 1 / 0), "failed: ZeroDivisionError"),
    (Wrong(lambda vit, images: torch.ones(1, 3)), "found: none"),
    (Wrong(lambda vit, images: vit.encoder(torch.ones(1, 4, 8))[:, 0]), r"found: \(1, 2, 4, 4\)"),
    (Wrong(lambda vit, images: vit(images)[:, 0] * float("nan")), "NaN"),
    (Wrong(lambda vit, images: exit()), "failed: SystemExit"),
])
def test_a_model_that_does_something_else_is_told_in_one_line(model, message):
    with pytest.raises(ValueError, match=message) as caught:
        PatchExplorer({"it": IMAGE}, model)
    assert str(caught.value).startswith("the model") and "\n" not in str(caught.value)


@pytest.mark.parametrize(("options", "message"), [
    ({"images": {}}, "0 images"), ({"images": [IMAGE]}, "must be a dict"), ({"images": None}, "must be a dict"),
    ({"image": 1}, "image=1"), ({"image": "no"}, "image='no'"), ({"image": True}, "image=True"),
    ({"patch_size": 0}, "patch_size=0"), ({"patch_size": 13}, "0 patches"), ({"patch_size": 2.0}, r"patch_size=2\.0"),
    ({"patch_size": 3, "model": small_model()}, "does not fit"), ({"token": 0}, "token=0"), ({"token": 5}, "token=5"),
    ({"token": 10, "model": small_model()}, "token=10"), ({"seed": -1}, "seed=-1"),
    ({"labels": [1, 2]}, "labels must be"),
    ({"labels": {"no": 1}}, "no such image"), ({"labels": [3], "model": small_model()}, "from 0 to 2"),
    ({"labels": [1.5]}, "neither a text"), ({"classes": ["a"], "model": small_model()}, "1 classes are named"),
    ({"classes": "abc", "model": small_model()}, "must be a list"),
    ({"without_positions": small_model()}, "needs a model"),
    ({"model": small_model(), "without_positions": small_model(patch_size=6)}, "the same sizes"),
])
def test_settings_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PatchExplorer(**{"images": {"it": IMAGE}, "patch_size": None if "model" in options else 6, **options})


def test_a_model_in_training_answers_as_if_evaluated_and_stays_in_training():
    model = small_model(dropout=0.5).train()
    model.vit.dropout.eval()
    one, two = (PatchExplorer({"it": IMAGE}, model).predictions() for _ in range(2))
    assert one == two and model.training and not model.vit.dropout.training


# ---- the reader's own image ------------------------------------------------------------------------------------------


def upload(widget, name, file, number):
    widget._handle_custom_msg({"kind": "file"}, [memoryview(file)])
    widget.request = {"id": number, "file": name}


def test_an_uploaded_file_becomes_an_image_and_a_bad_one_changes_nothing():
    widget = PatchExplorer({"it": IMAGE}, small_model(), seed=2)
    upload(widget, "wave.png", file_of(wave()), 1)
    assert (widget.answer["id"], widget.answer["image"], widget.answer["seed"]) == (1, 1, 0)
    assert widget.uploaded["name"] == "your image: wave.png" and widget.uploaded["label"] is None
    assert widget.uploaded["note"] == "40 × 40 pixels brought to 12 × 12"
    widget.image, widget.seed = 1, 0
    answer, shown, before = widget.answer, widget.weights(), widget.uploaded
    for number, file in enumerate((b"", b"nothing", file_of(noise())[:900]), 2):
        upload(widget, "<b>bad", file, number)
        assert widget.problem["id"] == number and widget.problem["message"].startswith("the file '<b>bad'")
        assert widget.answer is answer and widget.uploaded is before
        np.testing.assert_array_equal(widget.weights(), shown)
    upload(widget, "dark.png", file_of(Image.new("L", (12, 12), 10)), 9)
    assert widget.uploaded["id"] == 2 and widget.image == 1
    assert not np.allclose(widget.weights(), shown)
    assert str(widget) == "PatchExplorer(images=2, patches=3×3, patch_size=4, layers=3, heads=2)"


def test_a_saved_notebook_holds_the_pixels_of_an_upload_but_not_its_file():
    widget = PatchExplorer({"it": IMAGE})
    upload(widget, "noise.png", file_of(noise(300)), 1)
    assert widget.uploaded["name"].endswith("noise.png")
    _, _, buffers = _remove_buffers(widget.get_state())
    assert len(buffers) == 2 and max(map(len, buffers)) == 224 * 224 * 3


# ---- traits and faces ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "value"), [
    ("image", 2), ("image", -1), ("patch_size", 0), ("seed", -1), ("token", 0), ("show", "attention"), ("show", ""),
    ("layer", 1), ("head", 0), ("fusion", "sum"), ("seed", 2**31),
])
def test_a_setting_that_makes_no_sense_is_refused_and_the_last_one_stays(name, value):
    widget = PatchExplorer({"one": IMAGE, "two": OTHER})
    before = getattr(widget, name)
    with pytest.raises(traitlets.TraitError):
        setattr(widget, name, value)
    assert getattr(widget, name) == before
    widget.set_state({name: value})
    assert getattr(widget, name) == before and widget.problem["message"]


def test_a_size_or_token_that_an_image_has_not_becomes_the_nearest():
    large = np.ones((64, 64)) * np.linspace(0, 1, 64)
    widget = PatchExplorer({"large": large, "small": OTHER}, patch_size=16, token=16)
    assert str(widget) == "PatchExplorer(images=2, patches=4×4, patch_size=16)"
    widget.image = 1
    assert str(widget) == "PatchExplorer(images=2, patches=3×3, patch_size=4)"
    assert widget.weights().shape == (9,) and widget.weights()[8] == pytest.approx(1)      # the last patch


def test_the_picture_is_another_for_every_setting_and_hostile_names_are_text():
    name = "$x$ </script>\u202e" * 600
    widget = PatchExplorer({name: IMAGE, "grey": np.full((9, 9), 0.5)}, small_model(), labels=[1, 2],
                           classes=["$", "<b>", "\ud800"])
    assert widget.pictures[0]["name"] == name and widget.pictures[1]["label"] == "?"
    pictures = {widget.picture()}
    for changes in ({"token": 5, "seed": 4, "show": "rollout", "fusion": "max"}, {"show": "pixels", "image": 1}):
        for setting, value in changes.items():
            setattr(widget, setting, value)
        pictures.add(widget.picture())
    assert len(pictures) == 3 and all(picture.startswith(b"\x89PNG") for picture in pictures)
    assert np.isnan(widget.weights()).all()                # one colour: no patch is like or unlike another
