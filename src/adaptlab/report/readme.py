"""The README's numbers and figure, written from data/results and nothing else.

In README.md a block between `<!-- NAME: begin -->` and `<!-- NAME: end -->` is generated.
"""

import hashlib
import io
import json
import re
from pathlib import Path

import matplotlib

from adaptlab import paths
from adaptlab.errors import AdaptlabError
from adaptlab.report import figures, published, tables
from adaptlab.report.style import figure_style

NOTEBOOK, EXPERIMENT = "00_tour", "four places"
FIGURE = Path("figures") / "00_tour.svg"  # under data/results


def update(write: bool) -> list[str]:
    """Compare README.md and its figure with the records; returns what differs.

    write: also mend it. Raises AdaptlabError outside a checkout or without published records.
    """
    root = paths.checkout()
    if root is None:
        raise AdaptlabError("the README is in the repository: run this from a checkout of it")
    readme, drawing = root / "README.md", paths.results() / FIGURE
    current = {readme: _filled(readme.read_text())}
    if not _is_drawn_from_the_records(drawing):
        current[drawing] = draw()
    stale = [path for path, text in current.items() if _read(path) != text]
    for path in stale if write else ():
        path.parent.mkdir(exist_ok=True)
        path.write_text(current[path])
    return [path.name for path in stale]


def draw() -> str:
    """The figure as SVG; its description says from which records, and by which matplotlib."""
    out = io.StringIO()
    with figure_style():
        figure = figures.accuracy_against_cost(published.summary("full", NOTEBOOK, EXPERIMENT))
        figure.savefig(out, format="svg", metadata={"Date": None, "Description": _origin()})
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _is_drawn_from_the_records(drawing: Path) -> bool:
    """Whether the file is what `draw` gives now; by another matplotlib, whether the records are."""
    text = _read(drawing) or ""
    if _origin() in text:
        return text == draw()
    return _origin().partition(",")[0] in text


def _origin() -> str:
    records = paths.results() / "full" / f"{NOTEBOOK}.jsonl"
    digest = hashlib.sha256(records.read_bytes()).hexdigest()
    return f"records sha256 {digest}, matplotlib {matplotlib.__version__}"


def _filled(text: str) -> str:
    for name, content in (("results", _results()), ("times", _times())):
        block = re.compile(rf"(<!-- {name}: begin -->\n).*?(<!-- {name}: end -->)", re.DOTALL)
        if not block.search(text):
            raise AdaptlabError(f"README.md has no block {name!r}")
        text = block.sub(lambda found, new=content: f"{found[1]}{new}\n{found[2]}", text)
    return text


def _results() -> str:
    records = published.summary("full", NOTEBOOK, EXPERIMENT)
    return f"{tables.markdown(tables.comparison(records))}\n\n{tables.caption(records)}"


def _times() -> str:
    """How long the commands took, from data/results/commands.json (`make newcomer` writes it)."""
    text = _read(paths.results() / "commands.json")
    if text is None:
        return "*Not timed yet.*"
    measured = json.loads(text)
    lines = ["| command | minutes |", "| --- | ---: |"]
    lines += [f"| `{run['command']}` | {run['seconds'] / 60:.1f} |" for run in measured["runs"]]
    lines += [
        "",
        f"From a fresh clone, everything installed and fetched: {measured['machine']}, "
        f"{measured['date']}, revision {measured['revision'][:7]}.",
    ]
    return "\n".join(lines)


def _read(path: Path) -> str | None:
    return path.read_text() if path.exists() else None
