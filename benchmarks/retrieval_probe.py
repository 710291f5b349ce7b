"""Speed and memory of retrieval evaluation: ours beside sentence-transformers, ranx and torchmetrics, on vectors.

    .venv-peers/bin/python benchmarks/retrieval_probe.py           # about 10 minutes on 2 cores; goes on where a run was stopped
    .venv-peers/bin/python benchmarks/retrieval_probe.py --quick   # 2,000 documents, 200 queries, printed and not stored

100,000 documents and 10,000 queries of 256 dimensions, 1 to 5 relevant documents each, drawn by a seed: a query is the mean of
its documents and noise. A side starts from both tables and the relevant documents in the form that it wants (their making is not
timed), and ends with MRR@10, nDCG@10, recall@10 and MAP@100, the mean over all queries. All must agree.

    nearfar                retrieval(vector_scores(queries, documents), relevant): ranks of the relevant documents, then every metric
    sentence-transformers  its InformationRetrievalEvaluator as it comes, with these metrics and a model that hands over the vectors
    ranx                   measures lists of names, so they are made first: the best 100 by torch, some queries at a time; then Run, evaluate
    torchmetrics           its functions for one query, each over that query's scores of all documents, as it wants them; on every
                           twentieth query, the time multiplied by twenty

Every side has a process of its own. They run in turn, a round after the other, each round beginning with another side; the first round
is not counted. Memory is the peak above what lies there before: the tables, the relevant documents, the libraries.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from measure import (
    RECORDS,
    Record,
    Worker,
    answered,
    command_line,
    find,
    level_mb,
    measured,
    require_installed,
    require_linux,
    rotated,
    serve,
)

RECORD = RECORDS / "retrieval_probe.json"
KEY = ("side",)
OURS, SBERT, RANX, TORCHMETRICS = "nearfar", "sentence-transformers", "ranx", "torchmetrics"
NEEDED = ("sentence_transformers", "ranx", "torchmetrics")
RUNS = 5
SAMPLED = 20  # torchmetrics measures every so many-th query
TOLERANCE = 1e-4  # of a mean: single near-ties fall this way or that in float32

Call = Callable[[], dict[str, float]]


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    documents: int = 100_000
    queries: int = 10_000
    dimensions: int = 256
    noise: float = 1.5
    seed: int = 0


QUICK = Sizes(documents=2_000, queries=200)


@dataclass(frozen=True)
class World:
    """Vectors, and the rows of the relevant documents of each query."""

    queries: np.ndarray
    documents: np.ndarray
    relevant: list[np.ndarray]


def made_world(sizes: Sizes) -> World:
    """The same for every side."""
    random = np.random.default_rng(sizes.seed)
    documents = random.standard_normal((sizes.documents, sizes.dimensions), dtype=np.float32)
    documents /= np.linalg.norm(documents, axis=1, keepdims=True)
    relevant = [random.choice(sizes.documents, size=random.integers(1, 6), replace=False) for _ in range(sizes.queries)]
    queries = np.stack([documents[rows].mean(0) for rows in relevant])
    queries += sizes.noise / sizes.dimensions**0.5 * random.standard_normal(queries.shape, dtype=np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    return World(queries, documents, relevant)


# The sides: from a world to a call that measures it


def ours(world: World) -> Call:
    """Ranks of relevant documents by comparison, block by block."""
    import nearfar as nf

    def call() -> dict[str, float]:
        found = nf.retrieval(nf.vector_scores(world.queries, world.documents), world.relevant)
        return {name: found.figure(name) for name in ("mrr@10", "ndcg@10", "recall@10", "map@100")}

    return call


def sentence_transformers(world: World) -> Call:
    """The evaluator, with names for rows and a model that has encoded already."""
    import torch
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
    from sentence_transformers.util import cos_sim

    queries = {str(q): str(q) for q in range(len(world.queries))}
    corpus = {str(d): str(d) for d in range(len(world.documents))}
    relevant = {str(q): {str(d) for d in rows} for q, rows in enumerate(world.relevant)}
    evaluator = InformationRetrievalEvaluator(
        queries,
        corpus,
        relevant,
        accuracy_at_k=[10],
        precision_recall_at_k=[10],
        score_functions={"cosine": cos_sim},
        write_csv=False,
    )
    x, y = torch.from_numpy(world.queries), torch.from_numpy(world.documents)

    class Encoded:
        """What the evaluator asks of a model."""

        def encode_query(self, *_: object, **__: object) -> torch.Tensor:
            return x

    def call() -> dict[str, float]:
        found = evaluator.compute_metrices(Encoded(), corpus_embeddings=y)["cosine"]
        at = {"mrr": 10, "ndcg": 10, "recall": 10, "map": 100}
        # its MAP@k divides by min(k, relevant), which is the same here
        return {f"{name}@{k}": float(found[f"{name}@k"][k]) for name, k in at.items()}

    return call


def ranx(world: World) -> Call:
    """The best hundred of each query by torch, then lists with names."""
    import torch
    from ranx import Qrels, Run, evaluate

    numbers = [str(d) for d in range(len(world.documents))]
    qrels = Qrels({str(q): {numbers[d]: 1 for d in rows} for q, rows in enumerate(world.relevant)})
    x, y = torch.from_numpy(world.queries), torch.from_numpy(world.documents)

    def call() -> dict[str, float]:
        lists: dict[str, dict[str, float]] = {}
        for start in range(0, len(x), 100):
            best = (x[start : start + 100] @ y.T).topk(min(100, len(y)), dim=1)
            for q, (scores, rows) in enumerate(zip(best.values.tolist(), best.indices.tolist(), strict=True), start):
                lists[str(q)] = {numbers[d]: s for d, s in zip(rows, scores, strict=True)}
        made = evaluate(qrels, Run(lists), ["mrr@10", "ndcg@10", "recall@10", "map@100"])
        return {name: float(value) for name, value in made.items()}

    return call


def torchmetrics(world: World) -> Call:
    """One query at a time, over all documents."""
    import torch
    from torchmetrics.functional.retrieval import (
        retrieval_average_precision,
        retrieval_normalized_dcg,
        retrieval_recall,
        retrieval_reciprocal_rank,
    )

    x, y = torch.from_numpy(world.queries), torch.from_numpy(world.documents)
    chosen = range(0, len(x), SAMPLED)

    def call() -> dict[str, float]:
        sums = dict.fromkeys(("mrr@10", "ndcg@10", "recall@10", "map@100"), 0.0)
        for q in chosen:
            scores, target = y @ x[q], torch.zeros(len(y), dtype=torch.long)
            target[torch.from_numpy(world.relevant[q])] = 1
            sums["mrr@10"] += float(retrieval_reciprocal_rank(scores, target, top_k=10))
            sums["ndcg@10"] += float(retrieval_normalized_dcg(scores, target, top_k=10))
            sums["recall@10"] += float(retrieval_recall(scores, target, top_k=10))
            # its average precision at k is a mean over what was found; that of everything is the usual one
            sums["map@100"] += float(retrieval_average_precision(scores, target))
        return {name: value / len(chosen) for name, value in sums.items()}

    return call


SIDES: dict[str, Callable[[World], Call]] = {
    OURS: ours,
    SBERT: sentence_transformers,
    RANX: ranx,
    TORCHMETRICS: torchmetrics,
}


class Bench:
    """One side's process."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.call: Call | None = None

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """prepare: tables and libraries. measure: all of it once."""
        if message["do"] == "prepare":
            self.call = SIDES[self.name](made_world(Sizes(**message["sizes"])))
            return {}
        call, made = self.call, {}
        assert call is not None

        def timed() -> float:
            made.update(call())
            return made["ndcg@10"]

        level = level_mb()
        taken = measured(timed)
        factor = SAMPLED if self.name == TORCHMETRICS else 1
        return {
            "seconds": factor * taken["seconds"],
            "extra_mb": taken["peak_mb"] - level,
            "figures": made,
        }


# The parent


def run_rounds(record: Record, sizes: Sizes, runs: int, sides: Sequence[str]) -> None:
    """A round that is not counted, and as many as are missing."""
    done = {side: len((record.find(side=side) or {}).get("seconds", ())) for side in sides}
    if min(done.values()) >= runs:
        say("all is measured; --fresh measures anew")
        return
    workers = {side: Worker(Path(__file__), side) for side in sides}
    try:
        for worker in workers.values():
            worker.send(do="prepare", sizes=asdict(sizes))
        for side, worker in workers.items():
            answered(side, worker.receive())
        for number in range(-1, runs - min(done.values())):
            answers = {
                side: answered(side, workers[side].ask(do="measure")) for side in rotated(list(sides), number + 1)
            }
            if wrong := differing(answers):
                raise SystemExit(wrong)
            if number >= 0:
                record.add([_joined(record.find(side=side), side, answers[side]) for side in sides])
            say("\n".join([f"round {number + 1} of {runs}", *lines(answers)]))
    finally:
        for worker in workers.values():
            worker.close()


def differing(answers: dict[str, dict[str, Any]]) -> str:
    """What is wrong if sides measure different things; torchmetrics sees some of the queries only."""
    whole = {side: a["figures"] for side, a in answers.items() if side != TORCHMETRICS}
    for name in next(iter(whole.values()), {}):
        values = {side: figures[name] for side, figures in whole.items()}
        first = next(iter(values.values()))
        if not all(abs(value - first) <= TOLERANCE for value in values.values()):
            return f"the sides differ in {name}: {values}"
    return ""


def _joined(stored: dict[str, Any] | None, side: str, answer: dict[str, Any]) -> dict[str, Any]:
    before = stored or {"seconds": [], "extra_mb": 0.0}
    return {
        "side": side,
        "seconds": [*before["seconds"], answer["seconds"]],
        "extra_mb": max(before["extra_mb"], answer["extra_mb"]),
        "figures": answer["figures"],
        **({"sampled": SAMPLED} if side == TORCHMETRICS else {}),
    }


def lines(answers: dict[str, dict[str, Any]]) -> list[str]:
    """Sides as text; ratios are to ours."""
    base = answers.get(OURS)
    made = []
    for side, answer in answers.items():
        over = f"{answer['seconds'] / base['seconds']:7.2f}" if base else ""
        figures = "  ".join(f"{name} {value:.4f}" for name, value in answer["figures"].items())
        made.append(f"  {side:<22} {answer['seconds']:9.2f} s {over} {answer['extra_mb']:8,.0f} MB   {figures}")
    return made


def summary(record: Record, sizes: Sizes) -> str:
    """Medians, and what the target says of them."""
    rows = {side: row for side in SIDES if (row := find(record.rows, side=side)) is not None}
    if OURS not in rows:
        return ""
    medians = {side: statistics.median(row["seconds"]) for side, row in rows.items()}
    others = {side: value for side, value in medians.items() if side != OURS}
    whole = 4 * sizes.documents * sizes.queries / 2**20
    quickest = min(others, key=lambda side: others[side], default="")
    text = f"all scores are {whole:,.0f} MB; nearfar takes {rows[OURS]['extra_mb']:,.0f} MB and {medians[OURS]:.2f} s"
    return text + (
        f"; {quickest}, the quickest of the others, {others[quickest] / medians[OURS]:.2f} times as long"
        if quickest
        else ""
    )


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Measure what is not measured yet, and store it."""
    parser = command_line(
        __doc__ or "", RECORD, quick="tiny sizes, one round", runs=f"rounds ({RUNS})", workers=list(SIDES)
    )
    parser.add_argument("--sides", nargs="+", choices=list(SIDES), default=list(SIDES), help="some of them")
    parser.add_argument("--documents", type=int, help=f"({Sizes.documents})")
    parser.add_argument("--queries", type=int, help=f"({Sizes.queries})")
    args = parser.parse_args()
    require_linux()
    require_installed(NEEDED)
    if args.worker:
        serve(Bench(args.worker).answer)
        return
    given = {"documents": args.documents, "queries": args.queries}
    sizes = Sizes(**asdict(QUICK if args.quick else Sizes()) | {k: v for k, v in given.items() if v is not None})
    # measure.py notes the versions of what all benchmarks share; these are of this one alone
    settings = {**asdict(sizes), RANX: version(RANX), TORCHMETRICS: version(TORCHMETRICS)}
    path = args.out or (None if args.quick or any(given.values()) else RECORD)
    record = Record(path, "retrieval probe", KEY, settings, fresh=args.fresh)
    run_rounds(record, sizes, args.runs or (1 if args.quick else RUNS), args.sides)
    say(summary(record, sizes))


if __name__ == "__main__":
    main()
