"""What a run's model is worth on its held-out records, query by query, kept beside the run for `nearfar compare` and the report."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearfar.data.records import Records
from nearfar.probes.outcome import Outcome
from nearfar.probes.retrieval import Retrieval
from nearfar.probes.stored_outcomes import save_outcomes
from nearfar.training.run import Run

HELD_OUT = "held-out"
LONGEST = 200  # characters of a name; of a longer text its beginning and a digest
METRICS = ("mrr", "hit@1", "recall@10")
PAIRS = ("query", "document")
FILES = ("image", "audio")  # fields whose texts are paths


def store_held_out(run: Run, found: Retrieval, records: Records, config: Mapping[str, Any]) -> None:
    """Write what became of every held-out query into the run's directory."""
    recipe = config["recipe"]
    about = {"kind": "run", "recipe": recipe["name"], "seed": recipe["seed"], "data": config["data"]}
    pairs = recipe["data"] == "pairs"
    fields = (
        PAIRS if pairs else [f for f in dict.fromkeys(s["field"] for s in recipe["streams"]) if f in records.fields]
    )
    save_outcomes(run.directory, {HELD_OUT: held_out_outcome(found, records, fields, distinct=pairs)}, about)


def held_out_outcome(
    found: Retrieval, records: Records, fields: Sequence[str] = PAIRS, *, distinct: bool = True
) -> Outcome:
    """The ranks of held-out records as an outcome, named by what they say in the first of the `fields`, where that is a text.

    Columns beside the metrics: `rank` of the first right answer; `answer`, what the record says in the last of several fields.
    """
    rows = queried(found, records, fields[0], distinct=distinct) if fields else found.queries
    names = _texts(records, fields[0], rows) if fields else []
    answers = _texts(records, fields[-1], rows) if len(fields) > 1 else []
    columns: dict[str, NDArray[Any]] = {metric: found.values(metric) for metric in METRICS}
    columns["rank"] = first_ranks(found)
    if answers:
        columns["answer"] = np.array(answers, dtype=np.str_)
    return Outcome(
        probe="retrieval",
        main="mrr",
        units="queries",
        columns=columns,
        means=METRICS,
        names=names,
        facts={
            "documents": found.documents,
            "unanswerable": found.unanswerable,
            "fingerprint": records.fingerprint,
        },
    )


def first_ranks(found: Retrieval) -> NDArray[np.int64]:
    """The rank of the first right answer of every scored query [s], from 1; in a tie the middle of it, as it is in the metrics."""
    return np.minimum.reduceat(found.above + (found.tied + 1) // 2, found.offsets[:-1])


def queried(found: Retrieval, records: Records, field: str, *, distinct: bool) -> NDArray[np.int64]:
    """The record that each scored query [s] stands in; of `distinct` queries the first one, as they are measured once."""
    if not distinct:
        return found.queries
    place: dict[str, int] = {}
    for i, text in enumerate(records.many(field, range(len(records)))):
        place.setdefault(text, i)
    return np.array(list(place.values()), dtype=np.int64)[found.queries]


def _texts(records: Records, field: str, rows: NDArray[np.int64]) -> list[str]:
    """Without prompts; nothing for what is no text."""
    if not isinstance(records.many(field, rows[:1], prompted=False)[0], str):
        return []  # an image, say, is not read once more
    items = map(str, records.many(field, rows, prompted=False))
    return [_short("/".join(Path(item).parts[-2:]) if field in FILES else item) for item in items]


def _short(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return text[: LONGEST - 12] + " ..." + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
