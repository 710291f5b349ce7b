"""Views of code: that the meaning stays, shown by running small programs before and after, and that what could not keep it stays."""

import ast
import builtins
import collections
import dis
import keyword
import sys
import sysconfig
import threading
import types
import warnings
from pathlib import Path

import pytest

import nearfar as nf
from nearfar.core.errors import DataError, UsageError
from nearfar.core.text_fields import FIELD
from views.shared import draws

VIEWS = {"rename_identifiers": nf.rename_identifiers(), "reorder_statements": nf.reorder_statements()}

# Each defines `result`, a function of no arguments.
PROGRAMS = {
    "plain": """
def area(width, height=2, *more, scale=3, **rest):
    low = 1
    high = 2
    total = width * height + scale
    for extra in more:
        total += extra
    return total + low + high, sorted(rest)

def result():
    return area(5), area(5, 6, 7, 8, scale=1, other=2)
""",
    "closures": """
def counter(start):
    count = start
    step = 2
    def move(by=step):
        nonlocal count
        count += by
        return [count + offset for offset in range(by)]
    def show():
        offset = 10
        return count + offset
    return move, show

def result():
    move, show = counter(3)
    first, second = move(), move(1)
    return first, second, show(), (lambda first, by: first - by)(5, 3)
""",
    "shadows": """
offset = 100
value = 7

def globals_and_locals(items):
    squares = [value * value for value in items]
    def inner():
        global offset
        offset += 1
        return offset
    return squares, value, inner(), [offset for item in items]

def defaults(value=value, offset=offset):
    value = value + 1
    return value, offset

def result():
    return globals_and_locals([1, 2]), defaults(), defaults(value=3)
""",
    "classes": """
class Base:
    size = 2
    names = ["a"]
    def __init__(self, size, names):
        self.size = size
        self.names = names
        self.__hidden = size
    def grow(self, by, size=size):
        \"\"\"size, by\"\"\"
        new = self.size + by + size
        return new, self.__hidden
    @property
    def length(self):
        count = len(self.names)
        return count
    @length.setter
    def length(self, value):
        count = self.names[:value]
        self.names = count

def local_class(size):
    member = size
    class Local:
        member = member_of = size
        def get(self, extra):
            return self.member + extra + size
    return Local().get(1), Local.member_of, member

def result():
    base = Base(4, names=["x", "y"])
    base.length = 1
    return base.grow(1), base.grow(by=2), base.length, local_class(8), Base.size
""",
    "syntax": """
import math
import json as coder
from collections import OrderedDict, deque

def everything(data, path, key):
    first, (second, *rest) = data
    try:
        import string
        found = path[key]
    except (KeyError, IndexError) as error:
        found = str(error)
        key = None
    else:
        key = 1
    with open("/dev/null") as handle:
        handle.read()
    if (size := len(rest)) > 1:
        del first
        first = size
    text = f"{found!r:>5} {second=} {key}"
    match data:
        case [int() as whole, [left, *right]] if left:
            picked = whole, left, right
        case {"a": value, **others}:
            picked = value, others
        case _:
            picked = None
    while size:
        size -= 1
    else:
        size = -1
    return text, picked, first, size, {k: v for k, v in zip("ab", rest)}, math.floor(2.5), string.digits

async def waits(things):
    async for thing in things:
        yield await thing

def result():
    return everything((1, (2, 3, 4)), {"a": 1}, "b"), everything((1, (2, 3, 4)), {"a": 1}, key="a")
""",
    "looks at its own names": """
def sees(first, second):
    third = 3
    return sorted(locals())

def evaluates(first):
    third = 3
    return eval("first + third")

def result():
    return sees(1, 2), evaluates(2)
""",
    "order matters": """
one = 1
two = one + 1
one = 5
three = one + two

def maker(x=three):
    return x

three = 0

def maker_of_maker(make=maker):
    return make()

def maker(x=three):
    return x - 1

def run(a, b):
    a = b
    b = a + 1
    c = b
    a = c
    try:
        low = 1
        high = a / 0
        after = 2
    except ZeroDivisionError:
        after = low
    return a, b, c, after

def result():
    return one, two, three, maker(), maker_of_maker(), run(1, 2)
""",
    "crowded lines": """
def f(a, b):
    x = 1; y = a; z = b
    if a: u = 1; w = 2
    else: u = 3; w = 4
    p = \\
        1
    q = (2,
         3)  # q
    # of r

    r = '''
# not a comment'''
    def g(): return r
    # of h
    def h(): return q
    return x, y, z, u, w, p, g(), h()

def result():
    return f(1, 2), f(0, 3)
""",
}
SIMPLE = "def f(a, b):\n    x = 1\n    y = 2\n    z = 3\n    w = 4\n    return a + b + x + y + z + w\n"


def run(code):
    space = {}
    exec(compile(code, "program", "exec"), space)  # constants of this file
    return space["result"]()


def looks(view, code, count=8):
    return view([code] * count, draws(count))


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("name", VIEWS)
def test_meaning_stays(name, program):
    code = PROGRAMS[program]
    expected = run(code)
    for made in looks(VIEWS[name], code):
        assert run(made) == expected, made
    both = nf.rename_identifiers()(looks(nf.reorder_statements(), code), draws(8))
    assert all(run(made) == expected for made in both)


def test_the_programs_tell_careless_views_apart():
    """Known bad: every name that is assigned renamed, or every two neighbouring lines exchanged."""
    careless = []
    for program in ("shadows", "classes", "syntax", "looks at its own names"):
        tree = ast.parse(PROGRAMS[program])
        stored = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id in stored:
                node.id += "x"
        try:
            careless.append(run(ast.unparse(tree)) == run(PROGRAMS[program]))
        except (NameError, AttributeError, TypeError, KeyError) as error:
            careless.append(str(error) == "")
    assert not any(careless)
    lines = PROGRAMS["order matters"].split("\n")
    lines[1], lines[2] = lines[2], lines[1]
    with pytest.raises(NameError):
        run("\n".join(lines))


def identifiers(code):
    tree = ast.parse(code)
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} | {
        n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)
    }


def test_what_is_renamed_and_what_is_not():
    (made,) = nf.rename_identifiers()([PROGRAMS["plain"]], draws(1))
    assert identifiers(made) & identifiers(PROGRAMS["plain"]) == {"area", "sorted", "scale"}
    (made,) = nf.rename_identifiers()([PROGRAMS["closures"]], draws(1))
    # `by` is given by keyword nowhere, `count` is declared nonlocal.
    assert identifiers(made) & identifiers(PROGRAMS["closures"]) == {"range", "counter", "count", "move", "show"}
    (made,) = nf.rename_identifiers()([PROGRAMS["looks at its own names"]], draws(1))
    assert made == PROGRAMS["looks at its own names"]
    (made,) = nf.rename_identifiers()(["def f(self, cls, _, __x, a, *, k):\n    return f'{a}' + b + k"], draws(1))
    assert made == "def f(self, cls, _, __x, a, *, k):\n    return f'{a}' + b + k"
    (made,) = nf.rename_identifiers()(["def f(a, b):\n    return a + b\nf(1, b=2)\n"], draws(1))
    assert {"a", "b"} & identifiers(made) == {"b"}


def test_new_names_are_new_one_for_one_and_never_taken():
    code = (
        "def f(" + ", ".join(f"a{i}" for i in range(250)) + "):\n    return " + " + ".join(f"a{i}" for i in range(250))
    )
    made = looks(nf.rename_identifiers(), code, 5)
    for text in made:
        function = ast.parse(text).body[0]
        names = [argument.arg for argument in function.args.args]
        assert len(set(names)) == 250
        assert not set(names) & {*keyword.kwlist, *dir(builtins), "f", *(f"a{i}" for i in range(250))}
        body = [n.id for n in ast.walk(function) if isinstance(n, ast.Name)]
        assert sorted(body) == sorted(names)
    assert len(set(made)) == 5


def test_share_is_a_share_of_names():
    code = "def f(" + ", ".join(f"a{i}" for i in range(40)) + "):\n    pass\n"
    made = looks(nf.rename_identifiers(share=0.3), code, 50)
    kept = sum(len(identifiers(text) & identifiers(code)) for text in made) / 2000
    assert abs(kept - 0.7) < 4 * (0.21 / 2000) ** 0.5
    for view in (nf.rename_identifiers(share=0), nf.reorder_statements(share=0)):
        assert looks(view, SIMPLE, 3) == [SIMPLE] * 3
    moved = [text != SIMPLE for text in looks(nf.reorder_statements(share=0.5), SIMPLE, 300)]
    assert abs(sum(moved) / 300 - 0.5 * 23 / 24) < 4 * 0.5 / 300**0.5


def test_independent_statements_take_every_order_equally_often():
    code = "a = 1\nb = 2\nc = 3"
    made = collections.Counter(looks(nf.reorder_statements(), code, 600))
    assert len(made) == 6
    assert max(abs(n / 600 - 1 / 6) for n in made.values()) < 4 * (5 / 36 / 600) ** 0.5
    chained = collections.Counter(looks(nf.reorder_statements(), "a = 1\nb = 2\nc = a", 200))
    assert set(chained) == {"a = 1\nb = 2\nc = a", "b = 2\na = 1\nc = a", "a = 1\nc = a\nb = 2"}


@pytest.mark.parametrize(
    "code",
    [
        "from __future__ import annotations\nfrom a import *\n",
        "a = f()\nb = g()\n",
        "a = x.y\nb = x[0]\nc = x.z\n",
        "class C:\n    a = 1\n    b = 2\n    c: int = 3\n    d: int = 4\n",
        "@x\ndef a(): pass\n@x\ndef b(): pass\n",
        "def a(x=f()): pass\ndef b(x=f()): pass\n",
        "a = 1; b = 2\nif a: c = 1\n",
        "a += 1\nb += 1\n",
        "'''doc'''\nprint(1)\nprint(2)\n",
        "try:\n    import a\n    import b\nexcept ImportError:\n    pass\n",
        "with x:\n    a = 1\n    b = 2\n",
        "import a.b\nimport a.c\n",
        "a, b = 1, 2\nc[0] = 1\nd.e = 2\n",
    ],
)
def test_statements_that_stay_in_their_order(code):
    assert looks(nf.reorder_statements(), code) == [code] * 8
    assert set(looks(nf.reorder_statements(), code + "m = 1\nn = 2\n")) == {
        code + "m = 1\nn = 2\n",
        code + "n = 2\nm = 1\n",
    }


def test_comments_go_with_their_statement_and_blank_lines_stay():
    code = "# of all\nimport a  # of a\n\n# of b\n# too\nimport b"
    assert set(looks(nf.reorder_statements(), code)) == {code, "# of all\n# of b\n# too\nimport b\n\nimport a  # of a"}
    code = "x()\n# of f\ndef f():\n    pass\n\n\ndef g():\n    pass\n"
    assert set(looks(nf.reorder_statements(), code)) == {
        code,
        "x()\ndef g():\n    pass\n\n\n# of f\ndef f():\n    pass\n",
    }


METHOD = "    def f(self, a, b):\n        x = a\n        y = b\n        return x - y\n"


@pytest.mark.parametrize("name", VIEWS)
def test_methods_heads_and_line_ends(name):
    for made in looks(VIEWS[name], METHOD):
        space = {}
        exec("class C:\n" + made, space)
        assert space["C"]().f(5, 3) == 2
    assert any(made != METHOD for made in looks(VIEWS[name], METHOD))
    for made in looks(VIEWS[name], f"x y{FIELD}{SIMPLE}"):
        head, code = made.split(FIELD)
        assert head == "x y"
        assert sorted(code.split("\n"))[0] == ""
        assert ast.parse(code).body[0].name == "f"
    windows = looks(VIEWS[name], SIMPLE.replace("\n", "\r\n"))
    assert [made.replace("\r\n", "\n") for made in windows] == looks(VIEWS[name], SIMPLE)
    assert all("\n" not in made.replace("\r\n", "") for made in windows)


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "function f(a) { return a; }",
        "def f(a:\n    return a",
        "  x = 1\ny = 2",
        "    a = 1\n    b = 2\nelse:\n    c = 3\n    d = 4\n",
        "def f(a):\n    return a\x00",
        "a = 1\rb = 2",
        "\ufeffdef f(a):\n    return a\n",
        "x = '\ud800'\n",
        "(" * 3000,
        "x = 1\n" * 200_000,
        f"def f(a): return a{FIELD}no code",
    ],
)
def test_what_does_not_parse_is_left_alone(name, text):
    assert VIEWS[name]([text, SIMPLE], draws(2))[0] == text
    assert VIEWS[name]([text, SIMPLE], draws(2))[1] != SIMPLE


def test_code_that_parses_and_is_no_program_keeps_its_names():
    for code in ("def f(a, a):\n    return a\n", "def f(a):\n    global a\n"):
        assert looks(nf.rename_identifiers(), code) == [code] * 8


def test_names_outside_of_ascii():
    code = "def f(gr\u00f6\u00dfe, \ufb01x, \u03bcs):\n    s = 'gr\u00f6\u00dfe'; t = gr\u00f6\u00dfe + \ufb01x + \u03bcs\n    return s, t\nresult = lambda: f(1, 2, 3)"
    for made in looks(nf.rename_identifiers(), code):
        assert run(made) == ("gr\u00f6\u00dfe", 6)
        assert "\ufb01x" in made  # Python reads this ligature as two letters, so its places are not where it says
        assert made.count("gr\u00f6\u00dfe") == 1


def test_no_warning_of_other_peoples_code_and_filters_are_put_back():
    code = "def f(a):\n    return a, '\\d'\n"
    before = list(warnings.filters)
    wrong = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        threads = [
            threading.Thread(target=lambda: wrong.extend(m for m in looks(nf.rename_identifiers(), code) if m == code))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert warnings.filters[0][0] == "error"
    assert wrong == []
    assert list(warnings.filters) == before


def code_objects(code):
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from code_objects(constant)


@pytest.mark.parametrize("module", ["difflib", "argparse"])
def test_long_files_resolve_every_name_as_before(module):
    """The compiler agrees: the same operations on the same globals and attributes; and no line is lost by reordering."""
    text = (Path(sysconfig.get_paths()["stdlib"]) / f"{module}.py").read_text("utf-8")
    (renamed,) = nf.rename_identifiers()([text], draws(1))
    assert renamed != text

    def operations(code):
        # How a method is called across lines depends on their length, no more.
        called = {"LOAD_METHOD", "LOAD_ATTR", "PUSH_NULL", "EXTENDED_ARG"}
        return collections.Counter(i.opname for i in dis.get_instructions(code) if i.opname not in called)

    before, after = (list(code_objects(compile(t, module, "exec"))) for t in (text, renamed))
    assert len(before) == len(after)
    for old, new in zip(before, after, strict=True):
        assert old.co_names == new.co_names
        assert operations(old) == operations(new)
        assert len(set(new.co_varnames)) == len(old.co_varnames)
    assert any(old.co_varnames != new.co_varnames for old, new in zip(before, after, strict=True))
    (reordered,) = nf.reorder_statements()([text], draws(1))
    assert reordered != text
    assert sorted(reordered.split("\n")) == sorted(text.split("\n"))
    kinds = [collections.Counter(type(node) for node in ast.walk(ast.parse(t))) for t in (text, reordered)]
    assert kinds[0] == kinds[1]


def test_a_file_in_another_order_still_works(monkeypatch):
    text = (Path(sysconfig.get_paths()["stdlib"]) / "textwrap.py").read_text("utf-8")
    for code in nf.rename_identifiers()(looks(nf.reorder_statements(), text, 4), draws(4)):
        module = types.ModuleType("other_textwrap")
        monkeypatch.setitem(sys.modules, "other_textwrap", module)
        exec(compile(code, "other_textwrap", "exec"), module.__dict__)
        import textwrap

        assert module.fill("some words that are wrapped " * 5, 20) == textwrap.fill(
            "some words that are wrapped " * 5, 20
        )
        assert module.dedent("  a\n    b\n") == "a\n  b\n"


@pytest.mark.parametrize("name", VIEWS)
def test_a_record_that_is_no_text_is_named_and_bad_shares_are_refused(name):
    with pytest.raises(DataError) as caught:
        VIEWS[name]([SIMPLE, None], draws(2))
    assert caught.value.where == "record 1"
    for bad in (-0.1, 1.1):
        with pytest.raises(UsageError):
            getattr(nf, name)(share=bad)
