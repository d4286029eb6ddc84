"""Korean morphology: letters of a syllable, conjugation of every class of stem, particles, the copula, joining."""

import unicodedata

import pytest

from course_utils.data import korean, lexicon
from course_utils.data.korean import Stem

# Stem and class | plain, polite | past plain, polite | future plain, polite | not | and | before a noun.
# Checked by hand. Neighbours that look alike and differ stand together: 걷다 and 닫다, 돕다 and 좁다, 짓다 and 웃다.
CONJUGATIONS = """
먹 regular | 먹어 먹어요 | 먹었어 먹었어요 | 먹을_거야 먹을_거예요 | 먹지_않아 | 먹고 | 먹은
읽 regular | 읽어 읽어요 | 읽었어 읽었어요 | 읽을_거야 읽을_거예요 | 읽지_않아 | 읽고 | 읽은
좋 regular | 좋아 좋아요 | 좋았어 좋았어요 | 좋을_거야 좋을_거예요 | 좋지_않아 | 좋고 | 좋은
작 regular | 작아 작아요 | 작았어 작았어요 | 작을_거야 작을_거예요 | 작지_않아 | 작고 | 작은
닫 regular | 닫아 닫아요 | 닫았어 닫았어요 | 닫을_거야 닫을_거예요 | 닫지_않아 | 닫고 | 닫은
받 regular | 받아 받아요 | 받았어 받았어요 | 받을_거야 받을_거예요 | 받지_않아 | 받고 | 받은
듣 ㄷ | 들어 들어요 | 들었어 들었어요 | 들을_거야 들을_거예요 | 듣지_않아 | 듣고 | 들은
걷 ㄷ | 걸어 걸어요 | 걸었어 걸었어요 | 걸을_거야 걸을_거예요 | 걷지_않아 | 걷고 | 걸은
춥 ㅂ | 추워 추워요 | 추웠어 추웠어요 | 추울_거야 추울_거예요 | 춥지_않아 | 춥고 | 추운
차갑 ㅂ | 차가워 차가워요 | 차가웠어 차가웠어요 | 차가울_거야 차가울_거예요 | 차갑지_않아 | 차갑고 | 차가운
어렵 ㅂ | 어려워 어려워요 | 어려웠어 어려웠어요 | 어려울_거야 어려울_거예요 | 어렵지_않아 | 어렵고 | 어려운
돕 돕 | 도와 도와요 | 도왔어 도왔어요 | 도울_거야 도울_거예요 | 돕지_않아 | 돕고 | 도운
좁 regular | 좁아 좁아요 | 좁았어 좁았어요 | 좁을_거야 좁을_거예요 | 좁지_않아 | 좁고 | 좁은
잡 regular | 잡아 잡아요 | 잡았어 잡았어요 | 잡을_거야 잡을_거예요 | 잡지_않아 | 잡고 | 잡은
입 regular | 입어 입어요 | 입었어 입었어요 | 입을_거야 입을_거예요 | 입지_않아 | 입고 | 입은
짓 ㅅ | 지어 지어요 | 지었어 지었어요 | 지을_거야 지을_거예요 | 짓지_않아 | 짓고 | 지은
낫 ㅅ | 나아 나아요 | 나았어 나았어요 | 나을_거야 나을_거예요 | 낫지_않아 | 낫고 | 나은
웃 regular | 웃어 웃어요 | 웃었어 웃었어요 | 웃을_거야 웃을_거예요 | 웃지_않아 | 웃고 | 웃은
하얗 ㅎ | 하얘 하얘요 | 하얬어 하얬어요 | 하얄_거야 하얄_거예요 | 하얗지_않아 | 하얗고 | 하얀
빨갛 ㅎ | 빨개 빨개요 | 빨갰어 빨갰어요 | 빨갈_거야 빨갈_거예요 | 빨갛지_않아 | 빨갛고 | 빨간
허옇 ㅎ | 허예 허예요 | 허옜어 허옜어요 | 허열_거야 허열_거예요 | 허옇지_않아 | 허옇고 | 허연
부르 르 | 불러 불러요 | 불렀어 불렀어요 | 부를_거야 부를_거예요 | 부르지_않아 | 부르고 | 부른
빠르 르 | 빨라 빨라요 | 빨랐어 빨랐어요 | 빠를_거야 빠를_거예요 | 빠르지_않아 | 빠르고 | 빠른
쓰 ㅡ | 써 써요 | 썼어 썼어요 | 쓸_거야 쓸_거예요 | 쓰지_않아 | 쓰고 | 쓴
크 ㅡ | 커 커요 | 컸어 컸어요 | 클_거야 클_거예요 | 크지_않아 | 크고 | 큰
바쁘 ㅡ | 바빠 바빠요 | 바빴어 바빴어요 | 바쁠_거야 바쁠_거예요 | 바쁘지_않아 | 바쁘고 | 바쁜
예쁘 ㅡ | 예뻐 예뻐요 | 예뻤어 예뻤어요 | 예쁠_거야 예쁠_거예요 | 예쁘지_않아 | 예쁘고 | 예쁜
만들 ㄹ | 만들어 만들어요 | 만들었어 만들었어요 | 만들_거야 만들_거예요 | 만들지_않아 | 만들고 | 만든
길 ㄹ | 길어 길어요 | 길었어 길었어요 | 길_거야 길_거예요 | 길지_않아 | 길고 | 긴
살 ㄹ | 살아 살아요 | 살았어 살았어요 | 살_거야 살_거예요 | 살지_않아 | 살고 | 산
사랑하 하 | 사랑해 사랑해요 | 사랑했어 사랑했어요 | 사랑할_거야 사랑할_거예요 | 사랑하지_않아 | 사랑하고 | 사랑한
맛있 있 | 맛있어 맛있어요 | 맛있었어 맛있었어요 | 맛있을_거야 맛있을_거예요 | 맛있지_않아 | 맛있고 | 맛있는
없 있 | 없어 없어요 | 없었어 없었어요 | 없을_거야 없을_거예요 | 없지_않아 | 없고 | 없는
가 regular | 가 가요 | 갔어 갔어요 | 갈_거야 갈_거예요 | 가지_않아 | 가고 | 간
서 regular | 서 서요 | 섰어 섰어요 | 설_거야 설_거예요 | 서지_않아 | 서고 | 선
오 regular | 와 와요 | 왔어 왔어요 | 올_거야 올_거예요 | 오지_않아 | 오고 | 온
주 regular | 줘 줘요 | 줬어 줬어요 | 줄_거야 줄_거예요 | 주지_않아 | 주고 | 준
배우 regular | 배워 배워요 | 배웠어 배웠어요 | 배울_거야 배울_거예요 | 배우지_않아 | 배우고 | 배운
마시 regular | 마셔 마셔요 | 마셨어 마셨어요 | 마실_거야 마실_거예요 | 마시지_않아 | 마시고 | 마신
켜 regular | 켜 켜요 | 켰어 켰어요 | 켤_거야 켤_거예요 | 켜지_않아 | 켜고 | 켠
보내 regular | 보내 보내요 | 보냈어 보냈어요 | 보낼_거야 보낼_거예요 | 보내지_않아 | 보내고 | 보낸
쉬 regular | 쉬어 쉬어요 | 쉬었어 쉬었어요 | 쉴_거야 쉴_거예요 | 쉬지_않아 | 쉬고 | 쉰
되 regular | 돼 돼요 | 됐어 됐어요 | 될_거야 될_거예요 | 되지_않아 | 되고 | 된
"""
ROWS = [line.split("|") for line in CONJUGATIONS.strip().split("\n")]


def test_letters_and_syllables_agree_with_unicode():
    for number in range(11_172):
        text = chr(ord("가") + number)
        lead, vowel, tail = korean.letters(text)
        assert korean.syllable(lead, vowel, tail) == text
        lead, vowel, tail = korean.LEADS.index(lead), korean.VOWELS.index(vowel), korean.TAILS.index(tail)
        jamo = chr(0x1100 + lead) + chr(0x1161 + vowel) + (chr(0x11A7 + tail) if tail else "")
        assert unicodedata.normalize("NFD", text) == jamo


@pytest.mark.parametrize("text", ["a", "ㄱ", "힤", " "])
def test_other_characters_have_no_letters(text):
    with pytest.raises(ValueError, match="not a Hangul syllable"):
        korean.letters(text)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip())
def test_conjugation(row):
    (text, kind), *forms = (cell.split() for cell in row)
    stem = Stem(text, kind)
    made = [["_".join(korean.conjugate(stem, tense, polite)) for polite in (False, True)] for tense in korean.TENSES]
    made += [["_".join(korean.conjugate(stem, negated=True))], list(korean.linked(stem)), [korean.adnominal(stem)]]
    assert made == forms


def test_every_kind_of_stem_is_in_the_table_and_every_stem_of_the_lexicon_has_a_kind():
    assert {row[0].split()[1] for row in ROWS} == set(korean.KINDS)
    stems = [word.stem for word in (*lexicon.VERBS.values(), *lexicon.ADJECTIVES.values())]
    assert {stem.kind for stem in stems} == set(korean.KINDS)


def test_negation_carries_tense_and_register():
    stem = Stem("먹")
    assert korean.conjugate(stem, "past", True, negated=True) == ("먹지", "않았어요")
    assert korean.conjugate(stem, "future", negated=True) == ("먹지", "않을", "거야")
    assert korean.linked(stem, negated=True) == ("먹지", "않고")


def test_motion_is_linked_by_seo():
    assert korean.linked(Stem("가"), motion=True) == ("가서",)
    assert korean.linked(Stem("오"), motion=True) == ("와서",)


@pytest.mark.parametrize(("noun", "expected"), [
    ("책", "책은 책이 책을 책과 책으로"), ("고양이", "고양이는 고양이가 고양이를 고양이와 고양이로"),
    ("물", "물은 물이 물을 물과 물로"), ("나", "나는 내가 나를 나와 나로"), ("저", "저는 제가 저를 저와 저로"),
    ("너", "너는 네가 너를 너와 너로"), ("당신", "당신은 당신이 당신을 당신과 당신으로"),
])
def test_particles(noun, expected):
    roles = ("topic", "subject", "object", "with", "by")
    assert " ".join(korean.join(korean.marked(noun, role)) for role in roles) == expected


def test_the_copula():
    made = [korean.join(korean.copula(noun, tense, polite)) for noun in ("학생", "의사")
            for tense in ("present", "past") for polite in (False, True)]
    assert made == ["학생이야", "학생이에요", "학생이었어", "학생이었어요",
                    "의사야", "의사예요", "의사였어", "의사였어요"]


def test_joining_glues_particles_and_sets_commas():
    tokens = ("고양이", "+들", "+은", "커", "하지만", "개", "+는", "작아")
    assert korean.join(tokens) == "고양이들은 커, 하지만 개는 작아"
    assert korean.join(()) == ""
    with pytest.raises(ValueError, match="stands first"):
        korean.join(("+는", "커"))


@pytest.mark.parametrize(("make", "message"), [
    (lambda: korean.conjugate(Stem("먹"), "perfect"), "tense='perfect' is none of present, past, future"),
    (lambda: korean.particle("책", "vocative"), "role='vocative' is none of"),
])
def test_unknown_tenses_and_roles_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
