"""The recordings of distillation and of sparse attention: complete, and what can be made again in seconds is."""

import itertools

import pytest
import torch
from torch import nn

from course_utils.data.images import digits
from course_utils.models.attention import attention_maps
from course_utils.models.bert import BERT, BERTConfig
from course_utils.recordings import distil_digits, distilbert, docstring_bert, recorded, sparse_cost, tinybert
from course_utils.recordings.data_hunger import accuracy
from course_utils.training import weights_of


def rows_of(name):
    return recorded(name)["results"]["rows"]


@pytest.mark.parametrize("recording", [distil_digits, distilbert, tinybert], ids=lambda module: module.__name__[24:])
def test_every_variant_was_recorded_with_every_seed(recording):
    rows = rows_of(recording.__name__.split(".")[-1])
    found = [(row["variant"], row["seed"]) for row in rows if row["variant"] != "the teacher"]
    assert sorted(found) == sorted(itertools.product(recording.VARIANTS, recording.SETTINGS["seeds"]))


def test_one_student_on_digits_can_be_made_again():
    row = next(row for row in rows_of("distil_digits") if (row["variant"], row["seed"]) == ("soft targets", 0))
    teacher = distil_digits.teacher_for(0)
    student = distil_digits.taught("soft targets", teacher, 0)
    assert abs(accuracy(student, *digits("test")) - row["test"]) < 0.03
    assert accuracy(teacher, *digits("test")) > accuracy(student, *digits("test"))


def test_the_recorded_teacher_is_the_checkpoint_of_chapter_08():
    result = recorded("distilbert")["results"]
    teacher, _ = docstring_bert.pretrained()
    for name, value in docstring_bert.measured(teacher, "test").items():
        assert abs(value - result["teacher"]["test"][name]) < 0.01
    assert result["teacher"]["weights"] == weights_of(teacher)
    student = distilbert.new_student(teacher, from_teacher=True)
    assert {row["weights"] for row in result["rows"]} == {weights_of(student)}
    for mine, other in zip(student.bert.encoder.blocks, (0, 2), strict=True):
        torch.testing.assert_close(mine.state_dict(), teacher.bert.encoder.blocks[other].state_dict())


def test_each_variants_rate_is_the_best_of_its_search():
    for recording in (distilbert, tinybert):
        search = recorded(recording.__name__.split(".")[-1])["results"]["search"]
        for variant in recording.VARIANTS:
            assert recording.best_rate(search, variant) in {row["rate"] for row in search}
    search = [{"variant": "random start, taught", "rate": rate, "validation": abs(place - 1.0)}
              for place, rate in enumerate(distilbert.SETTINGS["rates"])]
    assert distilbert.best_rate(search, "random start, taught") == distilbert.SETTINGS["rates"][1]


def test_the_triple_loss_teaches_the_student_and_leaves_the_teacher_alone():
    teacher = docstring_bert.pretrained()[0]
    student = distilbert.new_student(teacher, from_teacher=False)
    batch = docstring_bert.draw_batch(docstring_bert.corpus("validation"), torch.Generator().manual_seed(0), 4)
    inputs, labels = docstring_bert.blanks(batch, torch.Generator().manual_seed(0))
    distilbert.triple_loss(student, teacher, inputs, labels, batch.lengths).backward()
    assert all(weight.grad is None for weight in teacher.parameters())
    used = [*student.bert.embedding.parameters(), *student.bert.encoder.parameters(), student.word_bias]
    assert all(weight.grad is not None for weight in used if weight is not student.bert.embedding.segments.weight)
    same = distilbert.triple_loss(teacher, teacher, inputs, labels, batch.lengths)
    assert same < distilbert.triple_loss(student, teacher, inputs, labels, batch.lengths) / 2


def test_a_student_that_is_its_teacher_has_no_state_loss():
    sizes = {"d_model": 12, "n_heads": 3, "d_ff": 20, "n_layers": 2, "max_length": 9, "dropout": 0.0}
    teacher, other = BERT(BERTConfig(30, **sizes)), BERT(BERTConfig(30, **sizes))
    same = nn.ModuleList(nn.Identity() for _ in range(3))
    ids, lengths = torch.randint(30, (4, 9)), torch.tensor([9, 3, 5, 1])
    assert tinybert.state_loss(teacher, teacher, same, ids, lengths) < 1e-9
    loss = tinybert.state_loss(other, teacher, same, ids, lengths)
    loss.backward()
    assert loss > 1e-4 and all(weight.grad is None for weight in teacher.parameters())
    assert all(block.attention.w_q.weight.grad.abs().sum() > 0 for block in other.encoder.blocks)


def test_the_students_of_minilm_have_its_heads_and_a_seventh_of_its_weights():
    sizes = recorded("tinybert")["results"]["weights_of"]
    assert 6 < sizes["teacher"] / sizes["student"] < 8
    config = BERTConfig(100, d_model=24, n_heads=12, d_ff=20, n_layers=6)
    student, projections = tinybert.new_student(BERT(config))
    assert len(projections) == 3 and all(layer.out_features == 24 for layer in projections)
    ids = torch.randint(100, (2, 5))
    assert [tuple(weights.shape) for _, weights in attention_maps(student, ids)] == [(2, 12, 5, 5)] * 2


def test_the_three_ways_of_the_cost_table_do_what_they_say():
    layers, T = sparse_cost.attention_layers(), 256
    torch.manual_seed(0)
    x = torch.randn(2, T, 16)
    masked, sparse, dense = (layers[name](x) for name in ("dense, masked", "sparse", "dense"))
    torch.testing.assert_close(sparse, masked, rtol=1e-5, atol=1e-5)
    assert sparse_cost.token_mask(1024).float().mean() < 1 and dense.shape == sparse.shape
    result, settings = recorded("sparse_cost")["results"], sparse_cost.SETTINGS
    assert result["share"] == [round(sparse_cost.token_mask(T).float().mean().item(), 4) for T in settings["lengths"]]
    assert {len(values) for values in result["milliseconds"].values()} == {len(settings["lengths"])}
