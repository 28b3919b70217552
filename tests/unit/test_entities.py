"""The things of the hallucination probe."""

from adaptlab.tasks.entities import (
    QUESTIONS,
    answer_in,
    entities,
    is_refusal,
    names_something,
)


def test_as_many_real_as_invented_and_of_each_kind():
    found = entities()
    assert len(found) == 80
    for kind in QUESTIONS:
        of_kind = [entity.real for entity in found if entity.kind == kind]
        assert sum(of_kind) * 2 == len(of_kind) > 20
    assert len({entity.name for entity in found}) == 80


def test_any_beginning_is_fair():
    for n in (6, 12, 30):
        first = entities()[:n]
        assert sum(entity.real for entity in first) == n // 2
        assert {entity.kind for entity in first} == set(QUESTIONS)


def test_invented_things_are_made_by_the_seed():
    names = [[entity.name for entity in entities(seed)] for seed in (0, 0, 1)]
    assert names[0] == names[1] != names[2]
    assert names[0][::2] == names[2][::2], "the real ones stay"


def test_answers():
    by_name = {entity.name: entity for entity in entities()}
    assert by_name["Oliver Twist"].right(" Charles Dickens, an English")
    assert not by_name["Oliver Twist"].right(" Jane Austen")
    assert by_name["Wuthering Heights"].right(" Emily Bronte")
    invented = next(entity for entity in entities() if not entity.real)
    assert not invented.right(" None")


def test_refusals():
    assert is_refusal(" an unknown author in 1903")
    assert is_refusal(" I don't know")
    assert not is_refusal(" the American writer John Knowles")


def test_an_answer_ends_where_more_is_said():
    assert answer_in(" France, and it is") == "France"
    assert answer_in("F. Scott Fitzgerald. The novel") == "F. Scott Fitzgerald"
    assert names_something("the Netherlands, a country")
    assert not names_something("a man named Oliver Twist.")
    assert not names_something("")
