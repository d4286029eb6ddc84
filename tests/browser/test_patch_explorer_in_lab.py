"""PatchExplorer in a real JupyterLab: patches by mouse and keyboard, layers, rollout, shuffling, own and bad files."""

import io
import json

import harness
import numpy as np
import pytest
from harness import assert_python_hears, in_kernel, keep_picture, next_frame, numbers, show
from PIL import Image
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

# The class token's answer depends on where the patches stand; without positions it cannot.
MODEL = """
import numpy as np, torch
from course_utils.models.vit import ViT, ViTClassifier, ViTConfig
from course_utils.widgets import PatchExplorer
torch.manual_seed(0)
def classifier(**options):
    return ViTClassifier(ViT(ViTConfig(8, 2, 1, 16, 2, 32, 3, init_std=0.8, **options)), 3)
images = {name: np.random.default_rng(seed).random((8, 8)) for seed, name in enumerate(("one", "two"))}
model = classifier()
w = PatchExplorer(images, model, labels=["cat", "dog"], classes=["cat", "dog", "bird"], token=6,
                  without_positions=classifier(positions=False))
w
"""
PLAIN = """
import numpy as np
from course_utils.widgets import PatchExplorer
rows, columns = np.indices((64, 100)) / 100
w = PatchExplorer({"waves": np.stack([np.sin(20 * rows) ** 2, columns, np.cos(9 * rows * columns) ** 2]),
                   "small": np.eye(8)}, patch_size=16)
w
"""


def stage(widget, number=0):
    return widget.locator(".rta-stage").nth(number)


def place(widget, token, which=0):
    """Middle of a patch in the image (0), or in the map beside it (1)."""
    found = numbers(widget)
    layout, grid = found["layout"], found["grid"]
    return {"x": layout["left"][which] + ((token - 1) % grid + 0.5) * layout["pitch"],
            "y": layout["above"] + ((token - 1) // grid + 0.5) * layout["pitch"]}


def ready(page, code):
    widget = show(page, code)
    page.wait_for_function("document.querySelector('.rta').numbers().layout !== null")
    return widget


def assert_as_python(page, widget):
    """The browser shows the numbers that Python computes for the same settings, and names them in the same order."""
    code = "print(json.dumps([[None if v != v else float(v) for v in w.weights()], w.order]))"
    values, order = json.loads(in_kernel(page, f"import json\n{code}"))
    found = numbers(widget)
    np.testing.assert_allclose(np.array(found["values"], float), np.array(values, float), atol=1e-5)
    assert found["order"] == order


def file_of(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return {"name": "own.png", "mimeType": "image/png", "buffer": buffer.getvalue()}


def test_a_click_shows_what_a_patch_looks_at_in_every_layer_head_and_fusion(page):
    widget = ready(page, MODEL)
    assert_as_python(page, widget)
    stage(widget).click(position=place(widget, 11, 1))
    assert_python_hears(page, "w.token", "11")
    expect(widget.locator(".rta-readout")).to_contain_text("patch 11 (row 3, column 3) looks most at")
    widget.get_by_label("Layer", exact=True).select_option("0")
    widget.get_by_label("Head", exact=True).select_option("1")
    assert_python_hears(page, "(w.layer, w.head)", "(0, 1)")
    assert_as_python(page, widget)
    widget.get_by_role("button", name="rollout").click()
    for fusion in ("min", "max"):
        widget.get_by_role("button", name=fusion, exact=True).click()
        assert_python_hears(page, "(w.show, w.fusion)", repr(("rollout", fusion)))
        assert_as_python(page, widget)
    widget.get_by_role("button", name="class token").click()
    assert_python_hears(page, "w.token", "0")
    assert_as_python(page, widget)
    expect(widget.locator(".rta-readout")).to_contain_text("the class token gets most from")
    widget.get_by_role("button", name="pixels").click()
    expect(widget.get_by_role("button", name="class token")).to_be_disabled()
    assert_python_hears(page, "w.show", "'pixels'")
    assert_as_python(page, widget)


def test_the_pointer_reads_a_pair_and_the_keyboard_reaches_every_token(page):
    widget = ready(page, MODEL)
    stage(widget).hover(position=place(widget, 3, 1))
    value = numbers(widget)["values"][3]
    expect(widget.locator(".rta-readout")).to_have_text(
        f"patch 6 (row 2, column 2) → patch 3 (row 1, column 3): {value:.3f}")
    page.mouse.move(0, 0)
    stage(widget).focus()
    for key, token in (("ArrowUp", 2), ("ArrowLeft", 1), ("ArrowLeft", 0), ("ArrowRight", 1), ("End", 4),
                       ("ArrowDown", 8)):
        page.keyboard.press(key)
        assert numbers(widget)["token"] == token
    assert_python_hears(page, "w.token", "8")
    stage(widget, 1).focus()
    for key in ("ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    expect(widget.locator(".rta-readout")).to_contain_text("patch 8 (row 2, column 4) → patch 10")
    page.keyboard.press("Enter")
    assert_python_hears(page, "w.token", "10")
    assert_as_python(page, widget)


def test_a_shuffle_asks_the_model_again_and_putting_back_undoes_it(page):
    widget = ready(page, MODEL)
    expect(widget.locator(".rta-pe-says")).to_contain_text("Press Shuffle")
    before = numbers(widget)
    orders = []
    for _ in range(2):
        widget.get_by_role("button", name="Shuffle").click()
        page.wait_for_function("(seed) => document.querySelector('.rta').numbers().seed > seed", arg=len(orders))
        assert_python_hears(page, "w.seed", repr(len(orders) + 1))
        assert_as_python(page, widget)
        orders.append(numbers(widget)["order"])
    assert orders[0] != orders[1] and before["order"] not in orders
    said = json.loads(in_kernel(page, "import json; print(json.dumps(w.predictions()))"))
    for name, number in (("model", 2), ("without positions", 3)):
        [likeliest, chance] = said[name][0]
        bars = widget.locator(".rta-pe-said").nth(number).locator(".rta-bars")
        expect(bars).to_contain_text(likeliest)
        expect(bars.locator(".rta-mono").first).to_have_text(f"{chance:.2f}")
    texts = widget.locator(".rta-pe-said .rta-bars").all_inner_texts()
    assert texts[0] != texts[2] and texts[1] == texts[3]           # only positions feel the order
    widget.get_by_role("button", name="Put back").click()
    assert numbers(widget)["order"] == before["order"] and numbers(widget)["values"] == before["values"]
    in_kernel(page, "w.seed = 9")                      # Python may shuffle too: the browser asks for the rest
    page.wait_for_function("document.querySelector('.rta').numbers().seed === 9")
    assert_as_python(page, widget)


def test_without_a_model_pixels_are_compared_at_every_patch_size(page):
    widget = ready(page, PLAIN)
    assert widget.locator(".rta-note").first.inner_text() == "the middle 64 × 64 of 100 × 64 pixels"
    assert_as_python(page, widget)
    widget.get_by_label("Patch size").select_option("7")
    expect(widget.locator(".rta-pe-facts")).to_contain_text("81 patches")
    expect(widget.locator(".rta-note").first).to_contain_text("1 pixel of each side left out")
    stage(widget).click(position=place(widget, 40))
    assert_python_hears(page, "(w.patch_size, w.token)", "(7, 40)")
    assert_as_python(page, widget)
    in_kernel(page, "w.unobserve_all()")                           # without a model no kernel is needed to shuffle
    widget.get_by_role("button", name="Shuffle").click()
    assert sorted(numbers(widget)["order"]) == list(range(81)) != numbers(widget)["order"]
    widget.get_by_label("Image", exact=True).select_option(label="small")
    found = numbers(widget)
    assert (found["grid"], found["seed"], found["order"]) == (2, 0, [0, 1, 2, 3])
    assert found["values"] == pytest.approx([-1, 1, 1, -1], abs=1e-6) or found["token"] == 4


def test_an_image_of_ones_own_and_one_line_for_a_file_that_is_none(page):
    widget = ready(page, MODEL)
    widget.get_by_role("button", name="Shuffle").click()
    page.wait_for_function("document.querySelector('.rta').numbers().seed === 1")
    noise = np.random.default_rng(5).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    chooser = widget.locator("input[type=file]")
    chooser.set_input_files(file_of(Image.fromarray(noise)))
    page.wait_for_function("document.querySelector('.rta').numbers().image === 2")
    assert_python_hears(page, "(w.image, w.seed)", "(2, 0)")
    assert_as_python(page, widget)
    expect(widget.locator(".rta-note").first).to_have_text(
        "the middle 30 × 30 of 40 × 30 pixels, brought to 8 × 8, made grey")
    expect(widget.locator(".rta-pe-true")).to_contain_text("not given")
    shown, error = numbers(widget), widget.locator(".rta-error[role=alert]")
    hostile = '"><img src=x onerror="window.hacked = 1">.png'
    for name, bytes_, told in ((hostile, b"<svg/>", "no image that can be read"), ("empty.png", b"", "is empty"),
                               ("huge.png", bytes(8_000_001), "8 MB is the most")):
        chooser.set_input_files({"name": name, "mimeType": "image/png", "buffer": bytes_})
        expect(error).to_contain_text(told)
        assert numbers(widget) == shown
    assert widget.locator("img").count() == 0 and page.evaluate("window.hacked") is None
    chooser.evaluate("""(input) => {
        const gone = { name: "gone.png", size: 9, arrayBuffer: () => Promise.reject(new Error("it is not there")) };
        Object.defineProperty(input, "files", { value: [gone], configurable: true });
        input.dispatchEvent(new Event("change"));
        delete input.files;
    }""")
    expect(error).to_have_text("The file gone.png cannot be read: it is not there")
    chooser.set_input_files(file_of(Image.fromarray(noise).rotate(90)))
    expect(error).to_be_hidden()
    page.wait_for_function("(old) => String(document.querySelector('.rta').numbers().values) !== String(old)",
                           arg=shown["values"])
    assert_as_python(page, widget)


def test_a_model_that_fails_is_told_and_the_last_picture_stays(page):
    widget = ready(page, MODEL)
    before = numbers(widget)
    in_kernel(page, "model.head.weight.data.fill_(float('nan'))")
    widget.get_by_role("button", name="Shuffle").click()
    expect(widget.locator(".rta-error[role=alert]")).to_contain_text("the model computes NaN")
    assert numbers(widget) == before
    stage(widget).click(position=place(widget, 1))
    assert_python_hears(page, "(w.token, w.seed)", "(1, 0)")


def test_hostile_names_stay_text_and_the_card_fits(page):
    hostile = '</script><img src=x onerror="window.hacked = 1"> \u202eabc ' * 200
    code = MODEL.replace('labels=["cat", "dog"]', "labels=[0, 1]").replace('"one"', repr(hostile))
    widget = ready(page, code.replace('"cat"', repr(hostile)))
    assert widget.locator("img, script, iframe").count() == 0 and page.evaluate("window.hacked") is None
    assert widget.evaluate("(card) => card.scrollWidth <= card.clientWidth")
    assert widget.bounding_box()["height"] <= 620
    keep_picture(page, widget, "patch-explorer-hostile")


@pytest.mark.parametrize(("name", "code", "dark"), [
    ("model", MODEL, True), ("pixels", PLAIN.replace("patch_size=16", "patch_size=4"), False),
])
def test_it_fits_a_slide_and_narrow_windows(page, name, code, dark):
    harness.choose_theme(page, dark)
    page.set_viewport_size({"width": 1280, "height": 720})
    widget = ready(page, code)
    if name == "model":
        widget.get_by_role("button", name="Shuffle").click()
        expect(widget.locator(".rta-pe-said")).to_have_count(4)
    box = widget.bounding_box()
    assert box["height"] <= 600 and box["width"] <= 1100
    keep_picture(page, widget, f"patch-explorer-{name}")
    page.set_viewport_size({"width": 700, "height": 1200})
    next_frame(page)
    assert widget.evaluate("(card) => card.scrollWidth <= card.clientWidth")
    keep_picture(page, widget, f"patch-explorer-{name}-narrow")
