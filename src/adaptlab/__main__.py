"""The command line: adaptlab fetch | run | handouts | lint | publish | readme | list | prompts."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from adaptlab import __version__, prompts_command
from adaptlab.errors import AdaptlabError

INTERRUPTED = 130  # the shell's exit code for Ctrl-C


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. A mistake is one line on stderr and code 2."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options) or 0
    except AdaptlabError as error:
        print(f"adaptlab: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="adaptlab", description="Adapting LLMs: the course's bench"
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    fetch = commands.add_parser("fetch", help="download and check models and data")
    fetch.add_argument("names", nargs="*", metavar="NAME", help="sources; all by default")
    _only(fetch)
    fetch.set_defaults(command=_fetch)

    run = commands.add_parser("run", help="execute notebooks, and write their handouts")
    _profile(run)
    _only(run)
    run.add_argument(
        "-p",
        "--parameter",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="set a notebook's parameter",
    )
    run.add_argument("--force", action="store_true", help="execute what is up to date, too")
    run.set_defaults(command=_run)

    handouts = commands.add_parser("handouts", help="write pages of executed notebooks")
    _profile(handouts)
    _only(handouts)
    handouts.set_defaults(command=_handouts)

    lint = commands.add_parser("lint", help="check the notebooks' masters")
    lint.set_defaults(command=_lint)

    publish = commands.add_parser("publish", help="copy a run's records into data/results")
    _profile(publish)
    publish.add_argument("notebooks", nargs="+", metavar="NOTEBOOK")
    publish.set_defaults(command=_publish)

    readme = commands.add_parser("readme", help="write the README's numbers and figure anew")
    readme.add_argument("--check", action="store_true", help="only say whether they are current")
    readme.set_defaults(command=_readme)

    listing = commands.add_parser("list", help="list sources, and whether they are here")
    listing.set_defaults(command=_list)

    prompts_command.add_to(commands)
    return parser


def _profile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", default="cpu", help="smoke, cpu (default), full or gpu")


def _only(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", default="", metavar='"00 07"', help="just these notebooks")


# What a command needs is imported when it is called: `--help` and `lint` should not wait for torch.


def _fetch(options: argparse.Namespace) -> None:
    from adaptlab import profiles, sources
    from adaptlab.course import masters

    names = options.names
    if options.only:
        chosen = masters.select(options.only.split())
        names = [name for master in chosen for name in profiles.sources(master.stem)]
    for name in dict.fromkeys(names or sources.catalogue()):
        print(f"{name}: {sources.fetch(name)}")


def _run(options: argparse.Namespace) -> int:
    from adaptlab import profiles, sources
    from adaptlab.course import handouts, masters, run

    only = options.only.split()
    profiles.check(options.profile)
    for master in masters.select(only):
        for name in profiles.sources(master.stem):
            sources.fetch(name)
    parameters = {name: _value(text) for name, text in options.parameter}
    code = run.run_course(options.profile, only, parameters, force=options.force)
    if code == INTERRUPTED:
        return code
    for page in handouts.write_handouts(options.profile, only):
        print(page)
    return code


def _value(text: str) -> Any:
    """A parameter's value: a Python literal where the text is one, else the text."""
    import ast

    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _handouts(options: argparse.Namespace) -> None:
    from adaptlab.course import handouts

    for page in handouts.write_handouts(options.profile, options.only.split()):
        print(page)


def _lint(options: argparse.Namespace) -> int:
    from adaptlab import paths
    from adaptlab.course import lint

    problems = lint.lint(paths.notebooks())
    print(*problems, sep="\n", end="\n" if problems else "")
    return 1 if problems else 0


def _publish(options: argparse.Namespace) -> None:
    from adaptlab import records
    from adaptlab.course import masters

    for master in masters.select(options.notebooks):
        print(records.publish(options.profile, master.stem))


def _readme(options: argparse.Namespace) -> int:
    from adaptlab.report import readme

    stale = readme.update(write=not options.check)
    for name in stale:
        print(f"{name} {'does not agree with data/results' if options.check else 'written'}")
    return 1 if stale and options.check else 0


def _list(options: argparse.Namespace) -> None:
    from adaptlab import sources

    for source in sources.catalogue().values():
        here = "here" if sources.is_present(source) else "not fetched"
        print(f"{source.name:24} {here:12} {source.what}")


if __name__ == "__main__":
    sys.exit(main())
