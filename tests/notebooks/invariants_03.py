"""What must hold of notebook 03's records, whatever the scores are."""

from adaptlab import profiles
from adaptlab.records import Record
from adaptlab.tasks.invented_words import WORDS

TWO_OPTIONS = {"sentiment", "great vibes"}
BLOCKS_LESS = 7  # five optional blocks, the persona, and a step


def prompted(written: list[Record]) -> None:
    """Every prompt was asked on the same items, and what is one prompt has one answer."""
    budget = profiles.load("smoke", "03_prompting")
    of = {name: _by_run(written, name) for name in {r.experiment for r in written}}

    for record in written:
        if record.seed is not None and record.metric == "accuracy":
            assert len(record.predictions) == record.n, record.method
    assert {r.n for r in of["few-shot"].values()} == {budget.test_items}
    on_test = [name for name in of if name not in NOT_ON_TEST]
    assert len({r.items for name in on_test for r in of[name].values()}) == 1

    # One text is read twice: what the strict parser finds, the lenient one finds too.
    ways = {method: record for (method, _), record in of["three ways"].items()}
    lenient, strict = (ways[f"text, {name}"].predictions for name in ("lenient", "strict"))
    assert all(s in (-1, n) for s, n in zip(strict, lenient, strict=True))
    assert -1 not in ways["options scored"].predictions

    # Centred scores lie on both sides of their mean.
    for record in written:
        if record.method.endswith(", centred") and record.task in TWO_OPTIONS and record.n > 1:
            assert record.seed is None or len(set(record.predictions)) == 2, record.method

    # The same prompt gets the same answers wherever it stands.
    first, shots = budget.seeds[0], budget.label_shots
    bare = ways["bare question"].predictions
    for experiment, method in (
        ("few-shot", "zero-shot"),
        ("flipped labels", "zero-shot"),
        ("calibration", "zero-shot"),
        ("template", "bare question"),
        ("chosen prompt", "bare question"),
    ):
        assert of[experiment][method, first].predictions == bare, experiment
    for kind in budget.ablated_forms:
        complete = of["template"][kind, first].predictions
        assert of["blocks"][kind, first].predictions == complete
    for s in budget.seeds[: budget.label_draws]:
        shown = of["few-shot"][f"{shots}-shot", s].predictions
        assert of["flipped labels"]["0 flipped", s].predictions == shown
        assert of["renamed labels"]["their own names", s].predictions == shown
        assert of["calibration"][f"{shots}-shot", s].predictions == shown

    # All that the budget asks for was tried.
    assert len(of["instructions and personas"]) == 2 * 9
    assert {r.split for r in of["instructions and personas"].values()} == {"dev"}
    assert _seeded(of["few-shot"]) == 2 * (1 + len(budget.shots) * len(budget.seeds))
    assert _seeded(of["order"]) == 2 * budget.orders
    assert _seeded(of["balance"]) == 2 * len(budget.positives) * budget.label_draws
    assert _seeded(of["flipped labels"]) == 2 * (1 + len(budget.flipped) * budget.label_draws)
    assert _seeded(of["calibration"]) == 4 * (1 + len(budget.seeds))
    assert len(of["template"]) == 2 * (1 + 5)
    assert len(of["blocks"]) == 2 * (1 + BLOCKS_LESS) * len(budget.ablated_forms)
    assert len(of["attack"]) == 2 * 5
    assert {"red is good", "green is good"} <= {method for method, _ in of["renamed labels"]}
    assert {"value by scores", "value by scores, centred"} <= {m for m, _ in of["JSON"]}
    assert {r.n for r in of["disambiguation"].values()} == {budget.puzzles}
    assert {r.n for r in of["great vibes"].values()} == {budget.vibes}
    words = of["invented words"].values()
    assert len(words) == 3
    assert {r.n for r in words} == {budget.words} < {*range(len(WORDS))}
    assert all(0 <= r.score <= 1 for r in words)

    # A text that was held to the schema is valid, or was cut off.
    held = of["JSON"]["held to the schema", first]
    assert round((1 - held.config["strict"]) * held.n) <= held.config["cut"]
    assert {r.n for r in of["JSON"].values()} == {budget.json_items}

    benches = {method: record.n for (method, _), record in of["test-bench"].items()}
    assert benches == {"objects v1": 14, "objects v2": 14, "feedback v1": 10, "feedback v2": 10}
    assert {method for method, _ in of["fresh cases"]} == {"objects v1", "objects v2"}


NOT_ON_TEST = {  # other items than the test reviews
    "instructions and personas", "disambiguation", "invented words", "great vibes", "JSON",
    "test-bench", "fresh cases",
}  # fmt: skip


def _by_run(written: list[Record], experiment: str) -> dict[tuple[str, int | None], Record]:
    return {(r.method, r.seed): r for r in written if r.experiment == experiment}


def _seeded(records: dict[tuple[str, int | None], Record]) -> int:
    """Runs, without those that sum several up."""
    return sum(seed is not None for _, seed in records)
