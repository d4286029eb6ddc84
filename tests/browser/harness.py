"""A real JupyterLab and a headless Chromium, for tests and measurements.

    with serve(folder) as lab, open_page(lab) as page:
        widget = show(page, "from course_utils.widgets import GradientFlow\nGradientFlow()")

All notebooks of a `Lab` share one kernel: starting a kernel costs more than most tests.
"""

import atexit
import contextlib
import functools
import itertools
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from course_utils import layout
from course_utils.commands.doctor import find_chromium

SCREENSHOTS = layout.ARTEFACTS / "screenshots"
FLAGS = [                         # beside Playwright's own, such as --disable-dev-shm-usage
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--disable-quic",
]
# JupyterLab's own complaints when a notebook is closed while its kernel is still being asked something.
# The last four: anywidget gives a widget two seconds to start, which a loaded machine may exceed (that it is drawn is
# what `show` waits for), and says so in the console or as an error nobody catches; and requests of JupyterLab's own for
# a notebook or a kernel that is being closed. No widget asks the server for anything.
LAB_NOISE = ("Could not restore the debugger state", "Canceled future", "Disposed",
             "[anywidget] Failed to initialize model", "Error: [anywidget] Failed to initialize model",
             "Error in Auto-Save",
             "Failed to load resource: the server responded with a status of 500")
# JupyterLab draws its toolbars a moment late, and trips over a notebook that has been closed since.
LATE_DRAWING = re.compile(r"NotFoundError: Failed to execute '(removeChild|insertBefore)' on 'Node'")
LAB_FRAME = re.compile(r"(^|[ (])https?://[^/\s]+/(static/lab|lab/extensions)/\S+:\d+:\d+\)?$")
# A page keeps some MB of every notebook that was opened in it and closed, and more the more widgets its kernel holds.
# Chromium ends a page that needs 4 GB.
TESTS_PER_PAGE = 40
WAIT = 60_000                     # milliseconds for anything the browser has to wait for on a loaded machine


# ---- the server ------------------------------------------------------------------------------------------------------


@dataclass
class Lab:
    """A running server. folder: what it serves."""

    folder: Path
    url: str
    token: str
    process: subprocess.Popen
    log: Path
    numbers: itertools.count = field(default_factory=itertools.count)
    kernel: str = ""

    def ask(self, path, data=None):
        """Call the server's REST interface and return the decoded answer."""
        body = None if data is None else json.dumps(data).encode()
        headers = {"Authorization": f"token {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, body, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def write_notebook(self, cells, name=None, kernel="shared"):
        """Write a notebook of code cells into the served folder; its path there.

        kernel: "shared" connects it to the kernel of all others, None leaves the choice to JupyterLab.
        """
        name = name or f"notebook-{next(self.numbers)}.ipynb"
        notebook = {
            "nbformat": 4, "nbformat_minor": 5,
            "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
            "cells": [{"cell_type": "code", "id": f"cell-{number}", "metadata": {}, "source": source,
                       "execution_count": None, "outputs": []} for number, source in enumerate(cells)],
        }
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(notebook), encoding="utf-8")
        if kernel == "shared":
            wanted = {"id": self.kernel} if self.kernel else {"name": "python3"}
            session = self.ask("api/sessions", {"path": name, "name": path.name, "type": "notebook", "kernel": wanted})
            self.kernel = session["kernel"]["id"]
        return name


@contextlib.contextmanager
def serve(folder, style=None):
    """Run JupyterLab on a folder, with the course's settings and none of the user's own. Gives a `Lab`.

    style: a folder with a style sheet `custom.css` that every page is given.
    """
    folder = Path(folder).resolve()
    with tempfile.TemporaryDirectory(prefix="course-lab-") as own:
        token = secrets.token_hex(16)
        log = Path(own) / "lab.log"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [
            sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.root_dir={folder}",
            "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
            f"--IdentityProvider.token={token}", "--LabApp.expose_app_in_browser=True",
            f"--LabApp.workspaces_dir={own}/workspaces", f"--LabApp.user_settings_dir={own}/settings",
        ]
        if style:
            shutil.copytree(style, f"{own}/config_dir/custom")
            command.append("--LabApp.custom_css=True")
        with open(log, "wb") as lines:
            process = subprocess.Popen(command, env=_variables(own), cwd=own, stdout=lines, stderr=subprocess.STDOUT)
        lab = Lab(folder, f"http://127.0.0.1:{port}/", token, process, log)
        try:
            _wait_until_up(lab)
            yield lab
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _variables(own):
    """Environment of the server and its kernels: project on the path, the course's settings, progress of its own."""
    # What is on the path already stays there: `test` puts the module on it that keeps kernels off the network.
    path = os.pathsep.join(filter(None, [str(layout.ROOT), os.environ.get("PYTHONPATH")]))
    variables = {**os.environ, "PYTHONPATH": path, "COURSE_DEVICE": "cpu", "JUPYTER_PREFER_ENV_PATH": "1"}
    variables.setdefault("COURSE_PROGRESS", f"{own}/progress.json")
    for name in ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR"):
        variables[f"JUPYTER_{name}"] = f"{own}/{name.lower()}"
    settings = layout.ASSETS / "jupyter"
    if settings.is_dir():
        variables["JUPYTER_CONFIG_PATH"] = str(settings)
    return variables


def _wait_until_up(lab, seconds=60):
    """Return once the server answers. Raises RuntimeError with the end of its log where it does not."""
    pause = threading.Event()
    for _ in range(seconds * 5):
        if lab.process.poll() is not None:
            break
        try:
            lab.ask("api/status")
            return
        except OSError:
            pause.wait(0.2)
    raise RuntimeError("JupyterLab did not start:\n" + lab.log.read_text(errors="replace")[-2000:])


# ---- the browser -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def open_page(lab, width=1280, height=1200):
    """A page in a fresh Chromium that shows the server's JupyterLab.

    The page has more attributes: `lab`; `errors`, the list of what its console reported as errors; `crashed`.
    Raises RuntimeError where there is no Chromium.
    """
    from playwright.sync_api import expect

    program = find_chromium()
    if program is None:
        raise RuntimeError("there is no Chromium: install it (Debian: apt install chromium) or set COURSE_CHROMIUM")
    browser = playwright().chromium.launch(executable_path=program, args=FLAGS)
    try:
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(WAIT)
        expect.set_options(timeout=WAIT / 3)
        page.lab, page.errors, page.crashed = lab, [], False
        page.on("console", lambda message: message.type == "error" and _note(page, message.text))
        page.on("pageerror", lambda error: _note(page, error.stack or str(error)))
        page.on("crash", lambda: setattr(page, "crashed", True))
        enter(page)
        yield page
    finally:
        browser.close()


class Pages:
    """Gives every test a page: the one of the test before, or one in a fresh Chromium if that is used up or broken."""

    def __init__(self, lab):
        self.lab, self.page, self.tests, self.opened = lab, None, 0, contextlib.ExitStack()

    def take(self):
        if self.page is None or self.page.crashed or self.tests == TESTS_PER_PAGE:
            self.close()
            self.page, self.tests = self.opened.enter_context(open_page(self.lab)), 0
        self.tests += 1
        return self.page

    def close(self):
        self.page = None
        self.opened.close()


@functools.cache
def playwright():
    """The one Playwright of this process: a second one beside it refuses to start."""
    from playwright.sync_api import sync_playwright

    started = sync_playwright().start()
    atexit.register(started.stop)
    return started


def _note(page, message):
    if not is_noise(message):
        page.errors.append(message)


def is_noise(message):
    """Whether an error is JupyterLab's own affair. An error with its stack comes from where the stack's lines say.

    The code of a widget is loaded from an address that begins with `blob:`, that of a test has no address.
    """
    if message.startswith(LAB_NOISE):
        return True
    frames = [line for line in re.findall(r"^ +at (.*)$", message, re.M) if not line.endswith("(<anonymous>)")]
    return bool(LATE_DRAWING.match(message) and frames and all(map(LAB_FRAME.search, frames)))


def enter(page, path=""):
    """Load JupyterLab, at a file of the served folder if one is named, and wait until it is ready."""
    page.goto(f"{page.lab.url}lab/{'tree/' + path if path else ''}?token={page.lab.token}&reset")
    page.wait_for_function("window.jupyterapp !== undefined")
    page.evaluate("window.jupyterapp.restored.then(() => null)")
    page.evaluate("if (!window.jupyterapp.shell.leftCollapsed) window.jupyterapp.shell.collapseLeft()")


def command(page, name, **arguments):
    """Execute a command of JupyterLab and wait for it. What it returns stays in the browser."""
    script = "([name, values]) => window.jupyterapp.commands.execute(name, values).then(() => null)"
    page.evaluate(script, [name, arguments])


def show(page, *cells, selector=".rta"):
    """Open a new notebook with these cells, run them, and return a locator of the first widget in it.

    selector: what to wait for. A cell that raises makes this fail with the traceback.
    """
    path = page.lab.write_notebook(cells)
    close_tabs(page)
    command(page, "docmanager:open", path=path)
    page.wait_for_selector(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell")
    page.wait_for_function("window.jupyterapp.shell.currentWidget?.sessionContext")
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.ready")
    command(page, "notebook:run-all-cells")
    error = "[data-mime-type='application/vnd.jupyter.error'], .jp-RenderedText[data-mime-type*='stderr']"
    page.wait_for_selector(f"{selector}, {error}", state="attached")
    if page.locator(error).count():
        raise AssertionError("the cell failed:\n" + page.locator(error).first.inner_text())
    return page.locator(selector).first


def start_kernel(page, name, running=None):
    """Connect a file of the served folder to a new kernel, or to a running one, and wait until it answers; its id.

    A notebook that is opened while its kernel still starts may be told that its widgets are restored when only the
    empty kernel has been asked and not yet its file: "model not found".
    """
    kernel = {"id": running} if running else {"name": "python3"}
    wanted = {"path": name, "name": Path(name).name, "type": "notebook", "kernel": kernel}
    model = page.lab.ask("api/sessions", wanted)["kernel"]
    page.evaluate("""async (model) => {
        for (let attempt = 0; attempt < 6; attempt += 1) {      // a connection made too early may never hear of it
            const kernel = window.jupyterapp.serviceManager.kernels.connectTo({ model });
            const late = new Promise((done) => { setTimeout(() => done(null), 5000); });
            const answer = await Promise.race([kernel.info, late]);
            kernel.dispose();
            if (answer) return;
        }
        throw new Error("the kernel never answered");
    }""", model)
    return model["id"]


def save_with_widget(page):
    """Save the notebook on the screen, with the state of the widgets in its outputs; the file's path.

    JupyterLab writes only what its manager already holds, so this saves again until all of them are in the file.
    """
    file = page.lab.folder / page.evaluate("window.jupyterapp.shell.currentWidget.context.path")
    view, state = "application/vnd.jupyter.widget-view+json", "application/vnd.jupyter.widget-state+json"
    for _ in range(20):
        page.evaluate("""() => Promise.race([
            window.jupyterapp.commands.execute("docmanager:save"),
            new Promise((done) => { setTimeout(done, 5000); }),
        ])""")
        question = page.locator(".jp-Dialog button.jp-mod-accept")      # the file is newer than the page believes
        if question.count():
            question.first.click()
        saved = json.loads(file.read_text(encoding="utf-8"))
        shown = {output["data"][view]["model_id"] for cell in saved["cells"] for output in cell["outputs"]
                 if view in output.get("data", {})}
        if shown and shown <= set(saved["metadata"].get("widgets", {}).get(state, {}).get("state", {})):
            return file
        page.evaluate("() => { window.jupyterapp.shell.currentWidget.context.model.dirty = true; }")
        page.wait_for_timeout(100)
    raise AssertionError(f"the state of a widget never reached {file.name}")


def in_kernel(page, code):
    """Run code in the kernel of the notebook on the screen and return what it printed.

    Messages of widgets that were sent before are handled first. Raises AssertionError if the code fails.
    """
    answer = page.evaluate("""async (code) => {
        const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
        const future = kernel.requestExecute({ code });
        const said = { text: "", error: "" };
        future.onIOPub = ({ header, content }) => {
            if (header.msg_type === "stream") said.text += content.text;
            if (header.msg_type === "error") said.error = `${content.ename}: ${content.evalue}`;
        };
        await future.done;
        return said;
    }""", code)
    assert not answer["error"], answer["error"]
    return answer["text"]


def assert_python_hears(page, expression, wanted):
    """Wait until an expression has this text (its `repr`) in the kernel: a change is sent a moment after it is made."""
    for _ in range(100):
        found = in_kernel(page, f"print(repr(({expression})))").strip()
        if found == wanted:
            return
        page.wait_for_timeout(50)
    assert found == wanted, f"the kernel has {found}, not {wanted}"


def close_tabs(page):
    """Close every tab: without a question about unsaved changes, and without shutting the shared kernel down."""
    page.evaluate("""() => {
        const tabs = [...window.jupyterapp.shell.widgets("main")];
        // The visible one last: closed first, it brings up another, whose toolbar trips over being closed at once.
        tabs.sort((one, other) => one.isVisible - other.isVisible);
        for (const tab of tabs) {
            const session = tab.sessionContext;
            if (session) session.kernelPreference = { ...session.kernelPreference, shutdownOnDispose: false };
            tab.dispose();
        }
    }""")


def forget_widgets(page):
    """Close all widgets of the shared kernel.

    Every notebook that is opened fetches all that its kernel holds: with those of 200 tests, that takes seconds.
    """
    if not page.lab.kernel:
        return
    page.evaluate("""async (id) => {
        const kernel = window.jupyterapp.serviceManager.kernels.connectTo({ model: { id, name: "python3" } });
        const code = "__import__('ipywidgets').Widget.close_all()";
        const late = new Promise((done) => { setTimeout(done, 10000); });      // a test that failed may keep it busy
        await Promise.race([kernel.requestExecute({ code, store_history: false }).done, late]);
        kernel.dispose();
    }""", page.lab.kernel)


def choose_theme(page, dark):
    """Switch JupyterLab to its dark or light theme and wait until it is on."""
    wanted = f"body[data-jp-theme-light='{str(not dark).lower()}']"
    if page.locator(wanted).count():
        return                    # asked for the theme that is on, JupyterLab would load it once more, and trip
    command(page, "apputils:change-theme", theme="JupyterLab Dark" if dark else "JupyterLab Light")
    page.wait_for_selector(wanted, state="attached")
    # The splash screen of the change: a second change before it is gone makes JupyterLab remove it twice.
    page.wait_for_selector("#jupyterlab-splash", state="detached")
    next_frame(page)


def next_frame(page):
    """Wait until what was changed has been painted."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(null))))")


def keep_picture(page, widget, name):
    """Screenshot of a widget, kept as an artefact of the run."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    widget.scroll_into_view_if_needed()
    next_frame(page)
    path = SCREENSHOTS / f"{name}.png"
    widget.screenshot(path=path)
    return path


def numbers(widget):
    """The unrounded numbers a widget shows: what its `numbers()` in the browser returns."""
    return widget.evaluate("(card) => card.numbers()")


def script_cost(page, action, times=20):
    """Milliseconds of script, style and layout work that one interaction costs the page, as a dict.

    action: called `times` times, such as `lambda: page.keyboard.press("ArrowRight")`. JupyterLab's own listeners are
    counted too, so the figures are an upper bound for the widget.
    """
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable")

    kinds = {"script": "Script", "style": "RecalcStyle", "layout": "Layout"}

    def durations():
        found = {entry["name"]: entry["value"] for entry in devtools.send("Performance.getMetrics")["metrics"]}
        return {kind: found[f"{name}Duration"] for kind, name in kinds.items()}

    action()
    next_frame(page)
    before = durations()
    for _ in range(times):
        action()
    next_frame(page)
    after = durations()
    devtools.detach()
    return {name: 1000 * (after[name] - before[name]) / times for name in before}
