"""The programs of benchmarks/ and docs/ as modules: they stand outside the package, and find their neighbours as when they are run."""

import functools
import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


@functools.cache
def module(name, folder="benchmarks"):
    """A program of the folder, as it finds its neighbours when it is run."""
    if str(ROOT / folder) not in sys.path:
        sys.path.append(str(ROOT / folder))
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, ROOT / folder / f"{name}.py")
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made  # dataclasses look themselves up there
    spec.loader.exec_module(made)
    return made
