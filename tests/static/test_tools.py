"""What `make check` runs: style, types, layers. Each tool is also shown to notice what it is there for."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = Path(sys.executable).parent


def tool(*command, cwd=ROOT, stdin=None, path=ROOT / "src"):
    """Run a tool of this environment: (exit code, what it wrote)."""
    executable = TOOLS / command[0]
    assert executable.exists(), f"{command[0]} is not installed here; run: make setup"
    environment = {"PATH": f"{TOOLS}:/usr/bin:/bin", "PYTHONPATH": str(path), "HOME": str(Path.home()), "NO_COLOR": "1"}
    done = subprocess.run(
        [executable, *command[1:]], cwd=cwd, input=stdin, env=environment, capture_output=True, text=True, timeout=600
    )
    return done.returncode, done.stdout + done.stderr


def test_ruff_check():
    code, output = tool("ruff", "check", "--output-format=concise", "--no-cache")
    assert code == 0, output


def test_ruff_format():
    code, output = tool("ruff", "format", "--check", "--no-cache")
    assert code == 0, output


@pytest.mark.parametrize(
    ("source", "finding"),
    [
        ("import pickle\n", "TID251"),
        ('"""A."""\n\nimport torch\n\ntorch.load("x")\n', "TID251"),
        ('"""A."""\n\n\ndef f():\n    """B."""\n', "ANN201"),
        ('"""A."""\n\n\ndef f() -> None:\n    try:\n        f()\n    except Exception:\n        pass\n', "BLE001"),
    ],
)
def test_ruff_notices(source, finding):
    code, output = tool(
        "ruff",
        "check",
        "--no-cache",
        "--output-format=concise",
        "--stdin-filename=src/nearfar/bad.py",
        "-",
        stdin=source,
    )
    assert code == 1
    assert finding in output


def test_shapes_in_annotations_are_no_findings():
    source = (
        '"""A."""\n\nfrom __future__ import annotations\n\nfrom jaxtyping import Float\nfrom torch import Tensor\n\n\n'
        'def f(x: Float[Tensor, "q k"]) -> Float[Tensor, " q"]:\n    """B."""\n    return x.sum(1)\n'
    )
    code, output = tool(
        "ruff",
        "check",
        "--no-cache",
        "--output-format=concise",
        "--stdin-filename=src/nearfar/good.py",
        "-",
        stdin=source,
    )
    assert code == 0, output


def test_types():
    code, output = tool("pyright", "--pythonpath", sys.executable)
    assert code == 0, output


def test_types_of_the_public_names_reach_users(tmp_path):
    (tmp_path / "user.py").write_text("import nearfar as nf\n\nnf.info_nce\nnf.info_nec\nx: int = nf.paired()\n")
    # Outside the repository, so that no configuration of ours is read: what a user's checker sees.
    code, output = tool("pyright", "--pythonpath", sys.executable, "user.py", cwd=tmp_path)
    assert code == 1
    assert '"info_nec" is not a known attribute' in output
    assert '"Relation" is not assignable to "int"' in output
    assert output.count(" error: ") == 2, output


def test_layers():
    code, output = tool("lint-imports", "--no-cache")
    assert code == 0, output


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("core/errors.py", "import nearfar.maths.weighted", "data flows one way BROKEN"),
        ("relations/paired.py", "import nearfar.objectives.info_nce", "data flows one way BROKEN"),
        ("objectives/decoupled.py", "import nearfar.objectives.info_nce", "no part imports another of its kind BROKEN"),
        ("core/parts.py", "import numpy", "reading the catalogue needs neither torch nor numpy BROKEN"),
    ],
)
def test_layers_notice(tmp_path, file, line, contract):
    copy = tmp_path / "src" / "nearfar"
    shutil.copytree(ROOT / "src" / "nearfar", copy, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (copy / file).open("a") as source:
        source.write(f"\n{line}\n")
    code, output = tool("lint-imports", "--no-cache", cwd=tmp_path, path=tmp_path / "src")
    assert code == 1
    assert contract in output
