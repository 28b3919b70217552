"""What must hold of notebook 10's records, whatever the scores are."""

from adaptlab import profiles
from adaptlab.records import Record

SMOLLM2, LAYERS, WIDTH = 134_515_008, 30, 576
SUMS = {  # in + out of each linear layer
    "q_proj": 576 + 576, "o_proj": 576 + 576, "k_proj": 576 + 192, "v_proj": 576 + 192,
    "gate_proj": 576 + 1536, "up_proj": 576 + 1536, "down_proj": 1536 + 576,
}  # fmt: skip


def numbers(rank: int, *kinds: str) -> int:
    """What LoRA trains in these kinds of layers."""
    return LAYERS * rank * sum(SUMS[kind] for kind in kinds or SUMS)


def low_rank_adapted(written: list[Record]) -> None:
    """Ours is peft's, what was to be trained was trained, invariance and merging hold."""
    budget = profiles.load("smoke", "10_lora")
    by = {(r.experiment, r.task, r.method): r for r in written}
    of = {experiment: [r for r in written if r.experiment == experiment] for experiment, *_ in by}

    same = {r.method: r.score for r in of["same as peft"]}
    assert same["scores"] < 1e-6
    assert same["gradients"] < 1e-5
    assert same["merging"] < 1e-4
    assert len(of["energy in rank 8"]) == len(SUMS)
    assert all(8 / WIDTH < r.score <= 1 for r in of["energy in rank 8"])

    trained = {r.method: r.trained_parameters for r in of["settings"]}
    for rank in budget.ranks:
        assert trained[f"rank {rank}"] == numbers(rank)
    assert trained["only q, v"] == numbers(budget.rank, "q_proj", "v_proj")
    assert trained["only attention"] + trained["only MLP"] == numbers(budget.rank)

    reached = {r.method: r.trained_parameters for r in of["intrinsic dimension"]}
    for d in budget.dimensions:
        assert reached[f"d = {d}"] == d
    assert reached["full fine-tuning"] == SMOLLM2 + 2 * WIDTH

    drift = {r.method: r.score for r in of["drift"]}
    for transform in ("scale", "rotation", "any"):
        assert drift[f"LoRA-RITE, {transform}"] < 1e-10
    assert drift["AdamW, any"] > 1e-1

    race = {r.method: r for r in of["optimizers"]}
    assert len(race) == 6
    for r in race.values():
        moved_a, moved_b = r.config["moved"]
        assert moved_a > 0 < moved_b
    for name in budget.tasks:
        found = {r.method: r.trained_parameters for r in of["tasks"] if r.task == name}
        assert set(found) == {
            "probe", "head only", "top 4", "norm gains", "LoRA", "full fine-tuning",
            "zero-shot", "zero-shot, centred",
        }  # fmt: skip
        assert found["norm gains"] == (2 * LAYERS + 1) * WIDTH
        assert found["LoRA"] == numbers(budget.rank)
    assert len(of["flavours"]) == 6
    (handed,) = of["read by peft"]
    assert handed.score < 0.1  # bf16, summed in another order
    ratio = {r.method: r.score for r in of["checkpoint"]}
    assert ratio["rank 1, q and v"] > 1000 > ratio["rank 64, all linear"] > 1
    assert {r.method for r in of["latency"]} == {"base", "beside", "merged"}
