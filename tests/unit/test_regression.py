"""Two runs compared: counts and tests worked out by hand, the page read by a parser."""

import dataclasses
import re
from html.parser import HTMLParser
from math import comb, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adaptlab.errors import AdaptlabError
from adaptlab.prompting.suite_run import Outcome, SuiteRun, digest
from adaptlab.report.regression_page import changes_table, page, summary_table, write_page
from adaptlab.scoreboard.regression import compare
from tests.suite_fakes import scripted_run

WANTED = {f"thing {i:02}": "small" for i in range(12)}
HOSTILE = "<script>alert('x')</script></pre></td></table><!-- | ` **b** & &lt; \x00\x1b[31m\r\n end"
TAGS = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "pre", "span", "ins"}
TAGS |= {"del", "table", "thead", "tbody", "tr", "th", "td"}


def said(wrong) -> dict[str, str]:
    return {name: "huge" if int(name[-2:]) in wrong else "small" for name in WANTED}


@pytest.fixture
def runs(tmp_path):
    """Wrong before are 0 to 5 and 11, wrong after 7 and 11: 6 fixed, 1 broken."""
    before = scripted_run(tmp_path, 1, said({0, 1, 2, 3, 4, 5, 11}), WANTED)
    return before, scripted_run(tmp_path, 2, said({7, 11}), WANTED)


def test_every_case_is_of_one_kind_and_the_broken_come_first(runs):
    found = compare(*runs)
    assert found.counts == {"broken": 1, "fixed": 6, "still wrong": 1, "still right": 4}
    names = [int(change.id[-2:]) for change in found.changes]
    assert names == [7, 0, 1, 2, 3, 4, 5, 11, 6, 8, 9, 10]
    assert found.changes[0].before.outputs == ("small",)
    assert found.changes[0].after.outputs == ("huge",)


def test_rates_and_p_are_those_worked_out_by_hand(runs):
    """Wilson (1927); McNemar: of 7 cases that changed, 1 or fewer, or 6 or more, were broken."""
    found = compare(*runs)
    for rate, right in zip(found.rates, (5, 10), strict=True):
        p, n, z = right / 12, 12, 1.959964
        middle, half = p + z**2 / (2 * n), z * sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        assert rate.value == pytest.approx(p)
        assert rate.low == pytest.approx((middle - half) / (1 + z**2 / n))
        assert rate.high == pytest.approx((middle + half) / (1 + z**2 / n))
    assert found.difference.value == pytest.approx(5 / 12)
    assert found.difference.low < 5 / 12 < found.difference.high
    assert found.difference.p == pytest.approx(2 * (comb(7, 0) + comb(7, 1)) / 2**7)
    back = compare(*runs[::-1])
    assert back.difference.value == pytest.approx(-5 / 12)
    assert back.counts["broken"] == 6
    assert "sizes v1 to v2 on fake, 12 cases: 41.7%" in str(found)
    assert "p = 0.12; 1 broken, 6 fixed, 1 still wrong, 4 still right" in str(found)


def test_a_run_against_itself_changes_nothing(runs):
    found = compare(runs[0], runs[0])
    assert found.counts == {"broken": 0, "fixed": 0, "still wrong": 7, "still right": 5}
    assert (found.difference.value, found.difference.p) == (0, 1)
    assert "Nothing: both runs are of the same prompt." in page(found)


def test_the_order_of_the_cases_does_not_matter(runs):
    before, after = runs
    turned = dataclasses.replace(before, outcomes=before.outcomes[::-1])
    assert compare(turned, after).changes == compare(before, after).changes


def test_what_cannot_be_compared_is_refused(tmp_path, runs):
    before, after = runs
    other = dataclasses.replace(after, model="other")
    with pytest.raises(AdaptlabError, match="different models, 'fake' and 'other'"):
        compare(before, other)
    stricter = scripted_run(tmp_path, 2, said({}), WANTED | {"thing 00": "tiny"})
    with pytest.raises(AdaptlabError, match="of different cases"):
        compare(before, stricter)
    fewer = dataclasses.replace(after, outcomes=after.outcomes[1:])
    with pytest.raises(AdaptlabError, match="different cases"):
        compare(before, fewer)


class Reader(HTMLParser):
    """The page as a tree flattened: texts by the elements around them; complains if unbalanced."""

    def __init__(self, markup: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.rows: list[list[str]] = []
        self.lines: list[list[str]] = []
        self.title = ""
        self.feed(markup)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag != "meta":
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag in ("ins", "del", "span"):
            self.lines.append([tag, ""])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] == ["title"]:
            self.title += data
        elif self.open and self.open[-1] in ("ins", "del", "span"):
            self.lines[-1][1] += data
        elif {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data

    def handle_comment(self, data):
        raise AssertionError("a comment")


def with_hostile_texts(run, tmp_path):
    """The run, had the prompt, an input, an answer and a reason been written to break the page."""
    first = run.outcomes[0]
    bad = Outcome(
        id='<b id="x">',
        input=HOSTILE,
        expected=(f"equals {HOSTILE}",),
        outputs=(HOSTILE, f"\n{HOSTILE}"),
        failures=((), (HOSTILE,)),
        passed=first.passed,
        tokens=1,
    )
    prompt = run.prompt + f"# {HOSTILE}\n"
    return dataclasses.replace(
        run,
        name="</title><script>",
        prompt=prompt,
        prompt_hash=digest(prompt),
        outcomes=(bad, *run.outcomes[1:]),
    )


def test_the_page_holds_every_case_once_and_hostile_texts_as_text(runs, tmp_path):
    before, after = (with_hostile_texts(run, tmp_path) for run in runs)
    markup = page(compare(before, after))
    read = Reader(markup)
    assert {tag for tag, _ in read.tags} <= TAGS
    assert not [name for _, have in read.tags for name in have if name.startswith("on")]
    assert "http:" not in markup
    assert "https:" not in markup
    assert "url(" not in markup
    assert read.title == "</title><script>: version 1 to 2"
    rows = [row for row in read.rows if len(row) == 6][1:]  # less the heading
    assert sorted(row[1] for row in rows) == sorted(each.id for each in after.outcomes)
    (bad,) = (row for row in rows if row[1] == '<b id="x">')
    shown = HOSTILE.replace("\x00", "␀").replace("\x1b", "␛").replace("\r", "␍")
    assert bad[2].strip("\n") == shown
    assert bad[3].strip("\n") == f"equals {shown}"
    assert bad[4].count(shown) == bad[5].count(shown) == 3  # two answers, one reason
    assert [row[0][2:] for row in rows] == ["broken"] + ["fixed"] * 6 + ["still wrong"] + [
        "still right"
    ] * 4


def test_the_page_says_what_was_run(runs):
    before, after = runs
    before = dataclasses.replace(before, cached=3, cost=1.5)
    markup = page(compare(before, after))
    text = " ".join(" ".join(row) for row in Reader(markup).rows)
    assert "5 of 12" in text
    assert "10 of 12" in text
    assert before.prompt_hash in text
    assert "1.5" in text
    for part in ("Model fake", after.cases_hash, "Up to 3 answers came from a cache", "p = 0.12"):
        assert part in markup
    assert "1 broken, 6 fixed, 1 still wrong, 4 still right" in markup


LINES = st.lists(st.sampled_from(["a", "b", "--- c", "+++", "@@", "", "<ins>", " x"]), max_size=8)


def run_of(prompt: str) -> SuiteRun:
    one = Outcome("a", "A", ('equals "x"',), ("x",), ((),), True, 1)
    return SuiteRun("toy", 1, prompt, digest(prompt), "0", "fake", "today", 1.0, 1, 0.0, 0, (one,))


@given(LINES, LINES)
def test_both_prompts_can_be_read_from_the_diff(old, new):
    markup = page(compare(run_of("\n".join(old) + "\n"), run_of("\n".join(new) + "\n")))
    assert ("Nothing: both" in markup) == ((old or [""]) == (new or [""]))
    lines = Reader(markup).lines
    for tag, wanted in (("del", old), ("ins", new)):
        kept = [text[2:] for name, text in lines if name in (tag, "span")]
        assert kept == (wanted or [""]) or "Nothing: both" in markup
    assert {text[0] for name, text in lines if name == "ins"} <= {"+"}
    assert {text[0] for name, text in lines if name == "del"} <= {"−"}


def test_the_page_is_written_whole_even_with_half_characters(runs, tmp_path):
    before, after = runs
    odd = dataclasses.replace(after.outcomes[0], input="\ud800")
    after = dataclasses.replace(after, outcomes=(odd, *after.outcomes[1:]))
    file = write_page(compare(before, after), tmp_path / "page.html")
    assert "&#55296;" in file.read_text(encoding="utf-8")
    with pytest.raises(AdaptlabError, match="cannot write"):
        write_page(compare(before, after), tmp_path / "none" / "page.html")


def test_tables_for_a_notebook(runs, tmp_path):
    before, after = (with_hostile_texts(run, tmp_path) for run in runs)
    found = compare(before, after)
    lines = changes_table(found, width=30).data.splitlines()
    assert len(lines) == 2 + 12
    assert {len(re.findall(r"\|", line)) for line in lines} == {7}
    assert "<" not in "".join(lines)
    assert lines[2] == "| thing 07 | − broken | the thing 07 | small | huge | equals: not 'small' |"
    told = summary_table(found).data
    assert "| v1 | 5 of 12 | 41.7% [" in told
    assert "1 broken, 6 fixed" in told
    assert "p = 0.12" in told
