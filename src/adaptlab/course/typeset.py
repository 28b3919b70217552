"""Markdown to HTML, with formulas as MathML: a browser lays them out without a script."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree

from latex2mathml.converter import convert
from nbconvert.filters.markdown_mistune import (
    IPythonRenderer,
    MarkdownWithMath,
    MathInlineParser,
)

from adaptlab.errors import AdaptlabError

XMLNS = ' xmlns="http://www.w3.org/1998/Math/MathML"'  # HTML knows <math> without it
BELOW = {"max", "min", "lim", "sup", "inf", "argmax", "argmin", "arg\u2009max", "arg\u2009min"}


def mathml(tex: str, display: bool = False) -> str:
    """The formula `tex` as a <math> element; `display` sets it on a line of its own.

    Raises AdaptlabError where a command is not understood: a page with a hole is worse.
    """
    # The converter knows these environments by one name only.
    known = re.sub(r"(\\(?:begin|end)){(?:aligned|split)}", r"\1{align*}", tex)
    try:
        element = convert(known, display="block" if display else "inline").replace(XMLNS, "")
        tree = ElementTree.fromstring(element)
    except Exception as error:  # the converter raises many kinds for a malformed formula
        reason = str(error) or type(error).__name__
        raise AdaptlabError(f"cannot typeset ${tex.strip()}$: {reason}") from error
    for hole in _holes(tree):
        raise AdaptlabError(f"cannot typeset ${tex.strip()}$: {hole}")
    if display:
        _put_limits_below(tree)
    return ElementTree.tostring(tree, encoding="unicode", short_empty_elements=False)


def _holes(tree: ElementTree.Element) -> Iterator[str]:
    """What the converter let through without understanding it."""
    for node in tree.iter():
        if (node.text or "").startswith("\\"):
            yield f"unknown command {node.text}"
        elif node.tag == "mo" and not node.text:
            yield "an operator came out empty"


def _put_limits_below(tree: ElementTree.Element) -> None:
    """In a displayed formula, what max, min and the like range over stands under them."""
    for node in tree.iter("msub"):
        if "".join(node[0].itertext()) in BELOW:
            node.tag = "munder"


class _Inline(MathInlineParser):
    """Inline formulas end at a backtick: `$` within a code span is only a dollar."""

    SPECIFICATION: ClassVar[dict[str, str]] = {
        **MathInlineParser.SPECIFICATION,
        "inline_math_tex": r"(?<![$\\])\$(?P<math_inline_tex>[^$`]+?)(?<!\\)\$(?!\$)",
    }


class _Renderer(IPythonRenderer):
    """The notebook's own Markdown dialect; only formulas are written differently."""

    def inline_math(self, body: str) -> str:
        return mathml(body)

    def block_math(self, body: str) -> str:
        return f'<span class="formula">{mathml(body, display=True)}</span>'

    def latex_environment(self, name: str, body: str) -> str:
        return self.block_math(rf"\begin{{{name}}}{body}\end{{{name}}}")


def markdown(source: str, folder: Path, attachments: Mapping | None = None) -> str:
    """Markdown as HTML. Images come in as data: those in `folder` and those in `attachments`.

    Raises AdaptlabError for a formula that cannot be typeset.
    """
    renderer = _Renderer(
        escape=False,
        embed_images=True,
        exclude_anchor_links=True,
        path=str(folder),
        attachments=dict(attachments or {}),
    )
    return MarkdownWithMath(renderer, inline=_Inline(hard_wrap=False)).render(source)


def latex(source: str) -> str:
    """A LaTeX output ($...$, $$...$$ or bare) as HTML. Raises AdaptlabError as `mathml` does."""
    body = source.strip()
    if body.startswith("$") and not body.startswith("$$"):
        return f"<p>{mathml(body.strip('$'))}</p>"
    return f'<p><span class="formula">{mathml(body.strip("$"), display=True)}</span></p>'
