"""NSP against SOP: pairs that are what the tasks say, a threshold found by trying all, and the recording."""

import itertools
import statistics

import pytest
import torch

from course_utils.data.subword import CLS, SEP, load_tokenizer
from course_utils.recordings import recorded
from course_utils.recordings import sentence_order as experiment
from course_utils.recordings.docstring_bert import corpus, pretrained

SETTINGS = experiment.SETTINGS


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def results():
    return recorded("sentence_order")["results"]


# ---------------------------------------------------------------- pairs


@pytest.mark.parametrize("task", experiment.TASKS)
def test_every_neighbours_stand_once_in_order_and_once_as_the_task_spoils_them(task):
    data = corpus("test")
    pairs, labels = experiment.all_pairs("test", task)
    assert len(pairs) == len(labels) == 2 * len(data.has_next) and labels.float().mean() == 0.5
    for true, spoiled, place in zip(pairs[::2], pairs[1::2], data.has_next, strict=True):
        assert true == (place, place + 1) and data.document[place] == data.document[place + 1]
        if task == "SOP":
            assert spoiled == true[::-1]
        else:
            assert spoiled[0] == place and data.document[spoiled[1]] != data.document[place]
            assert data.document[spoiled[1]] == data.document[spoiled[1] - 1], "it is a successor, too"
    assert experiment.all_pairs("test", task)[0] == pairs


def test_other_seeds_draw_other_strangers():
    (first, _), (other, _) = (experiment.all_pairs("validation", "NSP", seed) for seed in (0, 1))
    assert first[::2] == other[::2] and first[1::2] != other[1::2]


def test_a_pair_is_read_with_its_marks_and_segments():
    data, tokenizer = corpus("test"), load_tokenizer("wordpiece")
    place = data.has_next[0]
    ids, lengths, segments = experiment.as_batch(data, [(place, place + 1), (place + 1, place)])
    cls, sep = (tokenizer.token_to_id(token) for token in (CLS, SEP))
    first, second = data.sentences[place], data.sentences[place + 1]
    assert ids[0].tolist() == [cls, *first, sep, *second, sep] and ids[1].tolist() == [cls, *second, sep, *first, sep]
    assert segments[0].tolist() == [0] * (len(first) + 2) + [1] * (len(second) + 1)
    assert lengths.tolist() == [len(first) + len(second) + 3] * 2


# ---------------------------------------------------------------- without a network


def test_the_threshold_is_the_best_of_all():
    draw = torch.Generator().manual_seed(0)
    for _ in range(20):
        scores = torch.randint(6, (30,), generator=draw).double()            # many are equal
        labels = torch.randint(2, (30,), generator=draw)

        def right(threshold, scores=scores, labels=labels):
            return ((scores <= threshold).long() == labels).sum().item()

        assert right(experiment.best_threshold(scores, labels)) == max(map(right, scores.unique().tolist()))


def test_likeness_is_the_cosine_of_the_two_vectors_and_blind_to_order():
    scores, labels = experiment.likeness("test", "SOP")
    assert torch.equal(scores[labels == 0], scores[labels == 1]) and scores.min() >= 0 and scores.max() <= 1 + 1e-9
    pairs, _ = experiment.all_pairs("test", "SOP")
    vectors = experiment.sentence_vectors("test").toarray()
    for row in (0, 10, 101):
        first, second = (vectors[place] for place in pairs[row])
        assert scores[row].item() == pytest.approx(float(first @ second), abs=1e-9)


def test_topic_alone_solves_nsp_and_says_nothing_about_order(results):
    """Another Python has other docstrings; what must hold on each is the distance."""
    found = {task: experiment.topic_accuracy(task) for task in experiment.TASKS}
    assert found["SOP"] == results["words"]["SOP"] == 0.5
    assert found["NSP"] == pytest.approx(results["words"]["NSP"], abs=0.06) and found["NSP"] > 0.65
    assert experiment.order_accuracy() == pytest.approx(results["words"]["SOP, weighed words"], abs=0.06)


# ---------------------------------------------------------------- with a network


def test_the_start_is_the_checkpoint_with_a_new_pair_head():
    checkpoint, (first, again, other) = pretrained()[0], map(experiment.new_start, (0, 0, 1))
    new = {"bert.pooler.weight", "bert.pooler.bias", "next.weight", "next.bias"}
    for name, value in checkpoint.state_dict().items():
        assert torch.equal(first.state_dict()[name], again.state_dict()[name])
        assert torch.equal(first.state_dict()[name], value) == (name not in new)
    assert not torch.equal(first.next.weight, other.next.weight)


def test_accuracy_is_the_share_of_right_answers(monkeypatch):
    """A model that always says "in order" is right in half of each task."""
    model = experiment.new_start(0)
    torch.nn.init.zeros_(model.next.weight)
    monkeypatch.setattr(experiment, "corpus", lambda part: small)
    whole = corpus("validation")
    small = whole._replace(has_next=whole.has_next[:20])
    for bias, share in (([1.0, 0.0], 0.5), ([0.0, 1.0], 0.5)):
        model.next.bias.data = torch.tensor(bias)
        assert [experiment.pair_accuracy(model, task, "validation") for task in experiment.TASKS] == [share, share]


def test_a_few_steps_can_be_repeated_and_lower_the_loss(monkeypatch):
    monkeypatch.setitem(SETTINGS, "steps", 12)
    losses = [experiment.train_pairs(experiment.new_start(0), "NSP", 1e-3, seed).losses for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2] and len(losses[0]) == 12
    assert statistics.mean(losses[0][-4:]) < statistics.mean(losses[0][:4]) - 0.05


# ---------------------------------------------------------------- the recording


def test_the_recording_has_every_rate_and_seed_with_the_chosen_rates(results):
    assert [(row["task"], row["rate"]) for row in results["search"]] == list(
        itertools.product(experiment.TASKS, SETTINGS["rates"]))
    assert [(row["task"], row["seed"]) for row in results["rows"]] == list(
        itertools.product(experiment.TASKS, SETTINGS["seeds"]))
    assert all(row["rate"] == experiment.best_rate(results["search"], row["task"]) for row in results["rows"])


def test_the_checkpoint_as_it_is_answers_as_recorded(results):
    model = pretrained()[0]
    assert experiment.pair_accuracy(model, "SOP") == pytest.approx(results["checkpoint"]["SOP"], abs=0.05)
    assert abs(results["checkpoint"]["SOP"] - 0.5) < 0.03 < results["checkpoint"]["NSP"] - 0.6


def test_each_task_teaches_itself_and_not_the_other(results):
    for row in results["rows"]:
        other = next(task for task in experiment.TASKS if task != row["task"])
        assert row[row["task"]] > 0.6 > row[other]
    nsp = [row["NSP"] for row in results["rows"] if row["task"] == "NSP"]
    assert max(nsp) < results["words"]["NSP"] + 0.02, "the network is not better than one number a pair"
