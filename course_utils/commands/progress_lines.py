"""Progress of a long set-up as numbered lines with elapsed seconds. Standard library only."""

import contextlib
import os
import re
import select
import sys
import time


def follow(stream, on_line, on_tick, seconds=0.5):
    """Read a child's output to its end: `on_line(text)` for each line, `on_tick()` while it is silent.

    stream: the pipe, as a binary file with a descriptor. seconds: longest silence between two ticks.
    """
    rest = b""
    while True:
        readable, _, _ = select.select([stream], [], [], seconds)
        on_tick()
        if not readable:
            continue
        chunk = os.read(stream.fileno(), 65536)
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines if chunk else [rest]:
            on_line(line.decode(errors="replace").rstrip())
        if not chunk:
            return


class Steps:
    """Prints "[2/4] packages", what goes on within it, and the seconds it took.

    On a terminal the line in progress is redrawn in place; elsewhere (a log of CI) only whole lines are written.
    """

    def __init__(self, total, stream=None, clock=time.monotonic):
        self.total, self.number = total, 0
        self.stream, self.clock = stream or sys.stdout, clock
        self.live = self.stream.isatty()
        self.detail, self.packages = "", 0

    @contextlib.contextmanager
    def step(self, title):
        self.number += 1
        self.title, self.started, self.detail, self.packages = title, self.clock(), "", 0
        if not self.live:
            self.write(self.heading())
        self.tick()
        try:
            yield
        except BaseException:
            self.write(f"{self.heading()}: not finished after {self.seconds()} s")
            raise
        self.write(f"{self.heading()}: done in {self.seconds()} s")

    def heading(self):
        return f"[{self.number}/{self.total}] {self.title}"

    def seconds(self):
        return round(self.clock() - self.started)

    def say(self, text):
        """Write a line that stays."""
        self.write(f"      {text}")

    def write(self, text):
        clear = "\r\x1b[K" if self.live else ""
        print(clear + text, file=self.stream, flush=True)

    def tick(self, venv=None):
        """Redraw the line in progress. venv: count the packages that are already installed in it."""
        if not self.live:
            return
        detail = self.detail
        if self.packages and venv:
            installed = sum(1 for _ in venv.glob("lib/python*/site-packages/*.dist-info"))
            detail = f"{detail} ({installed} in place)"
        width = os.get_terminal_size(self.stream.fileno()).columns if self.stream.isatty() else 80
        line = f"{self.heading()}  {self.seconds()} s  {detail}"
        print("\r\x1b[K" + line[: max(width - 1, 20)], end="", file=self.stream, flush=True)

    def pip_line(self, line):
        """Take in one line of pip's output."""
        detail = readable(line)
        if not detail:
            return
        self.detail = detail
        self.packages = detail.startswith("installing")
        large = "MB" in detail or "GB" in detail or self.packages
        if not self.live and large:
            self.say(f"{self.seconds():3} s  {detail}")


def readable(line):
    """A line of pip's output in a few words, or None where it tells a reader nothing new."""
    line = line.strip()
    if found := re.match(r"Collecting (\S+)", line):
        return f"looking for {found[1]}"
    if found := re.match(r"Downloading (\S+?)-(\d[^-]*)-\S+\.whl(?:\.metadata)? (\(.*\))", line):
        return f"downloading {found[1]} {found[2]} {found[3]}"
    if re.match(r"(Installing build dependencies|Preparing editable|Building editable)", line):
        return "preparing the course's own package"
    if found := re.match(r"Installing collected packages: (.*)", line):
        number = len(found[1].split(","))
        return f"installing {number} package{'s' if number > 1 else ''}"
    return None
