"""A course folder of nbgrader's, as an instructor uses it."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook

from course_utils import layout
from course_utils.commands import editions

CHAPTERS = layout.chapter_notebooks()
COURSE_ID = "recurrence-to-attention"


@dataclass
class Course:
    """The folder that `assign` made."""

    folder: Path

    def notebook(self, step, name):
        return nbformat.read(self.folder / step / name / f"{name}.ipynb", as_version=4)

    def hand_in(self, student, nb, name):
        path = self.folder / "submitted" / student / name / f"{name}.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(nb, path)

    @property
    def own_progress(self):
        """Where the instructor's own progress would be written."""
        return self.folder.with_name("own-progress.json")

    def nbgrader(self, *words):
        """Run nbgrader in the course folder."""
        environment = {**os.environ, "COURSE_PROGRESS": str(self.own_progress)}
        done = subprocess.run([editions.program("nbgrader"), *words], cwd=self.folder, env=environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        assert done.returncode == 0, done.stdout

    def grades(self, student, name):
        """What the gradebook holds: a dict from grade id to (points, most points, waits for a reader)."""
        with Gradebook(f"sqlite:///{self.folder / 'gradebook.db'}", COURSE_ID) as gradebook:
            grades = gradebook.find_submission_notebook(name, name, student).grades
            return {grade.name: (grade.score, grade.max_score, grade.needs_manual_grade) for grade in grades}

    def points(self, student, name):
        """Points for the exercises: a dict from "05.1" to (points, most points)."""
        grades = self.grades(student, name).items()
        return {exercise_of(cell): points[:2] for cell, points in grades if cell.endswith("-graded")}


def exercise_of(grade_id):
    """The id of the exercise that a cell belongs to: 05.1 for exercise-05-1-graded."""
    return ".".join(grade_id.split("-")[1:3])


def cells_of(nb, ending):
    """The cells of an assignment whose grade id ends so: a dict from "05.1" to the cell."""
    found = [(cell.metadata.get("nbgrader", {}).get("grade_id", ""), cell) for cell in nb.cells]
    return {exercise_of(name): cell for name, cell in found if name.endswith(ending)}
