"""What must hold of notebook 08's records, whatever the scores are."""

from adaptlab import profiles
from adaptlab.records import Record

SMOLLM2 = 134_515_008  # parameters
LAYER = 2 * 576 * 576 + 2 * 576 * 192 + 3 * 576 * 1536 + 2 * 576
HEAD = 2 * 576


def full_finetuning(written: list[Record]) -> None:
    """What was to be trained was trained, every model was asked everything, memory was foretold."""
    budget = profiles.load("smoke", "08_full_finetuning")
    by = {(r.experiment, r.task, r.method): r for r in written}

    gaps = [r for r in written if r.experiment == "same as Trainer"]
    assert len(gaps) == 1
    assert len(gaps[0].config["Trainer"]) == budget.trainer_steps
    assert gaps[0].score < 1e-4

    memory = [r for r in written if r.experiment == "memory"]
    assert len(memory) == 5
    for r in memory:
        measured, predicted = (sum(r.config[k].values()) for k in ("measured", "predicted"))
        assert abs(predicted / measured - 1) < 0.1, r.method

    trained = {
        r.method: r.trained_parameters
        for r in written
        if (r.experiment, r.task) == ("depth", "sentiment")
    }
    assert trained["zero-shot"] == 0
    assert trained["head only"] == HEAD
    assert trained["top 4"] == 4 * LAYER + 576 + HEAD
    assert trained["bottom 4"] == trained["middle 4"] == 4 * LAYER + HEAD
    assert trained["full fine-tuning"] == trained["adversarial"] == SMOLLM2 + HEAD

    slices = {"bottom 4", "middle 4"}
    methods = {"zero-shot", "head only", "top 4", "full fine-tuning"} | slices
    for task in ("sentiment-amazon", "sentiment-tweets", "sentiment-nyt"):
        found = {r.method for r in written if r.task == task}
        assert found == methods - slices | {"always the same", "zero-shot, centred"}
    replay = {f"{share:.0%} replay" for share in budget.replay}
    longer = {f"{each}, {budget.many_epochs} epochs" for each in ("head only", "full fine-tuning")}
    for experiment in ("general text", "second task"):
        found = {r.method for r in written if r.experiment == experiment}
        assert found == methods | replay | longer
    # The head alone changes nothing that others use.
    assert (
        by["general text", "wikitext-2", "head only"].score
        == by["general text", "wikitext-2", "zero-shot"].score
    )
    attacked = [r for r in written if r.experiment == "attacks"]
    assert len(attacked) == 9
    for edits in ("character edits", "word edits"):
        for method in ("zero-shot", "full fine-tuning", "adversarial"):
            plain = by["attacks", "sentiment, no edits", method]
            assert by["attacks", f"sentiment, {edits}", method].score <= plain.score
    speeds = [r for r in written if r.experiment == "memory or time"]
    assert len(speeds) == 2
    assert min(r.score for r in speeds) > 0
    assert len([r for r in written if r.experiment == "by heart"]) == 2
    assert len([r for r in written if r.experiment == "domain"]) == 5
    text = {r.method: r.score for r in written if r.experiment == "domain text"}
    assert text["read"] < text["as it is"]
