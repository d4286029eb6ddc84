"""The words of the English–Korean grammar: one Korean word for each English one, with its stem class.

A noun carries tags ("animal", "food"); verbs and adjectives name the tags or the nouns that they go with. Only the
making of sentences asks these tags, so that people read books and cats eat fish; translating does not.
"""

from typing import NamedTuple

from course_utils.data.korean import Stem

VOWEL_LETTERS = "aeiou"


class Noun(NamedTuple):
    """A noun. plural: None for what is not counted (milk). tags: see the module's text."""

    english: str
    plural: str | None
    korean: str
    tags: frozenset


class Verb(NamedTuple):
    """A verb: English forms, Korean stem, and the sentences it makes.

    link: the preposition before its object ("to" for listen). object: "needed", "possible" or "none".
    uses: subject tag -> tags of its objects; an empty set where it stands without one. places: tags of places where it
    is done. traits: "motion" (to a goal), "receiver" (to somebody), "company" (with somebody), "state" (no action),
    "place" (always with a place).
    """

    base: str
    third: str
    past: str
    stem: Stem
    link: str
    object: str
    uses: dict
    places: frozenset
    traits: frozenset


class Adjective(NamedTuple):
    """An adjective. suits: tags or nouns it goes with. rank: its place among several, as English orders them."""

    english: str
    stem: Stem
    suits: frozenset
    rank: int


class Pronoun(NamedTuple):
    """A personal pronoun. plain, polite: Korean words; plain_of, polite_of: Korean tokens for "my", "your" …"""

    subject: str
    object: str
    possessive: str
    plain: str
    polite: str
    plain_of: tuple
    polite_of: tuple
    plural: bool


class Time(NamedTuple):
    """An expression of time. tenses: those it goes with."""

    english: tuple
    korean: tuple
    tenses: frozenset


def _tags(text):
    return frozenset(text.split())


# ---- English forms

def _with_s(word):
    if word.endswith(("s", "sh", "ch", "x", "o")):
        return word + "es"
    if word.endswith("y") and word[-2] not in VOWEL_LETTERS:
        return word[:-1] + "ies"
    return word + "s"


def _with_ed(word):
    if word.endswith("e"):
        return word + "d"
    if word.endswith("y") and word[-2] not in VOWEL_LETTERS:
        return word[:-1] + "ied"
    return word + "ed"


# ---- nouns: English, Korean, tags; an irregular plural after a slash

_COUNTED = """
student 학생 person role
teacher 선생님 person adult role own ours
friend 친구 person own ours dear
doctor 의사 person adult role
child/children 아이 person own
woman/women 여자 person adult
man/men 남자 person adult
singer 가수 person adult role
writer 작가 person adult role
cat 고양이 animal hunter pet own ours
dog 개 animal hunter pet own ours quick
bird 새 animal grazer
horse 말 animal grazer quick
rabbit 토끼 animal grazer pet own quick
apple 사과 food plant colour
cake 케이크 food baked
book 책 text media own carried gift
letter 편지 text own carried gift sent
film 영화 media shown
picture 그림 own carried gift sent
song 노래 media heard sung
bag 가방 thing colour own gift carried
chair 의자 thing colour own made base
desk 책상 thing own made base
door 문 fixed opened colour
window 창문 fixed opened
flower 꽃 thing colour gift sent carried
hat 모자 thing colour own gift carried
car 자동차 vehicle colour own quick base
bicycle 자전거 vehicle colour own quick
bus 버스 vehicle colour quick late
train 기차 vehicle quick late
school 학교 place ours study town built
park 공원 place green calm
house 집 place ours inside built calm
room 방 place own inside calm
library 도서관 place study town built calm
market 시장 place store town
station 역 place town
hospital 병원 place town built
sea 바다 green nature calm unique
city 도시 place living
garden 정원 place own ours green calm
restaurant 식당 place table town calm
shop 가게 place store town opened
village 마을 place ours living calm
"""
_UNCOUNTED = """
bread 빵 food flour plant baked
rice 밥 food
fish 생선 food flesh
meat 고기 food flesh
soup 수프 food baked warm
milk 우유 drink simple warm
water 물 drink simple warm
coffee 커피 drink warm
tea 차 drink warm
music 음악 heard studied
korean 한국어 subject studied hard
english 영어 subject studied hard
history 역사 subject studied
home 집 home
"""


def _nouns():
    found = {}
    for line in _COUNTED.split("\n")[1:-1]:
        english, korean, *tags = line.split()
        singular, _, plural = english.partition("/")
        found[singular] = Noun(singular, plural or _with_s(singular), korean, frozenset([singular, *tags]))
    for line in _UNCOUNTED.split("\n")[1:-1]:
        english, korean, *tags = line.split()
        found[english] = Noun(english, None, korean, frozenset([english, *tags]))
    return found


NOUNS = _nouns()
NOUN_FORMS = {form: (noun, form == noun.plural) for noun in NOUNS.values()
              for form in (noun.english, None if "unique" in noun.tags else noun.plural) if form}
# The preposition that English likes with a place; all others take "in".
AT_PLACES = _tags("school home station market library sea restaurant shop hospital")


# ---- verbs: English base and past, Korean stem and its class, preposition, uses, places, traits

_VERBS = """
eat ate 먹 regular - person>food;hunter>flesh;grazer>plant|inside,table,park,garden company
drink drank 마시 regular - person>drink;animal>simple|inside,table,park company
see saw 보 regular - person>animal,person,flower,nature,picture,house;animal>animal|town,green company
watch watched 보 regular - person>shown,bird|inside,study company
read read 읽 regular - person>text|inside,study,park,garden company
write wrote 쓰 ㅡ - person>letter,song,book|inside,study receiver
listen listened 듣 ㄷ to person>heard|inside,park,garden company
make made 만들 ㄹ - person>baked,made|inside company
help helped 돕 돕 - person>person|town,inside -
love loved 사랑하 하 - person>person,pet,music,song,sea;pet>person|- state
like liked 좋아하 하 - person>food,drink,animal,media,heard,person,nature,subject,flower;animal>person,simple|- state
go went 가 regular - person;pet|- motion,company
come came 오 regular - person;animal|- motion,company
wait waited 기다리 regular for person>person,late;pet>person|town,inside,park company
buy bought 사 regular - person>food,thing,book,picture,car,bicycle,drink|store company
close closed 닫 regular - person>opened|- -
open opened 열 ㄹ - person>opened|- -
sing sang 부르 르 - person>sung|inside,green,school company
sleep slept 자 regular - person;animal|inside,garden -
walk walked 걷 ㄷ - person;animal|green,living company
rest rested 쉬 regular - person;animal|inside,green company
live lived 살 ㄹ - person;animal|living,house place,company
learn learned 배우 regular - person>studied,song|study,home company
give gave 주 regular - person>gift,food,drink|- receiver
send sent 보내 regular - person>sent|- receiver
meet met 만나 regular - person>person|town,park -
build built 짓 ㅅ - adult>built|living company
become became 되 regular - adult>role|- -
"""
# Verbs that also stand without their object: "I eat", "we wait".
_ALONE = _tags("eat read wait learn")


def _uses(text):
    pairs = (use.partition(">") for use in text.split(";"))
    return {subject: frozenset(objects.split(",")) - {""} for subject, _, objects in pairs}


def _verbs():
    found = {}
    for line in _VERBS.split("\n")[1:-1]:
        base, past, text, kind, link, frame, traits = line.split()
        uses, _, places = frame.partition("|")
        uses = _uses(uses)
        needed = "possible" if base in _ALONE else "needed"
        found[base] = Verb(
            base, _with_s(base), past, Stem(text, kind), link.strip("-"), needed if any(uses.values()) else "none",
            uses, frozenset(places.strip("-").split(",")) - {""}, frozenset(traits.strip("-").split(",")) - {""})
    return found


VERBS = _verbs()
BECOME = VERBS["become"]
VERB_FORMS = {form: (verb, number) for verb in VERBS.values()
              for number, form in reversed(list(enumerate((verb.base, verb.third, verb.past))))}
EXIST = Stem("있", "있")
MISSING = Stem("없", "있")


# ---- adjectives: English, Korean stem and its class, rank (opinion 0, size 1, state 2, colour 3), what it suits

OPINION, SIZE, STATE, COLOUR = range(4)
_ADJECTIVES = """
big 크 ㅡ 1 animal thing fixed vehicle place cake apple fish picture
small 작 regular 1 animal thing fixed vehicle place cake apple fish picture child
long 길 ㄹ 1 letter song film
pretty 예쁘 ㅡ 0 flower hat bag picture garden house room cat bird rabbit horse child song village sea
cute 귀엽 ㅂ 0 animal child
busy 바쁘 ㅡ 2 adult student friend
happy 행복하 하 0 person
interesting 재미있 있 0 film book letter history
difficult 어렵 ㅂ 0 book song hard
delicious 맛있 있 0 food coffee tea milk
cold 차갑 ㅂ 2 drink
hot 뜨겁 ㅂ 2 warm
quiet 조용하 하 2 calm student
good 좋 regular 0 book song film music picture chair bag hat car bicycle school restaurant shop friend role
fast 빠르 르 2 quick
white 하얗 ㅎ 3 animal thing fixed car bicycle house
red 빨갛 ㅎ 3 colour
"""


def _adjectives():
    rows = (line.split(maxsplit=4) for line in _ADJECTIVES.split("\n")[1:-1])
    return {english: Adjective(english, Stem(text, kind), _tags(suits), int(rank))
            for english, text, kind, rank, suits in rows}


ADJECTIVES = _adjectives()
VERY = "아주"
FREQUENCIES = {"always": "항상", "often": "자주"}


# ---- small words

ME, YOU, HE, SHE, IT, WE, THEY = PRONOUNS = (
    Pronoun("I", "me", "my", "나", "저", ("내",), ("제",), False),
    Pronoun("you", "you", "your", "너", "당신", ("네",), ("당신", "+의"), False),
    Pronoun("he", "him", "his", "그", "그", ("그", "+의"), ("그", "+의"), False),
    Pronoun("she", "her", "her", "그녀", "그녀", ("그녀", "+의"), ("그녀", "+의"), False),
    Pronoun("it", "it", "", "그것", "그것", (), (), False),
    Pronoun("we", "us", "our", "우리", "우리", ("우리",), ("우리",), True),
    Pronoun("they", "them", "their", "그들", "그들", ("그들", "+의"), ("그들", "+의"), True),
)
SUBJECTS = {pronoun.subject: pronoun for pronoun in PRONOUNS}
OBJECTS = {pronoun.object: pronoun for pronoun in PRONOUNS}
POSSESSIVES = {pronoun.possessive: pronoun for pronoun in PRONOUNS if pronoun.possessive}
POINTERS = {"this": "이", "that": "그"}
ARTICLES = ("a", "an", "the")
DETERMINERS = (*ARTICLES, *POINTERS, *POSSESSIVES)

ANY = frozenset(("present", "past", "future"))
TIMES = (
    Time(("yesterday",), ("어제",), frozenset(["past"])),
    Time(("tomorrow",), ("내일",), frozenset(["future"])),
    Time(("today",), ("오늘",), ANY),
    Time(("now",), ("지금",), frozenset(["present"])),
    Time(("every", "day"), ("매일",), ANY),
    Time(("in", "the", "morning"), ("아침", "+에"), ANY),
    Time(("in", "the", "evening"), ("저녁", "+에"), ANY),
    Time(("at", "night"), ("밤", "+에"), ANY),
    Time(("on", "sunday"), ("일요일", "+에"), ANY),
    Time(("in", "summer"), ("여름", "+에"), ANY),
    Time(("in", "winter"), ("겨울", "+에"), ANY),
)
# Prepositions of place: the Korean noun that says where at the thing, or None for the thing itself.
PLACES = {"in": None, "at": None, "on": "위", "under": "밑"}
TOGETHER = "함께"                                        # after "with her": 그녀와 alone may read as "her and"
CONJUNCTIONS = {"and": "그리고", "but": "하지만"}
BE = {"present": ("am", "is", "are"), "past": ("was", "was", "were")}     # for I, for he and she, for all others
HAVE = {"present": ("have", "has"), "past": ("had", "had")}
SMALL_WORDS = _tags("am is are was were be have has had do does did will not no there very for to with by")
