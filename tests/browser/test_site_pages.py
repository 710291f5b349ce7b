"""The docs site in a real browser, opened as files: the search answers to the keyboard, the table filters, the drawing keeps its names."""

import pytest

from catalogue import rendered


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    for name, text in rendered.pages().items():
        (folder / name).write_text(text, "utf-8")
    return folder


def answers(chromium):
    return chromium.run(
        "return [...document.querySelectorAll('dialog.search li a')].map((a) => a.getAttribute('href'))"
    )


def test_search_opens_by_a_key_and_leads_to_the_page(chromium, site):
    chromium.open(site / "index.html")
    assert chromium.run("return document.querySelector('dialog.search').open") is False
    chromium.key("/", "/")
    assert chromium.run("return document.querySelector('dialog.search').open") is True
    for letter in "info nce":
        chromium.key(letter, letter)
    found = answers(chromium)
    assert found[0] == "objectives.info_nce.html"
    chromium.key("ArrowDown")
    assert chromium.run("return document.querySelector('li.chosen a').getAttribute('href')") == found[1]
    chromium.key("Enter")
    assert chromium.run("return location.pathname.split('/').pop()") == found[1]
    assert chromium.messages() == []


def test_nothing_comes_from_elsewhere(chromium, site):
    chromium.open(site / "recipes.decoupled_views.html", dark=True)
    assert all(address.startswith(site.as_uri()) for address in chromium.requests())
    assert chromium.messages() == []


def test_the_systems_are_filtered(chromium, site):
    chromium.open(site / "systems.html")
    shown = (
        "return [...document.querySelectorAll('#systems tbody tr')].filter((row) => !row.hidden).map((row) => row.id)"
    )
    assert len(chromium.run(shown)) == 256
    chromium.run("document.querySelector('input.filter').focus()")
    for letter in "intrusion":
        chromium.key(letter, letter)
    assert "s012" in chromium.run(shown)
    assert len(chromium.run(shown)) < 10


@pytest.mark.parametrize(
    "page", ["recipes.decoupled_views.html", "shared-parts.html", "page.benchmarks.html", "systems.html"]
)
def test_a_narrow_screen_needs_no_sideways_scrolling(chromium, site, page):
    chromium.open(site / page, width=380)
    assert chromium.run("return document.documentElement.scrollWidth") <= 380
    assert chromium.run("return document.querySelector('nav details').open") is False


def test_rows_of_the_drawing_stand_beside_their_names(chromium, site):
    chromium.open(site / "shared-parts.html")
    gaps = chromium.run(
        "const tops = (s) => [...document.querySelectorAll(s)].map((e) => e.getBoundingClientRect()).map((b) => b.y + b.height / 2);"
        "const names = tops('.down text'), dots = tops('.body circle'); return dots.map((d) => Math.min(...names.map((n) => Math.abs(n - d))))"
    )
    assert gaps
    assert max(gaps) < 4
