"""What all tests share: shapes are checked at run time, chance is seeded, and commands run in processes of their own."""

import os
import signal
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from jaxtyping import install_import_hook

# Before any import of nearfar: every annotated function of it then checks types and shapes with each call.
install_import_hook("nearfar", "shape_checker.check")

import hypothesis
import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[1]

# The tensors of tests are tiny: on a busy machine a second thread only waits for its turn.
torch.set_num_threads(1)

hypothesis.settings.register_profile("nearfar", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("nearfar")


# A test run started in the background inherits that Ctrl-C is ignored; what it does is tested here.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _seeded():
    """The same chance in every test, whatever ran before."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - third parties read the global generator
    import random

    random.seed(0)


@pytest.fixture
def in_process(tmp_path):
    """Run `python ARGUMENTS` in a process of its own, in an empty folder, and return what it wrote and its exit code."""

    def run(*arguments, **environment):
        path = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": path, "COLUMNS": "100"} | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


NOT_RUN = "not run: "
"""How the reason begins of what a machine cannot run: the last lines of a test run count these."""


@pytest.fixture
def real_data():
    """For tests that look at data sets in files; where there are none, they are left out and counted."""
    if not os.environ.get("NEARFAR_DATA"):
        pytest.skip(f"{NOT_RUN}NEARFAR_DATA names no folder of data sets")
    return Path(os.environ["NEARFAR_DATA"])


@pytest.fixture
def optional_package():
    """For tests with a package that `dev` does not bring: called with its name; where it is missing they are left out and counted."""

    def package(name):
        if find_spec(name) is None:
            pytest.skip(f"{NOT_RUN}the package {name} is not installed")
        return import_module(name)

    return package


def pytest_terminal_summary(terminalreporter):
    """What was not looked at, and what to do about it."""
    reasons = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    left_out = [reason.partition(NOT_RUN)[2].rstrip("')") for reason in reasons if NOT_RUN in reason]
    for why in sorted(set(left_out)):
        terminalreporter.write_line(f"NOT RUN: {left_out.count(why)} tests: {why}")


class RankGroups(dict):
    """Groups of ranks by size, started when first asked for; one that failed is replaced."""

    def __getitem__(self, size):
        from nearfar.testing.rank_group import RankGroup

        if size not in self or not super().__getitem__(size).alive:
            self[size] = RankGroup(size)
        return super().__getitem__(size)


@pytest.fixture(scope="session")
def rank_groups():
    """One group of processes a world size, for the whole test run."""
    groups = RankGroups()
    yield groups
    for group in groups.values():
        group.close()
