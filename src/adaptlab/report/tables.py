"""Tables from records, sorted by score."""

from collections.abc import Mapping, Sequence

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


def caption(records: Sequence[Record]) -> str:
    """What the scores of a comparison were measured on, in one sentence."""
    first = records[0]
    seeds = sorted({len(r.config.get("seeds", [r.seed])) for r in records})
    times = f"{seeds[0]} to {seeds[-1]} seeds" if len(seeds) > 1 else f"{seeds[0]} seeds"
    times = "one seed" if seeds == [1] else times
    made = first.provenance
    name = format_of(first.metric).heading.partition(",")[0]  # its unit stands in the table
    name = name.capitalize() if name.islower() else name  # chrF and BLEU stay as they are
    counted = f"{first.n} {first.split} {format_of(first.metric).of}"
    return (
        f"{name} on {counted} of {first.task}, {times}; "
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
