"""The report: one safe file that says what it was given. No browser is needed to know that."""

from __future__ import annotations

import os
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from nearfar.core.errors import ResourceError
from nearfar.probes.similarity_histogram import SimilarityHistogram
from nearfar.probes.statistics import Interval, paired
from nearfar.report.figures import smoothed
from nearfar.report.highlight import highlighted
from nearfar.report.page import render, write
from nearfar.report.sections import (
    Comparison,
    Curve,
    Difference,
    Histogram,
    Hit,
    Report,
    Search,
    Searches,
    Table,
)

EVIL = "<script>alert('x')</script><img src=x onerror=alert(1)>\" onload=\"alert(2) $a_1$ & \x00 \ud800"
VOID = {"meta", "link", "img", "br", "hr", "input", "circle", "path"}


class Page(HTMLParser):
    """Tags, attributes and visible text; fails on tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.open = "", []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def histogram(shift: int) -> SimilarityHistogram:
    counts = [0] * 200
    for i in range(20):
        counts[120 + i] = 20 - i
    edges, positives = np.linspace(-1, 1, 201).tolist(), np.roll(counts, shift).tolist()
    return SimilarityHistogram(tuple(edges), tuple(positives), tuple(counts))


def full(word: str) -> Report:
    """A report with every kind of section and `word` wherever text goes."""
    rival = np.linspace(0, 1, 50)
    difference = Difference(word, "BM25", paired(rival + 0.1, rival), word)
    systems = {word: Interval(0.55, 0.53, 0.57), "BM25": Interval(0.44, 0.42, 0.46)}
    hits = [Hit(word, word, word, 0.9, True), Hit(word, word, word, -0.1, language=word)]
    return Report(
        title=word,
        subtitle=word,
        verdict=word,
        good=True,
        facts={word: word, "pairs": 41_000},
        sections=[
            Curve(word, range(50), np.linspace(6, 1, 50).tolist(), 6.9, {word: ([0, 49], [0.1, 0.5])}, word, word),
            Histogram(word, {word: histogram(0), "after": histogram(30)}, word),
            Comparison(word, {word: systems, "recall@10": systems}, [difference], word, word),
            Searches(word, [Search(word, hits)], word),
            Table(word, [word, "n"], [[word, 1], ["b", 2.5]], word),
        ],
        footer=word,
    )


@cache
def page_of(word: str) -> str:
    """Drawing takes about a second, so tests share their pages."""
    return render(full(word))


def active(page: Page) -> list[str]:
    """Whatever could run or load something."""
    found = [tag for tag, _ in page.tags if tag in {"script", "img", "iframe", "object", "embed", "base", "form"}]
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            outside = name in {"src", "href", "xlink:href"} and not (value or "").startswith(("#", "data:,"))
            if name.startswith("on") or outside:
                found.append(f"{tag} {name}")
    return found


def test_hostile_text_is_shown_and_never_markup():
    page = Page(page_of(EVIL))
    assert active(page) == []
    assert page.text.count("<script>alert('x')</script>") >= 15
    bad = page_of("calm").replace("calm", EVIL)  # what a renderer that forgets to escape writes
    assert {"script", "img"} <= set(active(Page(bad)))


def test_the_page_needs_nothing_from_outside():
    text = page_of("calm")
    assert "default-src 'none'" in text
    links = set(re.findall(r"(?:https?:)?//[\w.]+", text))
    assert links <= {"http://www.w3.org"}  # a namespace, not an address
    assert not re.search(r"@import|url\((?!#)", text)


def test_colours_come_from_the_page():
    text = page_of("calm")
    drawings = "".join(re.findall(r"<svg viewBox.*?</svg>", text, flags=re.S))
    assert set(re.findall(r"var\(--(\w+)\)", drawings)) >= {"ink", "muted", "rule", "near", "far"}
    assert not re.findall(r"(?:fill|stroke): ?#\w+", drawings)  # a fixed colour would vanish in light or in dark
    assert "prefers-color-scheme: dark" in text


def test_ids_are_unique_and_references_resolve():
    text = page_of("calm")
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text)) <= set(ids)
    assert len(set(re.findall(r'href="#([^"]+)"', text))) > 3


def test_it_says_what_it_was_given():
    page = Page(page_of("calm"))
    for words in (
        "41,000",
        "0.550 0.530 to 0.570",
        "chance: 6.90",
        "calm is better than BM25 (+0.100",
        "2.5",
    ):
        assert words in page.text
    assert "\u22120.100" not in page.text  # the sign of a gain must not turn
    assert "Figure 3." in page.text
    assert "Figure 4." not in page.text


def test_the_same_report_gives_the_same_bytes():
    assert page_of("calm") == render(full("calm"))
    assert page_of("calm") != page_of(EVIL)


def test_a_large_report_stays_small():
    code = "\n".join(f"value_{i} = compute({i}, '{'x' * 5_000}')" for i in range(5_000))
    losses = np.random.default_rng(0).random(200_000).tolist()
    report = Report(
        "Large",
        sections=[
            Curve("curve", range(200_000), losses),
            Searches("searches", [Search("q" * 100_000, [Hit("t", "w", code, 0.5)] * 5)] * 3),
            Table("table", ["a"], [[i] for i in range(100_000)]),
        ],
    )
    text = render(report)
    assert len(text.encode()) < 1_000_000
    assert "4960 more lines" in text
    assert "99,800 more rows" in text


def test_smoothing_does_not_lag_and_keeps_a_line():
    line = [10.0 - 0.1 * i for i in range(100)]
    assert smoothed(line)[:90] == pytest.approx(line[:90])
    trailing = [np.mean(line[max(0, i - 5) : i + 1]) for i in range(100)]
    assert trailing[:90] != pytest.approx(line[:90])  # the usual running mean lags
    assert smoothed([1.0]) == [1.0]
    assert smoothed([]) == []


def test_code_is_dedented_and_coloured():
    found = highlighted("\n    def f(x):\n        return '<b>'  # no\n")
    assert found.startswith('<span class="k">def</span> <span class="n">f</span>(x):\n    ')
    assert "&lt;b&gt;" in found
    assert highlighted("a < b", "no such language") == "a &lt; b"


def test_write_is_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = write(Report("first"), tmp_path / "new" / "report.html")
    before = path.read_bytes()
    assert b"<h1>first</h1>" in before

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(ResourceError, match="No space left") as caught:
        write(Report("second"), path)
    assert str(path) in caught.value.where
    assert path.read_bytes() == before  # writing in place would have left half a page
    monkeypatch.undo()
    assert write(Report("second"), path).read_bytes() != before
    assert "\ufffd" not in write(Report("plain"), path).read_text("utf-8")
    assert "half ? a letter" in write(Report("half \ud800 a letter"), path).read_text("utf-8")


def test_an_unwritable_place_is_an_error_of_ours(tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResourceError, match="cannot be written"):
        write(Report("x"), tmp_path / "file" / "report.html")


def test_other_scripts_and_long_names_render():
    name = "\u691c\u7d22 " * 40
    text = page_of(name)
    assert name in Page(text).text
    drawn = "".join(re.findall(r"<text.*?</text>", text))
    assert "\u691c\u7d22 \u691c\u7d22 " in drawn
    assert name not in drawn  # cut, so that the drawing keeps its room


def test_empty_sections_render():
    report = Report(
        "x",
        sections=[
            Curve("c", [], []),
            Comparison("m", {"MRR": {"a": Interval(0.0, 0.0, 0.0)}}),
            Histogram("h", {"a": histogram(0)}),
            Searches("s", [Search("q", [])]),
            Table("t", ["a"], []),
        ],
    )
    assert "No loss was recorded" in render(report)
