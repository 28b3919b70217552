"""Splits are fixed for good: by the text alone, whatever the libraries or the order."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptlab import tasks
from adaptlab.errors import AdaptlabError

# sha256 over the ids and labels of each split, in order. A change here moves published results.
SENTIMENT = {
    "train": (6776, "1cd7571db5738bae"),
    "dev": (877, "5f0addfb0a8140f5"),
    "test": (875, "ad3db613f90313fb"),
}


def digest(rows) -> str:
    lines = (f"{i} {y}" for i, y in zip(rows["id"], rows["label"], strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def test_the_splits_of_sentiment_have_not_moved(sentiment):
    found = {name: (len(rows), digest(rows)) for name, rows in sentiment.splits.items()}
    assert found == SENTIMENT


def test_no_text_is_in_two_splits(sentiment):
    texts = [tasks._bare(text) for rows in sentiment.splits.values() for text in rows["text"]]
    assert len(texts) == len(set(texts))


def test_labels_are_balanced_and_words_fit_them(sentiment):
    for rows in sentiment.splits.values():
        assert abs(np.mean(rows["label"]) - 0.5) < 0.03
    assert sentiment.label_words == (" negative", " positive")


def test_a_question_leaves_the_answer_open_and_examples_give_it(sentiment):
    rows = sentiment.first("train", 2)
    assert sentiment.question("fine") == "Review: fine\nSentiment:"
    shown = sentiment.examples(rows)
    for text, label in zip(rows["text"], rows["label"], strict=True):
        assert f"{sentiment.question(text)}{sentiment.label_words[label]}\n\n" in shown


def test_samples_are_balanced_disjoint_in_rows_and_drawn_by_the_seed(sentiment):
    sample = sentiment.sample(9, seed=1)
    assert sorted(sample["label"]) == [0] * 5 + [1] * 4
    assert len(set(sample["id"])) == 9
    assert sample["id"] == sentiment.sample(9, seed=1)["id"]
    assert sample["id"] != sentiment.sample(9, seed=2)["id"]


def test_bad_requests_are_one_line(sentiment):
    with pytest.raises(AdaptlabError, match="unknown task"):
        tasks.load("sentimant")
    with pytest.raises(AdaptlabError, match="unknown split"):
        sentiment.first("tset")
    with pytest.raises(AdaptlabError, match="875 rows; 900 were asked for"):
        sentiment.first("test", 900)
    with pytest.raises(AdaptlabError, match="rows of label 0"):
        sentiment.sample(20_000, seed=0)


WORDS = st.text(alphabet="abc xyz", min_size=1, max_size=12).filter(str.strip)


@given(st.dictionaries(WORDS, st.integers(0, 1), min_size=1, max_size=30), st.randoms())
def test_a_split_depends_on_the_text_alone(rows, chance):
    """Order, case, punctuation and what else is in the data do not matter."""
    once = tasks.split_by_hash(rows.keys(), rows.values())
    items = [(f"{text.upper()} !", label) for text, label in rows.items()] * 2
    chance.shuffle(items)
    again = tasks.split_by_hash(*zip(*items, strict=True))
    for split in tasks.SPLITS:
        assert once[split]["id"][:] == again[split]["id"][:] if len(once[split]) else True
        assert len(once[split]) == len(again[split])


def test_copies_with_different_labels_are_dropped():
    split = tasks.split_by_hash(["good film", "Good film!", "bad"], [1, 0, 0])
    assert [row["text"] for rows in split.values() for row in rows] == ["bad"]
