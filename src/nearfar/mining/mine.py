"""`mine`: hard negatives for pairs, found by any model: documents that it ranks high for a query whose answer they are not.

For each distinct query, all distinct documents are ranked by the model; its own positives (of all its pairs, by text) and the
document with its own words are taken out; of the others

        ranks (low, high)     those from rank low (counted from 0) up to high, exclusive, are looked at
        margin_absolute m     left out where  s > s_pos - m              TopK-MarginPos
        margin_relative r     left out where  s > s_pos - r |s_pos|      TopK-PercPos, whose 95 % is r = 0.05
        guide                 left out where  g(query, document) > g_pos    a second opinion
        sampling              the best of the rest, or random ones

s_pos and g_pos are the lowest score of a query's positives: with several, the strictest.

Sources: Moreira et al. 2024 (arXiv 2407.15831), NV-Retriever, for the margins, of which 95 % of the positive's score did best there;
they take candidates from the top, which is `ranks=(0, ...)` with a margin. Skipping the first ten, the default here, needs no margin
to be safe, but is blunter. Of a negative score 95 % would be a higher limit, so its size is taken. The
guide's rule is GISTEmbed's (Solatorio 2024, arXiv 2402.16829), applied beforehand. Unlike sentence-transformers'
`mine_hard_negatives`, ranks are counted before the margins, not after: (10, 100) says the same with and without them, and
nothing beyond rank 100 moves up.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nearfar.core.errors import DataError, UsageError
from nearfar.core.files import read_json, unwritable
from nearfar.core.work_folder import WorkFolder
from nearfar.data.bad_records import BadRecords
from nearfar.data.lazy import lazy_pairs
from nearfar.data.pairs import pairs
from nearfar.data.records import Records
from nearfar.mining.candidates import candidates, guided
from nearfar.mining.choice import COUNTS, Rules, sampled, window
from nearfar.mining.task import Search, Task

FORMAT, VERSION = "nearfar-mined", 1
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Mined:
    """What was written: `path` of the pairs with their negatives, `description` of the JSON beside it, and its `counts`.

    pairs, queries, documents   of the data, distinct ones
    negatives                   mined, over distinct queries
    fewer, none                 distinct queries that got fewer than asked for, and those among them that got none
    without_vector              distinct queries whose vector is zero, of which nothing can be said
    dropped                     candidates by what dropped them
    """

    path: Path
    description: Path
    counts: Mapping[str, Any]


def mine(
    model: Any,
    data: Any,
    out: str | Path,
    *,
    columns: str | Sequence[str] | None = None,
    corpus: Sequence[str] | None = None,
    per_query: int = 5,
    ranks: tuple[int, int] = (10, 100),
    margin_absolute: float | None = None,
    margin_relative: float | None = None,
    guide: Any = None,
    search: Search | None = None,
    sampling: Literal["top", "random"] = "top",
    similarity: Literal["cosine", "dot"] | None = None,
    precision: Literal["float32", "float16"] = "float32",
    seed: int = 0,
    chunk: int = 1024,
    resume: bool = False,
    on_bad: Literal["raise", "skip"] = "raise",
    bad_share: float = BadRecords.share,
    progress: Progress | None = None,
) -> Mined:
    """Write the pairs with up to `per_query` hard negatives each, as a data set that `train` reads.

    model      anything with `encode(texts, side="query" or "document") -> [n d]`
    data       pairs: whatever `pairs` takes (a jsonl, csv, tsv or parquet file is not held in memory), or Records with fields
               `query` and `document`. Negatives that it has already stay, before the mined ones
    out        a .jsonl file of lines {"query", "document", "negatives"}, one a pair, in the order of the data; beside it a
               NAME.about.json says how it was made, and a folder NAME.work holds the finished pieces until the end
    corpus     further documents, texts; those of the pairs are always candidates
    per_query, ranks, margin_absolute, margin_relative, sampling, seed     as the file's text says
    guide      a second model, or a function (queries, documents) -> [n] scores of pairs of texts, such as a cross-encoder's
    search     an index of one's own over `corpus`: (vectors [q d], k) -> (places in the corpus [q k], -1 for none, scores [q k]),
               best first. Only the corpus is mined then. By default all documents are searched exactly
    similarity "cosine" unless the model says "dot"
    precision  of document vectors on disk; float16 halves the room, and scores are of what is stored
    chunk      texts encoded, and queries answered, at once: a piece of work that a kill costs at most
    on_bad, bad_share     as of `train`: whether bad records end it, and how many may be left out
    resume     go on with unfinished work; without it that is an error. The result is that of an unbroken run, byte by byte

    Memory: a few dozen bytes a pair and document, and one chunk; vectors are on disk.

    Errors: UsageError for settings that make no sense and for unfinished work of other settings, data or models; DataError for
    bad records and vectors that are not finite; ResourceError where there is no room. An older `out` survives them all.

    >>> import tempfile, pathlib, numpy as np, nearfar as nf
    >>> class Letters:
    ...     def encode(self, texts, side):
    ...         return np.array([[t.count(c) for c in "abcd"] for t in texts], dtype="float32")
    >>> out = pathlib.Path(tempfile.mkdtemp(), "mined.jsonl")
    >>> made = mine(Letters(), [("a", "ab"), ("b", "bbc"), ("d", "dd")], out, per_query=1, ranks=(0, 2))
    >>> out.read_text().splitlines()[0]
    '{"query": "a", "document": "ab", "negatives": ["bbc"]}'
    """
    low, high = ranks
    rules = Rules(per_query, (low, high), margin_absolute, margin_relative, sampling, seed)
    rules.check()
    out = _out(out, data, chunk, precision)
    if search is not None and not (corpus is not None and len(corpus)):
        raise UsageError(
            "a search of your own needs the corpus", where="corpus", remedy="give the texts that it searches"
        )
    task = Task(
        model,
        _records(data, columns, BadRecords(on_bad, share=bad_share)),
        corpus,
        guide,
        search,
        rules,
        similarity,
        precision,
        chunk,
    )
    plan = task.plan()
    work = WorkFolder(out.with_name(out.name + ".work"), plan, resume=resume)
    tell = progress or (lambda done, total, note: None)
    if search is None:
        _store(task, work, "documents", task.model, tell)
    if guide is not None and hasattr(guide, "encode"):
        _store(task, work, "guide", guide, tell)
    for first in range(0, task.queries, chunk):
        if not work.has(f"negatives-{first}.npy"):
            numbers, counts = _mine(task, work, first)
            work.write(f"counts-{first}.json", json.dumps(counts).encode())
            work.write_array(f"negatives-{first}.npy", numbers)  # last: its presence says that the chunk is done
        tell(min(first + chunk, task.queries), task.queries, "mining")
    return _write(task, work, out, plan)


def _store(task: Task, work: WorkFolder, name: str, model: Any, tell: Progress) -> None:
    """Vectors of all documents, chunk by chunk; finished chunks are not encoded again."""
    for first in range(0, task.documents, task.chunk):
        numbers = np.arange(first, min(first + task.chunk, task.documents))
        if not work.has(f"{name}-{first}.npy"):
            vectors = task.encode(model, numbers, "document")
            if task.precision == "float16" and np.abs(vectors).max() > np.finfo(np.float16).max:
                raise DataError(
                    f"a vector has numbers up to {np.abs(vectors).max():.3g}, too large for float16",
                    where=name,
                    remedy='use precision="float32"',
                )
            work.write_array(f"{name}-{first}.npy", vectors.astype(task.precision))
        tell(int(numbers[-1]) + 1, task.documents, f"encoding {name}")


def _mine(task: Task, work: WorkFolder, first: int) -> tuple[np.ndarray, dict[str, int]]:
    """Negatives [q per_query] of a chunk of queries, -1 for none, and what was counted."""
    numbers = np.arange(first, min(first + task.chunk, task.queries))
    vectors = task.encode(task.model, numbers, "query")
    counts: dict[str, int] = dict.fromkeys((*COUNTS, "without_vector"), 0)
    counts["without_vector"] = int((~vectors.any(1)).sum())
    kept: list[np.ndarray] = []
    for query, place in zip(candidates(task, work, numbers, vectors), range(len(numbers)), strict=True):
        kept.append(window(query, task.rules, counts) if vectors[place].any() else query.numbers[:0])
    if task.guide is not None:
        kept = guided(task, work, numbers, kept, counts)
    chosen = np.full((len(numbers), task.rules.per_query), -1, dtype=np.int64)
    for place, left in enumerate(kept):
        best = sampled(left, int(task.query_id[numbers[place]]), task.rules, lambda n: task.document_id[n], counts)
        chosen[place, : len(best)] = best
    return chosen, counts


def _write(task: Task, work: WorkFolder, out: Path, plan: Mapping[str, Any]) -> Mined:
    """The data set and its description, from finished pieces; then the folder of the work goes."""
    pieces = range(0, task.queries, task.chunk)
    chosen = np.concatenate([work.array(f"negatives-{first}.npy") for first in pieces])
    dropped: dict[str, int] = dict.fromkeys((*COUNTS, "without_vector"), 0)
    for first in pieces:
        for name, count in json.loads((work.path / f"counts-{first}.json").read_text("utf-8")).items():
            dropped[name] += count
    got = (chosen >= 0).sum(1)
    counts = {
        "pairs": len(task.records),
        "queries": task.queries,
        "documents": task.documents,
        "negatives": int(got.sum()),
        "fewer": int((got < task.rules.per_query).sum()),
        "none": int((got == 0).sum()),
        "without_vector": dropped.pop("without_vector"),
        "dropped": dropped,
    }
    made, digest = work.path / out.name, hashlib.sha256()
    try:
        with open(made, "wb") as file:
            for line in _lines(task, chosen):
                digest.update(line)
                file.write(line)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        made.unlink(missing_ok=True)
        raise unwritable(made, error) from None
    about = {"format": FORMAT, "version": VERSION, **plan, "counts": counts, "sha256": digest.hexdigest()}
    description = _description(out)
    work.write(description.name, (json.dumps(about, indent=1) + "\n").encode())
    try:
        os.replace(made, out)
        os.replace(work.path / description.name, description)
    except OSError as error:
        raise unwritable(out, error) from None
    work.remove()
    return Mined(out, description, counts)


def _lines(task: Task, chosen: np.ndarray) -> Iterator[bytes]:
    for start in range(0, len(task.records), task.chunk):
        places = np.arange(start, min(start + task.chunk, len(task.records)))
        rows = chosen[task.query_of[places]]
        texts = iter(task.document_texts(rows[rows >= 0]))
        names = [name for name in ("query", "document", "negatives") if name in task.records.fields]
        for row, *cells in zip(rows, *(task.records.many(name, places) for name in names), strict=True):
            query, document, *own = cells
            given = list(own[0]) if own else []
            mined = [next(texts) for number in row if number >= 0]
            values = {"query": query, "document": document, "negatives": list(dict.fromkeys([*given, *mined]))}
            yield json.dumps(values, ensure_ascii=False).encode("utf-8") + b"\n"


def _description(out: Path) -> Path:
    return out.with_name(f"{out.stem}.about.json")


def _out(out: str | Path, data: Any, chunk: int, precision: str) -> Path:
    """The place for the result, if it is a sound one."""
    path = Path(out)
    if path.suffix != ".jsonl":
        raise UsageError(f"{path.name!r} is no name of a jsonl file", where="out", remedy="let it end in .jsonl")
    if isinstance(data, (str, os.PathLike)) and path.exists() and Path(data).exists() and path.samefile(data):
        raise UsageError(
            "the result would replace the data it is mined from", where=str(path), remedy="choose another out"
        )
    if _description(path).exists():
        read_json(_description(path), format=FORMAT, version=VERSION)  # a file that is something else is left alone
    if chunk < 1 or precision not in ("float32", "float16"):
        raise UsageError(
            f"chunk={chunk}, precision={precision!r} make no sense",
            where="chunk",
            remedy='1 or more; "float32" or "float16"',
        )
    return path


def _records(data: Any, columns: str | Sequence[str] | None, bad: BadRecords) -> Records:
    """Pairs as Records, of a file without holding it in memory where it can be read by record."""
    if isinstance(data, Records):
        missing = {"query", "document"} - set(data.fields)
        if missing:
            raise UsageError(
                f"these records have no field {sorted(missing)[0]!r}",
                where="data",
                remedy=f"they have {list(data.fields)}",
            )
        return data
    if isinstance(data, (str, os.PathLike)) and not str(data).endswith(".gz"):
        return lazy_pairs(data, columns, bad=bad)
    return pairs(data, columns, on_bad=bad.on_bad, bad_share=bad.share).records()
