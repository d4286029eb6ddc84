"""Interactive pictures of the course. Each is also a PNG and a line of text where no browser draws it."""

from course_utils.widgets.course_map import CourseMap
from course_utils.widgets.gate_explorer import GateExplorer, gate_run
from course_utils.widgets.gradient_flow import GradientFlow, gradient_flow
from course_utils.widgets.quiz import Quiz
from course_utils.widgets.rnn_unroller import RNNUnroller
from course_utils.widgets.teacher_forcing import TeacherForcing, forced_and_free

__all__ = ["CourseMap", "GateExplorer", "GradientFlow", "Quiz", "RNNUnroller", "TeacherForcing", "forced_and_free",
           "gate_run", "gradient_flow"]
