"""Korean word forms by rule: syllables taken apart into letters, stems conjugated, particles chosen, pieces joined.

A Hangul syllable is one code point that holds two or three letters: a lead, a vowel and perhaps a tail (받침). The
Unicode standard (section 3.12) numbers the syllables so that plain arithmetic takes them apart. Two registers are
made here: plain (해체, as between friends) and polite (해요체).
"""

import functools
from typing import NamedTuple

LEADS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
TAILS = ("", *"ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ")
FIRST_SYLLABLE = ord("가")

# Stem vowel + 아/어 in one vowel. ㅟ and ㅢ are absent: 쉬다 stays 쉬어.
CONTRACTED = dict(zip("ㅏㅓㅗㅜㅣㅐㅔㅕㅚ", "ㅏㅓㅘㅝㅕㅐㅔㅕㅙ", strict=True))
# Stem vowel + 어 where ㅎ is lost: 하얗다 -> 하얘, 빨갛다 -> 빨개.
AFTER_LOST_H = {"ㅏ": "ㅐ", "ㅓ": "ㅐ", "ㅑ": "ㅒ", "ㅕ": "ㅖ"}

KINDS = ("regular", "ㄷ", "ㅂ", "돕", "ㅅ", "ㅎ", "르", "ㅡ", "ㄹ", "하", "있")
TENSES = ("present", "past", "future")

# Role of a noun: its particle after a consonant, and after a vowel.
PARTICLES = {
    "topic": ("은", "는"), "subject": ("이", "가"), "object": ("을", "를"), "with": ("과", "와"), "by": ("으로", "로"),
    "at": ("에", "에"), "in": ("에서", "에서"), "to": ("에게", "에게"), "of": ("의", "의"), "plural": ("들", "들"),
}
# 나, 저 and 너 change before the subject particle: 내가, 제가, 네가.
BEFORE_SUBJECT = {"나": "내", "저": "제", "너": "네"}
# "이다" after a consonant, and after a vowel, by tense and register.
COPULA = {
    ("present", False): ("이야", "야"), ("present", True): ("이에요", "예요"),
    ("past", False): ("이었어", "였어"), ("past", True): ("이었어요", "였어요"),
}
COPULA_LINKED = "+이고"
# "아니다", which never contracts.
NOT_BEING = {("present", False): "아니야", ("present", True): "아니에요",
             ("past", False): "아니었어", ("past", True): "아니었어요"}
NOT_BEING_LINKED = "아니고"
CONJUNCTIONS = ("그리고", "하지만")


class Stem(NamedTuple):
    """What is left of a verb or adjective without 다, and how it changes.

    kind: "regular" (먹, 가), "ㄷ" (듣), "ㅂ" (춥), "돕" (a ㅂ stem with 와: 도와), "ㅅ" (짓), "ㅎ" (하얗), "르" (부르),
    "ㅡ" (쓰), "ㄹ" (만들), "하" (사랑하), "있" (있, 없, 재미있: like a regular stem, but with 는 before a noun).
    The spelling alone does not tell: 걷다 (walk) is 걸어, 닫다 (close) is 닫아.
    """

    text: str
    kind: str = "regular"


# ---- letters

def letters(syllable):
    """Lead, vowel and tail of a syllable: "강" -> ("ㄱ", "ㅏ", "ㅇ"); no tail is "". Raises ValueError for others."""
    number = ord(syllable) - FIRST_SYLLABLE
    if not 0 <= number < len(LEADS) * len(VOWELS) * len(TAILS):
        raise ValueError(f"{syllable!r} is not a Hangul syllable")
    rest, tail = divmod(number, len(TAILS))
    lead, vowel = divmod(rest, len(VOWELS))
    return LEADS[lead], VOWELS[vowel], TAILS[tail]


def syllable(lead, vowel, tail=""):
    """One syllable from its letters; the inverse of `letters`."""
    number = (LEADS.index(lead) * len(VOWELS) + VOWELS.index(vowel)) * len(TAILS) + TAILS.index(tail)
    return chr(FIRST_SYLLABLE + number)


def tail_of(word):
    """The tail of the last syllable, "" where it ends in a vowel."""
    return letters(word[-1])[2]


def with_tail(word, tail):
    """The word with another tail on its last syllable: ("가", "ㄹ") -> "갈", ("듣", "ㄹ") -> "들"."""
    lead, vowel, _ = letters(word[-1])
    return word[:-1] + syllable(lead, vowel, tail)


def is_bright(word):
    """Is the last vowel ㅏ, ㅑ or ㅗ, so that 아 follows? After all others 어 follows (vowel harmony)."""
    return letters(word[-1])[1] in "ㅏㅑㅗ"


# ---- stems

def with_vowel(stem):
    """Stem + 아/어, the form on which the present and the past are built: 먹어, 가, 들어, 추워, 도와, 지어, 불러."""
    text, kind = stem
    before = text[:-1]
    lead, vowel, tail = letters(text[-1])
    if kind == "하":
        return before + "해"
    if kind == "르":
        return with_tail(before, "ㄹ") + ("라" if is_bright(before) else "러")
    if kind == "ㅡ":                                     # the vowel before decides; there is none in 쓰, 크
        return before + syllable(lead, "ㅏ" if before and is_bright(before) else "ㅓ")
    if kind == "ㅎ":
        return before + syllable(lead, AFTER_LOST_H[vowel])
    if kind in ("ㅂ", "돕"):
        return with_tail(text, "") + ("와" if kind == "돕" else "워")
    ending = "아" if is_bright(text) else "어"
    if kind == "ㄷ":
        return with_tail(text, "ㄹ") + ending
    if kind == "ㅅ":                                     # 지어, not 져: the lost ㅅ still keeps the vowels apart
        return with_tail(text, "") + ending
    if tail or vowel not in CONTRACTED:
        return text + ending
    return before + syllable(lead, CONTRACTED[vowel])


def with_eu(stem, final):
    """Stem + (으) + `final`, "ㄹ" or "ㄴ": 먹을, 갈, 만들, 들을, 도울, 지을, 하얄; 작은, 큰, 긴, 차가운, 하얀."""
    text, kind = stem
    full = syllable("ㅇ", "ㅡ", final)                   # 을 or 은
    if kind == "ㄷ":
        return with_tail(text, "ㄹ") + full
    if kind in ("ㅂ", "돕"):
        return with_tail(text, "") + syllable("ㅇ", "ㅜ", final)
    if kind == "ㅅ":
        return with_tail(text, "") + full
    if kind in ("ㅎ", "ㄹ") or not tail_of(text):        # ㄹ and ㅎ give way, and no 으 comes in
        return with_tail(text, final)
    return text + full


@functools.cache
def adnominal(stem):
    """An adjective before its noun: 작은, 큰, 긴, 차가운, 하얀, 재미있는."""
    return stem.text + "는" if stem.kind == "있" else with_eu(stem, "ㄴ")


NOT = Stem("않")


@functools.cache
def conjugate(stem, tense="present", polite=False, negated=False):
    """The verb that ends a clause, as a tuple of written words: ("먹어",), ("만들", "거야"), ("먹지", "않았어요").

    tense: "present", "past" or "future". Raises ValueError for any other.
    """
    if negated:
        return (stem.text + "지", *conjugate(NOT, tense, polite))
    if tense == "future":
        return with_eu(stem, "ㄹ"), "거예요" if polite else "거야"
    if tense not in TENSES:
        raise ValueError(f"tense={tense!r} is none of {', '.join(TENSES)}")
    form = with_vowel(stem)
    if tense == "past":
        form = with_tail(form, "ㅆ") + "어"
    return (form + "요" if polite else form,)


@functools.cache
def linked(stem, negated=False, motion=False):
    """A verb that is followed by another one of the same subject: 먹고, 먹지 않고.

    motion: 가다 and 오다 take 아서/어서 where the second action happens at the goal: 가서, 와서.
    """
    if negated:
        return stem.text + "지", NOT.text + "고"
    return (with_vowel(stem) + "서" if motion else stem.text + "고",)


# ---- nouns

def particle(noun, role):
    """The particle of a noun as a token, by its last letter: ("책", "topic") -> "+은", ("개", "topic") -> "+는".

    role: a key of PARTICLES. Raises ValueError for any other.
    """
    if role not in PARTICLES:
        raise ValueError(f"role={role!r} is none of {', '.join(PARTICLES)}")
    tail = tail_of(noun)
    after_vowel = not tail or (role == "by" and tail == "ㄹ")        # 지하철로
    return "+" + PARTICLES[role][after_vowel]


@functools.cache
def marked(noun, role):
    """A noun or pronoun and its particle as tokens: ("고양이", "+는"); ("나", "subject") gives ("내", "+가")."""
    if role == "subject" and noun in BEFORE_SUBJECT:
        return BEFORE_SUBJECT[noun], "+가"
    return noun, particle(noun, role)


@functools.cache
def copula(noun, tense="present", polite=False):
    """The noun with "is" or "was" as tokens: ("학생", "+이야"), ("의사", "+예요"), ("친구", "+였어")."""
    return noun, "+" + COPULA[tense, polite][not tail_of(noun)]


def join(tokens):
    """Tokens as written Korean. A token "+는" is glued to the one before; a comma comes before 그리고 and 하지만.

    Raises ValueError where a "+" token has nothing before it.
    """
    text = ""
    for token in tokens:
        if token.startswith("+"):
            if not text:
                raise ValueError(f"the particle {token!r} stands first: no noun to join it to")
            text += token[1:]
        elif text:
            text += (", " if token in CONJUNCTIONS else " ") + token
        else:
            text = token
    return text
