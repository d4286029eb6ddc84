"""Which exercises and quiz questions ask for a concept, by the `about` that each of them carries."""

from course_utils.exercises import engine


def asked_about():
    """A dict from concept id to what asks for it, in the order of the course and each once.

    Values are lists of ("exercise", "05.2") and ("quiz", "05-closing").
    """
    found = {}
    for kind, name, about in _abouts():
        for concept in about:
            asked = found.setdefault(concept, [])
            if (kind, name) not in asked:
                asked.append((kind, name))
    return {concept: sorted(asked, key=lambda item: item[1][:2]) for concept, asked in found.items()}


def _abouts():
    for exercise_id in engine.exercise_ids():
        yield "exercise", exercise_id, engine.get(exercise_id).about
    for name in engine.quiz_names():
        for question in engine.questions(name):
            yield "quiz", name, question.about
