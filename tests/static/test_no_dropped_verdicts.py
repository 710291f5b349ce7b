"""A test that computes a verdict and drops it passes for ever. This reads all tests and finds such."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
FILES = sorted(path for path in TESTS.rglob("test_*.py"))
VERDICTS = {
    "allclose",
    "isclose",
    "equal",
    "array_equal",
    "all",
    "any",
    "isfinite",
    "is_file",
    "exists",
    "startswith",
    "endswith",
}


def name_of(call):
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def decides(node, deciding):
    """Whether something in here can fail: an assertion, an expected error, or a helper that asserts."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Assert | ast.Raise):
            return True
        if isinstance(inner, ast.Call):
            name = name_of(inner)
            if name in deciding or name in ("raises", "warns") or name.startswith("assert_"):
                return True
    return False


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def deciding_helpers(trees):
    """Names of helpers that assert, themselves or through another one. `contract` raises: it is the examination itself."""
    helpers = {"contract"}
    while True:
        found = {
            f.name for tree in trees for f in functions(tree) if not f.name.startswith("test_") and decides(f, helpers)
        }
        if found <= helpers:
            return helpers
        helpers |= found


def complaints(tree, helpers):
    found = []
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and node.name.startswith("test_")
            and not decides(node, helpers)
        ):
            found.append(f"{line}: {node.name} asserts nothing")
        if isinstance(node, ast.Expr):
            value = node.value
            if isinstance(value, ast.Compare | ast.BoolOp | ast.UnaryOp):
                found.append(f"{line}: a comparison whose result is dropped")
            if isinstance(value, ast.Call) and name_of(value) in VERDICTS:
                found.append(f"{line}: the result of {name_of(value)} is dropped")
        if isinstance(node, ast.ExceptHandler) and all(isinstance(s, ast.Pass) for s in node.body):
            found.append(f"{line}: an error is swallowed")
        if isinstance(node, ast.Assert) and isinstance(node.test, ast.Tuple) and node.test.elts:
            found.append(f"{line}: an assertion of a tuple is always true")
        if isinstance(node, ast.Assert) and isinstance(node.test, ast.Constant) and node.test.value:
            found.append(f"{line}: an assertion of a constant")
        if isinstance(node, ast.Attribute) and node.attr in ("skip", "skipif", "xfail", "importorskip"):
            found.append(f"{line}: {node.attr}: a test that may not run")
    return found


@pytest.fixture(scope="module")
def helpers():
    return deciding_helpers([ast.parse(path.read_text("utf-8")) for path in TESTS.rglob("*.py")])


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TESTS)))
def test_no_verdict_is_dropped(path, helpers):
    assert complaints(ast.parse(path.read_text("utf-8")), helpers) == []


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("x = 1", "asserts nothing"),
        ("x == 1", "dropped"),
        ("not x", "dropped"),
        ("torch.allclose(x, y)", "result of allclose is dropped"),
        ("assert (x, y)", "always true"),
        ("assert True", "constant"),
        ("pytest.skip('later')", "may not run"),
        ("try:\n  f()\n except ValueError:\n  pass", "swallowed"),
    ],
)
def test_bad_tests_are_noticed(body, complaint):
    assert complaint in " ".join(complaints(ast.parse(f"def test_it():\n {body}\n"), set()))


def test_a_helper_that_asserts_counts():
    helper = ast.parse("def check(x):\n assert x\ndef through(x):\n check(x)\ndef idle(x):\n print(x)\n")
    names = deciding_helpers([helper])
    assert {"check", "through"} <= names
    assert "idle" not in names
    assert complaints(ast.parse("def test_it():\n through(1)\n"), names) == []
