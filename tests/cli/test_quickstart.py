"""The main job on a small fixed corpus: its mechanics, not its figures, which depend on what is installed."""

import json
import re
from pathlib import Path

import pytest

import nearfar as nf
from nearfar.cli.main import main
from nearfar.search.index import Index

VERBS = ("parse", "render", "encode", "validate", "merge", "split", "filter", "sort", "invert", "count", "hash", "trim")
THINGS = (
    "invoice",
    "polygon",
    "calendar",
    "waveform",
    "molecule",
    "ledger",
    "playlist",
    "manifest",
    "glossary",
    "histogram",
)


def write_package(root, name, words, offset):
    folder = root / name
    folder.mkdir(parents=True)
    for thing in words:
        source = [f'"""About {thing}."""\n']
        for i, verb in enumerate(VERBS):
            source.append(
                f"def {verb}_{thing}(value, limit={i + offset}):\n"
                f'    """{verb.capitalize()} the {thing} of a {name} and give back what is left of it."""\n'
                f"    found = {verb}_step_{i}(value, {thing}=limit)\n"
                f"    return [item for item in found if item.{thing} != {i * 7 + offset}]\n"
            )
        (folder / f"{thing}.py").write_text("\n".join(source), "utf-8")
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = tmp_path_factory.mktemp("site")
    for i, name in enumerate(("north", "south", "east", "west", "zenith")):
        write_package(root, name, THINGS[i * 2 : i * 2 + 2], i)
    (root / "north" / "broken.py").write_text("def broken(:\n")
    (root / "north" / "latin.py").write_bytes(b'"""caf\xe9"""\n')
    marker = root / "executed"
    (root / "north" / "evil.py").write_text(f"open({str(marker)!r}, 'w').write('x')\nraise SystemExit(1)\n")
    return root


SMALL = ["--held-out", "20", "--set", "fit.epochs=20", "--set", "fit.batch_size=32", "--set", "encoder.dimension=32"]


@pytest.fixture(scope="module")
def finished(corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "search"
    assert main(["quickstart", "--root", str(corpus), "--out", str(out), *SMALL]) == 0
    return out


def test_what_it_leaves_behind(finished, corpus):
    assert {"model", "index", "report.html", "run-1", "README.txt"} <= {p.name for p in finished.iterdir()}
    index = Index.open(finished / "index")
    assert len(index) == 120
    row = index.row(0)
    source = (corpus / row["package"]).parent / row["file"] if not row["file"].startswith("/") else row["file"]
    lines = Path(source).read_text("utf-8").splitlines()
    assert lines[row["line"] - 1].startswith(f"def {row['name']}")
    assert not (corpus / "executed").exists(), "harvested code was run"
    assert nf.load(finished / "model").about["recipe"]["name"] == "code_search"


def test_the_search_finds_by_meaning(finished, capsys):
    assert main(["search", str(finished), "render", "the", "molecule", "--json"]) == 0
    hits = json.loads(capsys.readouterr().out)
    assert hits[0]["name"] == "render_molecule"
    assert main(["search", str(finished), "render the molecule"]) == 0
    assert re.search(r"render_molecule .*molecule\.py:\d+", capsys.readouterr().out)


def test_the_report_is_one_file_with_the_verdict(finished):
    page = (finished / "report.html").read_text("utf-8")
    assert "Goal" in page
    assert "BM25" in page
    assert "<svg" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert len(page) < 1_000_000


def test_it_prints_its_verdict_and_repeats_itself(corpus, tmp_path, capsys):
    figures = []
    for name in ("one", "two"):
        assert main(["quickstart", "--root", str(corpus), "--out", str(tmp_path / name), *SMALL, "--json"]) == 0
        figures.append(json.loads(capsys.readouterr().out))
    for key in ("systems", "comparisons", "pairs", "held_out", "steps", "verdict"):
        assert figures[0][key] == figures[1][key]
    assert figures[0]["held_out"] >= 20
    assert len(figures[0]["skipped"]) >= 1
    assert set(figures[0]["systems"]) == {"untrained", "BM25", "BM25 + name", "nearfar", "hybrid"}
    assert re.match(r"Goal (NOT )?reached: MRR [+-]\d", figures[0]["verdict"])
    assert (
        main(["quickstart", "--root", str(corpus), "--out", str(tmp_path / "one"), *SMALL, "--seed", "1", "--json"])
        == 0
    )
    assert json.loads(capsys.readouterr().out)["held_out_packages"] != figures[0]["held_out_packages"]
    assert (tmp_path / "one" / "run-2").exists()


def test_too_small_a_corpus_is_said(corpus, tmp_path, capsys):
    assert main(["quickstart", "--root", str(corpus), "--out", str(tmp_path / "out"), "--held-out", "500"]) == 3
    assert "hold out" in capsys.readouterr().err
    assert main(["quickstart", "--root", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out")]) == 2
