"""Folders that a command writes for an instructor: `solve` and `assign`. Standard library only.

Such a folder holds a list of the files that were written there, each with a digest of every edition of it, so that a
command that was killed leaves nothing that looks changed. A folder with files and without the list belongs to somebody
else. A file with another digest was changed by hand. Neither is ever touched.
"""

import hashlib
import json
import shlex
import sys
from pathlib import Path

from course_utils.commands import CommandError
from course_utils.layout import chapter_notebooks, write_whole


def add_arguments(parser, contents, required=True):
    """Arguments of a command that writes chapters into a folder: the folder and chapter numbers."""
    text = f"folder for {contents}: a new or empty one, or one that this command made"
    parser.add_argument("folder", metavar="DIR", type=Path, nargs=None if required else "?", help=text)
    parser.add_argument("chapters", metavar="CHAPTER", nargs="*", help="chapter numbers such as 01; all without one")


def program(name):
    """Path of a program of the course's environment."""
    return Path(sys.executable).with_name(name)


def typed(*words):
    """A command as it is typed: words with spaces in quotation marks."""
    return shlex.join(map(str, words))


EXPECTED = "expected"               # in the place of a digest


def is_chapter(folder):
    """True for a chapter's number in the place of a folder: the folder was forgotten."""
    return not Path(folder).exists() and str(folder) in chapter_notebooks()


class Edition:
    """One such folder. Names are paths of files inside it, with `/`."""

    def __init__(self, folder, command):
        """Open the folder, or make it. Raises CommandError for somebody else's, and where nothing can be written."""
        if is_chapter(folder):
            raise CommandError(f"{folder} is a chapter. Name the folder first: "
                               f"python3 -m course_utils {command} DIR {folder}")
        self.folder, self.command = Path(folder), command
        self.list = self.folder / f".made-by-{command}.json"
        self.digests = self._earlier()
        try:
            self._save()             # now, not after minutes of work
        except OSError as problem:
            raise CommandError(f"{folder} cannot be written ({problem.strerror}): choose another folder.") from None

    def path(self, name):
        return self.folder / name

    def changed(self, name):
        """True where the file is there and is none of the editions that were written. See `expect`."""
        path, known = self.path(name), self.digests.get(name, [])
        return path.exists() and known[-1:] != [EXPECTED] and digest(path.read_bytes()) not in known

    def holds(self, name, content=None):
        """True where the file is there as it was written last, with this content where one is given (bytes)."""
        path = self.path(name)
        if not path.exists():
            return False
        there = digest(path.read_bytes())
        return self.digests.get(name, [])[-1:] == [there] and (content is None or there == digest(content))

    def write(self, name, content):
        """Write a file (bytes). It is listed first: killed in between, this leaves nothing that looks changed."""
        self._list(name, digest(content))
        write_whole(self.path(name), content)

    def expect(self, name):
        """Another program is about to write this file for the command: until `adopt`, what stands there is its own."""
        self._list(name, EXPECTED)

    def adopt(self, name):
        """List a file that another program has written for this command."""
        self._list(name, digest(self.path(name).read_bytes()))

    def _list(self, name, found):
        self.digests[name] = [known for known in self.digests.get(name, []) if known not in (found, EXPECTED)] + [found]
        self._save()

    def _save(self):
        write_whole(self.list, json.dumps(self.digests, indent=1).encode())

    def _earlier(self):
        if self.list.is_file():
            try:
                return {name: list(known) for name, known in json.loads(self.list.read_text(encoding="utf-8")).items()}
            except (OSError, ValueError, TypeError, AttributeError):
                raise CommandError(f"{self.list}, which lists what `{self.command}` wrote there, cannot be read: "
                                   "choose a new folder.") from None
        if self.folder.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            raise CommandError(f"{self.folder} is not empty and was not made by `{self.command}`: choose a new folder.")
        return {}


def digest(content):
    return hashlib.sha256(content).hexdigest()
