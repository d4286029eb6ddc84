"""AttentionView with 12 layers of 12 heads over 128 tokens in a real JupyterLab: bytes and times."""

import json
import statistics
import sys
import tempfile

from bench.measuring import markdown
from bench.widgets import evaluate
from course_utils import layout

BIG = """import numpy as np
from course_utils.widgets import AttentionView

scores = 2 * np.random.default_rng(0).normal(size=(12, 12, 128, 128))
weights = np.exp(scores)
weights /= weights.sum(-1, keepdims=True)
words = [f"token{number}" for number in range(128)]
AttentionView(weights, words)"""
KEYS = ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp", "ArrowRight", "ArrowDown", "ArrowDown")


def measure(rounds):
    """Kilobytes at first paint and in all; milliseconds to open and for moving to another head, medians of rounds.

    Raises RuntimeError where there is no Chromium.
    """
    sys.path.insert(0, str(layout.ROOT / "tests" / "browser"))
    import harness

    results = sizes()
    with tempfile.TemporaryDirectory() as folder, harness.serve(folder) as lab, harness.open_page(lab) as page:
        harness.show(page, BIG)
        opened = [opening_time(page) for _ in range(rounds)]
        results["arrival_to_paint_ms"] = round(statistics.median(opened))
        page.wait_for_function("document.querySelector('.rta').numbers().whole")
        moves = [time for _ in range(rounds) for time in page.evaluate(HEAD_CHANGES, KEYS)]
        results["head_change_ms"] = round(statistics.median(moves), 1)
        results["slowest_head_change_ms"] = round(max(moves), 1)
    return results


def sizes():
    """Kilobytes that travel: the widget's program, what its first paint needs, and the colours of all heads."""
    from ipywidgets.widgets.widget import _remove_buffers

    widget = evaluate(BIG)

    def kilobytes(names):
        state, _, buffers = _remove_buffers(widget.get_state(names))
        return (len(json.dumps(state, default=str).encode()) + sum(len(buffer) for buffer in buffers)) / 1000

    program = {"_esm", "_css"}
    data = set(widget.get_state()) - program
    found = {"program_kB": kilobytes(program), "first_paint_kB": kilobytes(data)}
    widget.wanted = widget.maps["id"]
    found["stack_kB"] = kilobytes({"stack"})
    return {name: round(size, 1) for name, size in found.items()}


# From the moment the output reaches the page's kernel connection until the matrix has been painted. The cell's own
# work, which makes the weights and the PNG, is not counted: the output arrives after it.
OPENING = """async () => {
    const {shell, commands} = window.jupyterapp;
    const {content, sessionContext} = shell.currentWidget;
    const cell = content.widgets[0].node;
    const frame = () => new Promise((done) => requestAnimationFrame(done));
    content.activeCellIndex = 0;
    await commands.execute("notebook:clear-cell-output");
    while (cell.querySelector(".rta")) await frame();
    let arrived = null;
    const {kernel} = sessionContext.session;
    const listen = (_, message) => {
        if (["execute_result", "display_data"].includes(message.header.msg_type)) arrived ??= performance.now();
    };
    kernel.iopubMessage.connect(listen);
    const running = commands.execute("notebook:run-cell");
    while (!cell.querySelector(".rta")?.numbers?.().layout) await frame();
    await frame();
    const painted = performance.now();
    kernel.iopubMessage.disconnect(listen);
    await running;
    if (arrived === null) throw new Error("no output was seen to arrive");
    return painted - arrived;
}"""

# A key press on the thumbnails until the large picture has been painted, the labels and the list beside it included.
HEAD_CHANGES = """async (keys) => {
    const card = document.querySelector(".rta");
    const heads = card.querySelector(".rta-heads .rta-stage");
    const frame = () => new Promise((done) => requestAnimationFrame(done));
    heads.focus();
    const times = [];
    const shown = () => JSON.stringify([card.numbers().layer, card.numbers().head]);
    const picture = card.querySelector(".rta-heads + div canvas").getContext("2d");
    for (const key of keys) {
        await frame();
        const before = shown();
        const started = performance.now();
        heads.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true}));
        picture.getImageData(0, 0, 1, 1);                                // painted, not queued
        times.push(performance.now() - started);
        if (shown() === before) throw new Error(`${key} moved nothing`);
    }
    return times;
}"""


def opening_time(page):
    """Milliseconds from the arrival of the output until the large picture has been painted."""
    return page.evaluate(OPENING)


def table(results):
    rows = [
        ["program (script and style)", f"{results['program_kB']:.0f} kB", ""],
        ["data at first paint", f"{results['first_paint_kB']:.0f} kB", "250 kB"],
        ["colours of all heads, afterwards", f"{results['stack_kB'] / 1000:.2f} MB", "2.5 MB"],
        ["from the output's arrival to the picture", f"{results['arrival_to_paint_ms']} ms", "1000 ms"],
        ["moving to another head", f"{results['head_change_ms']} ms", "50 ms"],
        ["the slowest move", f"{results['slowest_head_change_ms']} ms", ""],
    ]
    return markdown(["12 layers × 12 heads × 128 tokens", "measured", "aim"], rows)
