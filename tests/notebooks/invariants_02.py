"""What must hold of notebook 02's records, whatever the scores are."""

from adaptlab import profiles
from adaptlab.records import Record

SMOLLM2 = 134_515_008  # parameters


def pretrained(written: list[Record]) -> None:
    """The same model in both programs, every experiment made, on the same items, and learning."""
    budget = profiles.load("smoke", "02_pretrained_gpts")
    by = {(r.experiment, r.method, r.metric): r for r in written}
    gaps = [r for r in written if r.experiment == "parity"]
    assert len(gaps) == 3
    assert max(r.score for r in gaps) < 1e-4

    switches = {r.method: r for r in written if r.experiment == "switches"}
    assert len(switches) == 6
    assert all(r.n == budget.evaluate_windows for r in switches.values())
    sizes = {name: r.trained_parameters for name, r in switches.items()}
    assert abs(sizes["SwiGLU"] - sizes["GPT-2"]) < 0.01 * sizes["GPT-2"]
    assert min(sizes, key=sizes.get) == "all four"
    for r in switches.values():
        first, last = r.config["train_loss"]
        assert last < first, f"{r.method}: the loss went from {first} to {last}"
    assert len([r for r in written if r.experiment == "switches, paired"]) == 5

    bits = {(r.task, r.method): r for r in written if r.experiment == "bits per character"}
    assert len(bits) == 6
    assert bits["today's English", "SmolLM2"].high < bits["today's English", "char GPT, GPT-2"].low

    for experiment, first, others, methods in (
        ("translation", "chrF", {"BLEU"}, 6),
        ("summarisation", "rouge1", {"rouge2", "rougeL"}, 4),
    ):
        runs = [r for r in written if r.experiment == experiment]
        assert {r.metric for r in runs} == {first, *others}
        assert len(runs) == methods * (1 + len(others))
        assert len({r.items for r in runs}) == 1
        assert all(r.low >= 0 and r.high <= 100 and r.config["signature"] for r in runs)
        assert {len(r.predictions) for r in runs if r.metric == first} == {runs[0].n}
        tuned = by[experiment, "fine-tuned", first]
        assert tuned.trained_parameters == SMOLLM2
        before, after = tuned.config["dev_loss"]
        assert after < before, f"{experiment}: the dev loss went from {before} to {after}"
        assert {r.trained_parameters for r in runs if r.method != "fine-tuned"} == {0}

    probe = [r for r in written if r.experiment == "hallucination"]
    assert {r.metric for r in probe} == {"share", "AUROC"}
    assert all(0 <= r.low <= r.high <= 1 for r in probe)
    ece = by["calibration", "as it is", "ECE"]
    assert 0 <= ece.low <= ece.high <= 1
    assert all(0 < mean < 1 for mean in ece.config["means"])
