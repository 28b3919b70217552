"""What changed between two versions of a prompt, as one page without scripts or network.

It can be read in grey print: signs and words say what the colours say. Whatever a model wrote
stands there as text, never as part of the page.
"""

import difflib
import html
import os
from collections.abc import Iterator
from pathlib import Path

from IPython.display import Markdown

from adaptlab.errors import AdaptlabError
from adaptlab.prompting.suite_run import Outcome, SuiteRun
from adaptlab.report import tables
from adaptlab.scoreboard.regression import Change, Regression

SIGNS = {"broken": "−", "fixed": "+", "still wrong": "×", "still right": "="}
CONTROLS = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\t\n"}
CONTROLS[127] = "␡"
STYLE = """
:root { --ink: #1d2329; --soft: #56606b; --rule: #c9ced4; --good: #0072b2; --bad: #b34700; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1.5rem; color: var(--ink); background: #fff;
  font: 0.95rem/1.5 system-ui, "Segoe UI", "Helvetica Neue", "DejaVu Sans", sans-serif; }
h1 { margin: 0 0 0.3em; font-size: 1.6rem; }
h2 { margin: 2em 0 0.6em; font-size: 1.15rem; }
table { width: 100%; border-collapse: collapse; }
th, td { padding: 0.4em 0.8em 0.4em 0; border-bottom: 1px solid var(--rule);
  text-align: left; vertical-align: top; overflow-wrap: anywhere; }
thead th { border-bottom: 2px solid var(--ink); }
#runs td { font-variant-numeric: tabular-nums; }
#cases { table-layout: fixed; }
#cases th.change { width: 8.5rem; }
#cases th.case { width: 11%; }
#cases th.expected { width: 19%; }
#cases th.before, #cases th.after { width: 23%; }
tr { break-inside: avoid; }
pre, code { margin: 0; font: 0.8rem/1.45 ui-monospace, Menlo, Consolas, "DejaVu Sans Mono",
  monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
pre + pre, .why + pre { margin-top: 0.6em; padding-top: 0.6em; border-top: 1px dotted var(--rule); }
.why, .note { margin: 0.3em 0 0; color: var(--soft); font-size: 0.85em; }
.summary { margin: 0 0 0.4em; font-size: 1.05rem; }
pre:empty::before { content: "(empty)"; color: var(--soft); font-style: italic; }
td.change { white-space: nowrap; font-weight: 600; }
.broken { color: var(--bad); }
.fixed { color: var(--good); }
.still { color: var(--soft); font-weight: 400; }
#diff { padding: 0.8em; border: 1px solid var(--rule); }
#diff > * { display: block; min-height: 1.45em; padding-left: 2ch; text-indent: -2ch;
  text-decoration: none; }
#diff ins { color: var(--good); font-weight: 600; }
#diff del { color: var(--bad); font-style: italic; }
"""


def page(regression: Regression) -> str:
    """The whole page, as HTML."""
    before, after = regression.before, regression.after
    title = _text(f"{after.name}: version {before.version} to {after.version}")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{title}</h1>
<p class="summary">{_text(_counted(regression))}</p>
<p class="summary">{_text(_sure(regression))}</p>
<h2>The runs</h2>
{_runs(regression)}
<h2>What changed in the prompt</h2>
{_diff(before.prompt, after.prompt)}
<h2>Case by case</h2>
{_cases(regression)}
</body>
</html>
"""


def write_page(regression: Regression, file: Path) -> Path:
    """Write the page to a file. Raises AdaptlabError if it cannot be written."""
    partial = file.with_name(f".{file.name}.part")
    try:
        partial.write_text(page(regression), encoding="utf-8", errors="xmlcharrefreplace")
        os.replace(partial, file)
    except OSError as error:
        raise AdaptlabError(f"cannot write {file}: {error.strerror}") from None
    return file


def summary_table(regression: Regression) -> Markdown:
    """Both versions' pass rates, tokens and time, and under them what changed, for a notebook."""
    rows = [_run_row(run, str(rate)) for run, rate in _rated(regression)]
    return Markdown(f"{tables.rows(rows).data}\n\n{_counted(regression)} {_sure(regression)}")


def changes_table(regression: Regression, width: int = 60) -> Markdown:
    """Every case with what became of it; texts are cut to `width` characters, for a notebook."""
    rows = [
        {
            "case": _inline(change.id, width),
            "change": f"{SIGNS[change.kind]} {change.kind}",
            "input": _inline(change.after.input, width),
            "before": _inline(_first(change.before), width),
            "after": _inline(_first(change.after), width),
            "wrong now": _inline(_why(change.after), width),
        }
        for change in regression.changes
    ]
    return tables.rows(rows, align="---")


def _rated(regression: Regression) -> list[tuple[SuiteRun, object]]:
    return [*zip((regression.before, regression.after), regression.rates, strict=True)]


def _run_row(run: SuiteRun, rate: str) -> dict[str, object]:
    return {
        "version": f"v{run.version}",
        "passed": f"{run.passed} of {len(run.outcomes)}",
        "rate, 95% interval": rate,
        "tokens read": run.prompt_tokens,
        "tokens written": run.tokens,
        "seconds": f"{run.seconds:.1f}",
    }


def _counted(regression: Regression) -> str:
    counts = [f"{count} {kind}" for kind, count in regression.counts.items()]
    return f"Of {len(regression.changes)} cases: {', '.join(counts)}."


def _sure(regression: Regression) -> str:
    return (
        f"The pass rate changed by {regression.difference} "
        "(bootstrap over cases, McNemar's exact test)."
    )


def _runs(regression: Regression) -> str:
    rows = [
        _run_row(run, str(rate))
        | ({"cost": f"{run.cost:.4g}"} if regression.before.cost or regression.after.cost else {})
        | {"prompt": run.prompt_hash, "date": run.date}
        for run, rate in _rated(regression)
    ]
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in rows[0])
    body = "".join(
        f"<tr>{''.join(f'<td>{_text(_number(value))}</td>' for value in row.values())}</tr>\n"
        for row in rows
    )
    run = regression.after
    note = f"Model {run.model}; cases {run.cases_hash}."
    if cached := max(regression.before.cached, run.cached):
        note += f" Up to {cached} answers came from a cache: their tokens and time are not counted."
    if samples := max(len(outcome.outputs) for outcome in run.outcomes):
        note += f" {samples} answers a case; it passes if more than half do." * (samples > 1)
    return (
        f'<table id="runs"><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>\n'
        f'<p class="note">{_text(note)}</p>'
    )


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _diff(before: str, after: str) -> str:
    if _lines(before) == _lines(after):
        return '<p id="diff">Nothing: both runs are of the same prompt.</p>'
    return f'<pre id="diff">{"".join(_diff_lines(before, after))}</pre>'


def _diff_lines(before: str, after: str) -> Iterator[str]:
    """Every line of both prompts once: removed, added, or in both."""
    old, new = _lines(before), _lines(after)
    whole = len(old) + len(new)
    for line in [*difflib.unified_diff(old, new, lineterm="", n=whole)][3:]:
        tag = {"-": "del", "+": "ins"}.get(line[0], "span")
        sign = {"-": "−"}.get(line[0], line[0])
        yield f"<{tag}>{sign} {_text(line[1:])}</{tag}>"


def _lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n")  # no other character ends a line


def _cases(regression: Regression) -> str:
    columns = {name: name for name in ("change", "case", "input", "expected")}
    columns |= {"before": f"before: v{regression.before.version}"}
    columns |= {"after": f"after: v{regression.after.version}"}
    head = "".join(f'<th scope="col" class="{c}">{name}</th>' for c, name in columns.items())
    rows = "".join(map(_case, regression.changes))
    return f'<table id="cases"><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table>'


def _case(change: Change) -> str:
    expected = "".join(f"{_pre(each)}" for each in change.after.expected)
    return (
        f'<tr><td class="change {change.kind}">{SIGNS[change.kind]} {change.kind}</td>'
        f'<th scope="row">{_text(change.id)}</th><td>{_pre(change.after.input)}</td>'
        f"<td>{expected}</td><td>{_outputs(change.before)}</td><td>{_outputs(change.after)}</td>"
        "</tr>\n"
    )


def _outputs(outcome: Outcome) -> str:
    """The answers, each followed by what is wrong with it."""
    return "".join(
        _pre(output) + "".join(f'<p class="why">× {_text(reason)}</p>' for reason in reasons)
        for output, reasons in zip(outcome.outputs, outcome.failures, strict=True)
    )


def _pre(text: str) -> str:
    return f"<pre>\n{_text(text)}</pre>"  # HTML leaves out the first line end in it


def _text(text: str) -> str:
    """Any text as text of a page; control characters are shown as their pictures."""
    return html.escape(text.translate(CONTROLS))


def _first(outcome: Outcome) -> str:
    more = len(outcome.outputs) - 1
    return f"{outcome.outputs[0]} (and {more} more)" if more else outcome.outputs[0]


def _why(outcome: Outcome) -> str:
    """The first thing that is wrong with a case that did not pass."""
    reasons = (reason for each in outcome.failures for reason in each)
    return "" if outcome.passed else next(reasons, "")


def _inline(text: str, width: int) -> str:
    """One line of text for a cell of a Markdown table, none of it taken for markup."""
    line = " ".join(text.translate(CONTROLS).split())
    line = line if len(line) <= width else f"{line[: width - 1]}…"
    return "".join(f"&#{ord(c)};" if c in "&<>|\\`*_~[]$#!" else c for c in line)
