"""The pages of docs/ that go through one task each: every command and every line of Python runs, and prints what the page says.

What is printed is compared line by line without its numbers, which machines differ in. A block of text stands below the block that
prints it and may leave lines out; one with an error belongs to a command that fails.
"""

import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from nearfar.cli.main import main

ROOT = Path(__file__).parents[2]
PAGES = (
    "fine-tune-text.md",
    "evaluate.md",
    "images.md",
    "several-data-sets.md",
    "many-gpus.md",
    "resume.md",
    "encode-at-scale.md",
    "serve.md",
    "search.md",
    "index-commands.md",
    "export.md",
    "your-own-method.md",
)


class Block(NamedTuple):
    language: str
    text: str
    printed: str  # what the page says that it prints


def blocks(page):
    found = re.findall(r"```(\w+)\n(.*?)```", page, re.DOTALL)
    shown = [text if language == "text" else "" for language, text in [*found[1:], ("", "")]]
    return [Block(*block, after) for block, after in zip(found, shown, strict=True) if block[0] != "text"]


def commands(text):
    """One line a command; a backslash at the end of a line goes on with it."""
    return [line for line in text.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]


def plain(line):
    """A line without its numbers, and without the length of blanks that they need."""
    return " ".join(re.sub(r"p [<=] ", "p ", re.sub(r"[+-]?\d[\d,]*(\.\d+)?(e-?\d+)?", "0", line)).split())


def missing(said, printed):
    """The first line of `said` that does not come in `printed`, after the lines before it; dots at its end leave its end open."""
    rest = iter([plain(line) for line in printed.splitlines()])

    def comes(line):
        beginning, dots, _ = plain(line).partition(" ...")
        return any(there.startswith(beginning) if dots else there == beginning for there in rest)

    return next((line for line in said.splitlines() if line.strip() and not comes(line)), None)


class Reader:
    """Who types what a page says, in an empty folder."""

    def __init__(self, folder, capsys):
        self.folder, self.capsys, self.namespace = folder, capsys, {"__name__": "__main__"}
        self.tools = folder.parent / "tools"
        self.tools.mkdir()
        for name, module in (("nearfar", "nearfar"), ("torchrun", "torch.distributed.run")):
            tool = self.tools / name
            tool.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m {module} "$@"\n')
            tool.chmod(tool.stat().st_mode | stat.S_IEXEC)

    def types(self, block):
        """Run a block; what it printed, and whether it failed."""
        if block.language == "python":
            exec(compile(block.text, "page", "exec"), self.namespace)
            return self._printed(), False
        lines = commands(block.text)
        if all(line.startswith("nearfar ") and not re.search(r"[&|;<>$]", line) for line in lines):
            failed = [main(shlex.split(line)[1:]) != 0 for line in lines]  # in this process: torch is imported once
            return self._printed(), any(failed)
        environment = os.environ | {
            "PATH": f"{self.tools}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT / "src"),
            "OMP_NUM_THREADS": "1",
        }
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block.text],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        return done.stdout + done.stderr, done.returncode != 0

    def _printed(self):
        made = self.capsys.readouterr()
        return made.out + made.err


@pytest.mark.parametrize("page", PAGES)
def test_a_page_does_what_it_says(page, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "200")
    reader = Reader(folder, capsys)
    for block in blocks((ROOT / "docs" / page).read_text("utf-8")):
        printed, failed = reader.types(block)
        assert failed == ("error:" in block.printed), f"{block.text}\n{printed}"
        assert missing(block.printed, printed) is None, f"{block.text}\n{printed}"


def test_what_is_not_printed_is_noticed():
    printed = "loss 3.2 -> 1.9 in 9 steps\nthis model is better than BM25 (+0.692; p < 0.001)\n"
    assert missing("loss 3.260 -> 1.961   in 12 steps\n", printed) is None
    assert missing("this model is better than BM25 (-0.1; p = 0.04)", printed) is None
    assert missing("this model is better than ...", printed) is None
    assert missing("this model is worse than ...", printed)
    assert missing("this model is worse than BM25 (+0.692; p < 0.001)", printed)
    assert missing("this model is better than BM25 (+1; p < 1)\nloss 3 -> 1 in 1 steps", printed), "in their order"
    page = "```bash\nnearfar list\n```\n\nand\n\n```text\ninfo_nce\n```\n\n```python\nx = 1\n```\n"
    assert blocks(page) == [("bash", "nearfar list\n", "info_nce\n"), ("python", "x = 1\n", "")]
    assert commands("# a note\nnearfar train \\\n  pairs\nls\n") == ["nearfar train    pairs", "ls"]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_the_readme_leads_here(page):
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / "docs" / page).read_text("utf-8"))
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
    assert set(links) & {*PAGES, "four-laws.md"} - {page}, "each page leads on"
    assert f"](docs/{page})" in (ROOT / "README.md").read_text("utf-8")
