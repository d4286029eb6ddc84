"""Runs inside the kernel of `present`: any cell can be run again as if the notebook had just come to it.

When a deck opens, every cell has been run, so a name that several cells use (`keys`, `T`) has its last value. Here
the names are kept as they were before each cell, and put back before one of them is run again, together with what the
presenter changed in the cells above it. Names are put back, not contents: a model that was trained on stays so.
"""

MISSING = object()


class Moments:
    """The names of a notebook before each of its cells.

    shell: IPython's. order: ids of the code cells, as they are run one after the other at first, by a client that does
    not tell ids. From then on JupyterLab tells the id of each cell it runs; a cell that the presenter has added counts
    to the one run before it.
    """

    def __init__(self, shell, order):
        self.shell, self.places = shell, {cell: place for place, cell in enumerate(order)}
        self.before = []          # names and values before each cell, in order
        self.changed = {}         # name -> (place of the cell in which the presenter changed it, its value)
        self.place, self.names = -1, {}
        shell.events.register("pre_run_cell", self.start)
        shell.events.register("post_run_cell", self.finish)

    def present_names(self):
        """What the notebook has defined by now."""
        hidden = self.shell.user_ns_hidden
        return {name: value for name, value in self.shell.user_ns.items() if name[:1] != "_" and name not in hidden}

    def start(self, info):
        """Before a cell: at first keep the names, later put them back."""
        if len(self.before) < len(self.places):
            self.before.append(self.present_names())
            self.place = len(self.before) - 1
        elif info.cell_id in self.places:
            self.place = self.places[info.cell_id]
            above = {name: value for name, (place, value) in self.changed.items() if place < self.place}
            self.shell.user_ns.update(self.before[self.place] | above)
        self.names = self.present_names()

    def finish(self, result):
        """After a cell that the presenter ran: what it changed belongs to its place."""
        if len(self.before) == len(self.places) and result.info.cell_id is not None:
            self.changed |= {name: (self.place, value) for name, value in self.present_names().items()
                             if self.names.get(name, MISSING) is not value}


def keep(order):
    """Keep the moments of the notebook that this kernel is about to run. order: ids of its code cells."""
    from IPython import get_ipython

    return Moments(get_ipython(), order)
