"""Small notebooks for testing the machinery: a clean one, and ways to spoil it."""

import nbformat
from nbformat import v4

SLIDE = {"slideshow": {"slide_type": "slide"}}


def text(name, source, *tags):
    """A Markdown cell."""
    return v4.new_markdown_cell(source, id=name, metadata={**SLIDE, "tags": list(tags)})


def code(name, source, *tags, outputs=()):
    """A code cell; `notebook` numbers it."""
    return v4.new_code_cell(source, id=name, metadata={**SLIDE, "tags": list(tags)}, outputs=list(outputs))


def printed(words, name="stdout"):
    """What a print leaves in a cell."""
    return v4.new_output("stream", name=name, text=words)


def shown(**data):
    """A displayed result; keys such as image_png stand for image/png."""
    return v4.new_output("display_data", data={key.replace("_", "/", 1): value for key, value in data.items()})


def notebook(*cells):
    """A notebook of these cells, its code numbered as after a run."""
    nb = v4.new_notebook(cells=list(cells))
    for count, cell in enumerate((cell for cell in cells if cell["cell_type"] == "code"), 1):
        cell["execution_count"] = count
    return nb


IMPORTS = ("import-cell", "from fractions import Fraction", "imports")


def clean():
    """A notebook in which the lints for a notebook that is no chapter find nothing."""
    return notebook(
        text("title-cell", "# A title\nIt promises $x < y$ and `<eos>`."),
        code(*IMPORTS),
        code("one-half", "print(Fraction(1, 2))", "nbval-check-output", outputs=[printed("1/2\n")]),
    )


def whole_chapter():
    """A notebook with all fixed parts of a chapter in their order."""
    return notebook(
        text("title-cell", "# A title\nOne sentence that promises something."),
        text("goals", "## What you will be able to do\nSay it."),
        code(*IMPORTS),
        code("quiz-opening", 'quiz("01-opening")', "quiz", outputs=[printed("Quiz")]),
        text("section-one", "## A section\nAn idea."),
        text("parity-intro", "## It is the real thing\nSee."),
        text("misconceptions", "## Often said, not quite so\nA thing."),
        text("summary", "## Summary\nShort."),
        code("quiz-closing", 'quiz("01-closing")', "quiz", outputs=[printed("Quiz")]),
        text("assignment", "## Assignment\nDo it."),
        text("sources", "## Sources\nA paper."),
    )


def save(nb, folder, name="small.ipynb"):
    """Write the notebook into `folder` and return its path."""
    path = folder / name
    nbformat.write(nb, path)
    return path
