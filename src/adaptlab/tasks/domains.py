"""The same question as in the task "sentiment", of other kinds of text: Hutto and Gilbert (2014).

Product reviews, tweets and newspaper editorials in pieces of about a sentence, each rated by 20
people or more from -4 to 4.
"""

import html
from collections.abc import Iterator
from dataclasses import replace

from adaptlab import sources
from adaptlab.errors import unknown
from adaptlab.tasks import Task, key_of, sentiment, split_by_hash

SOURCE = "vader"
FILES = {
    "sentiment-amazon": "amazonReviewSnippets_GroundTruth.txt",
    "sentiment-tweets": "tweets_GroundTruth.txt",
    "sentiment-nyt": "nytEditorialSnippets_GroundTruth.txt",
}
# A mean nearer to 0 than this is dropped. The mean of 20 ratings has a standard error of about
# 0.15, so what is kept is three errors away: its sign would hardly turn with other raters. Of the
# dropped, most would be neither positive nor negative to a reader.
LEAST_RATING = 0.5


def load(name: str) -> Task:
    """One of the tasks of FILES; 0 negative, 1 positive, by the sign of the mean rating.

    sentiment-amazon: 2,372 / 304 / 291 pieces of product reviews, 59 in 100 positive, lower case.
    sentiment-tweets: 2,593 / 338 / 346 tweets, 69 in 100 positive. Names of users are "@anonymous"
        and links "http://url_removed", as published.
    sentiment-nyt: 2,301 / 320 / 310 pieces of editorials, 40 in 100 positive.
    Label words and template are those of "sentiment", and no text of that task is in these. The
    pieces of one review or editorial may stand in different splits.
    Raises AdaptlabError for another name.
    """
    if name not in FILES:
        raise unknown("domain task", name, FILES)
    movies = sentiment.load()
    seen = {key for rows in movies.splits.values() for key in rows["id"]}
    rated = [(text, rating) for text, rating in _rated(FILES[name]) if key_of(text) not in seen]
    splits = split_by_hash([text for text, _ in rated], [rating > 0 for _, rating in rated])
    return replace(movies, name=name, splits=splits, sources=(SOURCE,))


def _rated(filename: str) -> Iterator[tuple[str, float]]:
    """The texts that hold a letter and are clearly rated, with their mean rating."""
    lines = sources.path(SOURCE, filename).read_text(encoding="latin-1").split("\n")
    for line in filter(None, lines):
        _, mean, text = line.split("\t")
        text = " ".join(html.unescape(html.unescape(text)).split())  # some are escaped twice
        if abs(float(mean)) >= LEAST_RATING and any(map(str.isalpha, text)):
            yield text, float(mean)
