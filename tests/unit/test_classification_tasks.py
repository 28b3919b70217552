"""The other tasks of one label a text, and general text: fixed splits, clean and disjoint."""

import hashlib
import re

import numpy as np
import pytest

from adaptlab import tasks
from adaptlab.errors import AdaptlabError
from adaptlab.tasks import disasters, domains, wikitext

# Rows of each label and sha256 over the ids and labels of each split, in order. A change here
# moves published results.
SPLITS = {
    "questions": {
        "train": ([1032, 1089, 68, 1016, 773, 715], "fec40619b12ce4dc"),
        "dev": ([134, 119, 8, 146, 100, 89], "6b6ac027dfda4659"),
        "test": ([117, 131, 17, 117, 94, 99], "aa417167f6cc8c34"),
    },
    "disasters": {
        "train": ([3084, 1976], "ef7719580428b448"),
        "dev": ([407, 248], "314f1f61ab881efb"),
        "test": ([389, 296], "355df573b207d455"),
    },
    "sentiment-amazon": {
        "train": ([976, 1396], "41f5ea9cf948a77f"),
        "dev": ([134, 170], "f1237d59263d49b2"),
        "test": ([120, 171], "526f9ecd00bbf462"),
    },
    "sentiment-nyt": {
        "train": ([1383, 918], "2ecf1d5f69774c17"),
        "dev": ([190, 130], "b61adc0c5700baf3"),
        "test": ([183, 127], "31cc6864b4529e91"),
    },
    "sentiment-tweets": {
        "train": ([811, 1782], "f28cf4b762d1cfaf"),
        "dev": ([94, 244], "3a559568b1b267f0"),
        "test": ([106, 240], "e6c0edf853af049b"),
    },
}
DOMAINS = sorted(domains.FILES)
NAMES = pytest.mark.parametrize("task", SPLITS, indirect=True)


@pytest.fixture(scope="module")
def loaded() -> dict[str, tasks.Task]:
    return {name: tasks.load(name) for name in SPLITS}


@pytest.fixture
def task(request, loaded) -> tasks.Task:
    return loaded[request.param]


def digest(rows) -> str:
    lines = (f"{i} {y}" for i, y in zip(rows["id"], rows["label"], strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


@NAMES
def test_the_splits_have_not_moved(task):
    found = {
        name: (np.bincount(rows["label"]).tolist(), digest(rows))
        for name, rows in task.splits.items()
    }
    assert found == SPLITS[task.name]


@NAMES
def test_no_text_is_in_two_splits_and_rows_are_ordered(task):
    seen = set()
    for rows in task.splits.values():
        assert rows.column_names == ["id", "text", "label"]
        assert rows["id"][:] == sorted(rows["id"])
        assert [tasks.key_of(text) for text in rows["text"]] == rows["id"][:]
        assert seen.isdisjoint(rows["id"])
        seen.update(rows["id"])


@NAMES
def test_texts_are_clean(task):
    for text in (text for rows in task.splits.values() for text in rows["text"]):
        assert text == text.strip()
        assert any(map(str.isalpha, text))
        assert not re.search(r"&(amp|lt|gt|quot);|[\n\t]", text)


@NAMES
def test_label_words_are_single_tokens(task, tokenizer):
    ids = [tokenizer(word, add_special_tokens=False)["input_ids"] for word in task.label_words]
    assert {len(tokens) for tokens in ids} == {1}
    assert len({tokens[0] for tokens in ids}) == len(task.label_words)
    assert not task.question("x").endswith(" ")
    assert "x" in task.question("x")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("What does the abbreviation AIDS stand for ?", " abbreviation"),
        ("When was Ozzy Osbourne born ?", " number"),
        ("What country do the Galapagos Islands belong to ?", " location"),
        ("Who was The Pride of the Yankees ?", " person"),
        ("What films featured the character Popeye Doyle ?", " entity"),
        ("What are liver enzymes ?", " description"),
    ],
)
def test_questions_have_the_word_of_their_type(text, word, loaded):
    questions = loaded["questions"]
    of_text = {row["text"]: row["label"] for rows in questions.splits.values() for row in rows}
    assert questions.label_words[of_text[text]] == word


def test_a_balanced_sample_of_questions_ends_with_the_rarest_type(loaded):
    sample = loaded["questions"].sample(408, seed=0)
    assert np.bincount(sample["label"]).tolist() == [68] * 6
    with pytest.raises(AdaptlabError, match="68 rows of label 2"):
        loaded["questions"].sample(415, seed=0)


@pytest.mark.parametrize("name", DOMAINS)
def test_domains_ask_as_sentiment_does_of_other_texts(name, loaded, sentiment):
    domain = loaded[name]
    assert domain.label_words == sentiment.label_words
    assert domain.template == sentiment.template
    assert domain.sources == ("vader",)
    films = {key for rows in sentiment.splits.values() for key in rows["id"]}
    assert films.isdisjoint(key for rows in domain.splits.values() for key in rows["id"])


@pytest.mark.parametrize("name", DOMAINS)
def test_domain_labels_are_signs_of_clear_ratings(name, loaded):
    ratings = {tasks.key_of(text): rating for text, rating in domains._rated(domains.FILES[name])}
    for rows in loaded[name].splits.values():
        for key, label in zip(rows["id"], rows["label"], strict=True):
            assert abs(ratings[key]) >= 0.5
            assert (ratings[key] > 0) == (label == 1)


def test_an_unknown_domain_is_one_line():
    with pytest.raises(AdaptlabError, match="unknown task 'sentiment-tweet'; did you mean"):
        tasks.load("sentiment-tweet")
    with pytest.raises(AdaptlabError, match="unknown domain task 'sentiment'"):
        domains.load("sentiment")


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Jet\x89Ûªs debris on RÌ©union\x89Û_ https://t.co/V6qx", "Jet’s debris on Réunion…"),
        ("RT @some_one: \x89ÛÏFire &amp; smoke\x89Û\x9d\nhttp", "RT @user: “Fire & smoke”"),
        ("a åÊ b café  #fire", "a b café #fire"),
    ],
)
def test_tweets_lose_links_and_names_and_misread_letters(text, clean):
    assert disasters._clean(text) == clean


def test_tweets_of_two_splits_share_no_six_words(loaded):
    runs = {
        split: {run for text in rows["text"] for run in disasters._runs(text)}
        for split, rows in loaded["disasters"].splits.items()
    }
    assert runs["test"].isdisjoint(runs["train"] | runs["dev"])
    assert runs["dev"].isdisjoint(runs["train"])
    tweets = [text for rows in loaded["disasters"].splits.values() for text in rows["text"]]
    assert not [text for text in tweets if "http" in text or re.search(r"@(?!user\b)\w", text)]


def test_runs_of_words():
    assert disasters._runs("One two, THREE") == {("one", "two", "three")}
    assert disasters._runs("a b c d e f g") == {tuple("abcdef"), tuple("bcdefg")}


@pytest.mark.parametrize(
    ("split", "articles", "first"),
    [
        ("train", 600, "= Valkyria Chronicles III ="),
        ("dev", 60, "= Homarus gammarus ="),
        ("test", 60, "= Robert Boulter ="),
    ],
)
def test_wikitext_is_whole_and_plain(split, articles, first):
    text = wikitext.text(split)
    assert text.strip().startswith(first)
    assert len(re.findall(r"^\n= [^=\n]+ =\n$", text, re.MULTILINE)) == articles
    assert not re.search(r" @[-,.]@ | [,;] |<unk>", text)


@pytest.mark.parametrize(
    ("tokens", "plain"),
    [
        ("It cost $ 1 @,@ 000 @.@ 50 ( or so ) .", "It cost $1,000.50 (or so)."),
        ('a " role @-@ playing " game ; it \'s " good . "', 'a "role-playing" game; it\'s "good."'),
        ("players ' names , 2000 – 2005 , 5 % / year", "players' names, 2000–2005, 5%/year"),
        ("the .58 cal – or not", "the .58 cal – or not"),
        ("= = Plot = =", "== Plot =="),
    ],
)
def test_tokens_become_text_as_it_is_written(tokens, plain):
    assert wikitext._plain(tokens) == plain


def test_passages_are_long_paragraphs_and_always_the_same():
    found = wikitext.passages("dev", 40)
    assert len(set(found)) == 40
    assert all(len(passage.split()) >= 50 and not passage.startswith("=") for passage in found)
    assert all(passage in wikitext.text("dev") for passage in found)
    assert wikitext.passages("dev", 5) == found[:5]
    assert found[0].startswith("During the construction, 2.2 million cubic yards of earthwork")
    assert set(found).isdisjoint(wikitext.passages("test", 40))
    assert min(len(p.split()) for p in wikitext.passages("dev", 40, words=100)) >= 100


def test_bad_requests_for_text_are_one_line():
    with pytest.raises(AdaptlabError, match="unknown split 'valid'"):
        wikitext.text("valid")
    with pytest.raises(AdaptlabError, match="dev has 1361 paragraphs of 50 words or more; 9999 "):
        wikitext.passages("dev", 9999)
    with pytest.raises(AdaptlabError, match="0 were asked for"):
        wikitext.passages("dev", 0)
