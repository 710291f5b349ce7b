"""Every command and every line of Python in the README runs, and its figures are those of the stored record."""

import importlib.util
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from nearfar.cli.main import main
from small_world import world, write_jsonl

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text("utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def commands():
    lines = [line.split("   #")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in lines if line]


def test_make_targets_exist():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    named = [line.split()[1] for line in commands() if line.startswith("make ")]
    assert named == ["demo", "test"]
    assert set(named) <= set(targets)
    assert re.findall(r"`make (\w+)`", TEXT)


def test_commands_and_python_run_in_their_order(tmp_path, monkeypatch, capsys):
    """In a folder with the files that the README speaks of; the quickstart's own search is run by its own test."""
    monkeypatch.chdir(tmp_path)
    write_jsonl(tmp_path / "my.jsonl", world())
    write_jsonl(tmp_path / "held_out.jsonl", world()[:40])
    shutil.copytree(ROOT / "claims", tmp_path / "claims")  # what is stored and current is shown, not run
    (method,) = [b for b in blocks("python") if b.startswith("# my_method.py")]
    (tmp_path / "my_method.py").write_text(method)
    ran = []
    for line in commands():
        words = shlex.split(line)
        if words[0] == "make" or "nearfar-quickstart" in words:
            continue
        if words[1] == "train":
            words += ["--set", "fit.epochs=1", "--set", "encoder.dimension=16"]
        assert words[0] == "nearfar"
        assert main(words[1:]) == 0, f"{line}\n{capsys.readouterr().err}"
        ran.append(words[1])
    assert {"train", "evaluate", "index", "search", "list", "show", "cite", "env"} <= set(ran)
    for block in blocks("python"):
        namespace = {}
        exec(compile(block, "README.md", "exec"), namespace)
        if "vectors" in namespace:
            assert namespace["vectors"].shape[0] == 1
        if "loss" in namespace:
            assert namespace["x"].grad.abs().sum() > 0


def figures():
    spec = importlib.util.spec_from_file_location("figures", ROOT / "docs" / "figures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_figures_are_those_of_the_record():
    made = figures()
    record = json.loads(made.RECORD.read_text("utf-8"))
    assert made.readme(record, TEXT) == TEXT
    record["systems"]["nearfar"]["MRR"]["mean"] += 0.001
    assert made.readme(record, TEXT) != TEXT


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", TEXT))
def test_links_lead_to_files(link):
    assert (ROOT / link).exists()
