"""adaptlab prompts run | compare: the prompt test-bench from the command line."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from adaptlab.errors import AdaptlabError

if TYPE_CHECKING:
    from adaptlab.prompting.interface import LanguageModel
    from adaptlab.prompting.suite import PromptVersion
    from adaptlab.prompting.suite_run import SuiteRun

MODEL = "smollm2-135m-instruct"
SHOWN = 70  # characters of an answer on the terminal


def add_to(commands: argparse._SubParsersAction) -> None:
    """Add `prompts`, with its own two commands, to a parser's commands."""
    prompts = commands.add_parser("prompts", help="run a prompt on its cases, or compare two runs")
    parts = prompts.add_subparsers(required=True, metavar="COMMAND")

    run = parts.add_parser("run", help="run one version of a prompt on its cases")
    run.add_argument("prompt", type=Path, help="FOLDER/v1.toml, or an example: objects/v1.toml")
    run.add_argument("--cases", type=Path, help="by default cases.toml beside the prompt")
    model = run.add_mutually_exclusive_group()
    model.add_argument("--model", default=MODEL, help=f"local or on the Hub; by default {MODEL}")
    model.add_argument("--endpoint", metavar="URL", help="an OpenAI-compatible server, up to /v1")
    run.add_argument("--endpoint-model", metavar="NAME", help="the model's name on that server")
    run.add_argument("--out", type=Path, metavar="RUN.json", help="where to keep the run")
    run.set_defaults(command=_run)

    compare = parts.add_parser("compare", help="compare two runs on the same cases")
    compare.add_argument("before", type=Path, metavar="RUN1.json")
    compare.add_argument("after", type=Path, metavar="RUN2.json")
    compare.add_argument("--page", type=Path, metavar="PAGE.html", help="write the report here")
    compare.add_argument("--strict", action="store_true", help="exit 1 if a case was broken")
    compare.set_defaults(command=_compare)


def _run(options: argparse.Namespace) -> None:
    from adaptlab.prompting import suite

    if bool(options.endpoint) != bool(options.endpoint_model):
        raise AdaptlabError("--endpoint and --endpoint-model belong together")
    file = _found(options.prompt)
    prompt = suite.load_prompt(file)
    cases = suite.load_cases(options.cases or file.with_name("cases.toml"))
    _check_folder(options.out)
    done = suite.run(_model(options, prompt), prompt, cases)
    if options.out:
        done.save(options.out)
    _tell(done)


def _model(options: argparse.Namespace, prompt: "PromptVersion") -> "LanguageModel":
    from adaptlab import paths, runtime

    if not options.endpoint:
        from adaptlab.prompting.local import LocalModel

        runtime.quiet()
        return LocalModel.load(options.model)
    from adaptlab.prompting.endpoint import Endpoint, EndpointConfig

    mode = "chat" if prompt.is_conversation else "completions"
    cache = paths.cache() / "answers"
    return Endpoint(
        EndpointConfig(options.endpoint, options.endpoint_model, mode=mode, cache=cache)
    )


def _compare(options: argparse.Namespace) -> int:
    from adaptlab.prompting.suite_run import read_run
    from adaptlab.report.regression_page import write_page
    from adaptlab.scoreboard.regression import compare

    found = compare(read_run(options.before), read_run(options.after))
    for change in found.changes:
        print(f"{change.kind:11} {change.id}: {_answer(change.after.outputs[0])}")
    print(found)
    if options.page:
        print(write_page(found, options.page))
    return 1 if options.strict and found.counts["broken"] else 0


def _found(prompt: Path) -> Path:
    """The file itself, or the example of that name."""
    from adaptlab import paths

    example = paths.prompts() / prompt
    return example if example.is_file() and not prompt.exists() else prompt


def _check_folder(out: Path | None) -> None:
    """Say before the model is asked, and not after, that the run could not be kept."""
    if out and not out.parent.is_dir():
        raise AdaptlabError(f"cannot write {out}: there is no folder {out.parent}")


def _tell(run: "SuiteRun") -> None:
    for outcome in run.outcomes:
        print(f"{'pass' if outcome.passed else 'FAIL'} {outcome.id}: {_answer(outcome.outputs[0])}")
        for reason in dict.fromkeys(reason for each in outcome.failures for reason in each):
            print(f"     {reason}")
    print(run)


def _answer(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")
