"""Tables from records, sorted by score."""

from collections.abc import Sequence

import pandas as pd

from adaptlab.records import Record


def comparison(records: Sequence[Record]) -> pd.DataFrame:
    """Methods side by side, best first: score with interval, what was trained, time and memory."""
    rows = sorted(records, key=lambda record: record.score, reverse=True)
    return pd.DataFrame(
        {
            "method": [r.method for r in rows],
            "accuracy": [f"{r.score:.1%}" for r in rows],
            "95% interval": [f"{r.low:.1%} to {r.high:.1%}" for r in rows],
            "trained parameters": [f"{r.trained_parameters:,}" for r in rows],
            "seconds": [f"{r.seconds:,.1f}" for r in rows],
            "peak memory": [f"{r.peak_bytes / 1e9:.2f} GB" for r in rows],
        }
    ).set_index("method")


def caption(records: Sequence[Record]) -> str:
    """What the scores of a comparison were measured on, in one sentence."""
    first = records[0]
    seeds = sorted({len(r.config.get("seeds", [r.seed])) for r in records})
    times = f"{seeds[-1]} seeds" if seeds[-1] > 1 else "one seed"
    made = first.provenance
    return (
        f"{first.metric.capitalize()} on {first.n} {first.split} items of {first.task}, {times}; "
        f"model {first.model}; {made['processor']}, {made['threads']} threads, {made['dtype']}; "
        f"{made['date'][:10]}, revision {(made['revision'] or 'unknown')[:7]}."
    )


def markdown(table: pd.DataFrame) -> str:
    """A table as Markdown, numbers to the right."""
    head = [table.index.name or "", *table.columns]
    lines = [
        "| " + " | ".join(head) + " |",
        "| --- |" + " ---: |" * len(table.columns),
    ]
    lines += [
        f"| {name} | " + " | ".join(map(str, row)) + " |"
        for name, row in zip(table.index, table.to_numpy(), strict=True)
    ]
    return "\n".join(lines)
