"""Chapter 11's capstone: data without leaks, measures, training on made-up data, the file, the demo, the recording."""

import itertools
import json
import pickle
import statistics

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from course_utils.data.docstrings import entries_of, split_of
from course_utils.data.subword import load_tokenizer
from course_utils.models.bert import BERT, BERTClassifier, BERTConfig
from course_utils.recordings import capstone, capstone_few, recorded
from course_utils.recordings.capstone import LIBRARIES, SETTINGS, WAYS, Row
from course_utils.training import weights_of
from course_utils.widgets.library_demo import LibraryDemo

SMALL = BERTConfig(vocab_size=3000, d_model=16, n_heads=2, d_ff=24, n_layers=1, max_length=64, dropout=0.0)
HOSTILE = ["</script><img src=x onerror=alert(1)>", "\ud800 half a pair", "‮txet", "\x00 nul", "🎉 party",
           "x" * 50, "word " * 50_000, "[CLS] [SEP] [MASK] the lock"]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


def made_up(count=30):
    """Rows of two libraries that one word tells apart, in files of three."""
    words = ("coroutine", "header")
    return [Row(f"the {word} has the number {number}.", words.index(word), f"{word}/{number // 6}.py")
            for number, word in zip(range(count), itertools.cycle(words), strict=False)]


def classifier(seed=0):
    """An untrained small model and the tokenizer it reads with."""
    torch.manual_seed(seed)
    return BERTClassifier(BERT(SMALL), len(LIBRARIES), 0.1, "mean").eval(), load_tokenizer("wordpiece")


@pytest.fixture
def saved(tmp_path):
    """A folder with a small bundle, and the model in it."""
    model, tokenizer = classifier()
    return capstone.save_bundle(tmp_path / "bundle", model, tokenizer, LIBRARIES, {"accuracy": 0.25}), model


# ---------------------------------------------------------------- data


def test_both_parts_have_every_library_and_no_docstring_begins_like_another():
    train, test = (capstone.library_docstrings(part) for part in ("train", "test"))
    for rows in (train, test):
        assert {row.library for row in rows} == set(range(len(LIBRARIES)))
        assert all(row.file.split("/")[0] == LIBRARIES[row.library] for row in rows)
    beginnings = [capstone.first_sentence(row.text) for row in train + test]
    assert len(set(beginnings)) == len(beginnings) > 800
    assert {split_of(row.file) for row in train} == {"train"}
    assert {split_of(row.file) for row in test} == {"validation", "test"}
    with pytest.raises(ValueError, match="'validation' is neither"):
        capstone.library_docstrings("validation")


def test_every_docstring_of_the_libraries_is_there_or_begins_like_one_that_is():
    kept = {capstone.first_sentence(row.text)
            for part in ("train", "test") for row in capstone.library_docstrings(part)}
    for part in ("train", "validation", "test"):
        for entry in entries_of(part):
            assert entry.package not in LIBRARIES or capstone.first_sentence(entry.text) in kept


@pytest.mark.parametrize(("text", "wanted"), [
    ("Close it.  Then\nopen it.", "close it."), ("Close\n  the   file.\n\nMore.", "close the file."),
    ("no end of sentence\n\nSecond.", "no end of sentence"), ("See os.path. it goes on", "see os.path. it goes on")])
def test_the_first_sentence_does_not_depend_on_line_breaks_and_capitals(text, wanted):
    assert capstone.first_sentence(text) == wanted == capstone.first_sentence(text.replace(" ", " \t"))


@pytest.mark.parametrize("seed", [0, 1, 5])
def test_a_split_by_files_has_no_file_on_both_sides_and_every_library_on_each(seed):
    rows = capstone.library_docstrings("train")
    learned, held_out = capstone.split_by_files(rows, 0.25, seed)
    assert sorted(learned + held_out) == sorted(rows)
    assert not {row.file for row in learned} & {row.file for row in held_out}
    for number in range(len(LIBRARIES)):
        files = [{row.file for row in side if row.library == number} for side in (learned, held_out)]
        assert len(files[0]) > 0 and len(files[1]) == max(1, round(0.25 * (len(files[0]) + len(files[1]))))
    assert capstone.split_by_files(rows, 0.25, seed) == (learned, held_out)
    assert capstone.split_by_files(rows, 0.25, seed + 1)[1] != held_out


def test_a_split_by_rows_is_exact_and_leaves_files_on_both_sides():
    rows = capstone.library_docstrings("train")
    learned, held_out = capstone.split_by_rows(rows, 0.25, 0)
    assert len(held_out) == round(0.25 * len(rows)) and sorted(learned + held_out) == sorted(rows)
    known = {row.file for row in learned}
    assert sum(row.file in known for row in held_out) > 0.9 * len(held_out)


def test_splits_that_cannot_be_made_are_told_in_one_line():
    with pytest.raises(ValueError, match="share=1 must be between 0 and 1"):
        capstone.split_by_files(made_up(), 1, 0)
    with pytest.raises(ValueError, match="1 files of email are too few"):
        capstone.split_by_files([*made_up(), Row("one", 1, "a"), Row("two", 4, "b"), Row("three", 4, "c")][:7], 0.5, 0)


def test_unlabelled_texts_are_of_other_packages_and_of_training_files():
    texts = capstone.unlabelled_docstrings()
    of = {entry.text: entry for entry in entries_of("train")}
    assert len(set(texts)) == len(texts) == SETTINGS["unlabelled"]
    assert all(of[text].package not in LIBRARIES for text in texts)
    assert capstone.unlabelled_docstrings(10, 1) != texts[:10]


# ---------------------------------------------------------------- measures


def test_confusion_counts_rows_true_columns_said():
    true, said = torch.tensor([0, 0, 0, 2]), torch.tensor([0, 1, 1, 0])
    assert capstone.confusion(true, said, 3).tolist() == [[1, 2, 0], [0, 0, 0], [1, 0, 0]]


def test_the_mean_of_recalls_gives_every_class_that_occurs_one_vote():
    true = torch.tensor([0] * 8 + [1, 3])
    found = capstone.scores(true, torch.tensor([0] * 8 + [0, 3]))
    assert found["accuracy"] == pytest.approx(0.9) and found["mean_recall"] == pytest.approx((1 + 0 + 1) / 3)


def test_confident_errors_are_wrong_and_the_surest_come_first():
    probabilities = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.45, 0.55]])
    assert capstone.confident_errors(probabilities, torch.tensor([0, 1, 0, 0])) == [1, 2, 3]
    assert capstone.confident_errors(probabilities, torch.tensor([0, 1, 0, 0]), 2) == [1, 2]
    assert capstone.confident_errors(probabilities, torch.tensor([0, 0, 1, 1])) == []


# ---------------------------------------------------------------- without a network


def test_the_name_rule_reads_whole_words_and_falls_back_on_the_largest_class():
    rows = [*made_up(5), Row("more", 1, "f"), Row("more", 1, "f"), Row("more", 1, "f")]
    texts = ["Parse an XML file.", "the XMLParser", "xml by email", "email an xml file", ""]
    assert capstone.name_rule(rows, texts).tolist() == [4, 1, 4, 1, 1]
    assert capstone.most_frequent(rows, texts).tolist() == [1] * 5


def test_hidden_names_are_gone_even_inside_words_and_only_the_text_changes():
    row = Row("XMLParser of xml.sax; E-Mail, email, Multiprocessing", 4, "xml/sax.py")
    bare, = capstone.hidden([row])
    assert bare.text.split() == ["Parser", "of", ".sax;", "E-Mail,", ","] and bare[1:] == row[1:]


def test_word_counts_learn_the_telling_word_and_balance_helps_the_rare_class():
    rows = made_up()
    assert capstone.word_counts(rows, ["a header", "one coroutine"]).tolist() == [1, 0]
    uneven = [row for row in rows if row.library == 0] * 20 + [row for row in rows if row.library == 1][:2]
    texts = ["the header", "the"]
    assert capstone.word_counts(uneven, texts, 0.1, balanced=False).tolist() == [0, 0]
    assert capstone.word_counts(uneven, texts, 0.1, balanced=True)[0] == 1


# ---------------------------------------------------------------- training


def test_long_texts_are_cut_and_keep_their_sep():
    tokenizer = load_tokenizer("wordpiece")
    ids, lengths = capstone.encode(["the file", "file " * 200, ""], tokenizer, 10)
    assert ids.shape == (3, 10) and lengths.tolist() == [4, 10, 2]
    assert ids[1, 9] == ids[0, 3] == ids[2, 1] and ids[1, 0] == ids[0, 0]


def test_scores_come_in_the_order_of_the_texts_whatever_their_lengths():
    model, tokenizer = classifier()
    texts = [row.text for row in capstone.library_docstrings("test")[:70]]
    found = capstone.logits_of(model, tokenizer, texts)
    assert found.shape == (70, 5)
    for place in (0, 33, 69):
        alone = capstone.logits_of(model, tokenizer, [texts[place]])
        torch.testing.assert_close(found[place : place + 1], alone, rtol=1e-4, atol=1e-5)


def test_training_draws_by_weight_and_can_be_repeated():
    texts, places = [row.text for row in made_up(6)], []

    def loss_of(logits, rows):
        places.extend(rows.tolist())
        return logits.square().mean()

    losses = []
    for seed in (3, 3, 4):
        model, tokenizer = classifier()
        weights = torch.tensor([1.0, 0, 3, 0, 0, 0])
        losses.append(capstone.fit(model, texts, tokenizer, loss_of, 10, 1e-3, seed, weights).losses)
        assert not model.training
    assert losses[0] == losses[1] != losses[2]
    assert set(places) == {0, 2} and 0.65 < places.count(2) / len(places) < 0.85


def test_fine_tuning_changes_the_courses_bert_and_lowers_the_loss():
    rows = capstone.library_docstrings("train")
    model, tokenizer, history = capstone.fine_tune(rows, 0, 2e-3, 24)
    before = capstone.start("own")[0].state_dict()
    moved = {name for name, value in model.bert.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {name for name in before if not name.startswith("pooler")} and len(history.losses) == 24
    assert statistics.mean(history.losses[-8:]) < statistics.mean(history.losses[:8]) - 0.2
    assert tokenizer.get_vocab_size() == model.bert.config.vocab_size


@pytest.mark.parametrize("way", WAYS)
def test_a_student_learns_from_labels_or_from_its_teacher(way, monkeypatch):
    """The teacher says the opposite of the labels, and of the unlabelled texts what no row is: whom does it follow?"""
    rows, more = made_up(), ("a socket closes.", "the socket opens.", "close a socket.")
    monkeypatch.setattr(capstone, "unlabelled_docstrings", lambda: more)
    teacher = 12 * torch.eye(5)[[*(1 - row.library for row in rows), 3, 3, 3]]
    student, history = capstone.train_student(way, rows, teacher, 0, 4e-3, 60)
    asked = ["the coroutine has the number 2.", "the header has the number 5.", *more]
    said = capstone.logits_of(student, load_tokenizer("wordpiece"), asked).argmax(-1).tolist()
    assert said[:2] == ([0, 1] if way == "labels" else [1, 0]) and len(history.losses) == 60
    assert (said[2:] == [3, 3, 3]) == (way == "soft targets, more text")


def test_the_student_is_less_than_half_its_teacher_and_depends_on_the_seed():
    teacher = BERTClassifier(capstone.start("own")[0], len(LIBRARIES))
    first, again, other = (capstone.new_student(seed) for seed in (0, 0, 1))
    assert 2 * weights_of(first) < weights_of(teacher)
    assert torch.equal(first.head.weight, again.head.weight) and not torch.equal(first.head.weight, other.head.weight)


# ---------------------------------------------------------------- the file


def test_what_comes_out_of_the_file_says_the_same(saved):
    folder, model = saved
    bundle = capstone.load_bundle(folder)
    texts = ["Parse the header.", "Wait for the lock."]
    assert bundle.labels == list(LIBRARIES) and bundle.measured == {"accuracy": 0.25} and not bundle.model.training
    wanted = capstone.logits_of(model, load_tokenizer("wordpiece"), texts)
    assert torch.equal(capstone.logits_of(bundle.model, bundle.tokenizer, texts), wanted)
    assert {path.name for path in folder.iterdir()} == set(capstone.FILES.values())


@pytest.mark.parametrize(("file", "change", "message"), [
    ("model.safetensors", lambda path: path.unlink(), "has no model.safetensors"),
    ("bundle.json", lambda path: path.write_text("{"), "bundle.json cannot be read"),
    ("bundle.json", lambda path: path.write_text("[]"), "bundle.json cannot be read"),
    ("tokenizer.json", lambda path: path.write_text("no"), "tokenizer.json cannot be read"),
    ("model.safetensors", lambda path: path.write_bytes(pickle.dumps({"a": 1})), "model.safetensors cannot be read"),
])
def test_a_broken_file_is_told_in_one_line(saved, file, change, message):
    change(saved[0] / file)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        capstone.load_bundle(saved[0])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("changes", [
    {"config": {"n_layers": 2}}, {"config": {"d_ff": 32}}, {"config": {"vocab_size": 2000}},
    {"config": {"d_model": 10**12}}, {"config": {"n_layers": 10**7}}, {"config": {"n_heads": "2"}},
    {"config": {"colour": 1}}, {"labels": ["a", "b"]}, {"labels": []}, {"labels": [1, 2, 3, 4, 5]},
    {"pooling": "max"}, {"measured": {"accuracy": "high"}}, {"measured": 3}])
def test_a_description_that_does_not_fit_is_refused_in_one_line(saved, changes):
    path = saved[0] / "bundle.json"
    found = json.loads(path.read_text())
    for name, value in changes.items():
        found[name] = {**found[name], **value} if name == "config" else value
    path.write_text(json.dumps(found))
    with pytest.raises(ValueError) as error:
        capstone.load_bundle(saved[0])
    assert "\n" not in str(error.value)


def test_weights_and_labels_that_do_not_fit_are_refused(saved, tmp_path):
    folder, model = saved
    path, tokenizer = folder / "model.safetensors", load_tokenizer("wordpiece")
    with pytest.raises(ValueError, match="2 labels for a model that tells 5 classes apart"):
        capstone.save_bundle(tmp_path / "new", model, tokenizer, ("a", "b"), {})
    with pytest.raises(ValueError, match="infinity or NaN; nothing was written"):
        capstone.save_bundle(tmp_path / "new", model, tokenizer, LIBRARIES, {"accuracy": float("nan")})
    assert not (tmp_path / "new").exists()
    weights = load_file(path)
    save_file({**weights, "head.bias": torch.full((5,), torch.nan)}, path)
    with pytest.raises(ValueError, match="holds infinity or NaN"):
        capstone.load_bundle(folder)
    save_file({name: value for name, value in weights.items() if name != "head.bias"}, path)
    with pytest.raises(ValueError, match=r"head\.bias is missing"):
        capstone.load_bundle(folder)
    save_file(weights, path)
    (folder / "tokenizer.json").write_text(load_tokenizer("bpe").to_str())
    with pytest.raises(ValueError, match="of different models"):
        capstone.load_bundle(folder)


@pytest.mark.parametrize("text", HOSTILE)
def test_any_text_gets_probabilities_or_one_line(saved, text):
    bundle = capstone.load_bundle(saved[0])
    try:
        found = capstone.predict(bundle, text)
    except ValueError as error:
        assert str(error) == "The model knows no word of this text."
    else:
        assert found.shape == (5,) and found.sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("text", "message"), [("", "nothing to read"), (" \n\t", "nothing to read"),
                                              (None, "nothing to read"), (7, "nothing to read"),
                                              ("[CLS] [PAD]", "knows no word"), ("한국어", "knows no word")])
def test_a_text_without_words_is_refused(saved, text, message):
    with pytest.raises(ValueError, match=message):
        capstone.predict(capstone.load_bundle(saved[0]), text)


def test_only_the_beginning_counts(saved):
    bundle, text = capstone.load_bundle(saved[0]), "lock " * 70
    assert torch.equal(capstone.predict(bundle, text), capstone.predict(bundle, text + "header"))
    assert not torch.equal(capstone.predict(bundle, "lock"), capstone.predict(bundle, "lock header"))


# ---------------------------------------------------------------- the demo


def shown(demo):
    """All texts that the demo shows outside the text field."""
    return " ".join([demo.message.value, *(part.value for part in demo.numbers), demo.children[-1].value,
                     *(bar.description for bar in demo.bars)])


def test_the_demo_shows_what_the_model_says_of_what_is_typed(saved):
    bundle = capstone.load_bundle(saved[0])
    demo = LibraryDemo(bundle)
    demo.field.value = "Parse the header of a message."
    wanted = capstone.predict(bundle, demo.field.value)
    assert [bar.value for bar in demo.bars] == pytest.approx(wanted.tolist())
    assert [bar.description for bar in demo.bars] == list(LIBRARIES)
    assert demo.message.value.startswith(f"Most likely: {LIBRARIES[wanted.argmax()]}, ")
    assert "Right for 25%" in shown(demo) and repr(demo) == "LibraryDemo(labels=5)"
    faces = demo._repr_mimebundle_()
    assert faces["image/png"].startswith(b"\x89PNG") and faces["text/plain"] == repr(demo)


@pytest.mark.parametrize("text", ["", *HOSTILE])
def test_the_demo_keeps_its_bars_where_nothing_can_be_said_and_never_shows_the_text(saved, text):
    demo = LibraryDemo(capstone.load_bundle(saved[0]))
    before = [bar.value for bar in demo.bars]
    demo.field.value = text
    assert "\n" not in demo.message.value and "<" not in shown(demo)
    if not text:
        assert [bar.value for bar in demo.bars] == before and "nothing to read" in demo.message.value


def test_half_a_surrogate_pair_from_the_browser_is_read_like_any_text(saved):
    demo = LibraryDemo(capstone.load_bundle(saved[0]), "half \ud83d")
    assert demo.field.value == "half ?"
    demo.field.set_state({"value": "\ud83d the lock"})
    assert demo.field.value == "? the lock" and demo.message.value.startswith("Most likely: ")


def test_a_demo_of_a_broken_model_says_so_and_stands(saved):
    bundle = capstone.load_bundle(saved[0])
    demo = LibraryDemo(bundle._replace(model=nn.Identity()))
    assert "AttributeError" in demo.message.value


# ---------------------------------------------------------------- the recording


@pytest.fixture(scope="module")
def results():
    return recorded("capstone")["results"]


def of(results, method, measure="accuracy"):
    """A measure of one method on the test files, for each of its seeds."""
    return [row[measure] for row in results["rows"] if row["method"] == method]


def test_the_recording_has_every_method_with_every_seed_and_its_confusion(results):
    once = ("most frequent", "name rule", "word counts", "word counts, names hidden", "MiniLM, frozen")
    often = ("fine-tuned", "fine-tuned, names hidden", *(f"student, {way}" for way in WAYS), "MiniLM, fine-tuned")
    found = [(row["method"], row["seed"]) for row in results["rows"]]
    assert sorted(found, key=str) == sorted([*((method, None) for method in once),
                                             *itertools.product(often, SETTINGS["seeds"])], key=str)
    for row in results["rows"]:
        counts = torch.tensor(row["confusion"])
        assert counts.sum(1).tolist() == results["counts"]["test"]["docstrings"]
        assert row["accuracy"] == pytest.approx(counts.trace().item() / counts.sum().item())


def test_what_was_chosen_is_the_best_of_its_search(results):
    settings, search, chosen = SETTINGS, results["search"], results["chosen"]
    cells = {(row["split"], row["steps"], row["rate"]) for row in search["fine-tuned"]}
    assert cells == set(itertools.product(settings["splits"], settings["search"]["steps"], settings["search"]["rates"]))
    assert len(search["fine-tuned"]) == len(cells)
    best = max(itertools.product(settings["search"]["steps"], settings["search"]["rates"]), key=lambda cell: sum(
        row["mean_recall"] for row in search["fine-tuned"] if (row["steps"], row["rate"]) == cell))
    assert chosen["fine-tuned"] == {"rate": best[1], "steps": best[0]}
    for way in WAYS:
        tried = {row["rate"]: row["mean_recall"] for row in search["students"] if row["way"] == way}
        assert list(tried) == settings["student_search"]["rates"]
        assert chosen["students"][way]["rate"] == max(tried, key=tried.get)


def test_a_random_split_flatters_on_every_seed_and_a_live_one_shows_it_too(results):
    assert [row["seed"] for row in results["leak"]] == SETTINGS["leak"]["seeds"]
    gaps = [row["rows"]["accuracy"] - row["files"]["accuracy"] for row in results["leak"]]
    assert min(gaps) > 0.04 and statistics.mean(gaps) > 0.1
    live = capstone.leak(0)
    for split in ("rows", "files"):
        assert live[split]["accuracy"] == pytest.approx(results["leak"][0][split]["accuracy"], abs=0.08)


def test_every_trained_method_is_far_above_the_rules_and_far_below_what_a_random_split_promised(results):
    promised = statistics.mean(row["rows"]["accuracy"] for row in results["leak"])
    rules = max(of(results, "name rule") + of(results, "most frequent"))
    for row in results["rows"]:
        if row["method"] not in ("name rule", "most frequent"):
            assert rules + 0.3 < row["accuracy"] < promised - 0.1, (row["method"], row["seed"])


def test_hidden_names_cost_little(results):
    pairs = [("word counts", "word counts, names hidden"), ("fine-tuned", "fine-tuned, names hidden")]
    for shown_names, no_names in pairs:
        for before, after in zip(of(results, shown_names), of(results, no_names), strict=True):
            assert abs(before - after) < 0.04


def test_every_method_finds_asyncio_and_takes_half_of_multiprocessing_for_something_else(results):
    for row in results["rows"]:
        if row["method"] not in ("name rule", "most frequent"):
            share = [counts[number] / sum(counts) for number, counts in enumerate(row["confusion"])]
            assert min(share) == share[LIBRARIES.index("multiprocessing")] <= 0.5 and share[0] > 0.9


def test_distillation_brings_this_student_nothing_and_a_live_one_does_what_the_recording_says(results):
    """A student of under half the weights, trained plainly, is about as good as its teacher: nothing to gain."""
    mean = {way: statistics.mean(of(results, f"student, {way}")) for way in WAYS}
    assert abs(mean["labels"] - statistics.mean(of(results, "fine-tuned"))) < 0.05
    assert all(mean[way] < mean["labels"] + 0.02 for way in WAYS)
    train, test = capstone.library_docstrings("train"), capstone.library_docstrings("test")
    texts, labels = capstone.texts_and_labels(test)
    student, _ = capstone.train_student("labels", train, None, 0, **results["chosen"]["students"]["labels"])
    live = capstone.scores(labels, capstone.logits_of(student, load_tokenizer("wordpiece"), texts).argmax(-1))
    assert live["accuracy"] == pytest.approx(of(results, "student, labels")[0], abs=0.08)


# ---------------------------------------------------------------- few labels


@pytest.fixture(scope="module")
def few():
    return recorded("capstone_few")["results"]


def test_few_labels_are_as_many_of_each_library_and_the_others_lose_theirs():
    rows = capstone.library_docstrings("train")
    chosen, more = capstone_few.few_labels(rows, 20, 3)
    assert torch.tensor([row.library for row in chosen]).bincount().tolist() == [20] * 5
    assert sorted([*(row.text for row in chosen), *more]) == sorted(row.text for row in rows)
    assert capstone_few.few_labels(rows, 20, 3) == (chosen, more) != capstone_few.few_labels(rows, 20, 4)
    with pytest.raises(ValueError, match="multiprocessing has 1 docstrings, not 2"):
        capstone_few.few_labels([*(Row(f"{number}", number, "") for number in (0, 1, 2, 3, 4, 0, 1, 2))], 2, 0)


def test_the_recording_of_few_labels_is_whole_and_its_rates_are_the_best_of_the_search(few):
    settings, methods = capstone_few.SETTINGS, ("word counts", "teacher", *(f"student, {way}" for way in WAYS))
    assert [(row["labels"], row["seed"], row["method"]) for row in few["rows"]] == [
        *itertools.product(settings["labels"], settings["seeds"], methods)]
    for way, rate in few["rates"].items():
        rates = settings["teacher" if way == "teacher" else "student"]["rates"]
        tried = {each: [row["mean_recall"] for row in few["search"] if (row["way"], row["rate"]) == (way, each)]
                 for each in rates}
        assert all(len(values) == len(SETTINGS["splits"]) for values in tried.values())
        assert rate == max(rates, key=lambda each: sum(tried[each]))


def few_mean(few, labels, method):
    """Mean accuracy of one method over seeds."""
    return statistics.mean(row["accuracy"] for row in few["rows"] if (row["labels"], row["method"]) == (labels, method))


def test_with_the_fewest_labels_the_teachers_word_on_other_texts_makes_the_student_as_good_as_the_teacher(few):
    plain, own_texts, more = (few_mean(few, 20, f"student, {way}") for way in WAYS)
    teacher = few_mean(few, 20, "teacher")
    assert more > plain + 0.1 and more > own_texts + 0.06 and abs(more - teacher) < 0.04
    for seed in capstone_few.SETTINGS["seeds"]:
        one = {row["method"]: row["accuracy"] for row in few["rows"] if (row["labels"], row["seed"]) == (20, seed)}
        assert one["student, soft targets, more text"] > one["student, labels"] + 0.03


def test_with_three_times_the_labels_the_difference_is_gone(few):
    plain, own_texts, more = (few_mean(few, 60, f"student, {way}") for way in WAYS)
    assert abs(more - plain) < 0.04 and abs(own_texts - plain) < 0.06
