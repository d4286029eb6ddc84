"""Entry point of `python3 -m course_utils`. An old Python must be able to read this file to say what is wrong."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  (this is the one file that older versions read)
    sys.exit(
        "The course needs Python 3.11 to 3.14, but this is Python {}.{}. Install a newer one and call it by its name, "
        "for example: python3.12 -m course_utils lab".format(*sys.version_info[:2])
    )
if sys.platform == "win32":
    sys.exit("On Windows the course runs inside WSL: install it with `wsl --install`, then use its terminal.")

from course_utils.commands.dispatch import main  # only a new enough Python can read the rest

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
