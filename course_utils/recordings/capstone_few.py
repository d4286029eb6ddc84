"""Chapter 11's capstone with few labels: does a student gain from its teacher when most docstrings have no label?

Teacher and students get the same few labelled docstrings of each library. The other docstrings of the training part
are there without their labels: the teacher says what it thinks of them, and one of the students learns from that.
"""

import numpy as np

from course_utils.recordings.capstone import (
    LIBRARIES,
    WAYS,
    best,
    fine_tune,
    held_out_splits,
    library_docstrings,
    logits_of,
    measured_row,
    scores,
    teacher_says,
    texts_and_labels,
    train_student,
    word_counts,
)

SETTINGS = {
    "labels": [20, 60],              # a library
    "teacher": {"rates": [1e-3, 2e-3, 4e-3], "steps": 120},
    "student": {"rates": [2e-3, 4e-3, 8e-3], "steps": 200},
    "seeds": [0, 1, 2],
}


def few_labels(rows, count, seed):
    """`count` random rows of each library, and the texts of all other rows: (list of Row, list of texts).

    Raises ValueError where a library has fewer rows.
    """
    draw, chosen = np.random.default_rng(seed), set()
    for number, library in enumerate(LIBRARIES):
        places = [place for place, row in enumerate(rows) if row.library == number]
        if len(places) < count:
            raise ValueError(f"{library} has {len(places)} docstrings, not {count}")
        chosen.update(draw.permutation(places)[:count].tolist())
    return [rows[place] for place in sorted(chosen)], [row.text for place, row in enumerate(rows)
                                                       if place not in chosen]


def search(progress=list):
    """Learning rates with the fewest labels, on held-out files: rows of the teacher, then of each way."""
    found, steps = [], {name: SETTINGS[name]["steps"] for name in ("teacher", "student")}
    splits = [(seed, *few_labels(learned, SETTINGS["labels"][0], seed), texts, labels)
              for seed, learned, texts, labels in held_out_splits()]
    for seed, rows, _, texts, labels in progress(splits):
        for rate in SETTINGS["teacher"]["rates"]:
            teacher, tokenizer, _ = fine_tune(rows, seed, rate, steps["teacher"])
            said = logits_of(teacher, tokenizer, texts).argmax(-1)
            found.append({"way": "teacher", "split": seed, "rate": rate, **scores(labels, said)})
    rate = best([row for row in found if row["way"] == "teacher"], "rate")["rate"]
    for seed, rows, more, texts, labels in progress(splits):
        teacher, tokenizer, _ = fine_tune(rows, seed, rate, steps["teacher"])
        says = teacher_says(teacher, tokenizer, rows, more)
        for way in WAYS:
            for student_rate in SETTINGS["student"]["rates"]:
                student, _ = train_student(way, rows, says, seed, student_rate, steps["student"], more)
                said = logits_of(student, tokenizer, texts).argmax(-1)
                found.append({"way": way, "split": seed, "rate": student_rate, **scores(labels, said)})
    return found


def measured_rows(count, seed, rates):
    """Word counts, teacher and students with `count` labels a library, measured on the test files."""
    rows, more = few_labels(library_docstrings("train"), count, seed)
    texts, _ = texts_and_labels(library_docstrings("test"))
    teacher, tokenizer, _ = fine_tune(rows, seed, rates["teacher"], SETTINGS["teacher"]["steps"])
    said = {"word counts": word_counts(rows, texts), "teacher": logits_of(teacher, tokenizer, texts).argmax(-1)}
    says = teacher_says(teacher, tokenizer, rows, more)
    for way in WAYS:
        student, _ = train_student(way, rows, says, seed, rates[way], SETTINGS["student"]["steps"], more)
        said[f"student, {way}"] = logits_of(student, tokenizer, texts).argmax(-1)
    return [{"labels": count, **measured_row(method, seed, each)} for method, each in said.items()]


def run(progress=list):
    """The search for learning rates, then every number of labels and seed."""
    searched = search(progress)
    rates = {way: best([row for row in searched if row["way"] == way], "rate")["rate"] for way in ("teacher", *WAYS)}
    cells = [(count, seed) for count in SETTINGS["labels"] for seed in SETTINGS["seeds"]]
    rows = [row for count, seed in progress(cells) for row in measured_rows(count, seed, rates)]
    return {"search": searched, "rates": rates, "rows": rows}
