"""The English–Korean grammar: sentences checked by hand, properties of thousands of drawn ones, splits, refusals."""

import unicodedata
from collections import Counter

import pytest

from course_utils.data import korean, lexicon
from course_utils.data.clauses import Adjunct, NounPhrase, Quality
from course_utils.data.cores import Core, is_held_out
from course_utils.data.korean import join
from course_utils.data.parsing import parse
from course_utils.data.translation import (
    COVERED,
    PLAIN,
    POLITE,
    source_tokens,
    split,
    translate,
    translation_splits,
    vocabularies,
)
from course_utils.data.vocabulary import UNK_ID

# Checked by hand, word by word.
PLAIN_SENTENCES = """
I love you | 나는 너를 사랑해
you love me | 너는 나를 사랑해
cats eat fish | 고양이는 생선을 먹어
the cats eat fish | 고양이들은 생선을 먹어
children like cakes | 아이들은 케이크를 좋아해
a cat sleeps under the chair | 고양이가 의자 밑에서 자
the cat is under the chair | 고양이는 의자 밑에 있어
my book is on the desk | 내 책은 책상 위에 있어
your book is not on the desk | 네 책은 책상 위에 없어
his friend became a doctor | 그의 친구는 의사가 됐어
I will be a teacher | 나는 선생님이 될 거야
she will not be a singer | 그녀는 가수가 되지 않을 거야
he is a student | 그는 학생이야
he is not a student | 그는 학생이 아니야
she was a doctor | 그녀는 의사였어
they were teachers | 그들은 선생님이었어
they were not doctors | 그들은 의사가 아니었어
it is an apple | 그것은 사과야
the dog is big | 개는 커
the dog was not big | 개는 크지 않았어
the dogs are small and white | 개들은 작고 하얘
the flower was very red | 꽃은 아주 빨갰어
that car will be fast | 그 자동차는 빠를 거야
this car is fast | 이 자동차는 빨라
the song was long | 노래는 길었어
I like long interesting songs | 나는 길고 재미있는 노래를 좋아해
she has a pretty white cat | 그녀는 하얗고 예쁜 고양이가 있어
she drinks cold water | 그녀는 차가운 물을 마셔
the tea was hot | 차는 뜨거웠어
korean is difficult but it is interesting | 한국어는 어려워, 하지만 그것은 재미있어
I am always busy | 나는 항상 바빠
the children were happy | 아이들은 행복했어
the park is quiet at night | 공원은 밤에 조용해
we listened to music | 우리는 음악을 들었어
I will listen to that song | 나는 그 노래를 들을 거야
he walked in the park yesterday | 그는 어제 공원에서 걸었어
they help me | 그들은 나를 도와
she will help us tomorrow | 그녀는 내일 우리를 도울 거야
the men built a house | 남자들은 집을 지었어
we will build a school | 우리는 학교를 지을 거야
he sings a song | 그는 노래를 불러
I make bread every day | 나는 매일 빵을 만들어
I will make bread | 나는 빵을 만들 거야
she wrote a letter to me | 그녀는 나에게 편지를 썼어
he closed the door and opened the window | 그는 문을 닫고 창문을 열었어
we walk in the park with the dog in the morning | 우리는 아침에 개와 함께 공원에서 걸어
she does not sing a song and writes a letter | 그녀는 노래를 부르지 않고 편지를 써
we rest on sunday | 우리는 일요일에 쉬어
he rested at home | 그는 집에서 쉬었어
I learned english at school | 나는 학교에서 영어를 배웠어
yesterday I bought a red hat | 어제 나는 빨간 모자를 샀어
I go to school by bus | 나는 버스로 학교에 가
he came home in the evening | 그는 저녁에 집에 왔어
I went to the market and bought meat | 나는 시장에 가서 고기를 샀어
I go to school in the morning and come home in the evening | 나는 아침에 학교에 가고 저녁에 집에 와
there is a bird in the garden | 정원에 새가 있어
there are students at the library | 도서관에 학생들이 있어
there is no milk | 우유가 없어
there were no children in the park | 공원에 아이가 없었어
I have a dog | 나는 개가 있어
we have no friends | 우리는 친구가 없어
he did not have a car | 그는 자동차가 없었어
I have you | 나는 네가 있어
you have me | 너는 내가 있어
I do not eat meat | 나는 고기를 먹지 않아
he did not read the book | 그는 책을 읽지 않았어
he read the book | 그는 책을 읽었어
I read books | 나는 책을 읽어
I read the book yesterday | 나는 어제 책을 읽었어
the big dog drinks water and the small cat drinks milk | 큰 개는 물을 마셔, 그리고 작은 고양이는 우유를 마셔
he lives in the city, but I live in the village | 그는 도시에서 살아, 하지만 나는 마을에서 살아
"""
POLITE_SENTENCES = """
I love you | 저는 당신을 사랑해요
you love me | 당신은 저를 사랑해요
my friend gave your book to her | 제 친구는 그녀에게 당신의 책을 줬어요
he is a student | 그는 학생이에요
she is a doctor | 그녀는 의사예요
she is not a doctor | 그녀는 의사가 아니에요
it was my bag | 그것은 제 가방이었어요
I have you | 저는 당신이 있어요
you have me | 당신은 제가 있어요
we will go to the sea tomorrow | 우리는 내일 바다에 갈 거예요
they waited for the train at the station | 그들은 역에서 기차를 기다렸어요
the children are not at home now | 아이들은 지금 집에 없어요
I send a picture to you | 저는 당신에게 그림을 보내요
the women saw a white bird | 여자들은 하얀 새를 봤어요
I am not busy today | 저는 오늘 바쁘지 않아요
there was delicious bread in our house | 우리 집에 맛있는 빵이 있었어요
I am a student and learn korean | 저는 학생이고 한국어를 배워요
the film is good but the song is not pretty | 영화는 좋아요, 하지만 노래는 예쁘지 않아요
"""




def table(text, polite):
    rows = (line.split(" | ") for line in text.strip().split("\n"))
    return [(english, polite, expected) for english, expected in rows]


HAND_CHECKED = table(PLAIN_SENTENCES, False) + table(POLITE_SENTENCES, True)
FORMS = {word.stem: {form for tense in korean.TENSES for polite in (False, True)
                     for form in korean.conjugate(word.stem, tense, polite)} - {"거야", "거예요"}
         | {word.stem.text + "지", *korean.linked(word.stem), *korean.linked(word.stem, motion=True),
            korean.adnominal(word.stem)}
         for word in (*lexicon.VERBS.values(), *lexicon.ADJECTIVES.values())}
FINAL = {korean.conjugate(stem, tense, polite)[-1] for stem in (*FORMS, lexicon.EXIST, lexicon.MISSING, korean.NOT)
         for tense in korean.TENSES for polite in (False, True)} | set(korean.NOT_BEING.values())
FINAL |= {"+" + ending for endings in korean.COPULA.values() for ending in endings}


@pytest.fixture(scope="module")
def splits():
    return translation_splits(train=20_000, validation=500, test=2_000, longer=500, seed=0)


@pytest.fixture(scope="module")
def drawn(splits):
    """Some thousand pairs of all splits and lengths."""
    return [*splits.train[:4_000], *splits.test, *splits.longer]


# ---- sentences checked by hand

def test_the_table_is_long_and_in_normal_form():
    assert len(HAND_CHECKED) >= 60
    assert all(unicodedata.is_normalized("NFC", expected) for _, _, expected in HAND_CHECKED)


@pytest.mark.parametrize(("english", "polite", "expected"), HAND_CHECKED)
def test_hand_checked_sentences(english, polite, expected):
    assert translate(english, polite) == expected
    assert join(split(expected)) == expected


def test_case_final_marks_commas_and_short_forms_are_accepted():
    assert translate("  I LOVE you!  ") == "나는 너를 사랑해"
    assert translate("The cat is big, but the dog isn’t big.") == "고양이는 커, 하지만 개는 크지 않아"
    assert source_tokens("We don't eat meat.", polite=True) == (POLITE, "we", "do", "not", "eat", "meat")
    assert source_tokens("i love you") == (PLAIN, "I", "love", "you")


# ---- what is refused

@pytest.mark.parametrize(("english", "message"), [
    ("", "the sentence is empty"),
    (" ?! ", "the sentence is empty"),
    ("I love quarks", 'does not know the word "quarks"'),
    ("I love studdents", 'do you mean "students"'),
    ("I loves you", 'write "I love you"'),
    ("he do not eat", 'write "he does not eat"'),
    ("the dogs is big", 'write "the dogs are big"'),
    ("I eat a apple", 'write "I eat an apple"'),
    ("I see cat", 'before "cat" stands "a", "the" or "my"'),
    ("I drink a milk", '"a" and "milk" do not go together'),
    ("I see this dogs", '"this" and "dogs" do not go together'),
    ("I buy", "the sentence ends, where a noun or a pronoun should stand"),
    ("love you", 'at the start comes "love"'),
    ("yesterday I walked yesterday", "a time stands twice"),
    ("I walk in the park in the garden", "one place, one goal, one companion"),
    ("I go to school to the park", "one place, one goal, one companion"),
    ("I am cold", '"cold" is said of things here'), ("the students are hot", '"hot" is said of things here'),
    ("I listen to you", '"listen" goes with things here'), ("he eats the students", '"eat" goes with things here'),
    ("I love me", '"I" and "me" are the same person'), ("we help us", '"we" and "us" are the same person'),
    ("I eat bread tomorrow", '"tomorrow" does not go with the present tense'),
    ("I will eat bread yesterday", '"yesterday" does not go with the future tense'),
    ("I ate bread and drink milk", "need the same tense"),
    ("I do not eat bread and drink milk", 'does "not" hold for both verbs'),
    ("I was a student and learned korean", "say the subject again"),
    ("he is not very busy", '"not very"'),
    ("he is a students", "do not go together"),
    ("he is students", '"students" does not fit the number of its subject: try "student"'),
    ("they are a student", 'try "students"'),
    ("we are students and", 'after "we are students and"'),
    ("there is not a cat", 'write "there is no'),
    ("he does not always sleep", "understood in two ways"),
    ("I go in the park", 'where "to" should stand'),
    ("I sleep to the park", 'no "to"'),
    ("I sleep at the doctor", "where a place should stand"),
    ("I go to school by the park", "one of car, bicycle, bus, train"),
    ("the cat is her", "where a noun should stand"),
    ("x" * 10_000, "does not know the word"),
    ("<script>alert(1)</script>", "does not know the word"),
    (None, "a sentence is a string, not NoneType"),
])
def test_refusals_are_one_clear_line(english, message):
    with pytest.raises(ValueError) as refusal:
        translate(english)
    text = str(refusal.value)
    assert message in text and "\n" not in text and len(text) < 500
    with pytest.raises(ValueError):
        source_tokens(english)


def test_the_refusal_says_what_is_covered_and_the_examples_are():
    with pytest.raises(ValueError) as refusal:
        translate("I love quarks")
    assert COVERED in str(refusal.value)
    examples = [text for text in COVERED.split('"')[1::2] if " " in text]
    assert len(examples) >= 4 and all(translate(text) for text in examples)


@pytest.mark.parametrize("text", ["나는 학교에가 가", "cat", "은 나", "사과으로"])
def test_korean_of_other_grammars_is_not_split(text):
    with pytest.raises(ValueError, match="no Korean word of the grammar"):
        split(text)


# ---- properties of drawn pairs

def test_particles_fit_the_sound_before_them(drawn):
    after_consonant = {"+은", "+이", "+을", "+과", "+이야", "+이에요", "+이었어", "+이었어요"}
    after_vowel = {"+는", "+가", "+를", "+와", "+야", "+예요", "+였어", "+였어요"}
    seen = Counter()
    for pair in drawn:
        for before, token in zip(pair.target, pair.target[1:], strict=False):
            closed = (ord(before[-1]) - ord("가")) % 28 > 0
            assert not (token in after_consonant and not closed), pair
            assert not (token in after_vowel and closed), pair
            seen[token] += 1
    assert all(seen[token] for token in after_consonant | after_vowel)


def test_the_verb_is_last_in_every_clause(drawn):
    for pair in drawn:
        ends = [*(number for number, token in enumerate(pair.target) if token in korean.CONJUNCTIONS), len(pair.target)]
        assert all(pair.target[end - 1] in FINAL for end in ends), pair
        assert len(ends) == len(parse(" ".join(pair.source[1:])).clauses)


def test_the_register_holds_in_both_halves(drawn):
    halves = 0
    for pair in drawn:
        ends = [*(number for number, token in enumerate(pair.target) if token in korean.CONJUNCTIONS), len(pair.target)]
        polite = pair.source[0] == POLITE
        assert all(pair.target[end - 1].endswith("요") is polite for end in ends), pair
        assert not {"나", "내", "너", "네"} & set(pair.target) or not polite, pair
        assert not {"저", "제", "당신"} & set(pair.target) or polite, pair
        halves += len(ends) > 1
    assert halves > 1_000


def test_nouns_correspond_one_to_one(drawn):
    korean_nouns = {noun.korean for noun in lexicon.NOUNS.values()}
    for pair in drawn:
        expected = Counter(lexicon.NOUN_FORMS[word][0].korean for word in pair.source if word in lexicon.NOUN_FORMS)
        assert Counter(token for token in pair.target if token in korean_nouns) == expected, pair


def test_verbs_and_adjectives_correspond_one_to_one(drawn):
    becoming = FORMS[lexicon.BECOME.stem]                # also the Korean of "will be a teacher"
    for pair in drawn:
        words = [lexicon.VERB_FORMS[word][0] for word in pair.source if word in lexicon.VERB_FORMS]
        words += [lexicon.ADJECTIVES[word] for word in pair.source if word in lexicon.ADJECTIVES]
        stems = Counter(word.stem for word in words if word is not lexicon.BECOME)
        rest = [token for token in pair.target if token not in becoming]
        assert sum(stems.values()) == sum(any(token in forms for forms in FORMS.values()) for token in rest), pair
        for stem, count in stems.items():
            assert sum(token in FORMS[stem] for token in rest) >= count, (stem, pair)


def test_times_and_small_words_correspond(drawn):
    words = {"very": "아주", "always": "항상", "often": "자주", "but": "하지만", "under": "밑", "yesterday": "어제",
             "tomorrow": "내일", "today": "오늘", "now": "지금", "with": "함께", "day": "매일", "sunday": "일요일",
             "night": "밤"}
    for pair in drawn:
        for english, token in words.items():
            assert pair.source.count(english) == pair.target.count(token), pair


def test_joining_is_reversible_and_normal(drawn):
    for pair in drawn:
        text = join(pair.target)
        assert split(text) == pair.target
        assert unicodedata.is_normalized("NFC", text)


def test_translating_the_english_side_gives_the_korean_side(drawn):
    for pair in drawn:
        text, polite = " ".join(pair.source[1:]), pair.source[0] == POLITE
        assert translate(text, polite) == join(pair.target)
        assert source_tokens(text, polite) == pair.source


# ---- splits

def cores_of(pair):
    """Who does what in each clause, read back from the English side."""
    for clause in parse(" ".join(pair.source[1:])).clauses:
        for predicate in clause.predicates:
            yield Core(bare(clause.subject), predicate.kind, predicate.verb, bare(predicate.complement))


def bare(phrase):
    if isinstance(phrase, Adjunct):
        return bare(phrase.phrase)
    if isinstance(phrase, NounPhrase):
        return phrase.noun
    return phrase.adjective if isinstance(phrase, Quality) else phrase


def test_sizes_and_lengths(splits):
    assert [len(part) for part in splits] == [20_000, 500, 2_000, 500]
    for part, shortest, longest in ((splits.train, 2, 16), (splits.validation, 2, 16), (splits.test, 2, 16),
                                    (splits.longer, 17, 24)):
        lengths = Counter(len(pair.source) - 1 for pair in part)
        assert set(lengths) == set(range(shortest, longest + 1))
        counts = [lengths[length] for length in range(max(shortest, 3), longest + 1)]
        assert max(counts) < 1.2 * min(counts) + 5       # of two words, fewer sentences exist
    for first in (2, 5, 8, 11, 14):
        assert sum(first <= len(pair.source) - 1 <= first + 2 for pair in splits.test) >= 100


def test_no_pair_comes_twice(splits):
    pairs = [pair for part in splits for pair in part]
    assert len(set(pairs)) == len(pairs)


def test_held_out_combinations_are_not_trained(splits):
    trained = {core.names() for pair in (*splits.train, *splits.longer) for core in cores_of(pair)}
    held_out = {core.names() for pair in (*splits.validation, *splits.test) for core in cores_of(pair)}
    assert len(held_out) > 400 and not trained & held_out


def test_the_side_of_a_combination_hangs_on_its_words_alone():
    noun = lexicon.NOUNS
    names = ("cat", "dog", "bread", "milk", "book", "letter", "music", "song", "fish", "friend")
    liked = {name: Core(noun["student"], "verb", lexicon.VERBS["like"], noun[name]) for name in names}
    assert liked["cat"].names() == ("student", "like", "cat")
    assert [name for name, core in liked.items() if is_held_out(core)] == ["cat"]      # the same on every machine


def test_every_token_of_every_split_is_trained_and_in_the_vocabulary(splits):
    for side, vocabulary in enumerate(vocabularies()):
        trained = {token for pair in splits.train for token in pair[side]}
        assert trained == set(vocabulary.tokens[4:])
        for part in splits[1:]:
            assert {token for pair in part for token in pair[side]} <= trained


def test_the_same_seed_gives_the_same_pairs(splits):
    again = translation_splits(200, 20, 40, 10, seed=3)
    assert again == translation_splits(200, 20, 40, 10, seed=3)
    assert again != translation_splits(200, 20, 40, 10, seed=4)
    assert {pair.source[0] for pair in again.train} == {PLAIN, POLITE}


def test_fifty_thousand_distinct_pairs():
    train = translation_splits(50_000, 0, 0, 0, seed=1).train
    assert len(set(train)) == 50_000


def test_impossible_sizes_are_refused():
    with pytest.raises(ValueError, match="test=-1 must be a whole number from 0"):
        translation_splits(10, 0, -1, 0)
    with pytest.raises(ValueError, match="test=5 is more than the grammar can make"):
        translation_splits(0, 0, 5, 0)                   # without training no token is known
    assert translation_splits(0, 0, 0, 0) == ([], [], [], [])


# ---- vocabularies

def test_vocabularies():
    source, target = vocabularies()
    assert source.tokens[:4] == target.tokens[:4] == ["<pad>", "<sos>", "<eos>", "<unk>"]
    assert source.tokens[4:] == sorted(source.tokens[4:]) and target.tokens[4:] == sorted(target.tokens[4:])
    assert source.encode(["zebra"]) == target.encode(["얼룩말"]) == [UNK_ID]
    assert 250 <= len(target) <= 480 and len(source) >= 200


def test_the_lexicon_is_large_enough_and_unambiguous():
    words = [*lexicon.NOUNS, *lexicon.VERBS, *lexicon.ADJECTIVES, *lexicon.FREQUENCIES, *lexicon.SUBJECTS]
    assert len(words) + len(lexicon.TIMES) >= 120
    kinds = [set(lexicon.NOUN_FORMS), set(lexicon.VERB_FORMS), set(lexicon.ADJECTIVES), set(lexicon.FREQUENCIES)]
    assert sum(map(len, kinds)) == len(set().union(*kinds))           # no word is a noun and a verb
    assert {"cat", "school", "music", "eat", "listen", "close", "sing", "big", "interesting"} <= set(words)
