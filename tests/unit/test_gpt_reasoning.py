"""Direct, steps, filler: what each form reads and writes, and what comes back from a model."""

import pytest
import torch

from adaptlab.errors import AdaptlabError
from adaptlab.gpt import reasoning
from adaptlab.gpt.config import GPTConfig
from adaptlab.gpt.data import IGNORED
from adaptlab.gpt.model import GPT
from adaptlab.gpt.pretrain import Recipe
from adaptlab.gpt.reasoning import FORMS, TOKENIZER, Written, encode, pair, parse, solve
from adaptlab.runtime import detect
from adaptlab.sampling import Sampling
from adaptlab.tasks import worked
from adaptlab.tasks.problems import Problem
from tests.gpt_small import one_thread  # noqa: F401

CPU = detect("cpu", torch.float32)
SHORT = Problem("3a+4b*2", "4", ("a2", "b4"))
SUM = Problem("38+27", "65", ("15", "06"))
CONFIG = GPTConfig(TOKENIZER.vocab_size, context_length=48, layers=1, heads=2, width=48)
RECIPE = Recipe(steps=150, learning_rate=1e-2, batch_size=4, warmup=5, weight_decay=0)
PROBLEMS = worked.load("modular", 1, 4).problems("train", 12)


def mixed(n: int) -> list[Problem]:
    return [p for f in worked.MOST for p in worked.load(f, 2, 5).problems("train", n)]


@pytest.mark.parametrize(
    ("form", "read", "written"),
    [
        ("direct", "3a+4b*2=", ">4"),
        ("steps", "3a+4b*2=", "a2b4>4"),
        ("filler", "3a+4b*2=", "....>4"),
    ],
)
def test_the_three_forms(form, read, written):
    assert pair(SHORT, form) == (read, written)


def test_a_filler_is_as_long_as_the_steps_and_says_nothing():
    for problem in mixed(20):
        written = {form: pair(problem, form)[1] for form in FORMS}
        assert len(written["filler"]) == len(written["steps"]) > len(written["direct"])
        assert written["filler"].endswith(written["direct"])
        assert set(parse(written["filler"]).work) == {"."}
        assert {pair(problem, form)[0] for form in FORMS} == {f"{problem.question}="}


def test_right_texts_are_parsed_right():
    for family in worked.MOST:
        task = worked.load(family, 1, 4)
        for problem in task.problems("train", 40):
            for form in FORMS:
                found = parse(pair(problem, form)[1])
                assert found.answer == problem.answer
                assert task.check(found.answer, problem)
                assert found.work == {"direct": "", "steps": "".join(problem.steps)}.get(
                    form, "." * len("".join(problem.steps))
                )


@pytest.mark.parametrize(
    ("text", "work", "answer"),
    [
        ("", "", None),
        ("a2b4", "a2b4", None),
        ("a2b4>", "a2b4", None),
        (">4", "", "4"),
        ("a2>b4>4", "a2", "b4>4"),
    ],
)
def test_what_is_not_right_is_no_answer_by_accident(text, work, answer):
    assert parse(text) == Written(work, answer)


@pytest.mark.parametrize("form", FORMS)
def test_what_is_written_and_its_end_are_the_targets(form):
    data = encode([SHORT, SUM], form, 24)
    for number, problem in enumerate((SHORT, SUM)):
        own = data.documents == number
        learnt = [i for i in data.targets[own].tolist() if i != IGNORED]
        read, written = pair(problem, form)
        assert TOKENIZER.decode(learnt) == written + "\n"
        assert TOKENIZER.decode(data.inputs[own].tolist()) == read + written


def test_at_equal_rows_the_short_form_sees_the_most_problems():
    problems = mixed(60)
    rows = {form: len(encode(problems, form, 64).inputs) for form in FORMS}
    assert rows["direct"] < rows["steps"]
    assert rows["filler"] == rows["steps"]


class Oracle:
    """Stands for `generate`: writes what is right, and counts what it was asked for."""

    def __init__(self, problems, form):
        self.right = dict(pair(problem, form) for problem in problems)
        self.room: list[int] = []
        self.batches: list[int] = []
        self.seeds: list[int] = []

    def __call__(self, model, prompts, new_tokens, sampling, stop, seed):
        assert stop == {TOKENIZER.encode("\n")[0]}
        self.room.append(new_tokens)
        self.batches.append(len(prompts))
        self.seeds.append(seed)
        ids = [TOKENIZER.encode(self.right[TOKENIZER.decode(prompt)]) for prompt in prompts]
        assert max(map(len, ids)) + 1 == new_tokens  # its end fits as well
        return ids


@pytest.mark.parametrize("form", FORMS)
def test_an_oracle_is_always_right_and_in_order(form, monkeypatch):
    problems = mixed(9)
    oracle = Oracle(problems, form)
    monkeypatch.setattr(reasoning, "generate", oracle)
    attempts = solve(GPT(CONFIG), problems, form, samples=3, batch_size=7)
    assert [[one.answer for one in own] for own in attempts] == [[p.answer] * 3 for p in problems]
    assert sum(oracle.batches) == 3 * len(problems)
    assert max(oracle.batches) == 7
    assert len(set(oracle.seeds)) == len(oracle.seeds)  # else all batches drew the same numbers
    again = Oracle(problems, form)
    monkeypatch.setattr(reasoning, "generate", again)
    solve(GPT(CONFIG), problems, form, samples=3, batch_size=7, seed=1)
    assert not set(again.seeds) & set(oracle.seeds)


@pytest.mark.parametrize("form", FORMS)
def test_training_teaches_its_form(form):
    model, history = reasoning.taught(form, PROBLEMS, PROBLEMS, CONFIG, RECIPE, CPU, 48)
    assert history.losses[0] > 2.5  # of ln(41) = 3.7: it starts as a guesser
    assert history.final < 0.05  # it knows twelve problems by heart
    found = [own[0] for own in solve(model, PROBLEMS, form)]
    assert [one.answer for one in found] == [problem.answer for problem in PROBLEMS]
    wanted = [pair(problem, form)[1].partition(">")[0] for problem in PROBLEMS]
    assert [one.work for one in found] == wanted
    assert not model.training


def test_the_seed_decides_weights_and_order_and_the_form_neither():
    def first(form, seed):
        recipe = Recipe(steps=1, learning_rate=1e-9, batch_size=2, seed=seed)
        model, history = reasoning.taught(form, PROBLEMS, PROBLEMS, CONFIG, recipe, CPU, 48)
        return model.token_embedding.weight.detach(), history.losses

    weights, losses = first("steps", 0)
    same_weights, same_losses = first("steps", 0)
    assert torch.equal(weights, same_weights)
    assert losses == same_losses
    assert torch.allclose(weights, first("direct", 0)[0], atol=1e-6)
    assert not torch.allclose(weights, first("steps", 1)[0], atol=1e-3)


def test_samples_differ_with_temperature_and_are_the_same_for_a_seed():
    torch.manual_seed(0)
    model = GPT(CONFIG).eval()
    hot = Sampling(temperature=1.0)
    drawn = solve(model, PROBLEMS, "steps", 4, hot, seed=3)
    assert drawn == solve(model, PROBLEMS, "steps", 4, hot, seed=3)
    assert drawn != solve(model, PROBLEMS, "steps", 4, hot, seed=4)
    assert all(len(set(own)) > 1 for own in drawn)
    greedy = solve(model, PROBLEMS, "steps", 4)
    assert all(len(own) == 4 and len(set(own)) == 1 for own in greedy)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"problems": []}, "no problems"),
        ({"samples": 0}, "0 samples"),
        ({"batch_size": 0}, "batches of 0"),
        ({"form": "step"}, "unknown form 'step'; did you mean steps"),
        ({"problems": [Problem("3a?4", "4")]}, "character '\\?'"),
        ({"problems": worked.load("modular", 12, 12).problems("train", 1)}, "64 tokens.*steps.*48"),
    ],
)
def test_refusals(arguments, says):
    asked = {"problems": PROBLEMS, "form": "steps"} | arguments
    with pytest.raises(AdaptlabError, match=says):
        solve(GPT(CONFIG), **asked)


def test_a_row_that_is_too_short_is_refused():
    with pytest.raises(AdaptlabError, match="a row has 8"):
        encode(PROBLEMS, "steps", 8)
    with pytest.raises(AdaptlabError, match="no pairs"):
        encode([], "steps", 8)
