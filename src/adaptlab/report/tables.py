"""Tables from records, sorted by score."""

from collections.abc import Mapping, Sequence
from statistics import stdev

import pandas as pd
from IPython.display import Markdown

from adaptlab.errors import AdaptlabError
from adaptlab.records import Record, format_of


def comparison(records: Sequence[Record]) -> pd.DataFrame:
    """Methods side by side, best first: score with interval, what was trained, time and memory.

    Raises AdaptlabError if there are no records, or not all are of one metric.
    """
    metrics = {record.metric for record in records}
    if len(metrics) != 1:
        found = " and ".join(sorted(metrics)) or "none"
        raise AdaptlabError(f"a comparison needs records of one metric; these are of {found}")
    form = format_of(metrics.pop())
    rows = sorted(records, key=lambda record: record.score, reverse=not form.lower_is_better)
    return pd.DataFrame(
        {
            form.heading: [form.number(r.score) for r in rows],
            "95% interval": [f"[{form.number(r.low)}, {form.number(r.high)}]" for r in rows],
            "trained parameters": [f"{r.trained_parameters:,}" for r in rows],
            "seconds": [
                f"{r.seconds:,.1f}" if r.seconds >= 1 else f"{r.seconds:.2g}" for r in rows
            ],
            "peak GB": [f"{r.peak_bytes / 1e9:.2f}" for r in rows],
        },
        index=pd.Index([r.method for r in rows], name="method"),
    )


def show(records: Sequence[Record], title: str = "") -> Markdown:
    """The comparison of `records` with its caption, for a notebook."""
    lead = f"**{title}** " if title else ""
    return Markdown(f"{markdown(comparison(records))}\n\n{lead}{caption(records)}")


def caption(records: Sequence[Record], task: str | None = None) -> str:
    """What the scores of a comparison were measured on, in one sentence.

    task: what to call it, by default the first record's.
    """
    first = records[0]
    seeds = sorted({len(r.config.get("seeds", [r.seed])) for r in records})
    times = f"{seeds[0]} to {seeds[-1]} seeds" if len(seeds) > 1 else f"{seeds[0]} seeds"
    times = "one seed" if seeds == [1] else times
    made = first.provenance
    name = format_of(first.metric).heading.partition(",")[0]  # its unit stands in the table
    name = name.capitalize() if name.islower() else name  # chrF and BLEU stay as they are
    least, most = min(r.n for r in records), max(r.n for r in records)
    n = f"{least}" if least == most else f"{least} to {most}"
    counted = f"{n} {first.split} {format_of(first.metric).of}"
    return (
        f"{name} on {counted} of {task or first.task}, {times}; "
        f"model {first.model}; {made['processor']}, {made['threads']} threads, {made['dtype']}; "
        f"{made['date'][:10]}, revision {(made['revision'] or 'unknown')[:7]}."
    )


def markdown(table: pd.DataFrame, align: str = "---:") -> str:
    """A table as Markdown; its columns, but for the index, are aligned to the right."""
    head = [table.index.name or "", *table.columns]
    lines = [
        "| " + " | ".join(head) + " |",
        "| --- |" + f" {align} |" * len(table.columns),
    ]
    lines += [
        f"| {name} | " + " | ".join(map(str, row)) + " |"
        for name, row in zip(table.index, table.to_numpy(), strict=True)
    ]
    return "\n".join(lines)


def across(by_task: Mapping[str, Sequence[Record]]) -> Markdown:
    """Methods by tasks, the best mean first: what is trained, a score for each task, their mean.

    by_task: the records of each task, one a method and all of one metric. After a score over
        several seeds stands the standard deviation of a seed's. A method that lacks a task has no
        mean and comes last.
    Raises AdaptlabError if there are no records, or not all are of one metric.
    """
    every = [record for records in by_task.values() for record in records]
    if len({record.metric for record in every}) != 1:
        raise AdaptlabError("a table across tasks needs records of one metric")
    form = format_of(every[0].metric)
    of = {(record.method, task): record for task, of in by_task.items() for record in of}
    table = []
    for method in dict.fromkeys(record.method for record in every):
        found = [of.get((method, task)) for task in by_task]
        mean = None if None in found else sum(r.score for r in found) / len(found)
        trained = next(record.trained_parameters for record in found if record)
        scores = {task: _deviating(of.get((method, task))) for task in by_task}
        shown = "-" if mean is None else form.number(mean)
        row = {"method": method, "trained parameters": trained, **scores, "mean": shown}
        table.append((row, mean))
    sign = 1 if form.lower_is_better else -1
    table.sort(key=lambda pair: (pair[1] is None, sign * (pair[1] or 0)))
    told = rows([row for row, _ in table]).data
    note = "After ±: the standard deviation over seeds. " if "±" in told else ""
    return Markdown(f"{told}\n\n{note}{caption(every, 'each task')}")


def _deviating(record: Record | None) -> str:
    """The score, and after it the deviation over seeds."""
    if record is None:
        return "-"
    form, scores = format_of(record.metric), record.config.get("scores", ())
    if len(scores) < 2:
        return form.number(record.score)
    return f"{form.number(record.score)} ± {form.number(stdev(scores))}"


def rows(table: Sequence[Mapping[str, object]], align: str = "---:") -> Markdown:
    """Rows of equal keys as a table, the first key as its index; large integers get commas."""
    first, *rest = table[0]
    cells = [[_cell(row[key]) for key in rest] for row in table]
    frame = pd.DataFrame(cells, columns=rest, index=pd.Index([r[first] for r in table], name=first))
    return Markdown(markdown(frame, align))


def _cell(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def claims(measured: Mapping[str, str]) -> Markdown:
    """What a lecture says beside what was measured."""
    table = pd.DataFrame({"we measured": measured.values()}, index=list(measured))
    table.index.name = "the lecture says"
    return Markdown(markdown(table, align="---"))
