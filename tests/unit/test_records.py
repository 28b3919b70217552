"""Records say what was run on what, and are replaced only by a run that ended."""

import json

import numpy as np
import pytest
from datasets import Dataset

from adaptlab import paths, records
from adaptlab.errors import AdaptlabError
from adaptlab.evaluation import mean_score
from adaptlab.records import Book, Score
from adaptlab.runtime import Measurement, detect, measure
from adaptlab.scoreboard import Means, Scoreboard, choose

ROWS = Dataset.from_dict({"id": ["a", "b", "c", "d"], "text": list("wxyz"), "label": [0, 1, 1, 0]})


@pytest.fixture
def book(tmp_path) -> Book:
    return Book("00_tour", "smoke", detect(), folder=tmp_path)


def board(book: Book) -> Scoreboard:
    return Scoreboard(book, "four places", "sentiment", "test", ROWS, "a-model")


def test_a_record_is_read_back_as_written(book):
    board(book).add("probe", [0, 1, 0, 0], Measurement(1.5, 10**9), 3, 577, layer=22)
    (read,) = records.read(book.close())
    assert read == book.records[0]
    assert (read.score, read.n, read.seed, read.trained_parameters) == (0.75, 4, 3, 577)
    assert (read.seconds, read.peak_bytes, read.config) == (1.5, 10**9, {"layer": 22})
    assert read.predictions == [0, 1, 0, 0]
    assert read.items == records.items_hash(["a", "b", "c", "d"])
    assert {"date", "revision", "sources", "packages", "processor", "dtype"} <= set(read.provenance)
    assert len(read.provenance["sources"]) == 2


def test_every_field_the_course_promises_is_there(book):
    board(book).add("probe", [0, 1, 0, 0], Measurement(), 0)
    line = json.loads(book.close().read_text())
    promised = """notebook experiment method task split model seed n metric score low high seconds
    peak_bytes trained_parameters config provenance"""
    assert set(promised.split()) <= set(line)


def test_a_run_that_breaks_off_leaves_the_last_one_s_records(tmp_path):
    def run(method):
        book = Book("00_tour", "smoke", detect(), folder=tmp_path)
        board(book).add(method, [0, 0, 0, 0], Measurement(), 0)
        return book

    file = run("first").close()
    run("second")  # never closed
    assert [record.method for record in records.read(file)] == ["first"]


def test_seeds_are_summed_up(book):
    scores = board(book)
    for seed, answers in enumerate(([0, 1, 1, 0], [0, 1, 0, 0], [1, 1, 1, 0])):
        scores.add("LoRA", answers, Measurement(10.0 + seed, 100 + seed), seed, 7)
    scores.add("zero-shot", [0, 0, 0, 0], Measurement(1.0, 5), 0)
    lora, zero = scores.summary()
    assert lora.score == pytest.approx(10 / 12)
    assert (lora.seed, lora.seconds, lora.peak_bytes) == (None, 11.0, 102)
    assert lora.config == {"seeds": [0, 1, 2], "scores": [1.0, 0.75, 0.75]}
    assert lora.low <= lora.score <= lora.high
    assert zero.seed == 0
    np.testing.assert_array_equal(scores.correct("zero-shot"), [[True, False, False, True]])


def test_means_are_summed_up_over_seeds(book):
    windows = np.linspace(1, 2, 50)
    losses = Means(book, "parts", "shakespeare", "validation", "small gpt", mean_score)
    for seed, better in enumerate((0.0, 0.1)):
        losses.add("base", windows - better, Measurement(seed + 1.0, 10), seed, 7, steps=3)
    losses.add("alone", windows, Measurement(), 0)
    assert losses.values("base").shape == (2, 50)
    base, alone = losses.summary()
    assert (base.seed, alone.seed) == (None, 0)
    assert base.score == pytest.approx(1.45)
    assert (base.seconds, base.trained_parameters, base.metric) == (1.5, 7, "loss")
    assert base.config["scores"] == pytest.approx([1.5, 1.4])
    assert str(alone).startswith("alone: 1.500 [1.415, 1.585] on 50 windows")


def test_predictions_for_other_items_are_refused(book):
    with pytest.raises(AdaptlabError, match="predictions for"):
        board(book).add("probe", [0, 1], Measurement(), 0)


def test_a_single_candidate_is_not_tried():
    assert choose([3], score=None) == 3
    assert choose([1, 2, 3], score=lambda x: -abs(x - 2)) == 2


def test_unreadable_records_are_one_line(tmp_path):
    with pytest.raises(AdaptlabError, match="no records at"):
        records.read(tmp_path / "none.jsonl")
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"notebook": "00_tour"}\n')
    with pytest.raises(AdaptlabError, match="not a file of records"):
        records.read(broken)


@pytest.mark.parametrize("uncommitted", [False, True])
def test_only_runs_of_committed_code_are_published(tmp_path, monkeypatch, uncommitted):
    monkeypatch.setattr(paths, "build", lambda profile: tmp_path / "build" / profile)
    monkeypatch.setattr(paths, "results", lambda: tmp_path / "results")
    monkeypatch.setattr(
        records, "_revision", lambda: {"revision": "abc", "uncommitted": uncommitted}
    )
    book = Book("00_tour", "smoke", detect())
    board(book).add("probe", [0, 1, 0, 0], Measurement(), 0)
    built = book.close()
    if uncommitted:
        with pytest.raises(AdaptlabError, match="uncommitted code"):
            records.publish("smoke", "00_tour")
    else:
        assert records.publish("smoke", "00_tour").read_bytes() == built.read_bytes()
        assert records.published("smoke", "00_tour")[0].method == "probe"


def test_an_unknown_profile_has_no_published_records():
    with pytest.raises(AdaptlabError, match="did you mean full"):
        records.published_file("ful", "00_tour")


def test_a_measured_block_shows_its_time_and_its_own_peak():
    with measure() as small:
        pass
    with measure() as large:
        block = np.ones(60_000_000)  # 480 MB
        del block
    with measure() as after:
        pass
    assert large.peak_bytes - small.peak_bytes > 400e6
    assert large.peak_bytes - after.peak_bytes > 400e6
    assert 0 < small.seconds < large.seconds
    assert (small + large).peak_bytes == large.peak_bytes


def test_a_score_reads_well():
    assert str(Score(0.8, 0.75, 0.85, 300)) == "80.0% [75.0%, 85.0%]"


@pytest.mark.parametrize(
    ("metric", "text"),
    [
        ("BLEU", "24.3 [22.1, 26.6]"),
        ("rougeL", "24.3 [22.1, 26.6]"),
        ("loss", "24.310 [22.140, 26.560]"),
        ("something new", "24.3 [22.1, 26.6]"),
    ],
)
def test_scores_and_records_are_written_as_their_metric_is(book, metric, text):
    score = Score(24.31, 22.14, 26.56, 2, metric)
    assert str(score) == text
    record = book.add(
        experiment="x", method="a model", task="translation", split="test", model="m", seed=0,
        score=score, took=Measurement(1.5),
    )  # fmt: skip
    assert record.metric == metric
    counted = "windows" if metric == "loss" else "items"
    assert str(record) == f"a model: {text} on 2 {counted}, 1.5 s"


def test_written_texts_are_recorded_as_they_are(book):
    book.add(
        experiment="x", method="a model", task="translation", split="test", model="m", seed=0,
        score=Score(24.3, 22.1, 26.6, 2, "BLEU"), took=Measurement(),
        predictions=["Va !", ""], items=["a", "b"],
    )  # fmt: skip
    (read,) = records.read(book.close())
    assert read.predictions == ["Va !", ""]
    assert read == book.records[0]
