"""Pairs of texts: fixed splits, nothing in two of them, and clean texts."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptlab import tasks
from adaptlab.errors import AdaptlabError
from adaptlab.tasks import summarisation
from adaptlab.tasks.summarisation import lead, truncate
from adaptlab.tasks.text import TextTask, split_pairs

# sha256 over the ids and targets of each split, in order. A change here moves published results.
SPLITS = {
    "translation": {
        "train": (32251, "fd3fc4836d8be42f"),
        "dev": (4088, "0e0e6e8abae78037"),
        "test": (3912, "85cf96f4e2be8262"),
    },
    "summarisation": {
        "train": (799, "e5db4e96891ea7d6"),
        "dev": (104, "eced65f3c76137ab"),
        "test": (89, "f80e0215f2adddbc"),
    },
}
NAMES = pytest.mark.parametrize("task", SPLITS, indirect=True)


@pytest.fixture(scope="module")
def task(request) -> TextTask:
    return tasks.load(request.param)


def digest(rows) -> str:
    lines = (f"{i} {target}" for i, target in zip(rows["id"], rows["target"], strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


@NAMES
def test_the_splits_have_not_moved(task):
    found = {name: (len(rows), digest(rows)) for name, rows in task.splits.items()}
    assert found == SPLITS[task.name]


@NAMES
def test_rows_are_ordered_by_id_and_hold_their_references(task):
    for rows in task.splits.values():
        assert rows["id"][:] == sorted(rows["id"])
        assert rows.column_names == ["id", "source", "target", "references"]
        for target, references in zip(rows["target"], rows["references"], strict=True):
            assert references[0] == target
            assert len(set(references)) == len(references)


@NAMES
def test_no_source_and_no_target_is_in_two_splits(task):
    sources, targets = {}, {}
    for split, rows in task.splits.items():
        sources[split] = {tasks.key_of(source) for source in rows["source"]}
        targets[split] = {tasks.key_of(text) for each in rows["references"] for text in each}
        assert len(sources[split]) == len(rows)
    for held in (sources, targets):
        assert not held["train"] & held["test"]
        assert not held["train"] & held["dev"]
        assert not held["dev"] & held["test"]


@NAMES
def test_samples_are_drawn_by_the_seed_from_train(task):
    sample = task.sample(9, seed=1)
    assert len(set(sample["id"])) == 9
    assert set(sample["id"]) <= set(task.splits["train"]["id"])
    assert sample["id"][:] == task.sample(9, seed=1)["id"][:]
    assert sample["id"][:] != task.sample(9, seed=2)["id"][:]
    assert task.first("dev", 5)["id"][:] == task.first("dev")["id"][:5]


@NAMES
def test_bad_requests_are_one_line(task):
    with pytest.raises(AdaptlabError, match="unknown split"):
        task.first("tset")
    with pytest.raises(AdaptlabError, match=f"{task.name}/test has .* rows; 99999 were asked for"):
        task.first("test", 99_999)
    with pytest.raises(AdaptlabError, match=f"{task.name}/train has .* rows; 99999 were asked for"):
        task.sample(99_999, seed=0)


@pytest.mark.parametrize("task", ["translation"], indirect=True)
def test_translations_are_short_plain_sentences(task):
    assert task.prompt("Go on.") + task.answer("Va !") == "Go on. <to-fr> Va !"
    for rows in task.splits.values():
        assert all(3 <= len(source.split()) <= 15 for source in rows["source"])
        texts = " ".join([*rows["source"], *rows["target"]])
        assert not set(texts) & set("\u202f\u00a0\u2009\u200b\u00ad\t\n’")
    assert max(map(len, task.splits["test"]["references"])) > 1


@pytest.mark.parametrize("task", ["summarisation"], indirect=True)
def test_articles_are_clean(task):
    assert task.prompt("News.") + task.answer("It is.") == "News. <summarize> It is."
    for rows in task.splits.values():
        for article, summary in zip(rows["source"], rows["target"], strict=True):
            assert len(summary.split()) >= 6
            assert len(article.split()) >= 30
            assert "\n" not in summary
            assert "\n\n" not in article
            assert "Media playback" not in article
            assert "Â" not in article + summary
            assert article == article.strip()


def test_misread_letters_are_mended_and_right_ones_left():
    mended = summarisation._clean(
        "BarrÃ© won Â£3m  at RTÃ‰â€¦\n\n3 May 2015 Last updated at 11:33 BST"
    )
    assert mended == "Barré won £3m at RTÉ…"
    assert summarisation._clean("wedi cwrdd â'r undeb, café ôé") == "wedi cwrdd â'r undeb, café ôé"


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("One. Two.", "One."),
        ("No end", "No end"),
        ("A headline\nThe text.", "A headline"),
        ("Mr. Smith met J. K. Rowling. They talked.", "Mr. Smith met J. K. Rowling."),
        ("U.S. Congress met on Nov. 3. It sat.", "U.S. Congress met on Nov. 3."),
        ("It rose 3.5% to £1.2bn. Shares fell.", "It rose 3.5% to £1.2bn."),
        ('"I did it." He went.', '"I did it."'),
        ('He said: "Why? Because." Then he left.', 'He said: "Why?'),
        ("Who won?! We did.", "Who won?!"),
        ("by the bbc.co.uk site. 20 people saw it.", "by the bbc.co.uk site."),
        ("  Led by spaces. Two.", "Led by spaces."),
        ("", ""),
    ],
)
def test_the_lead_is_the_first_sentence(text, first):
    assert lead(text) == first


@given(st.text(alphabet="ab. \n", max_size=40), st.integers(1, 12))
def test_a_text_is_cut_to_its_first_words(text, words):
    cut = truncate(text, words)
    assert cut.split() == text.split()[:words]
    assert text.startswith(cut)
    if len(text.split()) > words:
        assert cut == cut.rstrip()


def test_a_text_is_cut_to_a_word_at_least():
    with pytest.raises(AdaptlabError, match="cannot be cut to 0 words"):
        truncate("some", 0)


def test_pairs_with_one_source_are_one_row_with_all_its_targets():
    splits = split_pairs([("Go on.", "Va !"), ("Stop it.", "Arrête !"), ("go on", "Allez !")] * 2)
    rows = {row["source"]: row for split in splits.values() for row in split}
    assert rows["Go on."]["target"] == "Va !"
    assert rows["Go on."]["references"] == ["Va !", "Allez !"]
    assert set(rows) == {"Go on.", "Stop it."}


TEXTS = st.text(alphabet="abcdef ", min_size=1, max_size=5).filter(str.strip)


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=40), st.integers(1, 3))
def test_targets_are_held_once_and_test_keeps_all_of_its_own(pairs, one_in):
    splits = split_pairs(pairs, one_in)
    held = {
        split: {tasks.key_of(text) for row in rows for text in row["references"]}
        for split, rows in splits.items()
    }
    assert not held["test"] & (held["dev"] | held["train"])
    assert not held["dev"] & held["train"]
    keys = {tasks.key_of(source) for source, _ in pairs}
    wanted = {k for k in keys if tasks.split_of(k) == "test" and int(k, 16) % one_in == 0}
    assert {row["id"] for row in splits["test"]} == wanted
