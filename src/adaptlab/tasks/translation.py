"""English sentences into French. Pairs by the contributors of Tatoeba (CC BY 2.0 FR)."""

from collections.abc import Iterator

from adaptlab import sources
from adaptlab.tasks.text import TextTask, split_pairs

SOURCE = "english-french"
WORDS = range(3, 16)  # of the English: the file begins with thousands of "Go." and "Hi."
ONE_IN = 3  # of the sentences: plenty for a laptop, and loaded in a second
# Spaces of three widths stand before French ? and !, and some sentences hide a soft hyphen or a
# space of no width. A model that is to learn French need not learn these.
PLAIN = {
    "\u202f": " ",
    "\u00a0": " ",
    "\u2009": " ",
    "\u200b": "",
    "\u00ad": "",
    "’": "'",
    "‘": "'",
}


def load() -> TextTask:
    """32,251 / 4,088 / 3,912 sentences of 3 to 15 English words, each with its French.

    A sentence has one to some dozens of translations, all of them in `references`. Many sentences
    of Tatoeba are variations of one another ("Tom is here.", "Tom was here."), and those do stand
    in different splits: scores tell of sentences like those trained on.
    """
    return TextTask(
        name="translation",
        splits=split_pairs(_pairs(), ONE_IN),
        mark=" <to-fr>",
        sources=(SOURCE,),
    )


def _pairs() -> Iterator[tuple[str, str]]:
    """The file's lines: English, French, and who wrote them, with tabs between."""
    text = sources.path(SOURCE, "fra.txt").read_text(encoding="utf-8")
    for odd, plain in PLAIN.items():
        text = text.replace(odd, plain)
    for line in text.rstrip("\n").split("\n"):
        english, french, _ = line.split("\t")
        if len(english.split()) in WORDS:
            yield english, french
