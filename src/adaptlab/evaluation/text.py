"""BLEU, chrF and ROUGE of written texts, with intervals.

Each of them is a function of a few counts, added up over the items:

    item -> counts, (k,)      sum over items, (k,) -> score, 0 to 100

So the bootstrap draws items, adds up their counts anew and reads no text again (Koehn, 2004,
Statistical Significance Tests for Machine Translation Evaluation).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from itertools import zip_longest

import numpy as np
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.metrics.helpers import extract_all_char_ngrams

from adaptlab.errors import AdaptlabError, unknown
from adaptlab.evaluation import draws, half_width, percentiles
from adaptlab.records import Score

References = Sequence[str | Sequence[str]]  # by item: the right answer, or all the right answers


@dataclass(frozen=True)
class Metric:
    """counts: a hypothesis and its references -> (k,); score: sums, (draws, k) -> (draws,)."""

    counts: Callable[[str, Sequence[str]], Sequence[float]]
    score: Callable[[np.ndarray], np.ndarray]


def bleu(hypotheses: Sequence[str], references: References) -> Score:
    """BLEU of a corpus (Papineni et al., 2002) as sacrebleu has it, 0 to 100.

    hypotheses, references: one for each item; an item may have several references.
    Raises AdaptlabError if there are no items, an item has no reference, or numbers differ.
    """
    return mean_over_runs("BLEU", [hypotheses], references)


def chrf(hypotheses: Sequence[str], references: References) -> Score:
    """chrF of a corpus (Popović, 2015): an F2 of runs of 1 to 6 characters; otherwise as `bleu`."""
    return mean_over_runs("chrF", [hypotheses], references)


def rouge(hypotheses: Sequence[str], references: References, kind: str = "rougeL") -> Score:
    """ROUGE F1 (Lin, 2004), the mean over items, 0 to 100; otherwise as `bleu`.

    kind: rouge1 and rouge2 compare words and pairs of words, rougeL the longest sequence of words
        that both hold in order. Of several references the nearest counts. Words are stemmed, and
        only the letters a to z count: it is for English.
    """
    return mean_over_runs(kind, [hypotheses], references)


def item_scores(metric: str, hypotheses: Sequence[str], references: References) -> np.ndarray:
    """Each item's own score, (items,), to find examples by; a corpus's BLEU is not their mean.

    A text of fewer than four words has no run of four: its BLEU is of the runs that it has.
    Raises AdaptlabError as `bleu`, and for an unknown metric.
    """
    score = partial(_bleu, effective_order=True) if metric == "BLEU" else _metric(metric).score
    return score(_counts(metric, hypotheses, references))


def mean_over_runs(
    metric: str,
    runs: Sequence[Sequence[str]],
    references: References,
    baselines: Sequence[Sequence[str]] = (),
) -> Score:
    """The mean score of several runs on the same items; with baselines, the mean difference.

    metric: BLEU, chrF, rouge1, rouge2 or rougeL.
    runs: the hypotheses of each. baselines: one that every run is compared with, or one for each.
    The interval of one run draws the items anew. Of several, the variance over items and that over
    runs add up, for both are chance, as in `evaluation.mean_score`. Raises AdaptlabError as `bleu`,
    for an unknown metric, and if there is no run or the numbers of runs do not fit.
    """
    if not runs:
        raise AdaptlabError("no runs to score")
    if len(baselines) not in (0, 1, len(runs)):
        raise AdaptlabError(f"{len(baselines)} baselines for {len(runs)} runs")
    score = _metric(metric).score
    counts = [_counts(metric, texts, references) for texts in (*runs, *baselines)]

    def values(times: np.ndarray) -> np.ndarray:  # (C, items) -> (C, runs)
        each = np.stack([score(times @ run) for run in counts], axis=1)
        own, others = each[:, : len(runs)], each[:, len(runs) :]
        return own - others if baselines else own  # one baseline, or that of the same seed

    found = values(np.ones((1, len(references))))[0]  # (runs,)
    value = float(found.mean())
    drawn = np.concatenate([values(times).mean(1) for times in draws(len(references))])
    low, high = percentiles(drawn)
    if len(runs) > 1:
        of_runs = found.var(ddof=1) / len(runs)
        half = half_width((drawn.var(ddof=1), len(references)), (of_runs, len(runs)))
        low, high = value - half, value + half
        if not baselines:  # a score, not a difference
            low, high = max(0.0, low), min(100.0, high)
    return Score(value, low, high, len(references), metric)


def signature(metric: str, references: References = ("",)) -> str:
    """What a score must be quoted with to be compared: the settings and the library's version.

    references: as they were scored; BLEU and chrF say how many an item has (nrefs).
    """
    if metric not in SACREBLEU:
        _metric(metric)  # or it is unknown
        return f"rouge-score|type:{metric}|score:f1|stemmer:yes|version:{version('rouge-score')}"
    scorer = SACREBLEU[metric]()
    blank = [[""] * len(each) for each in _lists(references)]
    scorer.corpus_score([""] * len(blank), list(map(list, zip_longest(*blank))))
    return f"{metric}|{scorer.get_signature()}"


def _counts(name: str, hypotheses: Sequence[str], references: References) -> np.ndarray:
    """(items, k)"""
    lists = _lists(references)
    if len(hypotheses) != len(lists):
        raise AdaptlabError(f"{len(hypotheses)} texts for {len(lists)} items with references")
    if not lists or not all(lists):
        raise AdaptlabError("no items to score" if not lists else "an item has no reference")
    counts = _metric(name).counts
    return np.array([counts(*item) for item in zip(hypotheses, lists, strict=True)], float)


def _lists(references: References) -> list[list[str]]:
    return [[each] if isinstance(each, str) else list(each) for each in references]


def _bleu_counts(hypothesis: str, references: Sequence[str]) -> list[int]:
    """Lengths of hypothesis and nearest reference, runs of 1 to 4 words that match, and all."""
    # The effective order changes no counts; without it sacrebleu warns of every sentence.
    found = BLEU(effective_order=True).sentence_score(hypothesis, references)
    return [found.sys_len, found.ref_len, *found.counts, *found.totals]


def _bleu(sums: np.ndarray, effective_order: bool = False) -> np.ndarray:
    order = (sums.shape[1] - 2) // 2
    score = partial(BLEU.compute_bleu, smooth_method="exp", effective_order=effective_order)
    rows = sums.astype(int).tolist()
    return np.array([score(row[2 : 2 + order], row[2 + order :], *row[:2]).score for row in rows])


def _chrf_counts(hypothesis: str, references: Sequence[str]) -> np.ndarray:
    """For 1 to 6 characters: runs in the hypothesis, in the reference, in both; (18,).

    Of several references the one with the highest score counts. sacrebleu does not give these
    counts out, so they are made here from its character runs; the scores are the same.
    """
    ours = extract_all_char_ngrams(hypothesis, CHRF.CHAR_ORDER)
    counts = []
    for reference in references:
        theirs = extract_all_char_ngrams(reference, CHRF.CHAR_ORDER)
        rows = [
            # A run longer than the reference has nothing to be compared with.
            [own.total() if right else 0, right.total(), (own & right).total()]
            for own, right in zip(ours, theirs, strict=True)
        ]
        counts.append(np.ravel(rows))
    return counts[int(_chrf(np.array(counts)).argmax())]


def _chrf(sums: np.ndarray) -> np.ndarray:
    written, right, both = np.moveaxis(sums.reshape(len(sums), -1, 3), 2, 0)  # (draws, 6) each
    orders = ((written > 0) & (right > 0)).sum(1).clip(1)  # those that can be compared
    precision = (both / written.clip(1)).sum(1) / orders
    recall = (both / right.clip(1)).sum(1) / orders
    total = CHRF.BETA**2 * precision + recall
    return 100 * (1 + CHRF.BETA**2) * precision * recall / np.where(total > 0, total, 1)


@cache
def _rouge_scorer(kind: str) -> RougeScorer:
    return RougeScorer([kind], use_stemmer=True)


def _rouge_counts(kind: str, hypothesis: str, references: Sequence[str]) -> tuple[float, int]:
    """The item's own F1, and 1 for the item."""
    return _rouge_scorer(kind).score_multi(references, hypothesis)[kind].fmeasure, 1


def _mean(sums: np.ndarray) -> np.ndarray:
    return 100 * sums[:, 0] / sums[:, 1]


SACREBLEU = {"BLEU": BLEU, "chrF": CHRF}
METRICS = {"BLEU": Metric(_bleu_counts, _bleu), "chrF": Metric(_chrf_counts, _chrf)} | {
    kind: Metric(partial(_rouge_counts, kind), _mean) for kind in ("rouge1", "rouge2", "rougeL")
}


def _metric(name: str) -> Metric:
    if name not in METRICS:
        raise unknown("metric", name, METRICS)
    return METRICS[name]
