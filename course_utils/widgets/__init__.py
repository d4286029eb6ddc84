"""Interactive pictures of the course. Each is also a PNG and a line of text where no browser draws it."""

from course_utils.widgets.attention_stepper import AttentionStepper, attention_steps
from course_utils.widgets.attention_view import AttentionView
from course_utils.widgets.concept_index import ConceptIndex
from course_utils.widgets.course_map import CourseMap
from course_utils.widgets.fill_in_the_blank import FillInTheBlank
from course_utils.widgets.gate_explorer import GateExplorer, gate_run
from course_utils.widgets.gradient_flow import GradientFlow, gradient_flow
from course_utils.widgets.mask_builder import MaskBuilder
from course_utils.widgets.patch_explorer import PatchExplorer
from course_utils.widgets.position_explorer import PositionExplorer
from course_utils.widgets.quiz import Quiz
from course_utils.widgets.rnn_unroller import RNNUnroller
from course_utils.widgets.sampling_playground import SamplingPlayground
from course_utils.widgets.softmax_scale import SoftmaxScale
from course_utils.widgets.teacher_forcing import TeacherForcing, forced_and_free
from course_utils.widgets.transformer_flow import TransformerFlow

__all__ = ["AttentionStepper", "AttentionView", "ConceptIndex", "CourseMap", "FillInTheBlank", "GateExplorer",
           "GradientFlow", "MaskBuilder", "PatchExplorer", "PositionExplorer", "Quiz", "RNNUnroller",
           "SamplingPlayground", "SoftmaxScale", "TeacherForcing", "TransformerFlow", "attention_steps",
           "forced_and_free", "gate_run", "gradient_flow"]
