"""The texts that all techniques are made of.

    Q: {question}                          a demonstration, solved: a blank line follows it
    A: {steps} The answer is {answer}.

    Q: {question}                          the question asked: the answer is left open, or its
    A: {lead}                              first words are given ("Let's think step by step.")

Demonstrations come first and the question last, so that the prompts of a batch begin alike and a
model can run their common beginning once.
"""

from collections.abc import Callable, Sequence

from adaptlab.errors import AdaptlabError
from adaptlab.prompting.parsing import AnswerForm, Parsed, parse
from adaptlab.tasks.problems import Problem

# One list for all questions, or a list for each of them (as the most similar ones are).
Demonstrations = Sequence[Problem] | Sequence[Sequence[Problem]]

QUESTION, BLANK_LINE = "\nQ:", "\n\n"
STOP = (QUESTION, BLANK_LINE)  # where the next demonstration would begin
THINK = "Let's think step by step."  # Kojima et al., 2022


def asked(question: str, lead: str = "") -> str:
    """A question with its answer left open after the words `lead`."""
    return f"Q: {question}\nA: {lead}" if lead else f"Q: {question}\nA:"


def answered(problem: Problem) -> str:
    """A demonstration that only answers."""
    return f"{asked(problem.question)} The answer is {problem.answer}.\n\n"


def explained(problem: Problem, lead: str = "") -> str:
    """A demonstration with its steps. Raises AdaptlabError for a problem that has none."""
    if not problem.steps:
        raise AdaptlabError(f"a demonstration has no steps: {problem.question[:60]!r}")
    steps = " ".join(problem.steps)
    return f"{asked(problem.question, lead)} {steps} The answer is {problem.answer}.\n\n"


def with_demonstrations(
    questions: Sequence[str],
    demonstrations: Demonstrations,
    write: Callable[[Problem], str],
    lead: str = "",
    instruction: str = "",
) -> list[str]:
    """One prompt for each question: an instruction, its demonstrations as `write` puts them, it.

    Raises AdaptlabError for no questions, a question without demonstrations, and one that is among
    its own demonstrations.
    """
    check_questions(questions)
    prompts, texts = [], {}  # the same demonstrations are written once
    for question, chosen in zip(questions, _for_each(questions, demonstrations), strict=True):
        if not chosen:
            raise AdaptlabError("no demonstrations: this technique needs at least one a question")
        if any(problem.question.strip() == question.strip() for problem in chosen):
            raise AdaptlabError(f"a question is among its demonstrations: {question[:60]!r}")
        if id(chosen) not in texts:
            texts[id(chosen)] = "".join(map(write, chosen))
        prompts.append(instructed(texts[id(chosen)] + asked(question, lead), instruction))
    return prompts


def instructed(prompt: str, instruction: str) -> str:
    """A prompt under an instruction, if there is one."""
    return f"{instruction}\n\n{prompt}" if instruction else prompt


def answer_trigger(form: AnswerForm) -> str:
    """The words that ask for the answer alone, by its kind (Kojima et al., 2022)."""
    if form.kind == "number":
        return "the answer (arabic numerals) is"
    if form.kind == "boolean":
        return f"the answer ({' or '.join(form.options)}) is"
    if form.kind == "option" and len(form.options) > 1:
        return f"among {form.options[0]} through {form.options[-1]}, the answer is"
    return "the answer is"


def parse_triggered(text: str, form: AnswerForm) -> Parsed:
    """The answer of what follows `answer_trigger`: leniently, the first thing that could be one.

    What follows these words was asked for as the answer, so it is read strictly as if they stood
    before it; the options that they name are not read.
    """
    strict = parse(f"The answer is {text.lstrip()}", form).strict
    return Parsed(strict, strict or parse(text, form, first=True).lenient)


def check_questions(questions: Sequence[str], what: str = "questions") -> None:
    """Raises AdaptlabError for no questions, one text instead of a list, and a blank question."""
    if isinstance(questions, str):
        raise AdaptlabError(f"{what} are a list of texts, not one text: {questions[:60]!r}")
    if not len(questions):
        raise AdaptlabError(f"no {what}: give at least one")
    for place, question in enumerate(questions):
        if not question.strip():
            raise AdaptlabError(f"question {place} is blank")


def _for_each(
    questions: Sequence[str], demonstrations: Demonstrations
) -> Sequence[Sequence[Problem]]:
    """The demonstrations of each question."""
    if not len(demonstrations) or isinstance(demonstrations[0], Problem):
        return [demonstrations] * len(questions)
    if len(demonstrations) != len(questions):
        raise AdaptlabError(
            f"{len(demonstrations)} lists of demonstrations for {len(questions)} questions"
        )
    return demonstrations
