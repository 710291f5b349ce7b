"""The report in a real browser: it is drawn without a complaint, the map reacts, and nothing leaves the machine."""

import base64
import json
import re

import numpy as np
import pytest

from nearfar.report.page import render
from nearfar.report.projection import neighbours, principal
from nearfar.report.sections import Answered, Map, Queries, Report, Table

EVIL = "</script><script>window.hurt = 1</script><img src=x onerror='window.hurt = 2'>\u2028 ${1} 東"
# Where each point is on the canvas after `fit`, by the page's own data: places [n 2] in pixels of the window.
PLACES = """
const root = document.querySelector(".map"), data = JSON.parse(root.querySelector("script").textContent);
const raw = new Uint16Array(Uint8Array.from(atob(data.points), (c) => c.charCodeAt(0)).buffer), box = root.querySelector("canvas").getBoundingClientRect();
const xs = [...raw].filter((_, i) => i % 2 === 0), ys = [...raw].filter((_, i) => i % 2), low = [Math.min(...xs), Math.min(...ys)];
const span = [Math.max(...xs) - low[0], Math.max(...ys) - low[1]], scale = Math.min((box.width - 48) / span[0], (box.height - 48) / span[1]);
return xs.map((x, i) => [box.x + box.width / 2 + (x - low[0] - span[0] / 2) * scale, box.y + box.height / 2 + (ys[i] - low[1] - span[1] / 2) * scale]);
"""
SHOWN = "return document.querySelector('canvas').toDataURL()"


def section(n, texts=None, title="The embedding"):
    """A map of three clouds."""
    random = np.random.default_rng(0)
    kinds = np.arange(n) % 3
    vectors = random.normal(size=(n, 16)) + 6 * np.eye(3, 16)[kinds]
    near, cosines = neighbours(vectors)
    columns = {"kind": [f"kind {k}" for k in kinds], "size": np.arange(n, dtype=float)}
    return Map(title, principal(vectors)[0], texts or [f"point {i}" for i in range(n)], columns, near, cosines, "kind")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page with a map of 300 points."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render(Report("Three clouds", sections=[section(300), Table("t", ["a"], [["b"]])])), "utf-8")
    return path


def state(chromium):
    """The words beside the map."""
    return chromium.run("return document.querySelector('.map-side').innerText")


@pytest.mark.parametrize("dark", [False, True])
def test_it_is_drawn_without_complaint_and_without_network(chromium, page, dark):
    chromium.open(page, dark=dark)
    assert chromium.messages() == []
    assert chromium.requests() == [page.as_uri()]
    colours = chromium.run(
        "const c = document.querySelector('canvas'), d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "const seen = new Set(); for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 200) seen.add(d.slice(i, i + 3).join()); return seen.size"
    )
    assert colours >= 3
    paper = chromium.run("return getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, re.findall(r"\d+", paper))) < 60) == dark


def test_light_and_dark_differ_on_the_canvas_too(chromium, page):
    seen = set()
    for dark in (False, True):
        chromium.open(page, dark=dark)
        seen.add(chromium.run(SHOWN))
    assert len(seen) == 2
    chromium.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])
    chromium.settle()
    assert chromium.run(SHOWN) in seen  # it follows without being loaded again


def test_zoom_and_pan_move_the_points_and_fit_brings_them_back(chromium, page):
    chromium.open(page)
    x, y = chromium.run(PLACES)[0]
    chromium.run("document.querySelector('canvas').scrollIntoView()")
    x, y = chromium.run(PLACES)[0]
    before = chromium.run(SHOWN)
    chromium.mouse("mouseWheel", x, y, deltaX=0, deltaY=-240)
    chromium.settle()
    zoomed = chromium.run(SHOWN)
    assert zoomed != before
    chromium.mouse("mousePressed", x, y, button="left", clickCount=1)
    chromium.mouse("mouseMoved", x + 40, y + 30, button="left", buttons=1)
    chromium.mouse("mouseReleased", x + 40, y + 30, button="left", clickCount=1)
    chromium.settle()
    assert chromium.run(SHOWN) not in (zoomed, before)
    assert "Click a point" in state(chromium)  # a drag picks nothing
    chromium.run("document.querySelector('[data-do=fit]').click()")
    chromium.mouse("mouseMoved", 1, 1)
    chromium.settle()
    assert chromium.run(SHOWN) == before


def test_a_click_lists_the_nearest_and_one_of_them_can_be_picked(chromium, page):
    chromium.open(page)
    near, cosines = neighbours_of_page(page)
    # One that no other point lies upon.
    places = np.array(chromium.run(PLACES))
    apart = np.linalg.norm(places[:, None] - places, axis=2) + 1e9 * np.eye(300)
    i = int(apart.min(1).argmax())
    chromium.click(*places[i])
    words = state(chromium)
    assert f"point {i}\n" in words
    listed = re.findall(r"^(-?\d\.\d\d)\s+point (\d+)$", words, re.MULTILINE)
    assert [int(j) for _, j in listed] == near[i].tolist()
    assert [float(c) for c, _ in listed] == pytest.approx(cosines[i].tolist(), abs=0.012)
    assert [int(j) for _, j in listed] != near[(i + 1) % 300].tolist()
    chromium.run("document.querySelector('.map-picked li button').click()")
    assert f"point {near[i][0]}\n" in state(chromium)


def neighbours_of_page(page):
    """What the page says, decoded here."""
    data = json.loads(
        re.search(r'<script type="application/json">(.*?)</script>', page.read_text("utf-8"), re.DOTALL)[1]
    )
    numbers = np.frombuffer(base64.b64decode(data["neighbours"]), "<u2").reshape(-1, data["k"])
    steps = np.frombuffer(base64.b64decode(data["similarities"]), np.uint8).reshape(-1, data["k"])
    return numbers, data["low"] + steps / 255 * (data["high"] - data["low"])


def test_search_counts_and_highlights(chromium, page):
    chromium.open(page)
    before = chromium.run(SHOWN)
    type_in = "const i = document.querySelector('input'); i.value = arguments[0]; i.dispatchEvent(new Event('input'))"
    count = "return document.querySelector('output').textContent"
    chromium.run(type_in, "POINT 29")
    chromium.settle()
    assert chromium.run(count) == "11 of 300"  # 29 and 290 to 299
    assert chromium.run(SHOWN) != before
    chromium.run("document.querySelector('input').focus()")
    chromium.key("Enter")
    assert "point 29\n" in state(chromium)
    chromium.key("Enter")
    assert "point 290\n" in state(chromium)
    chromium.run(type_in, "")
    chromium.run("document.querySelector('.map-close').click()")
    chromium.settle()
    assert chromium.run(count) == ""
    assert chromium.run(SHOWN) == before


def test_colours_follow_the_column_and_the_legend_hides(chromium, page):
    chromium.open(page)
    assert re.findall(r"kind \d", state(chromium)) == ["kind 0", "kind 1", "kind 2"]
    by_kind = chromium.run(SHOWN)
    chromium.run("document.querySelector('.map-entry').click()")
    chromium.settle()
    assert chromium.run(SHOWN) != by_kind
    choose = "const s = document.querySelector('select'); s.value = arguments[0]; s.dispatchEvent(new Event('change'))"
    chromium.run(choose, "1")
    chromium.settle()
    by_size = chromium.run(SHOWN)
    assert by_size != by_kind
    assert re.search(r"size\n0\n+150\n+299", state(chromium))
    chromium.run(choose, "0")
    chromium.settle()
    assert chromium.run(SHOWN) == by_kind


def test_the_keyboard_suffices(chromium, page):
    chromium.open(page)
    chromium.run("document.querySelector('canvas').focus({preventScroll: true})")
    before = chromium.run(SHOWN)
    seen = {before}
    for key in ("+", "ArrowLeft", "ArrowDown"):
        chromium.key(key)
        seen.add(chromium.run(SHOWN))
    assert len(seen) == 4
    chromium.key("Enter")
    assert "nearest, with their cosine" in state(chromium)
    chromium.key("Escape")
    assert "Click a point" in state(chromium)
    chromium.key("/")
    assert chromium.run("return document.activeElement.type") == "search"


def test_a_narrow_screen_is_not_scrolled_sideways(chromium, page):
    chromium.open(page, width=380, height=800)
    assert chromium.run("return document.documentElement.scrollWidth") == 380
    side, stage = chromium.run(
        "return ['.map-side', '.map-stage'].map((s) => document.querySelector(s).getBoundingClientRect().toJSON())"
    )
    assert side["top"] >= stage["bottom"]
    chromium.open(page, width=1280)
    side, stage = chromium.run(
        "return ['.map-side', '.map-stage'].map((s) => document.querySelector(s).getBoundingClientRect().toJSON())"
    )
    assert side["top"] < stage["bottom"]  # beside it where there is room


def test_markup_in_data_is_text_and_other_scripts_do_not_run(chromium, tmp_path):
    path = tmp_path / "evil.html"
    texts = [f"{EVIL} {i}" for i in range(20)]
    hostile = section(20, texts, EVIL)
    text = render(Report(EVIL, sections=[hostile, Queries(EVIL, {EVIL: [Answered(EVIL, EVIL, 3, EVIL)]})]))
    path.write_text(text, "utf-8")
    chromium.open(path)
    assert chromium.messages() == []
    assert chromium.run("return window.hurt") is None
    chromium.click(*chromium.run(PLACES)[0])
    assert "</script><script>window.hurt = 1</script>" in state(chromium)
    assert chromium.run("return document.images.length") == 0
    # Markup that got in nevertheless: the policy stops it, and would not if scripts were allowed.
    got_in = "<script>window.hurt = 3</script>"
    path.write_text(text.replace("</main>", got_in + "</main>"), "utf-8")
    chromium.open(path)
    assert chromium.run("return window.hurt") is None
    assert any("Content Security Policy" in m["message"] for m in chromium.messages())
    path.write_text(
        re.sub("script-src '[^']+'", "script-src 'unsafe-inline'", text).replace("</main>", got_in + "</main>"), "utf-8"
    )
    chromium.open(path)
    assert chromium.run("return window.hurt") == 3


def test_ten_thousand_points_are_drawn_and_found_from_a_page_below_a_megabyte(chromium, tmp_path):
    path = tmp_path / "large.html"
    texts = [f"point {i}: " + "a text of several words, with <markup> & more " * 20 for i in range(10_000)]
    path.write_text(render(Report("Ten thousand", sections=[section(10_000, texts)])), "utf-8")
    assert path.stat().st_size < 1_000_000
    chromium.open(path)
    assert chromium.messages() == []
    chromium.click(*chromium.run(PLACES)[5_000])
    assert "nearest, with their cosine" in state(chromium)
    assert len(re.findall(r"^-?\d\.\d\d", state(chromium), re.MULTILINE)) == 10
