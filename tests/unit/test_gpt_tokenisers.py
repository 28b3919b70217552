"""Nothing is lost, GPT-2's ids are GPT-2's, and each merge is the commonest pair there was."""

import json
import random
import unicodedata
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, pre_tokenizers, trainers
from tokenizers.models import BPE as ReferenceBPE
from transformers import GPT2TokenizerFast

from adaptlab import sources
from adaptlab.errors import AdaptlabError
from adaptlab.gpt.bpe import BPE, END_OF_TEXT, byte_symbols, learn_merges, split
from adaptlab.gpt.characters import CharTokenizer

# First code points of blocks: Latin-1, Latin Extended, IPA, combining marks, Greek, Cyrillic,
# Armenian, Hebrew, Arabic, Devanagari, Bengali, Tamil, Thai, Tibetan, Georgian, Hangul jamo,
# Ethiopic, Cherokee, Khmer, Mongolian, punctuation, super- and subscripts, letterlike, arrows,
# mathematics, box drawing, kana, CJK, Yi, Hangul, compatibility forms, full-width, Deseret.
BLOCKS = [
    *(0x80, 0x100, 0x180, 0x250, 0x300, 0x370, 0x400, 0x530, 0x590, 0x600, 0x900, 0x980, 0xB80),
    *(0xE00, 0xF00, 0x10A0, 0x1100, 0x1200, 0x13A0, 0x1780, 0x1800, 0x2000, 0x2070, 0x2100),
    *(0x2190, 0x2200, 0x2500, 0x3040, 0x4E00, 0xA000, 0xAC00, 0xFB00, 0xFF00, 0x10400),
]
WORDS = (
    "the The THE don't we'll I'VE she'd they're it's 's'S ' 'tis naïve Straße co-operate e.g. "
    "a b x1 R2D2 3.14159 1,000,000 0000000 ٣٤٥ ½ Ⅳ ² https://example.org/?q=a&b=%20 me@b.co "
    "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽 🇫🇷🇬🇧 ❤️ 1️⃣ é ȩ́ ﷽ def f(x): return{'a':[1,2]} x+=1;//c <b>&nbsp;</b> "
    "<|endof text|> ����� #include<x.h> --flag=$HOME/* \\n !?!?... …—“”"
)
SPACES = [" ", "  ", "     ", "\t", "\t\t", "\n", "\n\n\n", "\r\n", " \n ", "\xa0\u3000", "\x85"]
CONTROLS = [*map(chr, range(0x20)), "\x7f", "\u200b", "\u200d", "\ufeff", "\U0010ffff"]
ASCII = [*map(chr, range(0x20, 0x7F))]


def assigned(first: int) -> list[str]:
    """The characters of a block that were there by Unicode 3.2, so that every library knows them.

    Which of the later ones are letters depends on the Unicode version a library was built with.
    """
    characters = map(chr, range(first, first + 0x60))
    return [c for c in characters if unicodedata.ucd_3_2_0.category(c) != "Cn"]


def varied_strings(number: int, shakespeare: str) -> list[str]:
    """Strings of many scripts and kinds, the same ones every time."""
    draw = random.Random(0)
    alphabets = [assigned(first) for first in BLOCKS]
    words = WORDS.split()

    def piece() -> str:
        kind = draw.randrange(6)
        if kind == 0:
            return "".join(draw.choices(draw.choice(alphabets), k=draw.randint(1, 8)))
        if kind == 1:
            return "".join(draw.choices(CONTROLS, k=draw.randint(1, 3)))
        if kind == 2:
            return "".join(draw.choices(ASCII, k=draw.randint(1, 12)))
        return draw.choice(SPACES if kind == 3 else words) * draw.choice([1, 1, 1, 2])

    def passage() -> str:
        start = draw.randrange(len(shakespeare))
        return shakespeare[start : start + draw.randint(1, 300)]

    mixed = ["".join(piece() for _ in range(draw.randint(0, 12))) for _ in range(number * 4 // 5)]
    return mixed + [passage() for _ in range(number - len(mixed))]


@pytest.fixture(scope="module")
def shakespeare() -> str:
    return sources.path("tiny-shakespeare", "input.txt").read_text("utf-8")


@pytest.fixture(scope="module")
def gpt2() -> BPE:
    return BPE.gpt2()


@pytest.fixture(scope="module")
def trained(shakespeare) -> BPE:
    return BPE.train(shakespeare[:100_000], 400, specials=[END_OF_TEXT])


@pytest.fixture(scope="module", params=["gpt2", "trained"])
def bpe(request) -> BPE:
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def reference() -> GPT2TokenizerFast:
    vocab, merges = (sources.path("gpt2-bpe", name) for name in ("encoder.json", "vocab.bpe"))
    return GPT2TokenizerFast(vocab=str(vocab), merges=str(merges))


# GPT-2's tokenizer against transformers


def test_hello_world(gpt2, reference):
    """Under older argument names transformers would build a vocabulary of one token."""
    assert reference("Hello world!")["input_ids"] == [15496, 995, 0]
    assert gpt2.encode("Hello world!") == [15496, 995, 0]
    assert gpt2.vocab_size == len(reference) == 50257


def test_ten_thousand_strings_get_gpt2_s_ids(gpt2, reference, shakespeare):
    texts = varied_strings(10_000, shakespeare)
    assert len(set(texts)) > 9_000
    expected = reference(texts)["input_ids"]
    for text, ids in zip(texts, expected, strict=True):
        assert gpt2.encode(text) == ids, repr(text)
        assert gpt2.decode(ids) == text


def test_tiny_shakespeare_gets_gpt2_s_ids(gpt2, reference, shakespeare):
    ids = gpt2.encode(shakespeare)
    same = ids == reference(shakespeare)["input_ids"]
    assert same  # pytest would take minutes to show how two such lists differ
    assert len(ids) == 338_025  # 301,966 + 36,059, as nanoGPT's data/shakespeare says


def test_a_special_token_is_text_unless_it_is_asked_for(gpt2, reference):
    text = f"One.{END_OF_TEXT}{END_OF_TEXT}Two."
    with_special = gpt2.encode(text, special=True)
    assert with_special == reference(text)["input_ids"]
    assert with_special.count(50256) == 2
    plain = gpt2.encode(text)
    assert plain == reference(text, split_special_tokens=True)["input_ids"]
    assert 50256 not in plain
    assert gpt2.decode(plain) == gpt2.decode(with_special) == text


def test_files_that_do_not_agree_are_refused(tmp_path):
    encoder = sources.path("gpt2-bpe", "encoder.json")
    lines = sources.path("gpt2-bpe", "vocab.bpe").read_text("utf-8").split("\n")
    merges = tmp_path / "vocab.bpe"
    merges.write_text("\n".join([lines[0], lines[2], lines[1], *lines[3:]]), "utf-8")
    with pytest.raises(AdaptlabError, match="gives other ids than the merges"):
        BPE.from_gpt2_files(encoder, merges)
    with pytest.raises(AdaptlabError, match="not a tokenizer in GPT-2's format"):
        BPE.from_gpt2_files(merges, encoder)


# Nothing is lost


@settings(deadline=None)
@given(text=st.text())
def test_text_comes_back(bpe, text):
    assert bpe.decode(bpe.encode(text)) == text
    assert bpe.decode(bpe.encode(text, special=True)) == text


@settings(deadline=None)
@given(data=st.binary())
def test_bytes_come_back(bpe, data):
    assert b"".join(split(data)) == data
    assert bpe.decode_bytes(bpe.encode_bytes(data)) == data


@settings(deadline=None)
@given(text=st.text(min_size=1))
def test_characters_come_back(text):
    tokenizer = CharTokenizer.train(text)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert set(ids) == set(range(tokenizer.vocab_size))


def test_half_a_character_decodes_to_the_replacement_character(gpt2):
    assert gpt2.decode(gpt2.encode("𝄞")[:1]) == "\ufffd"


# Training


def test_the_module_s_example():
    bpe = BPE.train("the theme then", 259)
    assert bpe.vocabulary[256:] == (b"he", b"the", b" the")
    assert bpe.encode("the theme then") == [257, 258, ord("m"), ord("e"), 258, ord("n")]


def test_each_merge_is_the_commonest_pair_of_what_is_left(shakespeare):
    """Replayed on the bytes of the whole text, counted anew before each merge."""
    text = shakespeare[:5_000] + "aaaaaaa aaaa aaa" * 20 + "naïve 東京東京 👍🏽" * 10
    bpe = BPE.train(text, 356)
    words = [[bytes([byte]) for byte in word] for word in split(text.encode())]
    ids = {token: i for i, token in enumerate(bpe.vocabulary)}
    for left, right in bpe.merges:
        counts = Counter(pair for word in words for pair in pairwise(word))
        tied = [pair for pair, n in counts.items() if n == max(counts.values())]
        chosen = bpe.vocabulary[left], bpe.vocabulary[right]
        assert chosen == min(tied, key=lambda pair: (ids[pair[0]], ids[pair[1]]))
        words = [merged(word, chosen) for word in words]
    same = [ids[token] for word in words for token in word] == bpe.encode(text)
    assert same


def merged(word: list[bytes], pair: tuple[bytes, bytes]) -> list[bytes]:
    for i, at in enumerate(pairwise(word)):
        if at == pair:
            return [*word[:i], b"".join(pair), *merged(word[i + 2 :], pair)]
    return word


def test_training_finds_the_merges_that_tokenizers_finds(shakespeare):
    """Both take the smallest ids of equally common pairs, so the ids of bytes must be the same:

    `tokenizers` gives them in the order of their symbols, as GPT-2 does.
    """
    text = shakespeare[:300_000] + "naïve façade, 東京東京, один, два 👍🏽👍🏽\t\n\n" * 50
    theirs = Tokenizer(ReferenceBPE())
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=256 + 1000, initial_alphabet=alphabet, show_progress=False
    )
    theirs.train_from_iterator([text], trainer)

    symbols = byte_symbols()
    assert set(symbols) == set(alphabet)
    order = sorted(range(256), key=symbols.__getitem__)
    id_of_byte = bytes(order.index(byte) for byte in range(256))
    words = Counter(word.translate(id_of_byte) for word in split(text.encode()))
    ours = BPE.from_merges(learn_merges(words, 1000), alphabet=order)

    named = ["".join(symbols[byte] for byte in token) for token in ours.vocabulary]
    pairs = [[named[left], named[right]] for left, right in ours.merges]
    for pair, expected in zip(pairs, json.loads(theirs.to_str())["model"]["merges"], strict=True):
        assert pair == expected
    same = ours.encode(shakespeare[500_000:]) == theirs.encode(shakespeare[500_000:]).ids
    assert same


def test_special_tokens_part_the_text_and_the_longest_counts():
    bpe = BPE.train("ab<s>ab<s>ab", 258, specials=["<s>"])
    assert bpe.vocabulary[256:] == (b"ab", b"<s>")
    assert bpe.encode("ab<s>", special=True) == [256, 257]
    assert bpe.encode("ab<s>") == [256, ord("<"), ord("s"), ord(">")]

    longest = BPE.from_merges([], specials=["<a", "<a>", "."])
    assert longest.encode("<a><a.x", special=True) == [257, 256, 258, ord("x")]


def test_a_saved_tokenizer_is_the_same(bpe, tmp_path):
    bpe.save(tmp_path / "bpe.json")
    assert BPE.load(tmp_path / "bpe.json") == bpe


def test_a_text_too_small_says_how_far_it_went():
    with pytest.raises(AdaptlabError, match="no pair is left after 2 of 44 merges"):
        BPE.train("abc", 300)


def test_a_vocabulary_must_hold_the_bytes():
    assert BPE.train("", 256).encode("a") == [97]
    with pytest.raises(AdaptlabError, match="a vocabulary of 256 is too small"):
        BPE.train("text", 256, specials=[END_OF_TEXT])


@pytest.mark.parametrize("i", [-1, 401])
def test_an_id_outside_the_vocabulary_is_named(trained, i):
    with pytest.raises(AdaptlabError, match=f"id {i} is outside the vocabulary of 400 tokens"):
        trained.decode([i])
    with pytest.raises(AdaptlabError, match=f"id {i} is outside the vocabulary of 3 tokens"):
        CharTokenizer("abc").decode([i])


def test_merges_must_follow_from_one_another():
    with pytest.raises(AdaptlabError, match=r"\(97, 300\) cannot be the merge that makes id 256"):
        BPE.from_merges([(97, 300)])
    with pytest.raises(AdaptlabError, match="makes id 257"):
        BPE.from_merges([(97, 98), (97, 98)])
    with pytest.raises(AdaptlabError, match="each of the 256 bytes once"):
        BPE.from_merges([], alphabet=range(255))
    with pytest.raises(AdaptlabError, match="distinct and not empty"):
        BPE.from_merges([], specials=["<s>", "<s>"])


def test_a_file_that_is_no_tokenizer_is_named(tmp_path):
    (tmp_path / "other.json").write_text('{"merges": 3}')
    for name in ("missing.json", "other.json"):
        with pytest.raises(AdaptlabError, match=f"cannot read a tokenizer from .*{name}"):
            BPE.load(tmp_path / name)


def test_a_lone_surrogate_is_refused(trained):
    with pytest.raises(AdaptlabError, match="character 1 of the text is a lone surrogate"):
        trained.encode("a\ud800")


def test_characters_name_what_they_do_not_know():
    with pytest.raises(AdaptlabError, match=r"character 'ß' \(U\+00DF\) is not among the 3"):
        CharTokenizer("abc").encode("aß")
    with pytest.raises(AdaptlabError, match="no text"):
        CharTokenizer.train("")
