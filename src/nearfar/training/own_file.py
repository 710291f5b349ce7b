"""A method in a user's own file: `nearfar train ./my_method.py`. The file is run because its owner named it, and only then."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from nearfar.core.errors import NearfarError, UsageError
from nearfar.core.recipe import Recipe


def recipe_from_file(path: str | Path) -> Recipe:
    """The recipe that `recipe()` in a Python file returns.

    Raises UsageError when the file is missing, fails to run (with its line), or has no such function.
    """
    path = Path(path)
    module = module_of_file(path)
    make = getattr(module, "recipe", None)
    if not callable(make):
        raise UsageError(
            "your file has no function recipe()", where=str(path), remedy="define `def recipe() -> nf.Recipe: ...`"
        )
    with _blamed("recipe()", path):
        made = make()
    if not isinstance(made, Recipe):
        raise UsageError(
            f"recipe() returns {type(made).__name__}, not a Recipe", where=str(path), remedy="return nf.Recipe(...)"
        )
    return made


def module_of_file(path: str | Path) -> ModuleType:
    """A user's Python file as a module. Raises UsageError when it is missing or fails to run (with its line)."""
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"there is no file {path}", where=str(path), remedy="check the path to your method")
    name = f"nearfar_own_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError("this is no Python file", where=str(path), remedy="a method lives in a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with _blamed("your file", path):
        spec.loader.exec_module(module)
    return module


@contextmanager
def _blamed(what: str, path: Path) -> Iterator[None]:
    """Whatever the user's code raises, told with its line; our own errors as they are."""
    try:
        yield
    except NearfarError:
        raise
    except Exception as error:
        raise UsageError(
            f"{what} fails: {type(error).__name__}: {error}", where=_line(error, path), remedy="correct the file"
        ) from error


def _line(error: BaseException, path: Path) -> str:
    """The last line of the user's file on the way to the error."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}"
    number, trace = 0, error.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename).resolve() == path.resolve():
            number = trace.tb_lineno
        trace = trace.tb_next
    return f"{path}:{number}" if number else str(path)
