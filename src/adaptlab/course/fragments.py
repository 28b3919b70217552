"""Pieces of a notebook's HTML, made fit for a page that stands alone and is read in a browser."""

import re

from bs4 import BeautifulSoup, Tag
from nbformat import NotebookNode

from adaptlab.errors import AdaptlabError

WIDGET = "application/vnd.jupyter.widget-view+json"
LOADERS = ["script", "link", "iframe", "object", "embed", "base", "audio", "video", "source"]
HOST = re.compile(r"\s*(?:[a-z]+:)?//", re.IGNORECASE)  # an address at a host
LOADING_CSS = re.compile(r"""@import[^;]*;?|url\(\s*["']?(?!data:|#)[^)]*\)""", re.IGNORECASE)
# Digits and signs, with at most a short unit behind: 0.87 [0.85, 0.89], 1e-3, 1,024 MB, a dash.
NUMBER = re.compile(r"[^A-Za-z]*\d(?:[^A-Za-z]|e[-+]?\d)*[A-Za-zµ]{0,3}|NaN|[-–—]?")
SPANS = ("colspan", "rowspan")  # with these, a cell's place in its row is not its column
SIBLING = re.compile(r"(\d\d_\w+)\.ipynb")  # another notebook of the course


def standing_alone(fragment: str) -> str:
    """`fragment` of HTML without what would load something: scripts, frames, far images.

    An image at a host becomes its alternative text (a badge within a link, a link in words).
    Progress bars are dropped, links to another notebook lead to its page, tables can scroll,
    and their numbers are marked as such. Raises AdaptlabError for an image that is missing.
    """
    soup = BeautifulSoup(fragment, "html.parser")
    for tag in soup(LOADERS):
        tag.decompose()
    for image in soup("img"):
        _bring_home(image)
    for tag in soup(True):
        _disarm(tag)
    for link in soup("a", href=SIBLING):
        if not HOST.match(link["href"]):
            link["href"] = SIBLING.sub(r"\1.html", link["href"])
    for bar in soup("progress"):
        (bar.parent if bar.parent and bar.parent.name == "div" else bar).decompose()
    for table in soup("table"):
        _mark_numbers(table)
        table.wrap(soup.new_tag("div", attrs={"class": "table"}))
    return str(soup)


def quiet(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """`outputs` without stderr and progress bars, and with lines as a terminal leaves them.

    What was printed in one go stands in one block, however many messages carried it.
    """
    kept: list[NotebookNode] = []
    for output in outputs:
        if output.output_type == "stream":
            if output.name == "stderr":
                continue
            if kept and kept[-1].output_type == "stream":
                kept[-1].text = overwritten(kept[-1].text + output.text)
                continue
            output.text = overwritten(output.text)
        elif WIDGET in output.get("data", {}):
            continue
        kept.append(output)
    return kept


def overwritten(text: str) -> str:
    """`text` as it stands on a screen after its carriage returns: the last word of each line."""
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return "\n".join(lines)


def _bring_home(image: Tag) -> None:
    source = image.get("src", "")
    if HOST.match(source):
        image.replace_with(image.get("alt") or "image")
        return
    if not source.startswith("data:"):
        raise AdaptlabError(f"the image {source!r} is not beside the notebook")
    image.attrs.pop("srcset", None)
    image.attrs.setdefault("alt", "")


def _disarm(tag: Tag) -> None:
    for name in [name for name in tag.attrs if name.startswith("on")]:
        del tag[name]
    if tag.name == "style":
        tag.string = LOADING_CSS.sub("", tag.string or "")
    elif "style" in tag.attrs:
        tag["style"] = LOADING_CSS.sub("", tag["style"])
    if HOST.match(tag.get("background", "")):
        del tag["background"]


def _mark_numbers(table: Tag) -> None:
    """Give the cells of number columns, their heads included, the class "num"."""
    rows = [row.find_all(["td", "th"]) for row in table("tr")]
    body = [row for row in rows if any(cell.name == "td" for cell in row)]
    if not body or any(cell.has_attr(span) for row in rows for cell in row for span in SPANS):
        return
    for column in range(min(map(len, body))):
        cells = [row[column] for row in body]
        texts = [cell.get_text().strip() for cell in cells]
        if any(texts) and all(NUMBER.fullmatch(text) for text in texts):
            for cell in cells + [row[column] for row in rows if len(row) > column]:
                cell["class"] = "num"
