"""Chapter 07's recording of mean pooling against <cls>."""

import torch

from course_utils.data.translation import PLAIN, Pair
from course_utils.recordings import recorded, sentence_pooling


def classed(english):
    return sentence_pooling.CLASSES[sentence_pooling.last_statement(Pair((PLAIN, *english.split()), ()))]


def test_the_class_is_that_of_the_last_statement():
    assert classed("the cat drank milk") == ("past", False)
    assert classed("I do not drink milk") == ("present", True)
    assert classed("I drank milk and you will not sleep") == ("future", True)


def test_the_recording_is_whole_and_both_ways_are_far_above_the_commonest_class():
    results, settings = recorded("sentence_pooling")["results"], sentence_pooling.SETTINGS
    assert [(row["pooling"], row["seed"]) for row in results["rows"]] == [
        (pooling, seed) for pooling in sentence_pooling.POOLINGS for seed in settings["seeds"]]
    assert min(row["test"] for row in results["rows"]) > results["commonest"] + 0.4


def test_one_seed_can_be_repeated():
    torch.set_num_threads(1)
    row = recorded("sentence_pooling")["results"]["rows"][0]
    model, history = sentence_pooling.trained(row["pooling"], row["seed"])
    assert len(history.losses) == sentence_pooling.SETTINGS["steps"]
    assert abs(sentence_pooling.accuracy(model) - row["test"]) < 0.02


def test_no_sentence_is_in_both_parts():
    parts = sentence_pooling.classified()
    train, test = ({tuple(row) for row in parts[name][0].tolist()} for name in ("train", "test"))
    trimmed = [{tuple(number for number in row if number) for row in part} for part in (train, test)]
    assert not trimmed[0] & trimmed[1]
