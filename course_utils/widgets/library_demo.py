"""`LibraryDemo`: type a docstring, and a saved model says which library it comes from. Chapter 11's capstone.

Made of ipywidgets' own parts, which are native and keyboard-usable. What the reader types stands in the text field
only; it is never put into a label or into HTML.
"""

import ipywidgets

from course_utils import figures
from course_utils.recordings.capstone import predict
from course_utils.widgets.base import clean, cleaned, one_line, readable

EXAMPLE = "Wait until the lock is free, without blocking the event loop."
BLUE = "#0072b2"                     # the course's first colour; every bar has its number beside it
LONGEST_LABEL = 40


class Field(ipywidgets.Textarea):
    """A text field that takes any text. Half of a surrogate pair cannot be sent back, and would lose what was typed."""

    def set_state(self, sync_data):
        super().set_state(cleaned(sync_data))


class LibraryDemo(ipywidgets.VBox):
    """A text field, a bar and a number for each label of a bundle, and a line that says how far to trust them.

    bundle: as from `load_bundle`. text: what stands in the field at first. A text that cannot be read leaves the bars
    as they are and says why.
    """

    def __init__(self, bundle, text=EXAMPLE):
        self.bundle = bundle
        names = [readable(label, LONGEST_LABEL) for label in bundle.labels]
        self.field = Field(value=clean(text), description="Docstring", placeholder="Type or paste a docstring",
                           layout={"width": "auto", "height": "110px"})
        self.bars = [ipywidgets.FloatProgress(max=1.0, description=name, style={
            "bar_color": BLUE, "description_width": "130px"}) for name in names]
        self.numbers = [ipywidgets.Label() for _ in names]
        self.message = ipywidgets.Label()
        rows = [ipywidgets.HBox(pair) for pair in zip(self.bars, self.numbers, strict=True)]
        # HTML breaks a long line, a label cuts it off. The line holds numbers, nothing of the reader or the bundle.
        super().__init__([self.field, self.message, *rows, ipywidgets.HTML(trust(bundle))])
        self.field.observe(self.ask, "value")
        self.ask()

    def ask(self, change=None):
        """Read the field and show what the model says, or why it says nothing."""
        try:
            probabilities = predict(self.bundle, self.field.value).tolist()
        except Exception as error:       # a traceback from a callback would be lost
            self.message.value = one_line(error)
            return
        for bar, number, probability in zip(self.bars, self.numbers, probabilities, strict=True):
            bar.value, number.value = probability, f"{probability:.0%}"
        first = max(range(len(probabilities)), key=probabilities.__getitem__)
        self.message.value = f"Most likely: {self.bars[first].description}, {probabilities[first]:.0%}"

    def figure(self):
        """The bars of the present text, for pages without the live widget."""
        return figures.bars([bar.description for bar in self.bars], [bar.value for bar in self.bars],
                            title=f"Which library? {self.message.value}", numbers="{:.0%}")

    def _repr_mimebundle_(self, **kwargs):
        return {**super()._repr_mimebundle_(**kwargs), "image/png": figures.png(self.figure())}

    def __repr__(self):
        return f"LibraryDemo(labels={len(self.bars)})"


def trust(bundle):
    """One line: how good the model was when it was measured, and what it cannot know."""
    known = f"It knows {len(bundle.labels)} libraries and names one of them for every text, also for a cooking recipe."
    accuracy = bundle.measured.get("accuracy")
    return f"Right for {accuracy:.0%} of the docstrings from files it had never read. {known}" if accuracy else known
