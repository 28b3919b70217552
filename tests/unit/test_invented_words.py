"""The checker of invented words, on sentences judged by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptlab.tasks.invented_words import KINDS, WORDS, Invented, first_line, forms, judge

BY_WORD = {invented.word: invented for invented in WORDS}
FARDUDDLE = BY_WORD["farduddle"]


@pytest.mark.parametrize(
    ("word", "right"),
    [
        ("farduddle", "farduddle farduddles farduddled farduddling"),
        ("whatpu", "whatpu whatpus whatpu's"),
        ("jorfy", "jorfy jorfies jorfied jorfying"),
        ("glimber", "glimber glimbers glimbered glimbering"),
        ("plan", "plan plans planned planning"),
        ("box", "box boxes boxed boxing"),
        ("push", "push pushes pushed pushing"),
        ("play", "play plays played playing"),
    ],
)
def test_regular_inflections_are_forms(word, right):
    assert set(right.split()) <= forms(word)


@pytest.mark.parametrize(
    ("word", "wrong"),
    [("farduddle", "fardaddled fardu farduddleing2"), ("box", "boxxes"), ("play", "plaies")],
)
def test_other_words_are_none(word, wrong):
    assert not set(wrong.split()) & forms(word)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("The children farduddled in the snow.", "used"),
        ('"Farduddling," she said, “is fun.”', "used"),
        ("My brother's farduddles shook the house.", "used"),
        ("I ate a farduddle.", "used"),  # its meaning is not looked at
        (FARDUDDLE.definition, "repeated"),
        ("I was doing a farduddle to jump up and down.", "repeated"),
        ("A farduddle is when you jump up and down really fast!", "repeated"),
        ("The children fardaddled in the snow.", "not used"),  # as the lecture's answer has it
        ("The children jump up and down really fast.", "not used"),
        ("Afarduddle", "not used"),
        ("", "not used"),
    ],
)
def test_judged_by_hand(text, kind):
    assert judge(text, FARDUDDLE) == kind


def test_every_definition_holds_its_word_and_repeats_itself():
    assert len(BY_WORD) == len(WORDS)
    for invented in WORDS:
        assert judge(invented.definition, invented) == "repeated"


@given(st.text(max_size=60), st.sampled_from(WORDS))
def test_any_text_is_judged(text, invented):
    assert judge(text, invented) in KINDS
    assert judge(f"{text} We like {invented.word}.", invented) != "not used"


def test_a_short_definition_is_not_repeated_by_the_word_alone():
    assert judge("A blick.", Invented("blick", "A blick is red.")) == "used"


@pytest.mark.parametrize(
    ("text", "introduced", "line"),
    [
        ("\n\n I saw a whatpu. \nMore.", False, "I saw a whatpu."),
        ("She said: jump!", False, "She said: jump!"),
        ("Here is one with whatpu:\n\nWe saw it.\nMore.", True, "We saw it."),
        ("Here is one with whatpu: We saw it.", True, "We saw it."),
        ("Here is one with whatpu:", True, ""),
        ("We saw it.\nNote: no.", True, "We saw it."),
        ("  \n", True, ""),
        ("", False, ""),
    ],
)
def test_the_first_line_is_without_an_introduction(text, introduced, line):
    assert first_line(text, introduced) == line
