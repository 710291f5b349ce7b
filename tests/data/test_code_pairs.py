"""Harvesting pairs from Python source: what is kept, what is left out, and that nothing found is ever executed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

import nearfar
from nearfar.core.errors import DataError, UsageError
from nearfar.data.code_pairs import CodePair, Harvest, harvest, split
from nearfar.data.near_duplicates import first_of_each, signature, similarity
from nearfar.data.python_functions import first_paragraph, read_functions

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(nearfar.__file__).parents[1])}

MERGE = '''
def merge_intervals(intervals, gap=0):
    """Join intervals that overlap or touch.

    Second paragraph, which is no part of the query.
    """
    result = []
    for start, end in sorted(intervals):
        if result and start <= result[-1][1] + gap:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result
'''
VENDORED_MERGE = MERGE.replace("Join intervals that overlap or touch", "Unite all ranges which have points in common")

SHAPES = '''
import typing

class Circle:
    def area(self):
        """Compute the surface of the circle in square metres."""
        text = """not a docstring"""

        return 3.14159 * self.radius ** 2, text

    @property
    def radius(self): "Read the radius from the stored diameter."; return self.diameter / 2

    def short(self):
        """Return it."""
        return 1

    def stub(self):
        """Compute something in a subclass, not here."""
        raise NotImplementedError

    @typing.overload
    def both(self, x):
        """Describe one of several signatures of this."""
        return x

    def pointer(self):
        """See the documentation of the base class."""
        return 2

    def formula(self):
        """$\\\\alpha^2 + \\\\beta^2 = 1$, {1: 2, 3: 4} [[5, 6]] a b cd ef gh"""
        return 3

if True:
    async def fetch(url):
        """Download one page and return its text."""
        def inner():
            """Wait until the connection is ready again."""
            return url
        return await inner()
'''

LATIN = "# coding: latin-1\ndef f():\n    '''Order a caf\xe9 with some milk.'''\n    return 'caf\xe9'\n"

MALICIOUS = '''
import pathlib
pathlib.Path({marker!r}).write_text("executed")
def decorate(f):
    pathlib.Path({marker!r}).write_text("executed")
@decorate
def innocent(path=pathlib.Path({marker!r}).write_text("executed")):
    """Remove every file below a folder for good."""
    return path
'''


def corpus(root: Path) -> Path:
    """A small site-packages folder with everything that goes wrong in a large one."""
    files: dict[str, str | bytes] = {
        "alpha/core.py": MERGE,
        "alpha/_vendor/zeta/core.py": '"""Copy."""\n' + MERGE.replace("Join", "Combine"),
        "beta/ranges.py": VENDORED_MERGE,
        "beta/same_words.py": "def f(a):\n    '''join intervals THAT overlap, or touch'''\n    return [a, a, sum(a)]\n",
        "gamma/shapes.py": SHAPES,
        "gamma/tests/test_shapes.py": "def t():\n    '''Check that circles have an area.'''\n    return 1\n",
        "gamma/test_more.py": "def t():\n    '''Check that squares have an area.'''\n    return 1\n",
        "gamma/stubs.pyi": "def t():\n    '''Say what a stub file says.'''\n    return 1\n",
        "broken/bytes.py": b"def f():\n    '''Some words \xff\xfe in no encoding.'''\n    return 1\n",
        "broken/syntax.py": "def f(:\n    '''Words in a broken file.'''\n",
        "broken/null.py": b"def f():\n    '''Words before a null byte.'''\n    return 1\x00\n",
        "broken/deep.py": "def f():\n    '''Words before a bomb.'''\n    return " + "(" * 50_000 + ")" * 50_000 + "\n",
        "broken/huge.py": "x = '''" + "a" * 1_000_001 + "'''\n",
        "latin.py": LATIN.encode("latin-1"),
        "evil.py": MALICIOUS.format(marker=str(root / "MARKER")),
    }
    for name, content in files.items():
        path = root / "site" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root / "site"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def result(site: Path) -> Harvest:
    return harvest([site], workers=1)


def test_finds_exactly_the_documented_functions(result: Harvest) -> None:
    found = [(pair.package, pair.name) for pair in result.pairs]
    assert found == [
        ("alpha", "merge_intervals"),
        ("evil", "innocent"),
        ("gamma", "Circle.area"),
        ("gamma", "Circle.radius"),
        ("gamma", "fetch"),
        ("latin", "f"),
    ]


def test_a_pair_is_first_paragraph_and_source_without_docstring(result: Harvest) -> None:
    merge = result.pairs[0]
    assert merge.query == "Join intervals that overlap or touch."
    assert merge.code.startswith("def merge_intervals(intervals, gap=0):\n    result = []\n    for start, end in")
    assert merge.code.endswith("    return result")
    assert "Second paragraph" not in merge.code
    assert (Path(merge.file).name, merge.line) == ("core.py", 2)


def test_methods_lose_their_indent_and_keep_other_strings(result: Harvest) -> None:
    area, radius = result.pairs[2], result.pairs[3]
    assert area.code == (
        'def area(self):\n    text = """not a docstring"""\n\n    return 3.14159 * self.radius ** 2, text'
    )
    assert radius.code == "@property\ndef radius(self): return self.diameter / 2"
    assert result.pairs[5].query == "Order a caf\xe9 with some milk."  # by the file's own declaration


def test_unreadable_files_are_counted_with_a_reason_and_never_fatal(result: Harvest) -> None:
    reasons = {Path(s.path).name: s.reason for s in result.skipped}
    assert set(reasons) == {"bytes.py", "syntax.py", "null.py", "deep.py", "huge.py"}
    assert "encoding" in reasons["bytes.py"]
    assert "line 1" in reasons["syntax.py"]
    assert "1,000,000 bytes" in reasons["huge.py"]
    assert result.files == 12


def test_nothing_is_executed(site: Path, result: Harvest) -> None:
    assert any(pair.package == "evil" for pair in result.pairs)
    marker = site.parent / "MARKER"
    assert not marker.exists()
    subprocess.run([sys.executable, str(site / "evil.py")], check=False, capture_output=True)
    assert marker.exists()  # the trap works: running the file does write it
    marker.unlink()


def test_copies_are_removed_across_packages_and_the_original_is_kept(result: Harvest) -> None:
    assert result.duplicates == 3  # the vendored file, the same code under other words, the same words
    assert not any("_vendor" in pair.file for pair in result.pairs)
    assert not any(pair.package == "beta" for pair in result.pairs)


def test_result_does_not_depend_on_workers_or_creation_order(site: Path, tmp_path: Path, result: Harvest) -> None:
    for i in range(70):  # several chunks
        (site / f"many{i:02}.py").write_text(
            f"def f{i}():\n    '''Word{i} and some others.'''\n    return {i} * 'w{i}'\n"
        )
    try:
        one, two = harvest([site], workers=1), harvest([site], workers=2)
        assert one == two
        assert len(one.pairs) > len(result.pairs)
        assert harvest([site], workers=1, limit=5) != one
        assert harvest([site], workers=1, limit=5) == harvest([site], workers=2, limit=5)
        assert len(harvest([site], workers=1, limit=5).pairs) <= 5
    finally:
        for path in site.glob("many*.py"):
            path.unlink()


def test_workers_do_not_import_torch() -> None:
    program = "import sys; import nearfar.data.code_pairs; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, env=ENVIRONMENT).returncode == 0
    known_bad = "import sys; import torch; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", known_bad], check=False, env=ENVIRONMENT).returncode == 1


def test_works_from_a_script_without_a_main_guard(site: Path, tmp_path: Path) -> None:
    program = f"from nearfar.data.code_pairs import harvest\nprint(len(harvest([{str(site)!r}], workers=2).pairs))\n"
    done = subprocess.run(
        [sys.executable, "-"], input=program, capture_output=True, text=True, check=False, timeout=60, env=ENVIRONMENT
    )
    assert done.stdout.split() == ["6"], done.stderr


def test_progress_counts_files(site: Path) -> None:
    calls: list[tuple[int, int]] = []
    harvest([site], workers=1, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (12, 12)


def test_a_root_that_is_no_folder_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a folder"):
        harvest([tmp_path / "absent"])


def pairs_of(sizes: dict[str, int]) -> list[CodePair]:
    return [CodePair(f"{p} {i}", "", p, f"{p}.py", i, f"f{i}") for p, n in sizes.items() for i in range(n)]


def test_split_is_by_whole_packages_and_a_function_of_the_seed() -> None:
    pairs = pairs_of({f"p{i}": 10 + i for i in range(30)} | {"giant": 400})
    train, held_out = split(pairs, held_out=100)
    assert 100 <= len(held_out) <= 150
    assert {p.package for p in train}.isdisjoint(p.package for p in held_out)
    assert len(train) + len(held_out) == len(pairs)
    assert len({p.package for p in held_out}) > 1
    shuffled = random.Random(0).sample(pairs, len(pairs))
    assert set(split(shuffled, held_out=100)[1]) == set(held_out)
    assert split(pairs, held_out=100, seed=1)[1] != held_out


@pytest.mark.parametrize("sizes", [{}, {"one": 500}, {"a": 60, "b": 50}])
def test_split_says_when_there_is_too_little(sizes: dict[str, int]) -> None:
    with pytest.raises(DataError, match="too few"):
        split(pairs_of(sizes), held_out=100)
    with pytest.raises(ValueError, match="hold out fewer"):
        split(pairs_of(sizes), held_out=100)


@pytest.mark.parametrize(
    ("docstring", "query"),
    [
        ("Join two\n    paths here.\n\n    More.", "Join two paths here."),
        ("join(a, b) -> str\n\nJoin two paths here.", "Join two paths here."),
        ("Return it.", None),
        ("See the other function for this.", None),
        ("\u0412\u0435\u0440\u043d\u0443\u0442\u044c \u0441\u043f\u0438\u0441\u043e\u043a of all files", None),
        ("", None),
    ],
)
def test_first_paragraph(docstring: str, query: str | None) -> None:
    assert first_paragraph(docstring) == query


def test_long_queries_are_cut_between_words() -> None:
    query = first_paragraph("word " * 200)
    assert query is not None
    assert len(query) <= 400
    assert set(query.split()) == {"word"}


def test_near_duplicates_are_found_whatever_the_spacing_and_a_small_edit() -> None:
    edited = MERGE.replace("gap=0", "gap = 1").replace("    ", "  ")
    assert similarity(signature(MERGE), signature(edited)) > 0.75
    assert similarity(signature(MERGE), signature(SHAPES)) < 0.2  # known bad: unlike texts
    assert first_of_each([signature(t) for t in (MERGE, SHAPES, edited, MERGE)]) == [True, True, False, False]
    assert signature("").shape == signature("a").shape == (32,)


def test_similarity_estimates_the_jaccard_index() -> None:
    words = [f"w{i}" for i in range(300)]
    a, b = words[:200], words[100:]  # runs of five: 96 in common of 296
    assert similarity(signature(" ".join(a)), signature(" ".join(b))) == pytest.approx(96 / 296, abs=0.25)


def test_file_without_functions_gives_nothing(tmp_path: Path) -> None:
    path = tmp_path / "empty.py"
    path.write_text("")
    assert read_functions(path) == []
