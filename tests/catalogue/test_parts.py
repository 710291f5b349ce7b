"""Names become objects in one place: found by cards, in the right file, with errors that name file and line."""

import ast
import json
import re
from pathlib import Path

import pytest

import nearfar
from nearfar.core import parts as module
from nearfar.core.card_reader import card_in, read_card
from nearfar.core.errors import UsageError
from nearfar.core.parts import PACKAGE, RECIPES, built_in, find, parts, resolve, scan, write_index

PARTS = built_in()
METHODS = ("relations", "keys", "objectives", "views")
GOOD = '"""A rule."""\n\nCARD = Card(\n    name="good",\n    summary="a (nested) thing",\n    needs=("positive",),\n)\n\n\ndef good():\n    ...\n'


def by_id(part):
    return f"{part.kind}-{part.name}"


@pytest.mark.parametrize("part", PARTS, ids=by_id)
def test_file_card_and_public_name_are_one(part):
    assert Path(part.file).stem == part.name
    assert callable(part.load())
    if part.kind in METHODS:
        assert part.attribute == part.name
    if part.kind != RECIPES:
        for name in part.public:
            assert getattr(nearfar, name) is part.load(name)


@pytest.mark.parametrize("part", PARTS, ids=by_id)
def test_the_card_read_is_the_card_that_python_sees(part):
    import importlib

    assert part.card == importlib.import_module(part.module).CARD


@pytest.mark.parametrize("part", PARTS, ids=by_id)
def test_relatives_exist(part):
    assert [name for name in part.card.related if find(name) == part] == []


@pytest.mark.parametrize("part", PARTS, ids=by_id)
def test_summary_is_one_line_without_a_full_stop(part):
    assert "\n" not in part.card.summary
    assert not part.card.summary.endswith(".")
    assert len(part.card.summary) <= 110


def test_names_are_unique_and_no_sub_package_is_hidden():
    public = [name for part in PARTS for name in part.public] + list(nearfar.FACE)
    assert sorted({n for n in public if public.count(n) > 1}) == []
    taken = {path.stem for path in PACKAGE.iterdir()}
    assert not taken & set(public)
    recipes = [part.name for part in PARTS if part.kind == RECIPES]
    assert len(recipes) == len(set(recipes))


def test_cards_are_complete_and_lines_are_right():
    """The quick reader finds what a full parse of every file finds."""
    slow = {}
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).parts[0] in ("core", "cli", "catalogue"):
            continue
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.Assign) and [ast.unparse(t) for t in node.targets] == ["CARD"]:
                slow[str(path)] = node.lineno
    assert {part.file: part.line for part in PARTS} == slow
    assert len(slow) >= 8


def test_resolve():
    from nearfar.objectives.info_nce import info_nce

    assert resolve("info_nce") is info_nce
    assert resolve("info_nce", kind="objectives") is info_nce
    with pytest.raises(UsageError, match="did you mean info_nce"):
        resolve("info_nec")
    with pytest.raises(UsageError, match="no relations named 'info_nce'"):
        resolve("info_nce", kind="relations")
    with pytest.raises(UsageError, match="did you mean objectives"):
        parts("objective")


@pytest.mark.parametrize("path", ["os.system", "os:system", "/etc/passwd", "nearfar.objectives.info_nce", "../x", ""])
def test_a_path_is_never_imported(path):
    with pytest.raises(UsageError, match="no part named"):
        resolve(path)


def test_a_recipe_and_a_part_of_one_name(monkeypatch):
    part = find("info_nce")
    recipe = module.Part(part.card, RECIPES, "text", "nearfar.recipes.text.info_nce", "info_nce.py", 1)
    monkeypatch.setattr(module, "built_in", lambda: (recipe, part))
    assert find("info_nce") is part
    assert find("info_nce", RECIPES) is recipe


def test_good_card():
    found = card_in(GOOD, Path("good.py"))
    assert found is not None
    assert (found.card.name, found.card.needs, found.line) == ("good", ("positive",), 3)


@pytest.mark.parametrize(
    ("change", "message", "line"),
    [
        (('name="good"', "name=NAME"), "name is not a literal", 4),
        (('("positive",)', '("positive")'), "must be a tuple of strings", 6),
        (('("positive",)', "tuple(x)"), "needs is not a literal", 6),
        (("needs=", "need="), "no field 'need'", 6),
        (('    name="good",\n', ""), "no name", 3),
        (('"a (nested) thing"', "3"), "must be a string", 5),
        (("Card(\n", 'Card(\n    "good",\n'), "keywords only", 4),
        (("= Card(", "= make("), "not a call of Card", 3),
        (("\n\n\ndef good", '\n\nCARD = Card(name="b", summary="c")\n\ndef good'), "second", 9),
        (("name=", "**more, name="), "no field None", 4),
    ],
)
def test_bad_cards_are_errors_with_file_and_line(change, message, line):
    text = GOOD.replace(*change)
    assert text != GOOD
    with pytest.raises(UsageError, match=re.escape(message)) as caught:
        card_in(text, Path("some/good.py"))
    assert caught.value.where == f"some/good.py:{line}"
    assert caught.value.remedy


def test_card_like_text_that_is_no_card(tmp_path):
    path = tmp_path / "a.py"
    path.write_text(
        '"""Write this:\n\nCARD = Card(name="x", summary="y")\nCARD = Card(name="x", summary="y")\n"""\nx = "CARD"\n'
    )
    assert read_card(path) is None
    path.write_text("CARD = Card(name=\n")
    with pytest.raises(UsageError, match="not valid Python"):
        read_card(path)
    path.write_bytes(b"CARD = \xff")
    with pytest.raises(UsageError, match="cannot be read"):
        read_card(path)


def test_scan_takes_kind_and_family_from_the_folders(tmp_path):
    package = tmp_path / "pack"
    for place in ("objectives/good.py", "recipes/text/good.py", "core/good.py", "objectives/_private.py", "good.py"):
        path = package / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(GOOD)
    found = [(p.kind, p.family, p.module) for p in scan(package)]
    assert found == [("objectives", "", "pack.objectives.good"), ("recipes", "text", "pack.recipes.text.good")]


def test_index_gives_the_same_parts(tmp_path, monkeypatch):
    write_index(tmp_path / "parts.json")
    stored = json.loads((tmp_path / "parts.json").read_text("utf-8"))
    assert all(not Path(entry["file"]).is_absolute() for entry in stored["parts"])
    assert tuple(module._from_index(entry) for entry in stored["parts"]) == PARTS
    stored["parts"][0]["card"]["summary"] = "tampered"
    assert tuple(module._from_index(entry) for entry in stored["parts"]) != PARTS


def test_index_in_the_package_is_used_and_one_of_another_version_is_not(tmp_path, monkeypatch):
    (tmp_path / "objectives").mkdir()
    (tmp_path / "objectives" / "good.py").write_text(GOOD)
    write_index(tmp_path / "parts.json", tmp_path)
    (tmp_path / "objectives" / "good.py").write_text(GOOD.replace("nested", "changed"))
    monkeypatch.setattr(module, "PACKAGE", tmp_path)
    summaries = []
    for version in (1, 99):
        stored = json.loads((tmp_path / "parts.json").read_text("utf-8")) | {"version": version}
        (tmp_path / "parts.json").write_text(json.dumps(stored))
        module.built_in.cache_clear()
        summaries.append([part.card.summary for part in module.built_in()])
    module.built_in.cache_clear()
    assert summaries == [["a (nested) thing"], ["a (changed) thing"]]


def plugin(folder, entry_points, files):
    """An installed distribution that announces parts: a .dist-info folder and modules, put on the path by the caller."""
    info = folder / "other-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[nearfar.parts]\n" + "\n".join(entry_points) + "\n")
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    module.announced.cache_clear()
    yield lambda entry_points, files: plugin(tmp_path, entry_points, files)
    module.announced.cache_clear()


def test_parts_of_other_distributions_resolve_without_being_imported_before(plugins):
    good = f"from nearfar import Card\n\n{GOOD}"
    explosive = "raise RuntimeError('imported')\n"
    plugins(
        ["objectives.good = others.good", "objectives.deep = others.deep.deep"],
        {
            "others/__init__.py": "",
            "others/good.py": good,
            "others/deep/__init__.py": explosive,
            "others/deep/deep.py": good.replace("good", "deep"),
        },
    )
    found = {part.name: part for part in parts("objectives") if part.source}
    assert {name: part.source for name, part in found.items()} == {"good": "other", "deep": "other"}
    assert module.announced()[1] == ()
    assert found["good"].public == (), "only nearfar's own parts are offered as nearfar.<name>"
    assert resolve("good").__name__ == "good"
    with pytest.raises(RuntimeError, match="imported"):
        resolve("deep")


def test_broken_parts_of_others_are_reported_and_never_raised(plugins):
    plugins(
        [
            "objectives.gone = nowhere.gone",
            "bare = others2.good",
            "objectives.other = others2.good",
            "objectives.empty = others2.empty",
        ],
        {"others2/__init__.py": "", "others2/good.py": GOOD, "others2/empty.py": "x = 1\n"},
    )
    found, problems = module.announced()
    assert found == ()
    assert len(problems) == 4
    assert all("of other is left out" in problem for problem in problems)
    assert resolve("info_nce").__name__ == "info_nce"


def test_nobody_can_replace_a_part_of_ours(plugins):
    plugins(["objectives.info_nce = others3"], {"others3.py": GOOD.replace("good", "info_nce")})
    assert len(module.announced()[0]) == 1
    assert find("info_nce").source == ""
