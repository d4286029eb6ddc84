"""Settings of nbgrader for this folder. `assign` wrote this file; change what you like, it will not be overwritten."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
c = get_config()  # noqa: F821  (nbgrader defines it)

c.CourseDirectory.course_id = "recurrence-to-attention"
c.CourseDirectory.root = str(HERE)

# What students find in place of an answer. The course's check reads it as "not attempted".
c.ClearSolutions.code_stub = {"python": "..."}

# A cell that grades comes back where a student has removed it; without this the points would be missing.
c.OverwriteCells.add_missing_cells = True

# Seconds for one cell. A check stops an endless loop by itself, after 5 to 30 seconds.
c.Execute.timeout = 120

# For the kernels that run what students wrote:
os.environ["COURSE_DEVICE"] = "cpu"
os.environ["COURSE_PROGRESS"] = str(HERE / ".progress.json")        # your own progress stays as it is
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"                           # a waiting thread sleeps
os.environ["PYTHONSAFEPATH"] = "1"              # a file torch.py that was handed in is not taken for the real one
os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"     # the kernel of the course, not one in your home folder

# nbgrader calls the program `alembic`, which lies beside its own.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
