"""Interactive pictures of the course. Each is also a PNG and a line of text where no browser draws it."""

from course_utils.widgets.course_map import CourseMap
from course_utils.widgets.gradient_flow import GradientFlow, gradient_flow
from course_utils.widgets.quiz import Quiz
from course_utils.widgets.rnn_unroller import RNNUnroller

__all__ = ["CourseMap", "GradientFlow", "Quiz", "RNNUnroller", "gradient_flow"]
