"""The examples in docstrings run and give what they say."""

import doctest
import importlib
import pkgutil

import pytest

import nearfar

MODULES = [m.name for m in pkgutil.walk_packages(nearfar.__path__, "nearfar.") if not m.name.endswith("__main__")]
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def run(module):
    """Examples tried and failed in a module; `np`, `torch` and `nf` are what its own names or imports give."""
    return doctest.testmod(module, optionflags=OPTIONS, raise_on_error=False)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(importlib.import_module(name))
    assert result.failed == 0


def test_there_are_examples_and_a_wrong_one_is_noticed():
    import types

    module = types.ModuleType("wrong")
    module.__doc__ = ">>> 1 + 1\n3\n"
    assert run(module) == (1, 1)
    tried = sum(
        len(t.examples) for name in MODULES for t in doctest.DocTestFinder().find(importlib.import_module(name))
    )
    assert tried > 60
