"""What must hold of notebook 04's records, whatever the scores are."""

import pytest

from adaptlab import profiles
from adaptlab.records import Record

SHOWN = {"few-shot", "few-shot CoT", "least-to-most", "contrastive CoT", "complex CoT"}
VOTING = {"self-consistency", "few-shot, voted"}
ON_ITS_OWN = {"zero-shot", "zero-shot CoT", "plan-and-solve", "analogical CoT", "Auto-CoT"}
FORMS = ("direct", "steps", "filler")


def reasoned(written: list[Record]) -> None:
    """Every way was asked the same questions, costs add up, votes are votes, the GPT learned."""
    budget = profiles.load("smoke", "04_reasoning")
    of: dict[str, dict[str, Record]] = {}
    for record in written:
        of.setdefault(record.experiment, {})[record.method] = record
    score = {kind: {name: r.score for name, r in found.items()} for kind, found in of.items()}

    # All techniques on the same questions; what is right strictly is right leniently.
    asked = len(budget.suite) * budget.questions
    for kind in ("right", "right, strict", "tokens written", "tokens read"):
        assert set(of[kind]) == SHOWN | VOTING | ON_ITS_OWN, kind
        assert {r.n for r in of[kind].values()} == {asked}
        assert len({r.items for r in of[kind].values()}) == 1
    for name, record in of["right"].items():
        assert score["right, strict"][name] <= record.score
        assert len(record.predictions) == asked  # by question, for paired tests
        assert score["price"][name] == pytest.approx(
            1000 * record.score / score["tokens written"][name]
        )

    # Texts keep to their limits, and steps are longer than answers.
    tokens, read = score["tokens written"], score["tokens read"]
    assert max(tokens["zero-shot"], tokens["few-shot"]) <= budget.answer_tokens
    assert tokens["few-shot"] < tokens["few-shot CoT"] <= budget.chain_tokens
    assert tokens["zero-shot CoT"] <= budget.free_tokens + budget.answer_tokens
    assert tokens["self-consistency"] <= budget.samples * budget.chain_tokens
    assert read["zero-shot"] < read["few-shot"] < read["few-shot CoT"] < read["contrastive CoT"]
    assert read["self-consistency"] == pytest.approx(budget.samples * read["few-shot CoT"])

    # A curve ends where all samples vote, and spends in proportion to k.
    for name, samples in (
        ("self-consistency", budget.samples),
        ("few-shot, voted", budget.answer_samples),
    ):
        last = of["votes"][f"{name}, k = {samples}"]
        assert last.score == pytest.approx(score["right"][name])
        assert last.config["tokens"] == pytest.approx(tokens[name])
        one = of["votes"][f"{name}, k = 1"]
        assert one.config["tokens"] * samples == pytest.approx(tokens[name])

    assert sum(score["chains"].values()) == pytest.approx(1)
    for record in of.get("Auto-CoT", {}).values():  # none where no demonstration could be made
        assert record.n <= len(budget.suite) * budget.clusters
    assert set(of["right, gsm8k"]) == {"few-shot", "few-shot CoT"}
    assert len({r.items for r in of["right, gsm8k"].values()}) == 1

    # The small GPT: three forms, alike in all but what is written.
    small = [of["small GPT"][form] for form in FORMS]
    assert len({(r.trained_parameters, r.items, r.config["steps"]) for r in small}) == 1
    for record in small:
        first, last = record.config["loss"]
        assert last < first, record.method
        parts = [r for r in of["by carries"].values() if r.method.startswith(f"{record.method}, ")]
        assert sum(r.n for r in parts) == record.n == budget.chain_items
        assert sum(r.n * r.score for r in parts) / record.n == pytest.approx(record.score)
    assert {"steps, 1 sampled", f"steps, {budget.chain_samples} sampled"} <= set(of["small GPT"])
    assert sum(score["altered column"].values()) <= 1  # an answer is one or the other
