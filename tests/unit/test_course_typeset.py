"""Formulas become MathML, and nothing else does; a page holds nothing that loads."""

from pathlib import Path

import nbformat
import pytest

from adaptlab.course.fragments import overwritten, quiet, standing_alone
from adaptlab.course.typeset import latex, markdown, mathml
from adaptlab.errors import AdaptlabError

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    ("source", "formulas"),
    [
        ("with $x_i$ and $y$", 2),
        ("$$\n\\frac{a}{b} * c * d\n$$", 1),
        ("\\begin{aligned} a &= b \\\\ &= c \\end{aligned}", 1),
        ("| a |\n|---|\n| $x$ |", 1),
        ("`$x$` and ``$$y$$``", 0),
        ("```bash\necho $HOME $$ $x$\n```", 0),
        ("    indented $x$ code", 0),
        ("it costs \\$5 or \\$6", 0),
        ("it costs $5; `a $x` is code", 0),
    ],
)
def test_only_formulas_are_typeset(source, formulas):
    page = markdown(source, HERE)
    assert page.count("<math") == formulas
    assert ("$" in page) == (formulas == 0)


def test_limits_stand_below_in_display_only():
    assert "<munder>" in mathml(r"\max_W f", display=True)
    assert "<munder>" not in mathml(r"\max_W f")


@pytest.mark.parametrize("tex", [r"\frobnicate x", r"{", r"\operatorname*{arg\,max}_y"])
def test_what_cannot_be_typeset_is_an_error(tex):
    with pytest.raises(AdaptlabError, match="cannot typeset"):
        mathml(tex, display=True)


@pytest.mark.parametrize("source", ["$x$", "$$x$$", r"\frac{1}{2}"])
def test_latex_outputs(source):
    page = latex(source)
    assert page.count("<math") == 1
    assert "$" not in page


def test_a_local_image_comes_along(tmp_path):
    (tmp_path / "dot.png").write_bytes(b"png")
    page = standing_alone(markdown("![a dot](dot.png)", tmp_path))
    assert 'src="data:image/png;base64,' in page
    assert 'alt="a dot"' in page


def test_a_missing_image_is_an_error(tmp_path):
    with pytest.raises(AdaptlabError, match=r"'dot\.png' is not beside"):
        standing_alone(markdown("![a dot](dot.png)", tmp_path))


@pytest.mark.parametrize(
    ("fragment", "left"),
    [
        ('<a href="https://x.y"><img src="https://x.y/b.svg" alt="Open"/></a>', "Open</a>"),
        ('<script src="//x.y/z.js"></script><p>text</p>', "<p>text</p>"),
        ('<link href="https://x.y" rel="stylesheet"/><p>text</p>', "<p>text</p>"),
        ('<iframe src="https://x.y"></iframe>text', "text"),
        ("<style>@import 'https://x.y'; p { background: url(https://x.y) }</style>", "<style>"),
        ('<p style="background: url(//x.y/b.png)" onclick="go()">text</p>', "text"),
        ("<div><progress value='1'></progress>[1/2 00:03]</div><p>text</p>", "<p>text</p>"),
    ],
)
def test_nothing_loads(fragment, left):
    page = standing_alone(fragment)
    assert left in page
    for trace in ("//x.y/", "<img", "<script", "<link", "<iframe", "url(", "@import", "onclick"):
        assert trace not in page
    assert "00:03" not in page


def test_links_stay_and_notebooks_become_pages():
    page = standing_alone(
        '<a href="07_lora.ipynb#end">a</a><a href="https://x.y/07_lora.ipynb">b</a>'
    )
    assert 'href="07_lora.html#end"' in page
    assert 'href="https://x.y/07_lora.ipynb"' in page


def test_number_columns_are_marked():
    rows = "".join(
        f"<tr><td>{method}</td><td>{score}</td><td>{time}</td></tr>"
        for method, score, time in [("LoRA", "0.86 [0.83, 0.89]", "240 s"), ("probe", "—", "1e-3")]
    )
    page = standing_alone(f"<table><tr><th>m</th><th>acc</th><th>time</th></tr>{rows}</table>")
    assert page.count('class="num"') == 6
    assert "<td>LoRA</td>" in page


def test_terminal_debris_is_dropped():
    stream = nbformat.v4.new_output
    outputs = [
        stream("stream", name="stderr", text="warning"),
        stream("stream", name="stdout", text="10%\r50%\r100%\ndone\n"),
        stream("display_data", data={"application/vnd.jupyter.widget-view+json": {}}),
    ]
    (kept,) = quiet(outputs)
    assert kept.text == "100%\ndone\n"
    assert overwritten("a\r\nb") == "a\nb"
