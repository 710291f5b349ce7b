"""The sample of a run: some records embedded once more when it ends, in bounded time, for the pictures of its report."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar.core.errors import DataError, NearfarError
from nearfar.core.ids import string_ids
from nearfar.data.readers import read
from nearfar.data.records import Records
from nearfar.data.sources import SOURCE
from nearfar.probes.similarity_histogram import SimilarityHistogram, similarity_histogram
from nearfar.report.projection import unit
from nearfar.report.sample import Sample
from nearfar.report.sections import Answered
from nearfar.training.held_out import two_looks
from nearfar.training.stored_held_out import first_ranks, queried
from nearfar.training.train import Trained

MOST = 2_000  # points
SECONDS = 15.0  # of embedding; what is not reached by then is left out
AT_ONCE = 128
EXAMPLES = 6  # queries of a group
CLASSES = 40  # distinct whole numbers that are taken for classes
LETTERS = 400  # of a text that are kept
OTHER_LOOK = "its other look"  # the answer of a record of one side
LARGEST = 1 << 26  # bytes of a file that is read once more for its other columns
EASY, MISSED = "Found first, by the widest margin", "Missed by far"


@dataclass(frozen=True, eq=False)
class Chosen:
    """Records of both parts in the order in which they are embedded: `held_out` [m] says of which part, `index` [m] its number there."""

    held: Records | None
    rest: Records
    held_out: NDArray[np.bool_]
    index: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.index)

    def take(self, rows: Any) -> Chosen:
        """Some of them."""
        return Chosen(self.held, self.rest, self.held_out[rows], self.index[rows])

    def many(self, field: str, *, prompted: bool = True) -> list[Any]:
        """The items of a field."""
        items: list[Any] = [None] * len(self)
        for part, mine in ((self.held, self.held_out), (self.rest, ~self.held_out)):
            rows = np.flatnonzero(mine)
            if part is not None and len(rows):
                for row, item in zip(rows, part.many(field, self.index[rows], prompted=prompted), strict=True):
                    items[row] = item
        return items

    def column(self, name: str) -> NDArray[Any]:
        """The values of a column that both parts have."""
        values = self.rest.columns[name][np.where(self.held_out, 0, self.index)].copy()
        if self.held is not None and self.held_out.any():
            values[self.held_out] = self.held.columns[name][self.index[self.held_out]]
        return values


@dataclass(frozen=True, eq=False)
class Results:
    """Of every held-out query the record it stands in [s] and the rank of its first right answer [s]."""

    record: NDArray[np.int64]
    rank: NDArray[np.int64]


def sample_of(made: Trained, most: int = MOST, seconds: float = SECONDS) -> Sample:
    """Embed held-out and training records, half and half as far as there are, and gather what is known of them.

    Raises DataError where no vector is a number, and whatever the model raises where it cannot encode its records one by one.
    """
    sides = _sides(made)
    results = _results(made, sides)
    chosen = _chosen(made, results, most // len(sides))
    vectors = _embedded(made, chosen, sides, seconds)
    chosen = chosen.take(slice(len(vectors[0])))
    good = np.isfinite(np.stack([v.sum(1) for v in vectors])).all(0)
    if not good.any():
        raise DataError(
            "no vector of the model is a number", where=str(made.run.model), remedy="see what the doctor says"
        )
    chosen, vectors = chosen.take(good), [unit(v[good]) for v in vectors]
    texts = [_texts(chosen, field) for field in sides.values()]
    columns = _columns(made, chosen, sides, texts, results)
    pool = np.repeat(np.arange(len(sides)) == len(sides) - 1, len(chosen))
    return Sample(
        np.concatenate(vectors),
        [text for side in texts for text in side],
        columns,
        pool,
        _color_by(columns),
        _near(made, chosen, vectors, texts),
        {} if results is None else _examples(chosen, vectors, texts, results),
        _note(chosen, sides, made),
    )


def _sides(made: Trained) -> dict[str, str]:
    """Side of the model -> field of the records, each field once."""
    found: dict[str, str] = {}
    for feed in made.model.about["recipe"]["streams"]:
        side = feed["side"] or feed["field"]
        if side in made.model.sides and feed["field"] in made.records.fields and feed["field"] not in found.values():
            found.setdefault(side, feed["field"])
    if not found:
        raise DataError("no side of the model reads a field of the records", where=made.records.source)
    return dict(list(found.items())[:2])


def _results(made: Trained, sides: Mapping[str, str]) -> Results | None:
    found, held = made.retrieval, made.held_out
    if found is None or held is None:
        return None
    distinct = made.model.about["recipe"]["data"] == "pairs"
    return Results(queried(found, held, next(iter(sides.values())), distinct=distinct), first_ranks(found))


def _chosen(made: Trained, results: Results | None, most: int) -> Chosen:
    """The worst queries first, then by a draw, held-out and training records in turn."""
    random = np.random.default_rng(0)
    held = np.zeros(0, np.int64) if made.held_out is None else random.permutation(len(made.held_out))
    rest = random.permutation(len(made.records))
    shown = max(most // 2, most - len(rest))
    if results is not None:
        worst = results.record[np.argsort(-results.rank, kind="stable")[:EXAMPLES]]
        held = np.concatenate([worst, held[~np.isin(held, worst)]])
    held = held[:shown]
    rest = rest[: most - len(held)]
    part = np.repeat([True, False], [len(held), len(rest)])
    turn = np.concatenate([np.arange(len(held)) / max(1, len(held)), np.arange(len(rest)) / max(1, len(rest))])
    turn[:EXAMPLES] *= len(held) > 0
    order = np.argsort(turn, kind="stable")
    return Chosen(made.held_out, made.records, part[order], np.concatenate([held, rest])[order])


def _embedded(made: Trained, chosen: Chosen, sides: Mapping[str, str], seconds: float) -> list[NDArray[np.float32]]:
    """Vectors of each side, of as many records as the time allows."""
    started = time.perf_counter()
    blocks: list[list[NDArray[np.float32]]] = [[] for _ in sides]
    for first in range(0, len(chosen), AT_ONCE):
        some = chosen.take(slice(first, first + AT_ONCE))
        for block, (side, field) in zip(blocks, sides.items(), strict=True):
            block.append(made.model.encode(some.many(field), side=side))
        if time.perf_counter() - started > seconds:
            break
    return [np.concatenate(block) for block in blocks]


def _texts(chosen: Chosen, field: str) -> list[str]:
    """What stands for each record: its text, the end of its path, or its number."""
    found = []
    for item, number, held in zip(chosen.many(field, prompted=False), chosen.index, chosen.held_out, strict=True):
        if isinstance(item, str) and field in ("image", "audio"):
            found.append("/".join(Path(item).parts[-2:]))
        else:
            found.append(
                item[:LETTERS] if isinstance(item, str) else f"{'held-out' if held else 'training'} record {number}"
            )
    return found


def _columns(
    made: Trained, chosen: Chosen, sides: Mapping[str, str], texts: list[list[str]], results: Results | None
) -> dict[str, Any]:
    """What the points can be coloured by: one value a point."""
    found: dict[str, Any] = {}
    sources = made.model.about["data"].get("sources", {})
    if SOURCE in made.records.columns and sources:
        names = dict(zip(string_ids(sources).tolist(), sources, strict=True))
        found["source"] = [names.get(number, "?") for number in chosen.column(SOURCE).tolist()]
    found |= {name: _values(chosen, name) for name in made.records.fields if name not in sides.values()}
    found |= {name: _values(chosen, name) for name in made.records.columns if name not in made.records.fields}
    found |= _of_file(made, chosen, sides)
    found = {name: values for name, values in found.items() if values is not None}
    if "class" in found:
        found.pop("label", None)
    found["part"] = ["held out" if held else "trained on" for held in chosen.held_out]
    tiled = {
        name: values * len(sides) if isinstance(values, list) else np.tile(values, len(sides))
        for name, values in found.items()
    }
    if len(sides) > 1:
        tiled["side"] = [field for field in sides.values() for _ in range(len(chosen))]
    if results is not None:
        ranks = dict(zip(results.record.tolist(), results.rank.tolist(), strict=True))
        own = [
            ranks.get(i, np.nan) if held else np.nan
            for i, held in zip(chosen.index.tolist(), chosen.held_out, strict=True)
        ]
        tiled["rank"] = np.array(own + [np.nan] * (len(chosen) * (len(sides) - 1)))
    if all(isinstance(item, str) for field in sides.values() for item in chosen.take(slice(1)).many(field)) and not {
        "image",
        "audio",
    } & set(sides.values()):
        tiled["letters"] = np.array([len(text) for side in texts for text in side])
    return tiled


def _values(chosen: Chosen, name: str) -> list[str] | NDArray[Any] | None:
    """A field or column as something to colour by; None for ids, and for what differs from record to record."""
    if name in chosen.rest.fields:
        items = chosen.many(name)
        return _categories(items) if all(isinstance(item, str) for item in items) else None
    values = chosen.column(name) if chosen.held is None or name in chosen.held.columns else np.zeros((0, 0))
    if values.ndim != 1 or name == SOURCE or name.endswith(("_id", "_weight")) or values.dtype.kind not in "iufb":
        return None
    whole = values.dtype.kind in "iub"
    if whole and (np.abs(values.astype(np.float64)) > 2.0**53).any():
        return None  # an id
    return [str(value) for value in values.tolist()] if whole and len(np.unique(values)) <= CLASSES else values


def _categories(items: Sequence[str]) -> list[str] | None:
    return list(items) if 1 < len(set(items)) <= max(2, len(items) // 2) else None


def _of_file(made: Trained, chosen: Chosen, sides: Mapping[str, str]) -> dict[str, Any]:
    """Further columns of a file of pairs, which training does not read."""
    about = made.model.about["data"]
    path, names = Path(about["source"]), about["columns"]
    if made.model.about["recipe"]["data"] != "pairs" or len(names) < 2 or not _is_small(path):
        return {}
    wanted = {pair: i for i, pair in enumerate(zip(*(chosen.many(f) for f in sides.values()), strict=True))}
    rows: list[Mapping[str, Any]] = [{}] * len(chosen)
    try:
        for record in read(path):
            place = wanted.get(tuple(record.values.get(name) for name in names[:2]))
            if place is not None:
                rows[place] = record.values
    except NearfarError:  # bad records were told of when they were read for training
        return {}
    found: dict[str, Any] = {}
    for name in dict.fromkeys(name for row in rows for name in row if name not in names):
        items = [row.get(name) for row in rows]
        numbers = [item for item in items if isinstance(item, (int, float)) and not isinstance(item, bool)]
        if len(numbers) == len(items) and len(set(numbers)) > CLASSES:
            found[name] = np.array(numbers, dtype=np.float64)
        else:
            found[name] = _categories(["none" if item is None else str(item)[:80] for item in items])
    return found


def _is_small(path: Path) -> bool:
    try:
        return path.is_file() and path.stat().st_size <= LARGEST
    except OSError:
        return False


def _color_by(columns: Mapping[str, Any]) -> str:
    own = [name for name in columns if name not in ("part", "side", "rank", "letters")]
    return next(iter([name for name in ("class", "label", "source") if name in columns] + own + ["side", "part"]))


def _near(
    made: Trained, chosen: Chosen, vectors: list[NDArray[np.float32]], texts: list[list[str]]
) -> SimilarityHistogram | None:
    """Held-out pairs against all else; of records of one side, two looks at each."""
    rows = np.flatnonzero(chosen.held_out)
    if len(vectors) == 2:
        rows = rows if len(rows) > 1 else np.arange(len(chosen))
        _, first, own = np.unique([texts[1][i] for i in rows], return_index=True, return_inverse=True)
        return similarity_histogram(vectors[0][rows], vectors[1][rows[first]], own) if len(first) > 1 else None
    if made.prepared is None or made.held_out is None or len(rows) < 2:
        return None
    x, y, _ = two_looks(made.prepared, made.held_out.take(chosen.index[rows]))
    return similarity_histogram(x, y)


def _examples(
    chosen: Chosen, vectors: list[NDArray[np.float32]], texts: list[list[str]], results: Results
) -> dict[str, list[Answered]]:
    """The easiest and the worst of the sampled queries, with the nearest wrong answer of the sample."""
    ranks = dict(zip(results.record.tolist(), results.rank.tolist(), strict=True))
    rows = [int(i) for i in np.flatnonzero(chosen.held_out) if int(chosen.index[i]) in ranks]
    two, (x, y) = len(vectors) == 2, (vectors[0], vectors[-1])
    found = []
    for i in rows:
        scores = y @ x[i]
        own = float(scores[i])
        scores[[text == texts[-1][i] for text in texts[-1]]] = -np.inf
        best = int(scores.argmax())
        found.append((ranks[int(chosen.index[i])], own - float(scores[best]), i, best, own, float(scores[best])))
    easy = sorted((f for f in found if f[0] == 1), key=lambda f: -f[1])[:EXAMPLES]
    missed = sorted((f for f in found if f[0] > 1), key=lambda f: (-f[0], f[1]))[:EXAMPLES]

    def told(rank: int, margin: float, i: int, best: int, own: float, other: float, wrong: bool) -> Answered:
        known = (own, other) if two else (None, None)
        shown = wrong and (margin < 0 or not two)
        right = texts[-1][i] if two else OTHER_LOOK
        return Answered(
            texts[0][i], right, rank, texts[-1][best] if shown else "", known[0], known[1] if shown else None
        )

    return {EASY: [told(*f, wrong=False) for f in easy], MISSED: [told(*f, wrong=True) for f in missed]}


def _note(chosen: Chosen, sides: Mapping[str, str], made: Trained) -> str:
    held = int(chosen.held_out.sum())
    what = "pairs, both sides of each" if len(sides) > 1 else "records"
    total = len(made.records) + (0 if made.held_out is None else len(made.held_out))
    near = f" Neighbours are taken from the side {list(sides.values())[-1]!r}." if len(sides) > 1 else ""
    return f"{len(chosen):,} of {total:,} {what}: {held:,} held out, {len(chosen) - held:,} trained on.{near}"
