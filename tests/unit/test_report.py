"""Figures show every point, tables every method, and sources are shown as they are."""

import numpy as np
import pytest
from IPython.display import Markdown

from adaptlab import paths
from adaptlab.errors import AdaptlabError
from adaptlab.evaluation import paired_difference
from adaptlab.records import Record
from adaptlab.report import figures, published, tables
from adaptlab.report.source import show_source

MADE = {"processor": "A CPU", "threads": 2, "dtype": "bfloat16", "date": "2026-01-02T03:04",
        "revision": "0123456789"}  # fmt: skip


COMMON = {
    "notebook": "00_tour",
    "experiment": "four places",
    "task": "sentiment",
    "split": "test",
    "model": "m",
    "seed": 0,
    "n": 100,
    "metric": "accuracy",
    "peak_bytes": 2 * 10**9,
    "config": {},
    "provenance": MADE,
}


def record(method: str, score: float, trained: int, seconds: float, **other) -> Record:
    interval = {"low": score - 0.07, "high": score + 0.05}
    own = {"method": method, "score": score, "trained_parameters": trained, "seconds": seconds}
    return Record(**COMMON | interval | own | other)


RECORDS = [
    record("bag of words", 0.55, 5000, 0.02),
    record("zero-shot", 0.70, 0, 9.0),
    record("few-shot", 0.62, 0, 12.0),
    record("LoRA", 0.85, 2_442_240, 47.0, seed=None, config={"seeds": [0, 1, 2]}),
    record("something new", 0.80, 134_515_008, 4000.0),
]


def test_every_point_and_interval_lies_inside_the_panels():
    figure = figures.accuracy_against_cost(RECORDS)
    figure.canvas.draw()
    left, right = figure.axes
    for axes, cost in ((left, "trained_parameters"), (right, "seconds")):
        bottom, top = axes.get_ylim()
        first, last = axes.get_xlim()
        for shown in RECORDS:
            assert bottom <= shown.low <= shown.high <= top
            if shown.method != "bag of words":  # it is a line
                assert first <= getattr(shown, cost) <= last
        assert axes.get_xlabel()
    assert left.get_ylabel()
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["LoRA", "something new", "zero-shot", "few-shot", "bag of words"]


def test_gains_are_drawn_with_their_numbers():
    right, wrong = np.arange(50) < 40, np.arange(50) < 25
    gain = paired_difference(right, wrong)
    figure = figures.prompt_gains(
        {"raw": {"a": gain, "b": gain}, "centred": {"a": gain, "b": gain}}, 50
    )
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["f raw: +30.0", "+30.0", "f centred: +30.0", "+30.0"]
    assert "50 dev items" in figure.axes[0].get_xlabel()


def test_the_table_is_sorted_by_score():
    table = tables.comparison(RECORDS)
    assert list(table.index) == ["LoRA", "something new", "zero-shot", "few-shot", "bag of words"]
    assert table.loc["LoRA"].tolist() == ["85.0", "[78.0, 90.0]", "2,442,240", "47.0", "2.00"]


def test_the_table_follows_the_metric():
    bleu = [
        record(name, score, 0, 1.0, metric="BLEU") for name, score in (("a", 20.0), ("b", 24.25))
    ]
    table = tables.comparison(bleu)
    assert list(table.index) == ["b", "a"]
    assert table.columns[0] == "BLEU"
    assert table.loc["a"].tolist()[:2] == ["20.0", "[19.9, 20.1]"]
    assert tables.caption(bleu).startswith("BLEU on 100 test items")
    losses = [record(name, loss, 0, 1.0, metric="loss") for name, loss in (("a", 3.1), ("b", 2.9))]
    assert list(tables.comparison(losses).index) == ["b", "a"], "a lower loss is better"
    with pytest.raises(AdaptlabError, match="one metric; these are of BLEU and loss"):
        tables.comparison(bleu + losses)


def test_the_caption_says_what_was_measured_on_what():
    text = tables.caption(RECORDS)
    for fact in ("100 test items of sentiment", "1 to 3 seeds", "A CPU", "bfloat16", "0123456"):
        assert fact in text


def test_claims_stand_beside_what_was_measured():
    shown = tables.claims({"it helps": "it does"}).data
    assert "| it helps | it does |" in shown


def test_a_definition_is_shown_as_it_stands():
    shown = show_source(paired_difference)
    assert isinstance(shown, Markdown)
    assert "`adaptlab.evaluation.paired_difference`" in shown.data
    assert "def paired_difference(" in shown.data


def test_what_is_not_published_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "results", lambda: tmp_path)
    assert "No full run" in published.comparison("full", "00_tour", "four places").data


@pytest.mark.parametrize("experiment", ["four places"])
def test_published_records_have_one_row_a_method(experiment):
    rows = published.summary("full", "00_tour", experiment)
    assert len({row.method for row in rows}) == len(rows)
    assert next(row for row in rows if row.method == "LoRA").seed is None


def across_tasks(**scores: tuple[float, ...]) -> dict[str, list[Record]]:
    """Records by task: LoRA's score on each, over several seeds if several are given."""
    return {
        task: [
            record("zero-shot", 0.5, 0, 1.0, task=task),
            record("LoRA", sum(own) / len(own), 1000, 1.0, task=task,
                   config={"seeds": [*range(len(own))], "scores": [*own]}),
        ]
        for task, own in scores.items()
    }  # fmt: skip


def test_a_table_across_tasks_has_deviations_means_and_the_best_first():
    by_task = across_tasks(sentiment=(0.80, 0.90), questions=(0.7,))
    by_task["questions"].append(record("probe", 0.9, 7, 1.0, task="questions"))
    head, _, *lines = tables.across(by_task).data.split("\n\n")[0].splitlines()
    assert head == "| method | trained parameters | sentiment | questions | mean |"
    assert lines == [
        "| LoRA | 1,000 | 85.0 ± 7.1 | 70.0 | 77.5 |",  # the deviation of a sample: 0.1 / sqrt 2
        "| zero-shot | 0 | 50.0 | 50.0 | 50.0 |",
        "| probe | 7 | - | 90.0 | - |",  # the best, but not of all tasks
    ]


def test_the_caption_of_a_table_across_tasks_names_no_single_task():
    by_task = across_tasks(sentiment=(0.8, 0.9), questions=(0.7, 0.8))
    by_task["questions"].append(record("probe", 0.9, 7, 1.0, task="questions", n=60))
    told = tables.across(by_task).data.split("\n\n")[1]
    assert told.startswith("After ±: the standard deviation over seeds. Accuracy on 60 to 100 test")
    assert "of each task, 1 to 2 seeds" in told


def test_a_table_across_tasks_needs_one_metric():
    with pytest.raises(AdaptlabError, match="one metric"):
        tables.across({"a": [record("x", 0.5, 0, 1.0), record("y", 0.5, 0, 1.0, metric="chrF")]})
    with pytest.raises(AdaptlabError, match="one metric"):
        tables.across({"a": []})


def test_a_published_table_across_tasks_keeps_the_tasks_apart(monkeypatch):
    single = [record("LoRA", 0.1, 1, 1.0, task=task) for task in ("sentiment", "questions")]
    over = record("LoRA", 0.9, 1, 1.0, task="questions", seed=None)
    monkeypatch.setattr("adaptlab.records.published", lambda *_: [*single, over])
    told = published.across("full", "00_tour", "four places").data
    assert "| LoRA | 1 | 10.0 | 90.0 | 50.0 |" in told
    assert "Published `full` run" in told
    assert "No gpu run" in published.across("gpu", "00_tour", "four places").data
