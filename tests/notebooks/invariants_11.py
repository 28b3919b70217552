"""What must hold of notebook 11's records, whatever the scores are."""

import pytest

from adaptlab import profiles
from adaptlab.records import Record

LAYERS, WIDTH = 30, 576
LINEAR = LAYERS * (2 * 576 * 576 + 2 * 576 * 192 + 3 * 576 * 1536)  # weights of all linear layers
SHAPES = (
    2 * (576 + 576) + 2 * (576 + 192) + 3 * (576 + 1536)
)  # in + out of a layer's: q, o; k, v; MLP


def quantised_lora(written: list[Record]) -> None:
    """Codes are the library's, bits are as computed, gradients pass, and all was asked for."""
    budget = profiles.load("smoke", "11_qlora")
    by = {(r.experiment, r.method): r for r in written}
    score = {key: record.score for key, record in by.items()}

    # Formats: 16 bits hold bf16 weights; fewer lose more, and a scale makes up for exponents.
    assert score["format error", "fp32"] == score["format error", "bf16"] == 0
    assert score["format error", "fp16"] < 1e-4
    assert score["format error", "int8"] < score["format error", "fp8 e4m3"]
    assert score["format error", "fp8 e4m3"] < score["format error", "fp8 e5m2"]
    assert score["format error", "NF4"] < score["format error", "int4"] < 0.2

    # Rounding after training: every way was asked, on the same passages; coarse ones are worse.
    ways = {f"{b} bits, {w}" for b in budget.bits for w in ("per tensor", "per channel")}
    ways |= {f"{b} bits, groups of 64" for b in budget.bits} | {"nf4", "fp4", "not rounded"}
    found = {r.method: r for r in written if r.experiment == "rounded after training"}
    assert ways <= set(found)
    assert {r.n for r in found.values()} == {budget.passages}
    fine = found["4 bits, groups of 64"]
    assert found["not rounded"].score < fine.score < found["4 bits, per tensor"].score
    assert fine.score < found["3 bits, groups of 64"].score
    assert fine.config["bits"] == 4.5

    # Trained for rounding: the rounded model of both tables is one, and training moved the others.
    taught = {r.method: r.score for r in written if r.experiment == "trained for rounding"}
    first = budget.qat_bits[0]
    assert taught[f"{first} bits, rounded"] == found[f"{first} bits, groups of 64"].score
    assert taught["not rounded"] == found["not rounded"].score
    assert taught[f"{first} bits, QAT"] != taught[f"{first} bits, rounded"]
    assert taught["trained, not rounded"] != taught["not rounded"]

    # NF4 is bitsandbytes'.
    assert score["NF4", "largest difference of a value"] < 1e-7
    assert score["NF4", "equal codes"] == score["NF4", "equal scales"] == 1
    assert by["4 bits", "NF4"].n == LINEAR
    assert score["4 bits", "NF4"] < score["4 bits", "fp4"]
    assert score["double quantisation", "NF4"] == 4.5
    assert score["double quantisation", "NF4, double"] == pytest.approx(4.127, abs=1e-3)
    errors = [by["double quantisation", n].config["error"] for n in ("NF4", "NF4, double")]
    assert errors[0] <= errors[1] < 1.05 * errors[0]

    # Memory was foretold; what differs are the weights.
    for name in ("LoRA", "QLoRA", "LoRA, checkpointing", "QLoRA, checkpointing"):
        measured, predicted = (
            sum(by["memory", name].config[k].values()) for k in ("measured", "predicted")
        )
        assert abs(predicted / measured - 1) < 0.1, name
    assert score["memory", "QLoRA"] < score["memory", "LoRA"]
    assert score["QLoRA over LoRA", "memory"] < 1
    assert 1 < score["half of LoRA", "1 text"] < 7  # billion weights
    assert len([r for r in written if r.experiment == "Llama 2, GB"]) == 3
    assert len([r for r in written if r.experiment == "VRAM, GB"]) == 6 * 4

    # Both were trained alike: A and B, and nothing else.
    for name in ("LoRA", "QLoRA"):
        assert by["QLoRA", name].trained_parameters == LAYERS * budget.rank * SHAPES
    assert {"zero-shot", "zero-shot, 4 bits"} <= {r.method for r in written}
    assert by["QLoRA", "LoRA"].predictions  # by item, for paired tests

    # With the guard a look at dev changes no gradient. (Without it, it does on some CPUs.)
    guarded = [score["gradient", f"guarded, {n}"] for n in ("trained at once", "evaluated first")]
    assert max(guarded) < 0.02
    assert by["gradient", "guarded, evaluated first"].config["missing"] == 0

    # 8-bit moments take about a quarter of the bytes.
    assert score["optimizer", "AdamW8bit"] < 0.4 * score["optimizer", "AdamW"]

    merged = {"merged, 16 bits", "merged, 4 bits", "merged into the original"}
    for experiment in ("same answer", "change of the gap"):
        assert {r.method for r in written if r.experiment == experiment} == merged
    gap = {name: score["change of the gap", name] for name in merged}
    assert gap["merged, 16 bits"] < gap["merged, 4 bits"]
    assert gap["merged, 16 bits"] < gap["merged into the original"]
