"""BLEU, chrF and ROUGE equal their libraries; intervals hold what they should."""

import random
from itertools import zip_longest

import numpy as np
import pytest
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer

from adaptlab.errors import AdaptlabError
from adaptlab.evaluation.text import METRICS, bleu, chrf, mean_over_runs, rouge, signature

SENTENCE = "the old cat sat near a new door, and l'été passé it's 3.5 times bigger! Naïve?"
WORDS = SENTENCE.split()
ROUGES = ("rouge1", "rouge2", "rougeL")
EVERY_METRIC = pytest.mark.parametrize("metric", METRICS)


def sentences(n: int, seed: int, shortest: int = 5) -> list[str]:
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=chance.randint(shortest, 12))) for _ in range(n)]


def spoilt(texts: list[str], share: float, seed: int) -> list[str]:
    """The texts with a share of their words replaced."""
    chance = random.Random(seed)
    return [
        " ".join(chance.choice(WORDS) if chance.random() < share else word for word in line.split())
        for line in texts
    ]


REFERENCES = sentences(60, seed=0)
HYPOTHESES = [*spoilt(REFERENCES, 0.4, seed=1)[:-3], "", "cat", "."]
SEVERAL = [[line, *sentences(i % 3, seed=i)] for i, line in enumerate(REFERENCES)]
COLUMNS = [list(column) for column in zip_longest(*SEVERAL)]  # as sacrebleu wants them


def score(metric, hypotheses, references):
    return mean_over_runs(metric, [hypotheses], references)


@pytest.mark.parametrize(("own", "library"), [(bleu, "corpus_bleu"), (chrf, "corpus_chrf")])
def test_a_corpus_scores_what_sacrebleu_gives_it(own, library):
    outside = getattr(sacrebleu, library)
    assert own(HYPOTHESES, REFERENCES).value == pytest.approx(
        outside(HYPOTHESES, [REFERENCES]).score
    )
    assert own(HYPOTHESES, SEVERAL).value == pytest.approx(outside(HYPOTHESES, COLUMNS).score)
    few = (["cat sat", "l'été"], ["the cat sat", "été passé"])  # no run of four words matches
    assert own(*few).value == pytest.approx(outside(few[0], [few[1]]).score)


def test_each_item_s_counts_are_sacrebleu_s():
    for hypothesis, references in zip(HYPOTHESES, SEVERAL, strict=True):
        alone = score("chrF", [hypothesis], [references]).value
        assert alone == pytest.approx(sacrebleu.sentence_chrf(hypothesis, references).score)


@pytest.mark.parametrize("kind", ROUGES)
def test_rouge_is_the_mean_of_the_library_s_f1(kind):
    scorer = RougeScorer([kind], use_stemmer=True)
    items = list(zip(REFERENCES, HYPOTHESES, strict=True))
    f1 = [scorer.score(reference, hypothesis)[kind].fmeasure for reference, hypothesis in items]
    found = rouge(HYPOTHESES, REFERENCES, kind)
    assert found.value == pytest.approx(100 * np.mean(f1))
    assert (found.n, found.metric) == (60, kind)
    half = 1.96 * 100 * np.std(f1) / np.sqrt(60)  # of a mean, by the normal approximation
    assert found.high - found.low == pytest.approx(2 * half, rel=0.1)


def test_the_interval_is_as_wide_as_sacrebleu_s_own():
    outside = sacrebleu.metrics.BLEU().corpus_score(HYPOTHESES, [REFERENCES], n_bootstrap=2000)
    found = bleu(HYPOTHESES, REFERENCES)
    assert found.low < found.value < found.high
    assert found.high - found.low == pytest.approx(2 * outside._ci, rel=0.1)


@EVERY_METRIC
def test_the_same_text_scores_100_and_nothing_scores_0(metric):
    same = score(metric, REFERENCES, REFERENCES)
    assert (same.value, same.low, same.high) == pytest.approx((100, 100, 100))
    empty = score(metric, [""] * 60, REFERENCES)
    assert (empty.value, empty.low, empty.high) == (0, 0, 0)


@EVERY_METRIC
def test_the_order_of_items_does_not_matter(metric):
    order = random.Random(5).sample(range(60), 60)
    moved = score(metric, [HYPOTHESES[i] for i in order], [SEVERAL[i] for i in order])
    assert moved.value == pytest.approx(score(metric, HYPOTHESES, SEVERAL).value)


@EVERY_METRIC
def test_a_further_reference_never_lowers_an_item_s_score(metric):
    for hypothesis, references in list(zip(HYPOTHESES, SEVERAL, strict=True))[:12]:
        if metric != "BLEU":  # its brevity penalty takes the nearest length
            several = score(metric, [hypothesis], [references]).value
            assert several >= score(metric, [hypothesis], references[:1]).value - 1e-9


@EVERY_METRIC
def test_a_difference_is_of_the_two_scores_on_the_same_items(metric):
    worse = spoilt(REFERENCES, 0.8, seed=2)
    found = mean_over_runs(metric, [HYPOTHESES], REFERENCES, [worse])
    expected = score(metric, HYPOTHESES, REFERENCES).value - score(metric, worse, REFERENCES).value
    assert found.value == pytest.approx(expected)
    assert 0 < found.low < found.value < found.high
    back = mean_over_runs(metric, [worse], REFERENCES, [HYPOTHESES])
    assert (back.value, back.low, back.high) == pytest.approx(
        (-found.value, -found.high, -found.low)
    )
    none = mean_over_runs(metric, [worse], REFERENCES, [worse])
    assert (none.value, none.low, none.high) == (0, 0, 0)


def test_pairing_makes_the_interval_of_like_systems_narrow():
    """Two systems that differ in few items are told apart better than their own intervals say."""
    other = [*spoilt(HYPOTHESES[:6], 0.5, seed=3), *HYPOTHESES[6:]]
    paired = mean_over_runs("chrF", [HYPOTHESES], REFERENCES, [other])
    alone = chrf(HYPOTHESES, REFERENCES)
    assert paired.high - paired.low < 0.7 * (alone.high - alone.low)


def test_a_signature_names_settings_and_version():
    assert signature("BLEU") == (
        f"BLEU|nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:{sacrebleu.__version__}"
    )
    assert "nrefs:2" in signature("chrF", [["a", "b"], ["c", "d"]])
    assert "nrefs:var" in signature("BLEU", SEVERAL)
    assert signature("rougeL").startswith("rouge-score|type:rougeL|score:f1|stemmer:yes|version:")


def test_bad_texts_are_one_line():
    with pytest.raises(AdaptlabError, match="no items"):
        bleu([], [])
    with pytest.raises(AdaptlabError, match="1 texts for 2 items"):
        chrf(["a"], ["a", "b"])
    with pytest.raises(AdaptlabError, match="an item has no reference"):
        rouge(["a", "b"], [["a"], []])
    with pytest.raises(AdaptlabError, match="2 texts for 1 items"):
        mean_over_runs("BLEU", [["a"]], ["a"], [["a", "b"]])
    with pytest.raises(AdaptlabError, match="unknown metric 'bleu'"):
        mean_over_runs("bleu", [["a"]], ["a"])
    with pytest.raises(AdaptlabError, match="did you mean"):
        rouge(["a"], ["a"], kind="rouge_L")
    with pytest.raises(AdaptlabError, match="unknown metric"):
        signature("METEOR")
