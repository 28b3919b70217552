"""Texts scored by several metrics, over seeds, and what is recorded of them."""

import pytest
import sacrebleu
import torch
from datasets import Dataset

from adaptlab.errors import AdaptlabError
from adaptlab.evaluation.text import chrf, item_scores, mean_over_runs
from adaptlab.records import Book
from adaptlab.runtime import Measurement, detect
from adaptlab.scoreboard.text import TextScoreboard

REFERENCES = [["the cat sat on the mat"], ["a dog ran home", "the dog ran home"], ["it rained"]]
GOOD = ["the cat sat on the mat", "the dog ran home", "it snowed"]
POOR = ["a cat", "dogs run", "rain"]
TOOK = Measurement(1.0, 5)


@pytest.fixture
def board(tmp_path) -> TextScoreboard:
    rows = Dataset.from_dict({"id": ["a", "b", "c"], "references": REFERENCES})
    book = Book("00_tour", "smoke", detect("cpu", torch.float32), tmp_path)
    return TextScoreboard(book, "translation", "toy", "test", rows, "none", ("chrF", "BLEU"))


def test_several_runs_are_averaged():
    both = mean_over_runs("chrF", [GOOD, POOR], REFERENCES)
    one, other = chrf(GOOD, REFERENCES), chrf(POOR, REFERENCES)
    assert both.value == pytest.approx((one.value + other.value) / 2)
    assert both.low < other.high
    assert both.high > one.low


def test_runs_are_compared_seed_by_seed():
    same = mean_over_runs("chrF", [GOOD, POOR], REFERENCES, [GOOD, POOR])
    assert (same.value, same.low, same.high) == (0, 0, 0)
    one = mean_over_runs("chrF", [GOOD, POOR], REFERENCES, [POOR])
    pair = mean_over_runs("chrF", [GOOD], REFERENCES, [POOR])
    assert one.value == pytest.approx(pair.value / 2)
    with pytest.raises(AdaptlabError, match="3 baselines for 2 runs"):
        mean_over_runs("chrF", [GOOD, POOR], REFERENCES, [GOOD] * 3)
    with pytest.raises(AdaptlabError, match="no runs to score"):
        mean_over_runs("chrF", [], REFERENCES)


def test_item_scores_are_those_of_single_items():
    found = item_scores("chrF", GOOD, REFERENCES)
    assert found == pytest.approx(
        [chrf([text], [right]).value for text, right in zip(GOOD, REFERENCES, strict=True)]
    )


def test_an_item_s_bleu_is_sacrebleu_s_of_a_sentence():
    texts = [*GOOD, *POOR, "a dog ran", ""]  # most have fewer than four words
    references = [*REFERENCES, *REFERENCES, REFERENCES[1], REFERENCES[1]]
    pairs = zip(texts, references, strict=True)
    found = item_scores("BLEU", texts, references)
    assert found == pytest.approx([sacrebleu.sentence_bleu(*pair).score for pair in pairs])
    assert found[2] > 0
    corpus = mean_over_runs("BLEU", [["it snowed"]], [["it rained"]])
    assert corpus.value == sacrebleu.corpus_bleu(["it snowed"], [["it rained"]]).score == 0


def test_records(board):
    chrf_record, bleu_record = board.add("good", GOOD, TOOK, 0, 7, rate=0.1)
    assert (chrf_record.metric, bleu_record.metric) == ("chrF", "BLEU")
    assert chrf_record.predictions == GOOD
    assert bleu_record.predictions == []
    assert chrf_record.config["rate"] == 0.1
    assert chrf_record.config["signature"].startswith("chrF|")
    board.add("poor", POOR, TOOK, 0)
    assert [r.method for r in board.summary("BLEU")] == ["good", "poor"]
    assert board.difference("chrF", "good", "poor").value > 50


def test_a_second_seed_adds_a_record_over_both(board):
    board.add("good", GOOD, TOOK, 0)
    board.add("good", POOR, Measurement(3.0, 9), 1)
    (both,) = board.summary("chrF")
    assert both.seed is None
    assert both.config["seeds"] == [0, 1]
    assert (both.seconds, both.peak_bytes) == (2.0, 9)
    board.add("good", GOOD, TOOK, 1)  # again, as when a cell is run a second time
    assert board.summary("chrF")[0].config["scores"][0] == board.summary("chrF")[0].score


def test_runs_of_different_seeds_are_not_paired(board):
    for method, seeds in (("a", (0, 1)), ("b", (1, 2))):
        for seed in seeds:
            board.add(method, GOOD, TOOK, seed)
    with pytest.raises(AdaptlabError, match="a and b were run with different seeds"):
        board.difference(board.metrics[0], "a", "b")
