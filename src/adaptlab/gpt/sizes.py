"""The sizes of GPT-1, GPT-2 and GPT-3: the published counts, and the counts of their shapes.

A decoder's parameters follow from its layers, width, vocabulary and context, so a published table
can be checked. Three places do not add up, and `readings` shows each both ways:

GPT-2   The paper prints 117M, 345M, 762M and 1542M. The released weights have 124M, 355M, 774M
        and 1558M; OpenAI's README says that the first counts "were wrong due to an error", not
        which. All four printed counts come out to the digit if the vocabulary is GPT-1's 40,478
        tokens in place of 50,257: our inference, not OpenAI's word.
GPT-3   13B: the width is printed as 5140, but 40 heads of 128 are 5120, and the finer count in
13B     the paper's own table D.1, 12,850M, is that of 5120; 5140 would give 12,953M.
GPT-3   XL: 24 heads of 128 are 3072, but the width is 2048. The count in table D.1, 1,320M, is
XL      that of attention as wide as the model, so 16 heads of 128 fit and 24 do not.
"""

from dataclasses import dataclass

GPT1_VOCABULARY = 40_478  # 40,000 merges, 478 characters
GPT2_VOCABULARY = 50_257  # 50,000 merges, 256 bytes, one end of text


def decoder_parameters(
    layers: int,
    width: int,
    vocab_size: int,
    context_length: int,
    *,
    attention_width: int | None = None,
    mlp_width: int | None = None,
    final_norm: bool = True,
) -> int:
    """How many numbers a GPT-2 style decoder learns: biases everywhere, head tied to embedding.

    With D the width, and attention and MLP as wide as usual, D and 4 D, it is
    layers (12 D^2 + 13 D) + (vocabulary + context) D + 2 D.

    attention_width: heads times head width; None: the width.
    mlp_width: width inside the MLP; None: four times the width.
    final_norm: GPT-1 has none: its two norms a block stand after the residual sums.
    """
    inner = attention_width or width
    hidden = mlp_width or 4 * width
    attention = 3 * (width * inner + inner) + inner * width + width  # queries, keys, values; output
    mlp = width * hidden + hidden + hidden * width + width  # up; down
    norm = 2 * width  # gain and shift
    embeddings = (vocab_size + context_length) * width  # tokens and positions
    return layers * (attention + mlp + 2 * norm) + embeddings + (norm if final_norm else 0)


@dataclass(frozen=True)
class Size:
    """One row of a published table. Counts of parameters are in millions, as printed."""

    name: str
    layers: int
    width: int  # as printed
    heads: int
    head_width: int  # as printed
    vocab_size: int
    context_length: int  # tokens
    printed: float  # millions of parameters, where the model was presented
    restated: float  # millions, by the same authors elsewhere (see SIZES)
    unit: float  # the last digit of `restated`, in millions
    batch_tokens: int  # tokens a batch
    learning_rate: float | None  # None: not published
    true_width: int | None = None  # where the printed one is a slip
    final_norm: bool = True

    @property
    def computed(self) -> int:
        """Parameters, from the shape: of the true width, and attention as wide as the model."""
        return self.count()

    def count(
        self,
        width: int | None = None,
        vocab_size: int | None = None,
        attention_width: int | None = None,
    ) -> int:
        """Parameters if the width, the vocabulary or the attention were another."""
        return decoder_parameters(
            self.layers,
            width or self.true_width or self.width,
            vocab_size or self.vocab_size,
            self.context_length,
            attention_width=attention_width,
            final_norm=self.final_norm,
        )

    def agreement(self, parameters: int) -> str:
        """Which published count it rounds to, at the restated one's last digit, if to either."""
        for name in ("restated", "printed"):
            if abs(parameters / 1e6 - getattr(self, name)) <= self.unit / 2:
                return name
        return "neither"


def gpt2(name: str, layers: int, width: int, heads: int, printed: int, restated: int) -> Size:
    shape = (layers, width, heads, width // heads, GPT2_VOCABULARY, 1024)
    return Size(name, *shape, printed, restated, 1, 512 * 1024, None)


def gpt3(
    name: str,
    shape: tuple[int, int, int, int],
    counts: tuple[float, float, float],
    batch_tokens: int,
    rate: float,
    true_width: int | None = None,
) -> Size:
    sizes = (*shape, GPT2_VOCABULARY, 2048)
    return Size(name, *sizes, *counts, batch_tokens, rate, true_width)


# GPT-1: Radford et al. (2018); its 117M became known with GPT-2.
# GPT-2: printed, Radford et al. (2019), table 2; restated, the README and names of the released
# models. Numbers of heads are from the released settings; the learning rates were not published.
# GPT-3: printed, Brown et al. (2020), table 2.1; restated, table D.1 of the same paper. Printed
# counts are names more than counts (350M for 356M, 175.0B for 174.6B). Batches of "0.5M" tokens.
SIZES = (
    Size(
        *("GPT-1", 12, 768, 12, 64, GPT1_VOCABULARY, 512, 117, 117, 1, 64 * 512, 2.5e-4),
        final_norm=False,
    ),
    gpt2("GPT-2 small", 12, 768, 12, 117, 124),
    gpt2("GPT-2 medium", 24, 1024, 16, 345, 355),
    gpt2("GPT-2 large", 36, 1280, 20, 762, 774),
    gpt2("GPT-2 XL", 48, 1600, 25, 1542, 1558),
    gpt3("GPT-3 Small", (12, 768, 12, 64), (125, 125, 1), 500_000, 6.0e-4),
    gpt3("GPT-3 Medium", (24, 1024, 16, 64), (350, 356, 1), 500_000, 3.0e-4),
    gpt3("GPT-3 Large", (24, 1536, 16, 96), (760, 760, 1), 500_000, 2.5e-4),
    gpt3("GPT-3 XL", (24, 2048, 24, 128), (1300, 1320, 10), 1_000_000, 2.0e-4),
    gpt3("GPT-3 2.7B", (32, 2560, 32, 80), (2700, 2650, 10), 1_000_000, 1.6e-4),
    gpt3("GPT-3 6.7B", (32, 4096, 32, 128), (6700, 6660, 10), 2_000_000, 1.2e-4),
    gpt3("GPT-3 13B", (40, 5140, 40, 128), (13_000, 12_850, 10), 2_000_000, 1.0e-4, 5120),
    gpt3("GPT-3 175B", (96, 12_288, 96, 128), (175_000, 174_600, 100), 3_200_000, 0.6e-4),
)


def size_rows() -> list[dict[str, object]]:
    """The published tables with our counts beside theirs, a row for each model of SIZES."""
    return [
        {
            "model": size.name,
            "layers": size.layers,
            "width": size.width,
            "heads": size.heads,
            "head width": size.head_width,
            "heads x head width": size.heads * size.head_width,
            "vocabulary": size.vocab_size,
            "context": size.context_length,
            "batch (tokens)": size.batch_tokens,
            "learning rate": size.learning_rate,
            "printed (M)": size.printed,
            "restated (M)": size.restated,
            "computed": size.computed,
            "agrees with": size.agreement(size.computed),
        }
        for size in SIZES
    ]


def readings() -> list[dict[str, object]]:
    """What does not add up in the published tables, read both ways: a row for each reading."""
    named = {size.name: size for size in SIZES}
    rows = []
    for size in SIZES:
        if size.name.startswith("GPT-2"):
            for vocabulary in (GPT1_VOCABULARY, GPT2_VOCABULARY):
                counted = size.count(vocab_size=vocabulary)
                rows.append(_reading(size, f"a vocabulary of {vocabulary:,}", counted))
    xl, large = named["GPT-3 XL"], named["GPT-3 13B"]
    attention = xl.heads * xl.head_width
    rows.append(_reading(xl, "16 heads of 128 = 2,048, the width", xl.computed))
    rows.append(_reading(xl, "24 heads of 128 = 3,072", xl.count(attention_width=attention)))
    rows.append(_reading(large, "width 5,120 = 40 heads of 128", large.computed))
    rows.append(_reading(large, "width 5,140, as printed", large.count(width=large.width)))
    return rows


def _reading(size: Size, reading: str, parameters: int) -> dict[str, object]:
    return {
        "model": size.name,
        "reading": reading,
        "computed": parameters,
        "printed (M)": size.printed,
        "restated (M)": size.restated,
        "agrees with": size.agreement(parameters),
    }
