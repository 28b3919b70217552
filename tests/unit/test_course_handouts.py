"""Handouts: a page in a file of its own, opened in a real browser that must ask no host."""

import base64
import json
import os
import shutil
import subprocess
from html.parser import HTMLParser

import nbformat
import pytest
from course_fakes import code, exercise, notebook, save, text
from PIL import Image

from adaptlab.course.handouts import write_handouts
from adaptlab.errors import AdaptlabError

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
FORMULA = "A formula $e^{i\\pi}$ and\n\n$$\\sum_{i=1}^{n} \\frac{x_i}{n} = \\frac{1}{2}$$"


@pytest.fixture
def built(tmp_path):
    """A folder of masters and one of executed notebooks, with one of each."""
    node = notebook(
        [
            text(FORMULA),
            code("plot()"),
            text("| method | score |\n|---|---|\n| LoRA | 0.86 |"),
            code("print('a result')"),
            *exercise(),
        ]
    )
    save(node, tmp_path / "notebooks" / "00_tiny.ipynb")
    output = nbformat.v4.new_output
    node.cells[5].outputs = [
        output("stream", name="stderr", text="a warning"),
        output("display_data", data={"image/png": figure(tmp_path), "text/plain": "<Figure>"}),
    ]
    node.cells[7].outputs = [output("stream", text="a result\n")]
    node.cells[-1].outputs = [output("stream", text="Exercise 1: right.\n")]
    node.metadata.papermill = {
        "parameters": {"profile": "smoke"},
        "end_time": "2026-03-04T05:06:07+00:00",
    }
    save(node, tmp_path / "build" / "00_tiny.ipynb")
    return tmp_path


def figure(folder):
    """A picture as matplotlib leaves it in a notebook: base64 of a PNG."""
    Image.new("RGB", (320, 200), "navy").save(folder / "figure.png")
    return base64.b64encode((folder / "figure.png").read_bytes()).decode()


def write(built):
    return write_handouts("smoke", folder=built / "notebooks", out=built / "build")


def test_what_is_written_and_when(built):
    names = {"00_tiny.html", "00_tiny.solved.html", "00_tiny.student.ipynb", "00_tiny.solved.ipynb"}
    assert {path.name for path in write(built)} == names
    assert write(built) == []
    executed = built / "build" / "00_tiny.ipynb"
    later = executed.stat().st_mtime + 60
    os.utime(executed, (later, later))
    assert {path.name for path in write(built)} == names


def test_only_executed_notebooks_have_handouts(built):
    (built / "build" / "00_tiny.ipynb").unlink()
    assert write(built) == []


def test_unknown_names(built):
    with pytest.raises(AdaptlabError, match="unknown profile"):
        write_handouts("cpus", folder=built / "notebooks", out=built / "build")
    with pytest.raises(AdaptlabError, match="unknown notebook"):
        write_handouts("cpu", only="01", folder=built / "notebooks", out=built / "build")


def test_a_bad_formula_names_the_notebook(built):
    path = built / "build" / "00_tiny.ipynb"
    path.write_text(path.read_text().replace("\\\\pi", "\\\\nosuch"))
    with pytest.raises(AdaptlabError, match=r"00_tiny\.ipynb: cannot typeset .*nosuch"):
        write(built)


class Loads(HTMLParser):
    """Collects what a browser would load for a page, beyond the page itself."""

    def __init__(self):
        super().__init__()
        self.found, self.tags = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "srcset", "data", "poster", "background") or (
                tag == "link" and name == "href"
            ):
                self.found += [] if (value or "").startswith("data:") else [f"{tag} {value}"]
            if name == "style" and "url(" in (value or ""):
                self.found.append(value)


@pytest.fixture
def pages(built):
    write(built)
    out = built / "build"
    return {form: (out / f"00_tiny{form}.html").read_text() for form in ("", ".solved")}


@pytest.mark.parametrize("form", ["", ".solved"])
def test_the_file_is_whole(pages, form):
    loads = Loads()
    loads.feed(pages[form])
    assert loads.found == []
    assert not {"script", "link", "iframe"} & set(loads.tags)
    assert "url(http" not in pages[form]
    assert loads.tags.count("math") == 2
    assert '<html lang="en">' in pages[form]
    assert 'name="viewport"' in pages[form]
    assert "<title>A tiny notebook | Adapting LLMs</title>" in pages[form]
    assert "4 March 2026" in pages[form]
    assert "profile smoke" in pages[form]
    assert "a result" in pages[form]
    assert "a warning" not in pages[form]


def test_student_and_solved_pages(pages):
    assert "NotImplementedError" in pages[""]
    assert "right." not in pages[""]
    assert "Solution" not in pages[""]
    assert "NotImplementedError" not in pages[".solved"]
    assert "Exercise 1: right." in pages[".solved"]
    assert "with solutions" in pages[".solved"]


FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # a request would fail, and be logged all the same
]


def browse(page, folder, *flags):
    """Open a page in a headless browser that can reach no host; what it printed."""
    command = [BROWSER, *FLAGS, f"--user-data-dir={folder / 'browser'}", *flags, page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


def requests(page, folder):
    """The addresses at hosts that `page` makes the browser ask for, from the browser's own log.

    What a browser asks for on its own account (updates, the time) has "not an origin" there.
    """
    log = folder / "net.json"
    browse(page, folder, f"--log-net-log={log}", "--dump-dom")
    asked = [event.get("params", {}) for event in json.loads(log.read_text())["events"]]
    by_page = [
        facts for facts in asked if facts.get("initiator", "not an origin") != "not an origin"
    ]
    return {facts["url"] for facts in by_page if not facts["url"].startswith(("file:", "data:"))}


@pytest.mark.skipif(BROWSER is None, reason=f"no browser found: none of {', '.join(NAMES)}")
class TestBrowser:
    @pytest.fixture
    def page(self, built):
        write(built)
        return built / "build" / "00_tiny.html"

    def test_it_asks_no_host(self, page, tmp_path):
        assert requests(page, tmp_path) == set()

    def test_the_log_would_show_a_request(self, page, tmp_path):
        asks = '<img src="http://a.test/x"><link rel="stylesheet" href="https://b.test/y">'
        page.write_text(page.read_text().replace("<main>", f"<main>{asks}"))
        assert requests(page, tmp_path) == {"http://a.test/x", "https://b.test/y"}

    @pytest.mark.parametrize("width", [1280, 500])
    def test_formulas_are_laid_out_and_nothing_spills(self, page, tmp_path, width):
        measure = """<script>
        const formulas = [...document.querySelectorAll("math")];
        const heights = formulas.map(formula => formula.getBoundingClientRect().height);
        document.title = JSON.stringify([heights, document.documentElement.scrollWidth,
                                         document.querySelector("img").naturalWidth]);
        </script></body>"""
        page.write_text(page.read_text().replace("</body>", measure))
        dom = browse(page, tmp_path, f"--window-size={width},900", "--dump-dom")
        title = dom.partition("<title>")[2].partition("</title>")[0]
        (inline, displayed), spread, figure_width = json.loads(title)
        assert inline > 10
        assert displayed > 1.5 * inline, "a fraction is taller than a line"
        assert spread <= width
        assert figure_width == 320, "the figure is there"

    def test_a_screenshot_shows_something(self, page, tmp_path):
        shot = tmp_path / "shot.png"
        browse(page, tmp_path, "--window-size=1000,1400", f"--screenshot={shot}")
        picture = Image.open(shot).convert("RGB")
        colours = {colour: count for count, colour in picture.getcolors(2**24)}
        assert colours.get((0, 0, 128), 0) > 320 * 150, "the navy figure"
        dark = sum(count for colour, count in colours.items() if max(colour) < 100)
        assert dark > 5000, "text"
