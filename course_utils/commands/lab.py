"""`lab`: set up the environment, bring the student's copies up to date and open JupyterLab at a chapter.

Up to `environment.enter()` only the standard library is there.
"""

import errno
import json
import os
import re
import shutil
import socket
import sys
import urllib.request
import webbrowser
from pathlib import Path

from course_utils import layout
from course_utils.commands import CommandError, environment, work

DEFAULT_PORT = 8888
PORTS_TRIED = 50


def add_arguments(parser):
    parser.add_argument("chapter", nargs="?", metavar="CHAPTER", help="what to open, such as 1 or 01_rnn (default: 00)")
    parser.add_argument("--reset", metavar="NN", help="put a fresh copy of chapter NN beside a dated backup of yours")
    parser.add_argument("--author", action="store_true", help="open the course's own notebooks, not your copies")
    add_server_arguments(parser)


def add_server_arguments(parser):
    parser.add_argument("--no-browser", action="store_true", help="print the address and open no browser")
    parser.add_argument("--port", type=int, help=f"port of the server (default: {DEFAULT_PORT} or the next free one)")
    parser.add_argument("--ip", help="address to listen on; in a container use 0.0.0.0 (default: localhost)")


def run(arguments):
    """Serve the course until Ctrl-C; this process becomes the server. Raises CommandError with one clear sentence."""
    chapters = layout.chapter_notebooks()
    if arguments.author and arguments.reset is not None:
        raise CommandError("--reset renews a copy in work/, and --author opens the originals: use one of the two.")
    fresh = None if arguments.reset is None else find_chapter(arguments.reset, chapters)
    default = fresh or min(chapters, default="00")
    number = find_chapter(default if arguments.chapter is None else arguments.chapter, chapters)
    environment.enter()

    folder = layout.NOTEBOOKS if arguments.author else layout.WORK
    if not arguments.author:
        bring_copies_up_to_date(fresh)
    page = f"{folder.name}/{chapters[number].name}"
    own_address = arguments.port is not None or arguments.ip
    already = None if own_address else running_server()
    if already:
        return show(already, page, arguments.no_browser)
    port = free_port(DEFAULT_PORT if arguments.port is None else arguments.port, arguments.ip or "localhost")
    no_browser = arguments.no_browser or not has_display()
    command = server_command(page, port, arguments.ip or "localhost", no_browser)
    what = f"To read {page}, open one of the addresses below in a browser" if no_browser else f"Opening {page}"
    print(f"{what}. Leave this window as it is: Ctrl-C here stops the server.", flush=True)
    os.execve(command[0], command, server_environment())


def find_chapter(name, chapters):
    """The number ("01") of the chapter called `name`: 1, 01, 01_rnn or 01_rnn.ipynb, also with a folder before it.

    Raises CommandError that lists the chapters.
    """
    wanted = Path(name).name.removesuffix(".ipynb")
    for number, path in chapters.items():
        if wanted == path.stem or (re.fullmatch(r"[0-9]{1,2}", wanted) and int(wanted) == int(number)):
            return number
    if not chapters:
        raise CommandError(f"There is no chapter in {layout.NOTEBOOKS}: is this the whole course?")
    known = ", ".join(path.stem for path in chapters.values())
    raise CommandError(f"There is no chapter '{name}'. The chapters are {known}.")


def bring_copies_up_to_date(fresh):
    written = []
    if fresh:
        copy, backup = work.reset(fresh)
        written.append(copy)
        print(f"{copy} is fresh again." + (f" What was there is kept as {backup.name}." if backup else ""))
    more, notices = work.prepare()
    trust(written + more)
    for notice in notices:
        print(notice)


def trust(notebooks):
    """Sign the copies, so that JupyterLab shows their widgets live. Without a signature it shows pictures instead."""
    import nbformat
    from nbformat.sign import NotebookNotary

    try:
        notary = NotebookNotary()
        for path in notebooks:
            notary.sign(nbformat.read(path, as_version=4))
    except Exception as problem:      # a full or read-only home folder must not keep the course from opening
        print(f"The notebooks could not be marked as trusted ({problem}): run a chapter's cells to see its widgets.")


# ---- the server ------------------------------------------------------------------------------------------------------


def server_command(page, port, ip, no_browser, workspaces=None):
    """Command line of the server. page: path of the notebook to open, relative to the project folder.

    workspaces: folder for the layout of the tabs; by default the course's own, so that the reader's tabs from other
    projects stay out of it, and the other way round.
    """
    options = [
        f"--ServerApp.root_dir={layout.ROOT}",
        f"--LabApp.default_url=/lab/tree/{page}",
        f"--LabApp.workspaces_dir={workspaces or layout.cache_folder() / 'lab-workspaces'}",
        f"--ServerApp.port={port}",
        f"--ServerApp.ip={'0.0.0.0' if ip == '*' else ip}",
        "--ServerApp.answer_yes=True",                # Ctrl-C stops at once
        "--Application.log_level=WARN",
    ]
    if browser_cannot_read_files():
        options.append("--ServerApp.use_redirect_file=False")
    if no_browser:
        options.append("--no-browser")
    if os.geteuid() == 0:
        options.append("--allow-root")
    return [sys.executable, "-m", "jupyterlab", *options]


def server_environment():
    """Environment variables of the server and its kernels."""
    variables = environment.clean_environment()
    ours = [str(layout.ASSETS / "jupyter"), variables.get("JUPYTER_CONFIG_PATH")]
    variables["JUPYTER_CONFIG_PATH"] = os.pathsep.join(path for path in ours if path)
    variables["JUPYTER_PREFER_ENV_PATH"] = "1"        # this environment's kernel, not one in the home folder
    variables["VIRTUAL_ENV"] = sys.prefix
    variables["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), variables.get("PATH", os.defpath)])
    variables["HOME"] = str(environment.home_folder())
    return variables


def free_port(wanted, ip):
    """The first free port from `wanted` on; a sentence says so where it is another. Raises CommandError."""
    if not 0 < wanted < 65536:
        raise CommandError(f"{wanted} is no port: ports are numbers from 1 to 65535.")
    for port in range(wanted, min(wanted + PORTS_TRIED, 65536)):
        try:
            if can_listen(port, ip):
                if port != wanted:
                    print(f"Port {wanted} is in use; taking {port}.")
                return port
        except OSError as problem:
            if problem.errno == errno.EACCES:
                raise CommandError(f"Port {port} is reserved for the system: choose one from 1024 on.") from None
            raise CommandError(f"This machine cannot listen on '{ip}' ({problem.strerror}).") from None
    raise CommandError(f"The ports {wanted} to {port} are all in use: name another one with --port.")


def can_listen(port, ip):
    """True where a server could listen on this port. Raises OSError for any reason but that the port is in use."""
    host = {"*": "0.0.0.0"}.get(ip, ip)
    for family, kind, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
            except OSError as problem:
                if problem.errno == errno.EADDRINUSE:
                    return False
                if family == socket.AF_INET6 and ip == "localhost":
                    continue          # a machine without IPv6 may still name it
                raise
    return True


def running_server():
    """Description of a server that already serves this very folder, or None."""
    from jupyter_core.paths import jupyter_runtime_dir

    for path in sorted(Path(jupyter_runtime_dir()).glob("jpserver-*.json")):
        try:
            server = json.loads(path.read_text(encoding="utf-8"))
            if Path(server["root_dir"]).resolve() != layout.ROOT:
                continue
            with urllib.request.urlopen(server["url"] + "api", timeout=2):
                return server
        except (OSError, ValueError, KeyError, TypeError):
            continue                  # a file that a killed server left behind
    return None


def show(server, page, no_browser):
    """Point to a server that is already running. Returns the exit status."""
    address = f"{server['url']}lab/tree/{page}?token={server.get('token', '')}"
    print(f"The course is already open in another window (process {server.get('pid')}):\n    {address}")
    if not no_browser and has_display():
        webbrowser.open(address)
    return 0


def has_display():
    """False where no browser can be opened: Linux without a screen, such as a container or a remote shell."""
    if sys.platform != "linux" or os.environ.get("BROWSER") or shutil.which("wslview"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def browser_cannot_read_files():
    """True where the browser may not see Jupyter's start file: under WSL it runs outside, as a snap it is shut in."""
    under_wsl = "WSL_DISTRO_NAME" in os.environ
    return under_wsl or Path("/snap/bin/firefox").exists() or Path("/snap/bin/chromium").exists()
