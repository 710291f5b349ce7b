"""The steps of `nearfar quickstart`, each a call of the library: corpus, training, measurement, index, report."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nearfar.cli.terminal import bold
from nearfar.core.model import Model
from nearfar.core.progress import bar, step
from nearfar.core.text_fields import FIELD
from nearfar.data.code_pairs import CodePair, Harvest, harvest, split
from nearfar.data.code_text import code_text
from nearfar.data.pair_table import PairTable
from nearfar.probes.bm25 import Bm25
from nearfar.probes.retrieval import Retrieval, retrieval
from nearfar.probes.scores import fused_scores, vector_scores
from nearfar.probes.similarity_histogram import SimilarityHistogram, similarity_histogram
from nearfar.probes.statistics import Interval, Paired, bootstrap, paired
from nearfar.report.page import write
from nearfar.report.projection import neighbours, principal
from nearfar.report.sections import Comparison, Curve, Difference, Histogram, Hit, Map, Report, Search, Searches, Table
from nearfar.search.index import Index
from nearfar.training.run import software
from nearfar.training.train import Trained, train_run

OURS, UNTRAINED, LEXICAL, NAMED, HYBRID = "nearfar", "untrained", "BM25", "BM25 + name", "hybrid"
METRICS = {"MRR": "mrr", "recall@10": "recall@10"}
MAPPED = 3_000  # points of the map, at most
GOAL = 0.10  # MRR above BM25's, relative
# Chosen on development packages, as the encoder's settings were. The encoder weighs a function's name as a field of its own;
# BM25 that may do the same (the name repeated in front) is the strongest lexical rival found, and is shown beside the usual one.
NAMES, NAMED_K1, NAMED_B = 8, 3.0, 1.0
FUSION = {"k": 3.0, "weights": (1.0, 0.5)}


@dataclass(frozen=True)
class Corpus:
    """What was harvested, and its two sides."""

    found: Harvest
    train: list[CodePair]
    held_out: list[CodePair]

    def table(self, pairs: Sequence[CodePair]) -> PairTable:
        """Pairs as the texts that are trained on."""
        return PairTable(
            [p.query for p in pairs],
            [code_text(p.code) for p in pairs],
            [[] for _ in pairs],
            ("docstring", "code"),
            "installed packages",
        )


@dataclass(frozen=True)
class CodeSearch:
    """The trained search and what the untrained one would have answered."""

    trained: Trained
    before: tuple[np.ndarray, np.ndarray]

    @property
    def model(self) -> Model:
        return self.trained.model


@dataclass(frozen=True)
class Measured:
    """Per-query results of every system on the held-out packages, and the paired comparisons that matter."""

    systems: dict[str, Retrieval]
    against: dict[str, Paired]
    before: SimilarityHistogram
    after: SimilarityHistogram
    vectors: np.ndarray


def harvest_corpus(roots: list[str] | None, limit: int | None, held_out: int, seed: int, quiet: bool) -> Corpus:
    """Pairs of this machine, split by whole packages."""
    with bar("harvest", quiet) as update:
        found = harvest(
            None if roots is None else [Path(r) for r in roots],
            limit=limit,
            progress=lambda d, t: update(d, t, "files"),
        )
    train, rest = split(found.pairs, held_out=held_out, seed=seed)
    if not quiet:
        print(
            f"{len(found.pairs):,} pairs ({found.duplicates:,} copies removed), {len(found.skipped)} of {found.files:,} files "
            f"could not be parsed; held out: {len(rest):,} pairs of {len({p.package for p in rest})} packages",
            file=sys.stderr,
        )
    return Corpus(found, train, rest)


def train_search(corpus: Corpus, out: Path, settings: Sequence[str], seed: int, quiet: bool) -> CodeSearch:
    """The recipe `code_search` on the training packages; the untrained encoder answers the held-out queries first."""
    rest = corpus.table(corpus.held_out)
    before: list[tuple[np.ndarray, np.ndarray]] = []

    def untrained(model: Model) -> None:
        before.append((model.encode(rest.queries, side="query"), model.encode(rest.documents, side="document")))

    with bar("train", quiet) as update:
        trained = train_run(
            "code_search",
            corpus.table(corpus.train),
            held_out=rest,
            out=_next_run(out),
            settings=settings,
            seed=seed,
            on_start=untrained,
            progress=lambda at: update(at.step, at.total, str(at)),
        )
    if trained.fitted.interrupted:
        raise KeyboardInterrupt
    return CodeSearch(trained, before[0])


def _next_run(out: Path) -> Path:
    number = 1
    while (out / f"run-{number}").exists():
        number += 1
    return out / f"run-{number}"


def measure_search(corpus: Corpus, search: CodeSearch, quiet: bool) -> Measured:
    """MRR and recall@10 of all systems over all held-out candidates, with the tests per query."""
    rest = corpus.table(corpus.held_out)
    relevant = np.arange(len(rest))
    with step("measured on the held-out packages", quiet):
        x, y = search.model.encode(rest.queries, side="query"), search.model.encode(rest.documents, side="document")
        lexical = Bm25().fit([p.code for p in corpus.held_out]).scorer(rest.queries)
        named = [" ".join([p.name] * NAMES) + "\n" + p.code for p in corpus.held_out]
        systems = {
            UNTRAINED: retrieval(vector_scores(*search.before), relevant),
            LEXICAL: retrieval(lexical, relevant),
            NAMED: retrieval(Bm25(k1=NAMED_K1, b=NAMED_B).fit(named).scorer(rest.queries), relevant),
            OURS: retrieval(vector_scores(x, y), relevant),
            HYBRID: retrieval(fused_scores(vector_scores(x, y), lexical, **FUSION), relevant),
        }
        ranks = {name: s.reciprocal_ranks for name, s in systems.items()}
        against = {
            f"{OURS}/{LEXICAL}": paired(ranks[OURS], ranks[LEXICAL]),
            f"{OURS}/{NAMED}": paired(ranks[OURS], ranks[NAMED]),
            f"{OURS}/{UNTRAINED}": paired(ranks[OURS], ranks[UNTRAINED]),
            f"{HYBRID}/{OURS}": paired(ranks[HYBRID], ranks[OURS]),
            f"{HYBRID}/{LEXICAL}": paired(ranks[HYBRID], ranks[LEXICAL]),
        }
        return Measured(systems, against, similarity_histogram(*search.before), similarity_histogram(x, y), y)


def index_everything(
    corpus: Corpus, search: CodeSearch, out: Path, questions: Sequence[str], quiet: bool
) -> list[Search]:
    """Model and index of every harvested function, and what the example questions find in it."""
    pairs = corpus.found.pairs
    search.model.save(out / "model")
    with bar("index", quiet) as update:
        texts = [code_text(p.code) for p in pairs]
        vectors = search.model.encode(texts, side="document", progress=update)
    rows = (
        {"file": p.file, "line": p.line, "name": p.name, "package": p.package, "summary": p.query, "text": text}
        for p, text in zip(pairs, texts, strict=True)
    )
    fingerprint = search.model.fingerprint
    fusion = {"c": FUSION["k"], "near": FUSION["weights"][0], "words": FUSION["weights"][1]}
    about = {"model": "../model", "side": "document", "fusion": fusion}
    index = Index.build(out / "index", vectors, rows, model=fingerprint, about=about)
    hits = index.nearest(search.model.encode(questions, side="query"), k=3, model=fingerprint)
    found = []
    for question, numbers, scores in zip(questions, hits.rows, hits.scores, strict=True):
        table = [index.row(i) for i in numbers]
        shown = [
            Hit(str(r["name"]), f"{short_path(str(r['file']))}:{r['line']}", r["text"].rpartition(FIELD)[2], float(s))
            for r, s in zip(table, scores, strict=True)
        ]
        found.append(Search(question, shown))
    return found


def figures(corpus: Corpus, search: CodeSearch, measured: Measured, seconds: float) -> dict[str, Any]:
    """Everything that the demo reports, as JSON."""
    versus = measured.against[f"{OURS}/{LEXICAL}"]
    hybrid = min(
        measured.against[f"{HYBRID}/{OURS}"].difference.low, measured.against[f"{HYBRID}/{LEXICAL}"].difference.low
    )
    gain = versus.relative.mean if versus.relative else math.inf
    reached = gain >= GOAL and versus.difference.low > 0
    verdict = (
        f"Goal {'reached' if reached else 'NOT reached'}: MRR {100 * gain:+.1f} % against BM25 (wanted: at least +{100 * GOAL:.0f} %, "
        f"interval above zero). The hybrid is {'above both' if hybrid > 0 else 'NOT surely above both'}.\n"
        + versus.sentence(OURS, LEXICAL)
        + f"\nWith the function's name as a field of its own, as {OURS} has it, BM25 is stronger: "
        + measured.against[f"{OURS}/{NAMED}"].sentence(OURS, NAMED)
    )
    return {
        "verdict": verdict,
        "reached": reached,
        "hybrid_above_both": hybrid > 0,
        "systems": {
            name: {title: bootstrap(result.values(metric))._asdict() for title, metric in METRICS.items()}
            for name, result in measured.systems.items()
        },
        "comparisons": {
            name: {
                "difference": p.difference._asdict(),
                "relative": p.relative._asdict() if p.relative else None,
                "p_value": p.p_value,
            }
            for name, p in measured.against.items()
        },
        "pairs": len(corpus.found.pairs),
        "train": len(corpus.train),
        "held_out": len(corpus.held_out),
        "held_out_packages": dict(Counter(p.package for p in corpus.held_out).most_common()),
        "files": corpus.found.files,
        "skipped": [{"path": short_path(s.path), "reason": s.reason} for s in corpus.found.skipped],
        "copies": corpus.found.duplicates,
        "steps": search.trained.fitted.steps,
        "training_seconds": round(search.trained.fitted.seconds, 1),
        "seconds": round(seconds, 1),
        "peak_memory_mb": _peak_memory(),
        "software": software(),
    }


def _peak_memory() -> int | None:
    """MB of this process and of its largest worker at their peaks (they may not coincide); None where no system tells."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    own, workers = (resource.getrusage(w).ru_maxrss * unit for w in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return int((own + workers) / 2**20)


def memory(megabytes: int | None) -> str:
    """A peak as people read it."""
    return "unknown" if megabytes is None else f"{megabytes:,} MB"


def map_of(corpus: Corpus, vectors: np.ndarray) -> Map:
    """The held-out functions as the trained encoder lays them out, coloured by their package."""
    shown = np.linspace(0, len(vectors) - 1, min(MAPPED, len(vectors))).astype(int)
    pairs, vectors = [corpus.held_out[i] for i in shown.tolist()], vectors[shown]
    near, cosines = neighbours(vectors)
    lines = np.array([p.code.count("\n") + 1 for p in pairs])
    points, shares = principal(vectors)
    return Map(
        "The held-out functions, laid out by what they do",
        points,
        [f"{p.name}: {p.query}" for p in pairs],
        {"package": [p.package for p in pairs], "lines of code": lines},
        near,
        cosines,
        "package",
        note=f"{len(pairs):,} functions that were never trained on. By PCA: the two axes hold {100 * shares[:2].sum():.0f} % of the variance, "
        "so much of what is far apart lies together; the list of the nearest knows all of it.",
    )


def write_report(
    corpus: Corpus,
    search: CodeSearch,
    measured: Measured,
    examples: list[Search],
    numbers: dict[str, Any],
    out: Path,
) -> Path:
    """`report.html`: verdict, comparison, curve, similarities, example searches, what was held out."""
    logged = search.trained.run.logged()
    intervals = {
        title: {name: Interval(**numbers["systems"][name][title]) for name in measured.systems} for title in METRICS
    }
    differences = [
        Difference(ours, rival, comparison)
        for (ours, rival), comparison in ((name.split("/"), c) for name, c in measured.against.items())
    ]
    packages = [(name, count) for name, count in numbers["held_out_packages"].items()]
    page = Report(
        title="A code search of this machine",
        subtitle=f"{numbers['pairs']:,} functions of the installed Python packages; measured on packages never trained on",
        verdict=numbers["verdict"].split("\n")[0],
        good=bool(numbers["reached"]),
        facts={
            "MRR": f"{numbers['systems'][OURS]['MRR']['mean']:.3f}",
            "BM25's MRR": f"{numbers['systems'][LEXICAL]['MRR']['mean']:.3f}",
            "held-out queries": f"{numbers['held_out']:,}",
            "training": f"{numbers['training_seconds']:.0f} s",
            "whole job": f"{numbers['seconds']:.0f} s",
            "memory": memory(numbers["peak_memory_mb"]),
        },
        sections=[
            Comparison(
                "Finding the right function among all held-out ones",
                intervals,
                differences,
                highlight=OURS,
                note="Each held-out docstring asks for its function among all functions of the held-out packages. "
                "Whiskers are 95 % bootstrap intervals over queries; differences are paired by query.",
            ),
            Searches(
                "What it finds", examples, note="Questions nobody trained on, over every function of this machine."
            ),
            map_of(corpus, measured.vectors),
            Curve(
                "How the loss fell",
                [e["step"] for e in logged],
                [e["loss"] for e in logged],
                chance=math.log(logged[-1]["keys"]),
                note="The dashed line is chance: the loss of a model that cannot tell its candidates apart.",
            ),
            Histogram(
                "Near and far, before and after",
                {"before training": measured.before, "after training": measured.after},
                note="Cosine similarity of each held-out docstring to its own function (near) and to all others (far).",
            ),
            Table("Packages held out", ("package", "functions"), packages),
        ],
    )
    write(page, out / "report.html")
    return out / "report.html"


def print_table(measured: Measured) -> None:
    """The comparison on the terminal."""
    from rich.console import Console
    from rich.table import Table as Grid

    grid = Grid(box=None, header_style="bold")
    grid.add_column("held-out packages")
    for title in METRICS:
        grid.add_column(f"{title} [95 % interval]", justify="right")
    for name, result in measured.systems.items():
        style = "bold" if name == OURS else None
        grid.add_row(name, *[str(bootstrap(result.values(metric))) for metric in METRICS.values()], style=style)
    Console(highlight=False, markup=False, width=100 if not sys.stdout.isatty() else None).print(grid)


def print_examples(examples: list[Search]) -> None:
    """What the example questions find."""
    for search in examples:
        print(f"\n{bold(search.query)}")
        for found in search.hits:
            print(f"  {found.score:.3f}  {found.title}  {found.where}")


def short_path(path: str) -> str:
    """A path from the package on: what comes before is the same for all and says nothing."""
    for mark in ("/site-packages/", "/dist-packages/"):
        if mark in path:
            return path.split(mark, 1)[1]
    parts = Path(path).parts
    return "/".join(parts[-3:])
