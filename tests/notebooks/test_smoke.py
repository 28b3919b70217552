"""Every master runs to its end in the smoke profile, and its records hold what must hold."""

from pathlib import Path

import pytest

from adaptlab import profiles, records
from adaptlab.course.handouts import write_handouts
from adaptlab.course.ledger import Ledger
from adaptlab.course.masters import masters
from adaptlab.course.run import run_course
from adaptlab.records import Record
from tests.notebooks.invariants_02 import pretrained
from tests.notebooks.invariants_03 import prompted
from tests.notebooks.invariants_04 import reasoned
from tests.notebooks.invariants_07 import probed
from tests.notebooks.invariants_08 import full_finetuning
from tests.notebooks.invariants_10 import low_rank_adapted
from tests.notebooks.invariants_11 import quantised_lora

NAMES = [path.stem for path in masters()]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("smoke")


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.parametrize("name", NAMES)
def test_smoke(name: str, out: Path):
    code = run_course("smoke", only=[name], out=out)
    entry = Ledger(out).get(name)
    assert entry is not None
    assert entry.error is None
    assert (code, entry.status) == (0, "ok")
    assert (out / f"{name}.html") in write_handouts("smoke", only=[name], out=out)
    written = records.read(out / "records" / f"{name}.jsonl")
    for record in written:
        assert record.notebook == name
        assert record.low <= record.score <= record.high
        if record.metric == "accuracy":
            assert record.low >= 0
            assert record.high <= 1
        if record.seconds:  # where something was timed, its memory was measured
            assert record.peak_bytes > 1e8
        assert set(record.provenance["sources"])
    INVARIANTS.get(name, lambda _: None)(written)


def tour(written: list[Record]) -> None:
    """All four places were really tried on the same items, and training lowered the loss."""
    places = [record for record in written if record.experiment == "four places"]
    by_method = {record.method: record for record in places}
    assert {"bag of words", "zero-shot", "few-shot", "prompt tuning", "LoRA", "probe"} <= set(
        by_method
    )
    assert len({record.items for record in places}) == 1
    assert len([r for r in written if r.experiment == "prompt objective"]) == 8
    budget = profiles.load("smoke", "00_tour")
    assert {len(record.predictions) for record in places} == {budget.test_examples}
    width, layers = 576, 30
    sums_of_shapes = 2 * (576 + 576) + 2 * (576 + 192) + 3 * (576 + 1536)  # q, o; k, v; MLP
    assert by_method["prompt tuning"].trained_parameters == budget.soft_tokens * width
    assert by_method["LoRA"].trained_parameters == layers * budget.lora_rank * sums_of_shapes
    assert by_method["probe"].trained_parameters == width + 1
    assert by_method["zero-shot"].trained_parameters == 0
    for method in ("prompt tuning", "LoRA"):
        first, last = by_method[method].config["loss"]
        assert last < first, f"{method}: the loss went from {first} to {last}"


def from_scratch(written: list[Record]) -> None:
    """Ours equals the reference, a mask keeps the future out, and every training learned."""
    score = {(record.experiment, record.method): record.score for record in written}
    assert score["same as transformers", "logits, relative"] < 1e-5
    assert score["same as transformers", "earlier logits"] == 0
    assert score["by hand", "backward of a block"] < 1e-12
    assert score["by hand", "Adam, divided by 1 - beta^t"] < 1e-5
    assert score["by hand", "Adam, divided by 1 - beta"] > 1e-2
    assert score["tokenizers", "characters"] == 1 < score["tokenizers", "own BPE"]
    assert min(record.score for record in written if record.experiment == "sampling") > 1e-4
    assert score["sizes", "GPT-2 small"] == 124_439_808
    assert score["sizes", "GPT-3 13B"] == 12_853_386_240
    trained = [
        record for record in written if record.metric == "loss" and "losses" in record.config
    ]
    budget = profiles.load("smoke", "01_gpt_from_scratch")
    assert len(trained) == 1 + 2 + 5 + len(budget.sizes) + len(budget.data_steps)
    for record in trained:
        assert record.score < record.config["losses"][0] < 4.5, record.method  # ln 65 = 4.17
    assert {"parameters", "tokens", "compute, all runs"} <= {
        record.method for record in written if record.experiment == "scaling law"
    }


INVARIANTS = {
    "00_tour": tour,
    "01_gpt_from_scratch": from_scratch,
    "02_pretrained_gpts": pretrained,
    "03_prompting": prompted,
    "04_reasoning": reasoned,
    "07_feature_probing": probed,
    "08_full_finetuning": full_finetuning,
    "10_lora": low_rank_adapted,
    "11_qlora": quantised_lora,
}
