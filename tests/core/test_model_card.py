"""The page beside a saved model says what the model says, what nobody measured, and nothing that a file's name could smuggle in."""

import re

import pytest
from markdown_it import MarkdownIt

import nearfar as nf
from nearfar.core.model import Model
from nearfar.core.model_card import MOST_FIGURES, model_card
from small_world import QUICK, world, write_jsonl

PLAIN = {"encoders": [{"part": "static"}], "sides": {"query": 0, "document": 0}, "similarity": "cosine"}
EVIL = '<script>alert(1)</script> `x` [y](javascript:z) | # ---\nlicense: mit\n![i](http://there) \x1b[31m \udc80 "'


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    data = write_jsonl(folder / "animals.jsonl", world())
    return nf.train("pairs", data, out=folder / "run", settings=QUICK, licence="Apache-2.0", progress=False)


def page(about, **more):
    return model_card({**PLAIN, **more, "about": about}, 8, ("text",))


def test_the_page_says_what_the_model_says(model, tmp_path):
    card = (model.save(tmp_path / "model") / "README.md").read_text("utf-8")
    head = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)[1].splitlines()
    assert head[:3] == ["license: apache-2.0", "library_name: nearfar", "pipeline_tag: sentence-similarity"]
    data = model.about["data"]
    assert f"`animals.jsonl`: 120 records, fingerprint `{data['fingerprint']}`" in card
    assert "recipe: `pairs`, seed 0" in card
    assert "dimension: 32" in card
    mrr = model.about["held_out"]["mrr"]
    assert f"| `mrr` | {mrr['mean']:.3f} | {mrr['low']:.3f} to {mrr['high']:.3f} |" in card
    assert f"Measured on {model.about['held_out']['queries']} queries" in card
    assert "not measured on other data" in card
    assert "`Apache-2.0`, as said by" in card
    assert str(tmp_path.parent) not in card, "where files lie on a machine is nobody's business"
    other = Model({"query": model.tower("query")}, about={})
    assert "animals.jsonl" not in other.card()  # known bad: another model has another page
    assert "It was not measured" in other.card()
    assert "license: unknown" in other.card()


def test_the_licence_goes_on_with_a_resumed_run(model):
    assert model.about["licence"] == "Apache-2.0"
    assert nf.load(model.about["run"]).about["licence"] == "Apache-2.0"


def test_its_lines_of_python_run(model, tmp_path):
    folder = model.save(tmp_path / "model")
    code = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text("utf-8"), re.DOTALL)[1]
    names = {}
    exec(code.replace("PATH/TO/THIS/FOLDER", str(folder)), names)
    assert names["vectors"].shape == (2, 32)


def test_saving_twice_gives_the_same_bytes(model, tmp_path):
    first = (model.save(tmp_path / "a") / "README.md").read_bytes()
    assert (model.save(tmp_path / "a") / "README.md").read_bytes() == first
    assert (nf.load(tmp_path / "a").save(tmp_path / "b") / "README.md").read_bytes() == first
    changed = Model({"query": model.tower("query")}, about={**model.about, "licence": "mit"})
    assert (changed.save(tmp_path / "c") / "README.md").read_bytes() != first


@pytest.mark.parametrize("harm", [lambda p: p.unlink(), lambda p: p.write_bytes(b"\xff\x00")])
def test_a_model_without_a_sound_page_is_the_same_model(model, tmp_path, harm):
    folder = model.save(tmp_path / "model")
    harm(folder / "README.md")
    assert nf.load(folder).fingerprint == model.fingerprint
    assert model.save(folder) == folder
    assert (folder / "README.md").read_text("utf-8").startswith("---")


PLACES = {
    "data": {"data": {"source": EVIL, "records": 3, "fingerprint": EVIL}},
    "sources": {"data": {"sources": {EVIL: {"data": EVIL, "records": EVIL}}}},
    "recipe": {"recipe": {"name": EVIL, "seed": EVIL, "objective": {"rule": EVIL, "relation": EVIL}}},
    "tower": {"recipe": {"towers": [{"name": EVIL, "options": {"folder": EVIL}}]}},
    "figures": {"held_out": {"queries": EVIL, EVIL: {"mean": EVIL, "low": EVIL, "high": 1.0}}},
    "measured": {"measured": {EVIL: {EVIL: 1.0, "b": {"c": 2}}}},
    "licence": {"licence": EVIL},
    "steps": {"steps": EVIL, "seconds": EVIL, "source": EVIL},
}


@pytest.mark.parametrize("place", PLACES)
def test_values_are_no_markup(place):
    made = page(PLACES[place], sides={EVIL: 0})
    assert "script" in made, "the value is shown"
    head, _, body = made.removeprefix("---\n").partition("\n---\n")
    assert "license: mit" not in head
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(body)
    assert "<script" not in html
    assert "<img" not in html
    assert "<a " not in html
    assert "\x1b" not in made
    made.encode("utf-8")
    bare = MarkdownIt("commonmark", {"html": True}).render(EVIL.partition("\n")[0])
    assert "<script" in bare, "known bad: as it came it would be markup"


@pytest.mark.parametrize("licence", ["CC BY-NC 4.0 (my own words)", "- a", "yes: no", "x" * 99])
def test_a_licence_in_words_is_another_one_for_a_hub(licence):
    made = page({"licence": licence})
    assert made.startswith("---\nlicense: other\n")
    assert f"`{licence}`" in made


@pytest.mark.parametrize(
    "about",
    [
        {"recipe": 3, "data": [1], "held_out": "no", "measured": None},
        {"recipe": {"encoder": "static", "objective": None, "towers": {"a": 1}}},
        {"data": {"sources": {"a": None}}, "held_out": {"mrr": {"mean": None}}},
    ],
)
def test_what_about_holds_need_not_make_sense(about):
    assert page(about).startswith("---\nlicense: unknown")


def test_many_figures_are_cut_and_counted():
    made = page({"measured": {"stage": {f"figure {i}": i / 100 for i in range(MOST_FIGURES + 5)}}})
    assert made.count("| `stage / figure") == MOST_FIGURES
    assert "5 further figures" in made


def test_a_record_of_another_kind_is_named_as_such():
    assert "pipeline_tag: image-feature-extraction" in model_card({**PLAIN, "about": {}}, 8, ("image",))
    late = model_card({**PLAIN, "similarity": "late_interaction", "about": {}}, 8, ("text",))
    assert "encode_tokens" in late
    assert "pipeline_tag" not in model_card({**PLAIN, "about": {}}, 8, ("graph",))
