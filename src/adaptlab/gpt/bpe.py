"""Byte-level byte-pair encoding: a vocabulary grown by merging the commonest neighbours.

    "the theme then", cut into words and bytes     t h e | ␣ t h e m e | ␣ t h e n
    commonest pair: h e, three times; id 256       t he  | ␣ t he m e  | ␣ t he n
    commonest pair: t he, three times; id 257      the   | ␣ the m e   | ␣ the n
    commonest pair: ␣ the, twice; id 258           the   | ␣the m e    | ␣the n

Training finds the merges. Encoding cuts a new text into words and bytes, and applies the merges
in the order in which they were found. Every text can be encoded, for every text is bytes.

Sources: Gage (1994), A New Algorithm for Data Compression; Sennrich et al. (2016),
arXiv:1508.07909; on bytes, Radford et al. (2019), Language Models are Unsupervised Multitask
Learners (GPT-2).
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import inf
from pathlib import Path

import regex

from adaptlab import sources
from adaptlab.errors import AdaptlabError

Pair = tuple[int, int]

# GPT-2's words: an English contraction's ending; letters, digits, or other signs, each with one
# space before; or white space, less the space that goes to the next word. No merge crosses a
# word's edge, so "dog", "dog." and "dog!" share a token.
SPLIT = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
END_OF_TEXT = "<|endoftext|>"


def split(text: bytes) -> Iterator[bytes]:
    """The words of a text by SPLIT; joined, they are the text again, whatever its bytes."""
    # "surrogateescape" carries bytes that are not UTF-8 through a str unharmed.
    words = SPLIT.findall(text.decode("utf-8", "surrogateescape"))
    return (word.encode("utf-8", "surrogateescape") for word in words)


def merge(ids: Sequence[int], pair: Pair, new: int) -> list[int]:
    """`ids` with each occurrence of `pair`, from left to right, replaced by the id `new`."""
    merged = []
    i = 0
    while i < len(ids):
        if ids[i] == pair[0] and i + 1 < len(ids) and ids[i + 1] == pair[1]:
            merged.append(new)
            i += 2
        else:
            merged.append(ids[i])
            i += 1
    return merged


def apply_merges(ids: list[int], merges: Mapping[Pair, int]) -> list[int]:
    """Merge while any pair can be: always the pair that was learned first."""
    while len(ids) > 1:
        first = min(pairwise(ids), key=lambda pair: merges.get(pair, inf))
        if first not in merges:
            break
        ids = merge(ids, first, merges[first])
    return ids


def learn_merges(words: Mapping[bytes, int], number: int) -> list[Pair]:
    """The first `number` merges, in order; the first makes id 256, the next 257, and so on.

    words: how often each word occurs. A pair's count is the number of places where it stands, so
    "aaa" holds the pair (a, a) twice. Of pairs equally common, the one with the smallest ids is
    taken, so that the result depends on nothing but the counts.
    Raises AdaptlabError if no pair is left before `number` is reached.
    """
    parts = [list(word) for word in words]
    times = list(words.values())
    counts: Counter[Pair] = Counter()
    where: dict[Pair, set[int]] = defaultdict(set)  # words that hold, or once held, the pair
    merges: list[Pair] = []

    def count(i: int, sign: int) -> None:
        for pair in pairwise(parts[i]):
            counts[pair] += sign * times[i]
            if not counts[pair]:
                del counts[pair]
            if sign > 0:
                where[pair].add(i)

    for i in range(len(parts)):
        count(i, +1)
    while len(merges) < number:
        if not counts:
            raise AdaptlabError(
                f"the text is too small: no pair is left after {len(merges)} of {number} merges"
            )
        most = max(counts.values())
        best = min(pair for pair, n in counts.items() if n == most)
        for i in where.pop(best):  # the words without it stay as they are, and so do their counts
            count(i, -1)
            parts[i] = merge(parts[i], best, 256 + len(merges))
            count(i, +1)
        merges.append(best)
    return merges


@dataclass(frozen=True, repr=False)
class BPE:
    """A tokenizer. Ids 0 to 255 are the single bytes, then come the merges, then `specials`.

    Text that spells a special token, such as "<|endoftext|>", is ordinary text unless `encode`
    is told otherwise: what a user writes must not end a document.
    """

    merges: dict[Pair, int]  # two ids -> the id they become; a smaller one was learned earlier
    vocabulary: tuple[bytes, ...]  # id -> its bytes
    specials: tuple[str, ...] = ()

    @classmethod
    def train(cls, text: str, vocab_size: int = 1256, specials: Sequence[str] = ()) -> "BPE":
        """Learn merges from `text` until there are `vocab_size` tokens, special ones included.

        Special tokens that stand in the text part it; no merge is learned from them.
        Raises AdaptlabError if `vocab_size` is less than 256 bytes and the special tokens, or the
        text is too small for it.
        """
        smallest = cls.from_merges([], specials=specials).vocab_size
        if vocab_size < smallest:
            raise AdaptlabError(
                f"a vocabulary of {vocab_size} is too small: "
                f"256 bytes and {len(specials)} special tokens are {smallest}"
            )
        parts = [part for part in _part(text, specials) if part not in specials]
        words = Counter(word for part in parts for word in split(_utf8(part)))
        return cls.from_merges(learn_merges(words, vocab_size - smallest), specials=specials)

    @classmethod
    def from_merges(
        cls,
        pairs: Iterable[Pair],
        alphabet: Sequence[int] = range(256),
        specials: Sequence[str] = (),
    ) -> "BPE":
        """A tokenizer from its merges in order; `alphabet` is the 256 bytes in order of id.

        Raises AdaptlabError if a merge joins ids that do not exist yet, or a byte, merge or
        special token is missing or there twice.
        """
        if sorted(alphabet) != list(range(256)):
            raise AdaptlabError("the alphabet must hold each of the 256 bytes once")
        merges: dict[Pair, int] = {}
        vocabulary = [bytes([byte]) for byte in alphabet]
        for left, right in pairs:
            new = len(vocabulary)
            if not (0 <= left < new and 0 <= right < new) or (left, right) in merges:
                raise AdaptlabError(f"({left}, {right}) cannot be the merge that makes id {new}")
            merges[left, right] = new
            vocabulary.append(vocabulary[left] + vocabulary[right])
        if len(set(specials) - {""}) < len(specials):
            raise AdaptlabError(f"special tokens must be distinct and not empty: {specials}")
        vocabulary += map(_utf8, specials)
        return cls(merges, tuple(vocabulary), tuple(specials))

    @classmethod
    def gpt2(cls) -> "BPE":
        """GPT-2's tokenizer, 50,257 tokens; its files are fetched if they are not there."""
        return cls.from_gpt2_files(
            sources.path("gpt2-bpe", "encoder.json"), sources.path("gpt2-bpe", "vocab.bpe")
        )

    @classmethod
    def from_gpt2_files(cls, encoder_json: Path, vocab_bpe: Path) -> "BPE":
        """A tokenizer from files in GPT-2's format: the ids of all tokens, and the merges.

        Raises AdaptlabError if the files cannot be read or do not agree with each other.
        """
        symbols = byte_symbols()
        try:
            ids = json.loads(encoder_json.read_text("utf-8"))
            lines = vocab_bpe.read_text("utf-8").split("\n")[1:]  # the first line is a version
            alphabet = sorted(range(256), key=lambda byte: ids[symbols[byte]])
            halves = [line.split(" ") for line in lines if line]
            pairs = [(ids[left], ids[right]) for left, right in halves]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise AdaptlabError(
                f"{encoder_json} and {vocab_bpe} are not a tokenizer in GPT-2's format: {error!r}"
            ) from error
        bpe = cls.from_merges(pairs, alphabet, [END_OF_TEXT])
        written = ("".join(symbols[byte] for byte in token) for token in bpe.vocabulary)
        if ids != {token: i for i, token in enumerate(written)}:
            raise AdaptlabError(f"{encoder_json} gives other ids than the merges in {vocab_bpe}")
        return bpe

    @classmethod
    def load(cls, path: Path) -> "BPE":
        """The tokenizer that `save` wrote. Raises AdaptlabError if the file is not one."""
        try:
            saved = json.loads(path.read_text("utf-8"))
            return cls.from_merges(saved["merges"], saved["alphabet"], saved["specials"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise AdaptlabError(f"cannot read a tokenizer from {path}: {error!r}") from error

    def save(self, path: Path) -> None:
        """Write the tokenizer as JSON: the bytes in order of id, the merges, the special tokens."""
        alphabet = [token[0] for token in self.vocabulary[:256]]
        saved = {"alphabet": alphabet, "merges": list(self.merges), "specials": self.specials}
        path.write_text(json.dumps(saved), "utf-8")

    @property
    def vocab_size(self) -> int:
        return len(self.vocabulary)

    def encode(self, text: str, special: bool = False) -> list[int]:
        """The ids of `text`; with `special`, text that spells a special token becomes that token.

        Raises AdaptlabError for a lone surrogate, the one thing in a str that has no UTF-8.
        """
        first = self.vocab_size - len(self.specials)
        ids = {token: first + i for i, token in enumerate(self.specials)} if special else {}
        encoded = []
        for part in _part(text, ids):
            encoded += [ids[part]] if part in ids else self.encode_bytes(_utf8(part))
        return encoded

    def encode_bytes(self, data: bytes) -> list[int]:
        """The ids of any bytes, UTF-8 or not; `decode_bytes` gives the same bytes back."""
        return [i for word in split(data) for i in self._encode_word(word)]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`; bytes that are not UTF-8, as in half a character, become U+FFFD.

        Raises AdaptlabError for an id outside the vocabulary.
        """
        return self.decode_bytes(ids).decode("utf-8", "replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The bytes of `ids`. Raises AdaptlabError for an id outside the vocabulary."""
        return b"".join(self._token(i) for i in ids)

    def _token(self, i: int) -> bytes:
        if not 0 <= i < self.vocab_size:
            raise AdaptlabError(f"id {i} is outside the vocabulary of {self.vocab_size} tokens")
        return self.vocabulary[i]

    def _encode_word(self, word: bytes) -> list[int]:
        if word not in self._known:  # most words of a text have been met before
            ids = [self._byte_ids[byte] for byte in word]
            self._known[word] = apply_merges(ids, self.merges)
        return self._known[word]

    @cached_property
    def _known(self) -> dict[bytes, list[int]]:
        return {}

    @cached_property
    def _byte_ids(self) -> dict[int, int]:
        return {token[0]: i for i, token in enumerate(self.vocabulary[:256])}

    def __repr__(self) -> str:
        return f"BPE(vocab_size={self.vocab_size}, specials={self.specials})"


def byte_symbols() -> list[str]:
    """GPT-2's name of each byte in its files: one visible character.

    A visible character of Latin-1 stands for itself; the other 68 bytes take U+0100 and up, so
    that a space is Ġ (U+0120) and a new line Ċ (U+010A).
    """
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(256) if byte not in visible]
    moved = {byte: chr(0x100 + i) for i, byte in enumerate(hidden)}
    return [moved.get(byte, chr(byte)) for byte in range(256)]


def _part(text: str, specials: Iterable[str]) -> list[str]:
    """`text` cut before and after each special token in it; at one place, the longest counts."""
    longest_first = sorted(specials, key=len, reverse=True)
    if not longest_first:
        return [text]
    return regex.split("(" + "|".join(map(regex.escape, longest_first)) + ")", text)


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise AdaptlabError(
            f"character {error.start} of the text is a lone surrogate, which has no UTF-8"
        ) from error
