"""The search page in a real browser, from a real server: typed into, clicked through, by keys alone, narrow, dark, attacked, left alone."""

import os
import re
import signal
import time
from pathlib import Path

import pytest

from server import served

TITLES = "return [...document.querySelectorAll('li.hit h3 > span:nth-child(2)')].map((e) => e.textContent)"
FOCUS = "const e = document.activeElement; return e.dataset.key ?? e.id"
SETTLED = "return document.querySelector('#count').textContent"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    evil = (
        "evil",
        {
            "name": served.EVIL,
            "file": "zoo/<b>.md",
            "line": 1,
            "colour": "<i>red</i>",
            "text": f"a hostile fox {served.EVIL}",
        },
    )
    here = tmp_path_factory.mktemp("search")
    for name, options in (("zoo", {"more": [evil]}), ("zoo-before", {"dimension": 48, "seed": 7, "more": [evil]})):
        (here / name).mkdir()
        served.built(here / name, **options)
    return here


@pytest.fixture(scope="module")
def server(folders):
    words = ("--beside", str(folders / "zoo-before"))
    with served.Process(folders / "zoo", *words, cwd=folders) as process:
        yield process


@pytest.fixture(scope="module")
def pictures():
    """Where screenshots are put, where NEARFAR_SCREENSHOTS names a folder: docs/search has those of the docs."""
    folder = os.environ.get("NEARFAR_SCREENSHOTS")
    return Path(folder) if folder else None


def shown(chromium, url, **options):
    """Open a search and wait for its answer and the map."""
    chromium.open(url, **options)
    asked = "q=" in url or "like=" in url
    chromium.until("return document.querySelector('#map-note').textContent")
    chromium.until("return document.querySelector(arguments[0])", "li.hit" if asked else ".example")
    chromium.settle()


def types(chromium, text):
    for letter in text:
        chromium.key(letter, letter)


def titles(chromium):
    return chromium.run(TITLES)


def well(chromium, server):
    """Nothing was complained of, and nobody else was asked."""
    assert chromium.messages() == []
    assert {url for url in chromium.requests() if not url.startswith(server.url)} == set()


def keep(chromium, pictures, name):
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
        chromium.screenshot(pictures / f"{name}.png")


def test_it_opens_with_examples_and_a_map(chromium, server):
    shown(chromium, server.url)
    assert chromium.run("return document.querySelectorAll('.example').length") == 3
    assert "121 records" in chromium.run("return document.body.innerText")
    assert chromium.run(FOCUS) == "query"
    example = chromium.run("const e = document.querySelector('.example'); e.click(); return e.textContent")
    chromium.until("return document.querySelector('li.hit')")
    assert chromium.run("return document.querySelector('#query').value") == example
    assert chromium.run("return new URLSearchParams(location.search).get('q')") == example
    well(chromium, server)


def test_search_as_you_type_drops_what_came_too_late(chromium, server):
    shown(chromium, server.url)
    types(chromium, "azure bea")
    chromium.until(
        "return document.querySelector('li.hit h3')?.textContent.includes('azure') || document.querySelector('li.hit h3')?.textContent.includes('beaver')"
    )
    assert any("beaver" in title for title in titles(chromium)[:5])  # the last word is unfinished
    chromium.run("document.querySelector('[data-mode=words]').click()")
    # An answer that is late must not take the place of a newer one.
    chromium.run("""
        const real = window.fetch;
        window.fetch = (url, options) => String(url).includes('q=olive+jaguar') && !String(url).includes('q=olive+jaguars')
          ? new Promise((done) => setTimeout(() => done(real(url, {...options, signal: undefined})), 500)) : real(url, options);
        const box = document.querySelector('#query');
        box.value = 'olive jaguar'; box.dispatchEvent(new Event('input'));
        setTimeout(() => { box.value = 'topaz turtle'; box.dispatchEvent(new Event('input')); }, 200);
    """)
    chromium.until("return document.querySelector('li.hit h3')?.textContent.includes('topaz turtle')")
    time.sleep(0.7)
    assert titles(chromium)[0] == "topaz turtle"
    well(chromium, server)


def test_filters_narrow_and_are_taken_away(chromium, server):
    shown(chromium, f"{server.url}/?q=beaver")
    assert len({title.split()[0] for title in titles(chromium)[:8]}) > 1
    chromium.run(
        "const s = document.querySelector('select[name=colour]'); s.value = 'colour=azure'; s.dispatchEvent(new Event('change'))"
    )
    chromium.until("return [...document.querySelectorAll('li.hit h3')].every((e) => e.textContent.includes('azure'))")
    assert chromium.run("return new URLSearchParams(location.search).getAll('where')") == ["colour=azure"]
    chromium.run("document.querySelector('#chosen .chip').click()")
    chromium.until("return [...document.querySelectorAll('li.hit h3')].some((e) => !e.textContent.includes('azure'))")
    chromium.run("[...document.querySelectorAll('li.hit .chip')].find((e) => e.textContent.includes('house')).click()")
    chromium.until("return [...document.querySelectorAll('li.hit h3')].every((e) => e.textContent.includes('beaver'))")
    chromium.run(
        "document.querySelector('#filter-text').value = 'nonsense'; document.querySelector('#filter-add').requestSubmit()"
    )
    chromium.until("return document.querySelector('#trouble').textContent.includes('has not the form')")
    # The browser notes the refusal by itself; nothing else was said.
    assert all("422" in message["message"] for message in chromium.messages())


def test_a_hit_opens_and_says_what_made_it_near(chromium, server, pictures):
    shown(chromium, f"{server.url}/?q=where+do+the+sea+glow+beavers+live")
    chromium.run("document.querySelector('li.hit[data-key=azure-beaver] .why').click()")
    words = chromium.until("return document.querySelector('li.hit[data-key=azure-beaver] .explained')?.innerText")
    assert re.search(r"cosine 0\.\d{3}, rank \d+ among the nearest", words)
    assert re.search(r"BM25 \d+\.\d{3}, rank 1 among those that hold the words", words)
    assert "beavers, glow, live, sea, the" in words
    parts = chromium.run(
        "return [...document.querySelectorAll('.explained .shaded')[1].querySelectorAll('.piece')].map((e) => [e.textContent.trim(), parseInt(e.style.getPropertyValue('--part')), e.className])"
    )
    strong = {text: part for text, part, name in parts if name == "piece to"}
    assert strong["beavers"] > strong.get("the", 0)
    assert (
        chromium.run(
            "return document.querySelector('li.hit[data-key=azure-beaver] .why').getAttribute('aria-expanded')"
        )
        == "true"
    )
    assert "open=azure-beaver" in chromium.run("return location.search")
    keep(chromium, pictures, "explained")
    chromium.run("document.querySelector('li.hit[data-key=azure-beaver] .why').click()")
    assert chromium.run("return document.querySelectorAll('.explained').length") == 0
    well(chromium, server)


def test_more_like_this_and_back(chromium, server):
    shown(chromium, f"{server.url}/?q=azure+beaver")
    before = titles(chromium)
    chromium.run("document.querySelector('li.hit[data-key=azure-beaver] .act:not(.why)').click()")
    chromium.until("return document.querySelector('#count').textContent.includes('like this one')")
    assert titles(chromium) != before
    assert "azure beaver" not in titles(chromium)
    assert "like=azure-beaver" in chromium.run("return location.search")
    chromium.run("history.back()")
    chromium.until(
        "return document.querySelector('#query').value === 'azure beaver' && document.querySelector('#count').textContent.includes('the best')"
    )
    assert titles(chromium) == before
    well(chromium, server)


def test_two_models_stand_beside_each_other(chromium, server, pictures):
    shown(chromium, f"{server.url}/?q=sea+glow+beavers&mode=near")
    chromium.run("document.querySelector('#compare').click()")
    chromium.until("return document.querySelectorAll('.column').length === 2")
    told = chromium.run(
        "return [...document.querySelectorAll('li.hit')].map((e) => [e.closest('.column').dataset.index, e.dataset.key, e.querySelector('.twin').textContent])"
    )
    ranks = {name: [key for index, key, _ in told if index == name] for name in ("zoo", "zoo-before")}
    assert ranks["zoo"] != ranks["zoo-before"]
    for index, key, words in told:
        name = "zoo-before" if index == "zoo" else "zoo"
        rank = ranks[name].index(key) + 1 if key in ranks[name] else None
        assert words == (f"rank {rank} in {name}" if rank else f"not among the 20 of {name}")
    shared = next(key for key in ranks["zoo"] if key in ranks["zoo-before"])
    chromium.run(
        "document.querySelector(`li.hit[data-key='${arguments[0]}']`).dispatchEvent(new PointerEvent('pointerenter'))",
        shared,
    )
    assert chromium.run("return document.querySelectorAll('li.hit.marked').length") == 2
    keep(chromium, pictures, "compared")
    well(chromium, server)


def test_the_keyboard_suffices(chromium, server):
    shown(chromium, server.url)
    chromium.run("document.activeElement.blur()")
    chromium.key("/", "/")
    assert chromium.run(FOCUS) == "query"
    types(chromium, "azure beaver")
    chromium.until("return document.querySelector('li.hit h3')?.textContent.includes('beaver')")
    chromium.until("return new URLSearchParams(location.search).get('q') === 'azure beaver'")
    time.sleep(0.3)  # the last answer
    order = chromium.run("return [...document.querySelectorAll('li.hit')].map((e) => e.dataset.key)")
    chromium.key("ArrowDown")
    assert chromium.run(FOCUS) == order[0]
    chromium.key("j", "j")
    chromium.key("ArrowDown")
    chromium.key("k", "k")
    assert chromium.run(FOCUS) == order[1]
    chromium.key("Enter", "\r")
    chromium.until("return document.querySelector('li.hit.open .explained')")
    chromium.key("Escape")
    assert chromium.run("return document.querySelectorAll('.explained').length") == 0
    assert chromium.run(FOCUS) == order[1]
    chromium.key("ArrowUp")
    chromium.key("ArrowUp")
    assert chromium.run(FOCUS) == "query"
    chromium.key("ArrowDown")
    chromium.key("c", "c")
    chromium.until("return document.querySelectorAll('.column').length === 2")
    chromium.run("document.activeElement.blur()")
    chromium.key("?", "?")
    assert chromium.run("return document.querySelector('#help').open") is True
    chromium.key("Escape")
    assert chromium.run("return document.querySelector('#help').open") is False
    chromium.run("document.querySelector('#query').focus()")
    chromium.key("ArrowDown")
    chromium.key("m", "m")
    chromium.until("return document.querySelector('#count').textContent.includes('like this one')")
    chromium.key("Escape")
    chromium.until("return !document.querySelector('#empty').hidden && document.querySelector('.example')")
    well(chromium, server)


def test_markup_in_records_and_queries_is_text(chromium, server):
    shown(chromium, f"{server.url}/?q=hostile+fox")
    assert titles(chromium)[0].startswith("</script><script>window.hurt")
    assert chromium.run(
        "return [...document.querySelectorAll('li.hit .chip')].some((e) => e.textContent.includes('<i>red</i>'))"
    )
    chromium.run("document.querySelector('li.hit[data-key=evil] .why').click()")
    chromium.until("return document.querySelector('.explained')")
    assert "<script>window.hurt = 1</script>" in chromium.run("return document.querySelector('.explained').innerText")
    shaded = chromium.run(
        "return [...document.querySelectorAll('.explained .shaded')[1].querySelectorAll('.piece')].map((e) => e.textContent).join('')"
    )
    assert "\U0001f98a ${1} 東" in shaded  # beyond the first 65,536 letters places still fit
    chromium.run(
        "const q = document.querySelector('#query'); q.value = arguments[0]; q.dispatchEvent(new Event('input'))",
        served.EVIL,
    )
    chromium.until("return new URLSearchParams(location.search).get('q').includes('onerror')")
    chromium.settle()
    assert chromium.run("return window.hurt") is None
    assert chromium.run("return document.images.length") == 0
    well(chromium, server)


def test_a_script_that_got_in_would_not_run(chromium, server):
    shown(chromium, server.url)
    chromium.run(
        "const s = document.createElement('script'); s.textContent = 'window.hurt = 3'; document.body.append(s)"
    )
    chromium.run(
        "const s = document.createElement('script'); s.src = 'https://evil.example/x.js'; document.body.append(s)"
    )
    chromium.settle()
    assert chromium.run("return window.hurt") is None
    assert sum("Content Security Policy" in message["message"] for message in chromium.messages()) >= 2


def test_the_map_lights_the_hits_and_a_click_shows_a_point(chromium, server):
    picture = "return document.querySelector('#map').toDataURL()"
    shown(chromium, server.url)
    plain = chromium.run(picture)
    chromium.run(
        "const q = document.querySelector('#query'); q.value = 'azure beaver'; q.dispatchEvent(new Event('input'))"
    )
    chromium.until("return document.querySelector('li.hit')")
    chromium.settle()
    lit = chromium.run(picture)
    assert lit != plain
    chromium.run("document.querySelector('li.hit').dispatchEvent(new PointerEvent('pointerenter'))")
    chromium.settle()
    assert chromium.run(picture) != lit
    chromium.run("document.querySelector('li.hit').dispatchEvent(new PointerEvent('pointerleave'))")
    chromium.run("const q = document.querySelector('#query'); q.value = ''; q.dispatchEvent(new Event('input'))")
    chromium.until("return !document.querySelector('#empty').hidden && document.querySelector('.example')")
    chromium.settle()
    assert chromium.run(picture) == plain
    # Where the points are, by the page's own data.
    x, y, key = chromium.run(
        """
        const map = document.querySelector('#map').getBoundingClientRect(), data = arguments[0], xs = data.points.map((p) => p[0]), ys = data.points.map((p) => p[1]);
        const low = [Math.min(...xs), Math.min(...ys)], span = [Math.max(...xs) - low[0], Math.max(...ys) - low[1]];
        const scale = Math.min((map.width - 52) / span[0], (map.height - 52) / span[1]), apart = data.points.map((p, i) => Math.min(...data.points.map((o, j) => i === j ? 9e9 : Math.hypot(p[0] - o[0], p[1] - o[1]))));
        const i = apart.indexOf(Math.max(...apart));
        return [map.x + map.width / 2 + (xs[i] - low[0] - span[0] / 2) * scale, map.y + map.height / 2 - (ys[i] - low[1] - span[1] / 2) * scale, data.keys[i]];
    """,
        points(server),
    )
    chromium.mouse("mouseMoved", x, y)
    chromium.settle()
    assert chromium.run("return document.querySelector('#tip').hidden") is False
    chromium.click(x, y)
    card = chromium.until("return document.querySelector('#picked .card')?.innerText")
    assert key.replace("-", " ") in card or key == "evil"
    chromium.run("document.querySelector('#picked .act').click()")
    chromium.until("return document.querySelector('#count').textContent.includes('like this one')")
    well(chromium, server)


def points(server):
    import json
    import urllib.request

    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{server.url}/api/map", timeout=10) as answer:
        return json.load(answer)


@pytest.mark.parametrize("dark", [False, True])
def test_light_and_dark_can_be_read(chromium, server, dark):
    shown(chromium, f"{server.url}/?q=azure+beaver&open=azure-beaver", dark=dark)
    chromium.until("return document.querySelector('.explained')")
    chromium.settle()
    low = chromium.run(CONTRAST)
    assert low == []
    paper = chromium.run("return getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, re.findall(r"\d+", paper))) < 60) == dark
    well(chromium, server)


# Texts whose contrast with what is behind them is below 4.5 to 1 (WCAG 2), colours blended as they lie upon each other.
CONTRAST = """
const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
const rgba = (colour) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); const d = canvas.getImageData(0, 0, 1, 1).data; return [d[0], d[1], d[2], d[3] / 255]; };
const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3]));
const behind = (e) => { const all = []; for (let at = e; at; at = at.parentElement) all.push(rgba(getComputedStyle(at).backgroundColor)); return all.reverse().reduce((under, top) => over(top, under), [255, 255, 255]); };
const light = (c) => { const [r, g, b] = c.map((v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const low = [];
for (const e of document.querySelectorAll('body *')) {
  if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) || !e.checkVisibility({visibilityProperty: true}) || e.closest('dialog:not([open]), noscript, option')) continue;
  const under = behind(e), ink = over(rgba(getComputedStyle(e).color), under), [a, b] = [light(ink), light(under)].sort((x, y) => y - x);
  if ((a + 0.05) / (b + 0.05) < 4.5) low.push([e.textContent.trim().slice(0, 30), e.className, Math.round(100 * (a + 0.05) / (b + 0.05)) / 100]);
}
return low;
"""


def test_a_contrast_that_is_too_low_is_noticed(chromium, server):
    shown(chromium, server.url)
    chromium.run("document.querySelector('.lead').style.setProperty('color', '#999')")
    assert len(chromium.run(CONTRAST)) == 1


def test_a_narrow_screen_is_not_scrolled_sideways(chromium, server, pictures):
    for address in (
        "/",
        "/?q=azure+beaver&open=azure-beaver",
        "/?q=hostile+fox&open=evil",
        "/?q=azure+beaver&compare=1",
    ):
        shown(chromium, server.url + address, width=390, height=844)
        if "open" in address:
            chromium.until("return document.querySelector('.explained')")
        assert chromium.run("return document.documentElement.scrollWidth") == 390, address
        if "open=azure-beaver" in address:
            keep(chromium, pictures, "narrow")
    well(chromium, server)


def test_everything_that_is_operated_has_a_name(chromium, server):
    shown(chromium, f"{server.url}/?q=azure+beaver&compare=1")
    nameless = "return [...document.querySelectorAll('button, input, select, a, canvas, [role]')].filter((e) => !(e.getAttribute('aria-label') || e.getAttribute('aria-labelledby') || e.textContent.trim() || e.labels?.length)).map((e) => e.outerHTML.slice(0, 80))"
    # What is said by itself has no name: the alert and the status are empty until there is something to say.
    assert [html for html in chromium.run(nameless) if 'role="alert"' not in html] == []
    assert chromium.run("return document.querySelector('#count').getAttribute('aria-live')") == "polite"
    assert (
        chromium.run(
            "return [...document.querySelectorAll('[role=radio]')].filter((e) => e.getAttribute('aria-checked') === 'true').length"
        )
        == 1
    )
    chromium.run("document.querySelector('li.hit').focus()")
    ring = chromium.run("const s = getComputedStyle(document.activeElement); return s.boxShadow + s.outlineStyle")
    assert ring != "nonenone"


def test_a_server_that_is_gone_is_told_and_found_again(chromium, folders):
    with served.Process(folders / "zoo", cwd=folders) as first:
        shown(chromium, first.url)
        port = first.port
        first.stop(signal.SIGTERM)
    types(chromium, "azure")
    chromium.until("return document.querySelector('#trouble').textContent.includes('does not answer')")
    assert chromium.run("return document.querySelector('#trouble').hidden") is False
    with served.Process(folders / "zoo", "--port", str(port), cwd=folders):
        chromium.until("return document.querySelector('li.hit')", seconds=20)
        assert chromium.run("return document.querySelector('#trouble').hidden") is True
        assert chromium.run("return document.querySelector('#query').value") == "azure"


def test_the_page_asks_for_the_token(chromium, folders):
    token = "Zm9yIHRlc3RzIG9ubHk"
    (folders / "token").write_text(token)
    with served.Process(folders / "zoo", "--token-file", "token", cwd=folders) as server:
        chromium.open(f"{server.url}/?q=azure+beaver")
        chromium.until("return document.querySelector('#token').open")
        enter = "document.querySelector('#token-text').value = arguments[0]; document.querySelector('#token-form').requestSubmit()"
        chromium.run(enter, "wrong-wrong-wrong-wrong")
        chromium.until(
            "return document.querySelector('#token').open && document.querySelector('#token-note').textContent.includes('not it')"
        )
        chromium.run(enter, token)
        chromium.until("return document.querySelector('li.hit')")
        assert chromium.run("return localStorage.length + document.cookie.length") == 0
        assert token not in chromium.run("return location.href")
