"""Edits change little and never a word that carries the label; the search finds the harmful one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptlab.errors import AdaptlabError
from adaptlab.tasks import edits
from adaptlab.tasks.edits import attack, character_edit, edited, word_edit

KEPT = [
    "good",
    "AWFUL",
    "not",
    "Never",
    "don't",
    "isn’t",
    "dont",
    "well-made",
    ":)",
    "but",
    "dull,",
]
FREE = ["the", "film", "of", "table", "(Paris)", "o'clock", "it."]
SIGNS = [",", "--", "1984"]
ANY = st.text(alphabet="abé Z'.,\n-word", max_size=40)
MADE = st.lists(st.sampled_from([*KEPT, *FREE, *SIGNS]), max_size=12).map(" ".join)
TEXTS = st.one_of(ANY, MADE)
SEEDS = st.integers(0, 2**32)
KINDS = pytest.mark.parametrize("kind", edits.KINDS)


def alike(one: str, other: str) -> int:
    """How many letters two texts begin with alike."""
    differ = (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(differ, min(len(one), len(other)))


def parts_that_differ(one: str, other: str) -> tuple[str, str]:
    """What is left of two texts without what they begin and end with alike."""
    start = alike(one, other)
    one, other = one[start:], other[start:]
    end = alike(one[::-1], other[::-1])
    return one[: len(one) - end], other[: len(other) - end]


@given(TEXTS, SEEDS)
def test_a_typo_is_in_one_long_word_and_small(text, seed):
    after = character_edit(text, np.random.default_rng(seed))
    assert (after == text) == (edits.LETTERS.search(text) is None)
    before, now = parts_that_differ(text, after)
    assert len(before) <= 2
    assert len(now) <= 2
    assert not {" ", "\n", ".", ","} & set(before + now)


@given(TEXTS, SEEDS)
def test_first_and_last_letters_stay(text, seed):
    after = character_edit(text, np.random.default_rng(seed))
    words = zip(text.split(), after.split(), strict=True)
    assert all(one[0] == two[0] and one[-1] == two[-1] for one, two in words)


@pytest.mark.parametrize("word", ["noon", "ooooo", "ÉÉÉÉ", "word"])
def test_every_typo_changes_the_word(word):
    kinds = edits._typos(word)
    assert all(kinds)
    assert word not in {typo for kind in kinds for typo in kind}


def test_typos_are_of_four_kinds_and_keep_the_case():
    swapped, dropped, doubled, missed = map(set, edits._typos("fIlm"))
    assert swapped == {"flIm"}
    assert dropped == {"flm", "fIm"}
    assert doubled == {"fIIlm", "fIllm"}
    assert missed == {"fUlm", "fOlm", "fJlm", "fKlm", "fIkm", "fIom", "fIpm"}


@pytest.mark.parametrize(("key", "near"), [("q", "wa"), ("s", "weadzx"), ("P", "OL"), ("é", "")])
def test_neighbours_on_the_keyboard(key, near):
    assert sorted(edits._keys_near(key)) == sorted(near)


@given(MADE, SEEDS)
def test_words_that_carry_the_label_stay_in_number_and_order(text, seed):
    after = word_edit(text, np.random.default_rng(seed))
    kept = [word for word in text.split() if word in KEPT + SIGNS]
    assert [word for word in after.split() if word in KEPT + SIGNS] == kept
    assert sorted(set(after.split()) - set(text.split())) == []
    assert abs(len(after.split()) - len(text.split())) <= 1
    deleted = len(after.split()) < len(text.split())
    gone = [w for w in FREE if text.split().count(w) > after.split().count(w)]
    assert gone == [] or (deleted and len(gone) == 1 and gone[0] in edits.FUNCTION)


@given(TEXTS, SEEDS)
def test_a_word_edit_leaves_no_text_empty(text, seed):
    after = word_edit(text, np.random.default_rng(seed))
    assert bool(after.split()) == bool(text.split())


@pytest.mark.parametrize("text", ["", " ", "not good", "awful", ":) :(", "... 1984 !", "don’t"])
def test_a_text_with_no_free_word_stays(text):
    assert edited([text], "word", 5, seed=0) == [text]


@pytest.mark.parametrize("text", ["", "\n", "bad", "so so bad it is", "1234567", "?!?!?!"])
def test_a_text_with_no_long_word_stays(text):
    assert edited([text], "character", 5, seed=0) == [text]


def test_one_word_is_repeated_never_deleted():
    assert {edited(["the"], "word", 1, seed)[0] for seed in range(20)} == {"the the"}


def test_all_changes_of_words_occur():
    found = {edited(["the film awful"], "word", 1, seed)[0] for seed in range(60)}
    assert found == {
        "film awful", "film the awful", "the the film awful", "the film film awful",
    }  # fmt: skip


@KINDS
@given(st.lists(TEXTS, max_size=4), st.integers(0, 4), st.integers(0, 9))
def test_edits_depend_on_text_and_seed_alone_and_go_on_from_fewer(kind, texts, count, seed):
    once = edited(texts, kind, count, seed)
    assert once == [edited([text], kind, count, seed)[0] for text in texts]
    assert edited(texts, kind, 0, seed) == texts
    more = edited(texts, kind, count + 1, seed)
    for text, after, one_more in zip(texts, once, more, strict=True):
        draw = edits._draw(text, seed)
        steps = [text]
        for _ in range(count + 1):
            steps.append(edits.KINDS[kind](steps[-1], draw))
        assert steps[count:] == [after, one_more]


@KINDS
def test_seeds_differ(kind, sentiment):
    texts = sentiment.first("test", 50)["text"][:]
    one, other = (edited(texts, kind, 2, seed) for seed in (0, 1))
    assert sum(a == b for a, b in zip(one, other, strict=True)) < 10


class Model:
    """A toy: the margin of a text is the number of its words that are whole, less a threshold."""

    def __init__(self, wholes: list[set[str]], least: float):
        self.wholes, self.least, self.calls, self.scored = wholes, least, 0, 0

    def __call__(self, items, texts):
        self.calls += 1
        self.scored += len(texts)
        pairs = zip(items, texts, strict=True)
        return np.array([len(self.wholes[i] & set(t.split())) - self.least for i, t in pairs])


TOY = ["the charming film was about farming", "a short one", "lovely characters everywhere"]


def toy(least: float) -> Model:
    return Model([{"charming"}, {"short"}, {"lovely"}], least)


def test_the_attack_finds_the_harmful_edit_and_stops_there():
    model = toy(0.5)
    found = attack(TOY, model, "character", candidates=40, rounds=10, seed=0)
    assert (found.margins == -0.5).all()
    for text, word in zip(found.texts, ("charming", "short", "lovely"), strict=True):
        assert word not in text.split()
    assert sum(a != b for a, b in zip(TOY[0].split(), found.texts[0].split(), strict=True)) == 1
    assert model.calls < 11, "no call when every text is below 0"
    assert found.queries == model.scored


def test_an_attack_asks_once_a_round_and_counts_the_texts():
    model = toy(-5)  # out of reach
    found = attack(TOY, model, "character", candidates=6, rounds=3, seed=0)
    assert model.calls == 1 + 3
    assert found.queries == model.scored <= 3 + 3 * 3 * 6
    assert (found.margins >= 0).all()


def test_texts_that_are_wrong_already_are_left():
    model = toy(2)
    found = attack(TOY, model, "word", candidates=6, rounds=3, seed=0)
    assert (found.texts, found.queries, model.calls) == (TOY, 3, 1)


def test_no_round_and_texts_without_edits_only_cost_the_first_query():
    assert attack(TOY, toy(0.5), "word", 6, 0, seed=0).texts == TOY
    model = Model([{"bad"}, set()], 0)
    found = attack(["bad", ""], model, "character", 6, 4, seed=0)
    assert (found.texts, found.queries, model.calls) == (["bad", ""], 2, 1)


@KINDS
@given(
    st.lists(MADE, min_size=1, max_size=4),
    st.integers(1, 5),
    st.integers(0, 3),
    st.integers(0, 9),
)
def test_margins_never_rise_and_more_rounds_go_on_from_fewer(kind, texts, count, rounds, seed):

    def margins(items, versions):  # any function of the text will do
        return np.array([sum(map(ord, version)) % 97 - 20 for version in versions])

    before = margins(range(len(texts)), texts)
    few = attack(texts, margins, kind, count, rounds, seed)
    more = attack(texts, margins, kind, count, rounds + 1, seed)
    again = attack(texts, margins, kind, count, rounds, seed)
    assert few.texts == again.texts
    assert (few.margins == margins(range(len(texts)), few.texts)).all()
    assert (few.margins <= before).all()
    assert (more.margins <= few.margins).all()
    assert more.queries >= few.queries
    for text, after, margin in zip(texts, few.texts, before, strict=True):
        assert margin >= 0 or after == text


def test_bad_requests_are_one_line():
    with pytest.raises(AdaptlabError, match="unknown kind of edit 'words'; did you mean word"):
        edited(["a"], "words", 1, seed=0)
    with pytest.raises(AdaptlabError, match="cannot be edited -1 times"):
        edited(["a"], "word", -1, seed=0)
    with pytest.raises(AdaptlabError, match="unknown kind of edit"):
        attack(TOY, toy(0), "letters", 1, 1, seed=0)
    with pytest.raises(AdaptlabError, match="0 candidates in 1 rounds"):
        attack(TOY, toy(0), "word", 0, 1, seed=0)
    with pytest.raises(AdaptlabError, match="1 candidates in -1 rounds"):
        attack(TOY, toy(0), "word", 1, -1, seed=0)
