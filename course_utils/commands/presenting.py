"""`present`: a chapter as a deck for a class, with its cells run and its widgets live before the browser opens.

JupyterLab is started with settings of its own. The presenter's copy `work/present_NN_name.ipynb` is run in a kernel of
that server, so that the page finds the widgets there. Up to `environment.enter()` only the standard library is there.
"""

import contextlib
import copy
import ctypes
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import webbrowser
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from course_utils import layout
from course_utils.commands import CommandError, environment, lab, lints, notebooks, work

SETTINGS = layout.ASSETS / "present"  # the configuration folder of this server: style sheet, page with the deck
SERVER_SECONDS = 60
KERNEL_SECONDS = 120
STOP_SECONDS = 15
PR_SET_PDEATHSIG = 1                  # from Linux's <sys/prctl.h>
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
HELP = """\
    Space or Page Down: the next step; Shift+Space or Page Up: back; right and left arrow: the next and last section.
    Escape leaves the deck; the button with the cards above the notebook starts it again. F11: the whole screen.
    Ctrl-C in this window ends the presentation."""


def add_arguments(parser):
    parser.add_argument("chapter", metavar="CHAPTER", help="what to present, such as 4 or 04_attention")
    lab.add_server_arguments(parser)


def run(arguments):
    """Prepare a chapter, open it as a deck and serve it until Ctrl-C. Raises CommandError with one clear sentence."""
    chapters = layout.chapter_notebooks()
    source = chapters[lab.find_chapter(arguments.chapter, chapters)]
    environment.enter()

    started = time.monotonic()
    lab.bring_copies_up_to_date(None)           # for the links to other chapters
    nb = presented(chapter(source))
    page = write_copy(nb, layout.WORK / f"present_{source.name}")
    ip = arguments.ip or "localhost"
    port = lab.free_port(lab.DEFAULT_PORT if arguments.port is None else arguments.port, ip)
    with signals_as_interrupts(), served(page, port, ip) as server:
        failed = prepare(nb, page, server)
        write_copy(nb, page)                    # guarded again: somebody may have written in it meanwhile
        lab.trust([page])
        tell(page, server, failed, time.monotonic() - started)
        if not arguments.no_browser and lab.has_display():
            webbrowser.open(server.address(page))
        server.process.wait()
    raise CommandError(f"JupyterLab has ended: {server.last_words()}")


def chapter(path):
    try:
        return notebooks.read(path)
    except notebooks.NotebookError as problem:
        raise CommandError(f"{path.name}: {problem}.") from None


def tell(page, server, failed, seconds):
    """Say that all is ready, where, and which keys to press."""
    for name, why in failed:
        print(f"Cell {name} failed ({why}): its slide shows the recorded output.")
    print(f"{page.name} is ready after {seconds:.0f} s. The slides are as large as the browser's window:")
    print(f"    {server.address(page)}\n{HELP}", flush=True)


# ---- the presenter's copy --------------------------------------------------------------------------------------------


def presented(nb):
    """A copy of the notebook in which every cell has its presenter's source, where it has one."""
    nb = copy.deepcopy(nb)
    for cell in lints.code_cells(nb):
        cell["source"] = cell["metadata"].pop("present", cell["source"])
    return nb


def write_copy(nb, path):
    """Write the presenter's copy; what the presenter changed in an earlier one is kept as a dated backup. Its path."""
    with work.writing_in(path.parent):
        if path.exists() and not work.untouched(path):
            backup = work.keep_backup(path, datetime.now())
            print(f"You had changed {path.name}: your version is kept as {backup.name}.")
        text = notebooks.text_of(nb).encode()
        work.remember(path, work.digest_of(text))
        layout.write_whole(path, text)
    return path


# ---- the server ------------------------------------------------------------------------------------------------------


@dataclass
class Server:
    """A running JupyterLab. folder: its own configuration, runtime files and log."""

    process: subprocess.Popen
    folder: Path
    host: str
    port: int
    token: str

    def ask(self, path, data=None):
        """Call the REST interface and return the decoded answer. Raises OSError."""
        body = None if data is None else json.dumps(data).encode()
        headers = {"Authorization": f"token {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"http://{self.host}:{self.port}/{path}", body, headers)
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def address(self, page):
        return (f"http://{self.host}:{self.port}/custom/present.html"
                f"#{page.relative_to(layout.ROOT).as_posix()}?token={self.token}")

    def last_words(self):
        lines = (self.folder / "lab.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else "it said nothing."


@contextlib.contextmanager
def served(page, port, ip):
    """Run JupyterLab with the deck's settings; gives a `Server` that answers. Its kernels end with it."""
    with tempfile.TemporaryDirectory(prefix="course-present-") as folder:
        folder = Path(folder)
        host = "localhost" if ip in ("0.0.0.0", "*", "::") else f"[{ip}]" if ":" in ip else ip
        token = secrets.token_hex(24)
        variables = server_environment(folder, token)
        path = page.relative_to(layout.ROOT).as_posix()
        command = [*lab.server_command(path, port, ip, no_browser=True, workspaces=folder / "workspaces"),
                   "--ServerApp.port_retries=0", "--ServerApp.base_url=/", "--LabApp.custom_css=True"]
        with open(folder / "lab.log", "wb") as log:
            process = subprocess.Popen(command, env=variables, cwd=layout.ROOT, stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=end_with_parent)
        try:
            server = Server(process, folder, host, port, token)
            wait_until_up(server)
            yield server
        finally:
            stop(process)


def end_with_parent():
    """In the new process: have it ended when this command is killed and cannot end it any more. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def server_environment(folder, token):
    """Environment of this server and its kernels. folder: new and empty; the configuration is written there."""
    write_settings(folder / "config")
    variables = lab.server_environment()
    return variables | {
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),       # so that `lab` does not take this server for its own
        "JUPYTER_TOKEN": token,
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "config" / "lab" / "user-settings"),
        "COURSE_PROGRESS": str(folder / "progress.json"),     # a class starts with no question answered
    }


def write_settings(folder):
    """Write the deck's configuration into `folder`, with the user's own settings of JupyterLab such as the theme."""
    from jupyterlab.commands import get_user_settings_dir

    shutil.copytree(SETTINGS, folder)
    own = Path(get_user_settings_dir())
    if own.is_dir():
        with contextlib.suppress(shutil.Error):            # a file that cannot be read: what could be copied is there
            shutil.copytree(own, folder / "lab" / "user-settings", ignore_dangling_symlinks=True,
                            ignore=shutil.ignore_patterns("jupyterlab-slideshow"))


def wait_until_up(server):
    """Return once the server answers. Raises CommandError where it does not."""
    for _ in range(SERVER_SECONDS * 10):
        if server.process.poll() is not None:
            raise CommandError(f"JupyterLab did not start: {server.last_words()}")
        with contextlib.suppress(OSError):
            server.ask("api/status")
            return
        time.sleep(0.1)
    raise CommandError(f"JupyterLab did not answer within {SERVER_SECONDS} s: {server.last_words()}")


def stop(process):
    """End the server and wait for it: it ends its kernels first. This process is about to end, too."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)         # an impatient second Ctrl-C must not leave the server behind
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def signals_as_interrupts():
    """A closed terminal or a polite kill ends this process as Ctrl-C does: the server must not be left behind."""
    def interrupt(*_):
        raise KeyboardInterrupt

    ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else set()      # that is `nohup`
    heard = set(SIGNALS) - ignored
    before = {number: signal.signal(number, interrupt) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# ---- running the cells -----------------------------------------------------------------------------------------------


def prepare(nb, page, server):
    """Run the code cells of `nb` in a kernel of the server; their outputs replace the recorded ones.

    A cell that fails keeps its recorded output. Returns [(name, why)] of those. Raises CommandError where the kernel
    ends.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    cells = [(index, cell) for index, cell in enumerate(nb["cells"])
             if cell["cell_type"] == "code" and cell["source"].strip()]
    failed, line = [], Line()
    with connected(page, server) as kernel:
        client = NotebookClient(nb, timeout=None, record_timing=False)
        client.kc = kernel
        keep_moments(kernel, [cell["id"] for _, cell in cells])
        for done, (index, cell) in enumerate(cells):
            line.show(f"Preparing: {done} of {len(cells)} cells")
            recorded = cell["outputs"]
            try:
                client.execute_cell(cell, index)
                cell["outputs"] = notebooks.merged(shown(output) for output in cell["outputs"])
            except CellExecutionError as error:
                cell["outputs"] = recorded
                failed.append((lints.name_of(cell), f"{error.ename}: {notebooks.first_line(error.evalue)}"))
            except DeadKernelError:
                raise CommandError(f"The kernel ended in cell {lints.name_of(cell)} (out of memory, for one). "
                                   "Close other programs and start again.") from None
    line.clear()
    return failed


def keep_moments(kernel, order):
    """Let the kernel keep its names as they are before each cell, so that any cell can be run again in the class."""
    from nbclient.util import run_sync

    code = f"from course_utils.commands.moments import keep as _keep; _moments = _keep({order!r})"
    run_sync(kernel.execute_interactive)(code, silent=True, timeout=KERNEL_SECONDS)


@contextlib.contextmanager
def connected(page, server):
    """A new kernel of the server, bound to the notebook `page`; gives a client that is connected to it."""
    from jupyter_client.asynchronous import AsyncKernelClient
    from nbclient.util import run_sync

    class Client(AsyncKernelClient):
        process = None

        async def _async_is_alive(self):
            # Not by heartbeat: a busy machine lets it fall silent, and the server starts a dead kernel again at once.
            return self.process is None or exists(self.process)

        is_alive = _async_is_alive

    path = page.relative_to(layout.ROOT).as_posix()
    wanted = {"path": path, "name": page.name, "type": "notebook", "kernel": {"name": "python3"}}
    try:
        kernel = server.ask("api/sessions", wanted)["kernel"]["id"]
    except OSError as problem:
        raise CommandError(f"JupyterLab could not start a kernel ({problem}).") from None
    client = Client(connection_file=str(server.folder / "runtime" / f"kernel-{kernel}.json"))
    client.load_connection_file()
    client.allow_stdin = False              # a cell that asks something fails, and the others go on
    client.start_channels()
    try:
        client.process = run_sync(process_of)(client)
        yield client
    finally:
        client.stop_channels()


async def process_of(client):
    """The number of the kernel's process, once it answers. Raises CommandError where it does not."""
    question = {"pid": "__import__('os').getpid()"}
    try:
        await client.wait_for_ready(timeout=KERNEL_SECONDS)
        reply = await client.execute_interactive("", silent=True, user_expressions=question, timeout=KERNEL_SECONDS)
    except (RuntimeError, TimeoutError):
        raise CommandError(f"The kernel did not answer within {KERNEL_SECONDS} s. `doctor` may know why.") from None
    return int(reply["content"]["user_expressions"]["pid"]["data"]["text/plain"])


def exists(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def shown(output):
    """One output as the deck shows it: as it is committed, and the live view of a widget; None for a progress bar."""
    view = output.get("data", {}).get(notebooks.WIDGET_VIEW)
    output = notebooks.kept(output)
    if output is not None and view is not None:
        output["data"][notebooks.WIDGET_VIEW] = view
    return output


class Line:
    """One line on the terminal that is written over; elsewhere it is printed once, for a log."""

    def __init__(self):
        self.since, self.shown = time.monotonic(), False

    def show(self, text):
        if sys.stdout.isatty():
            print(f"\r\033[K{text}, {time.monotonic() - self.since:.0f} s", end="", flush=True)
        elif not self.shown:
            print(f"{text} ...", flush=True)
        self.shown = True

    def clear(self):
        if sys.stdout.isatty():
            print("\r\033[K", end="", flush=True)
