"""Every master runs to its end in the smoke profile, and its records hold what must hold."""

from pathlib import Path

import pytest

from adaptlab import profiles, records
from adaptlab.course.handouts import write_handouts
from adaptlab.course.ledger import Ledger
from adaptlab.course.masters import masters
from adaptlab.course.run import run_course
from adaptlab.records import Record

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
        assert 0 <= record.low <= record.score <= record.high <= 1
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


INVARIANTS = {"00_tour": tour}
