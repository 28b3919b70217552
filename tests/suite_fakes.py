"""A model that says what a script tells it to, and runs made by it."""

from collections.abc import Mapping, Sequence

from adaptlab.prompting.expectations import expectations
from adaptlab.prompting.interface import Completion, Prompt, Usage
from adaptlab.prompting.suite import Case, load_prompt, run
from adaptlab.prompting.suite_run import SuiteRun

VERSION = """
name = "sizes"
version = {version}
max_tokens = 5
text = "Version {version}. Size of {{input}}:"
"""


class FakeModel:
    """Answers a prompt with the script of the one key that it contains, a text for each sample."""

    def __init__(self, script: Mapping[str, Sequence[str]], name: str = "fake"):
        self.name, self.usage, self.script = name, Usage(calls=5, prompt_tokens=1000), script
        self.asked: list[tuple[list[Prompt], dict]] = []

    def generate(self, prompts, max_tokens, **how) -> list[list[Completion]]:
        self.asked.append((list(prompts), {"max_tokens": max_tokens, **how}))
        self.usage.calls += len(prompts)
        self.usage.prompt_tokens += sum(len(str(prompt).split()) for prompt in prompts)
        self.usage.cost += 0.25
        return [[Completion(t, len(t.split()), "stop") for t in self._said(p)] for p in prompts]

    def score(self, prompts, options):
        raise NotImplementedError

    def _said(self, prompt: Prompt) -> Sequence[str]:
        (found,) = (said for key, said in self.script.items() if key in str(prompt))
        return found


def cases(wanted: Mapping[str, str]) -> tuple[Case, ...]:
    """A case for each input, of which the whole answer is expected."""
    return tuple(
        Case(name, f"the {name}", expectations({"equals": answer}))
        for name, answer in wanted.items()
    )


def scripted_run(
    folder, version: int, said: Mapping[str, str], wanted: Mapping[str, str], model: str = "fake"
) -> SuiteRun:
    """A run in which the model says `said` of each case."""
    file = folder / f"v{version}.toml"
    file.write_text(VERSION.format(version=version))
    script = {f"of the {name}:": [answer] for name, answer in said.items()}
    return run(FakeModel(script, model), load_prompt(file), cases(wanted))
