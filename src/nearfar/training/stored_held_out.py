"""What a run's model is worth on its held-out records, query by query, kept beside the run for `nearfar compare`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from nearfar.data.records import Records
from nearfar.probes.outcome import Outcome
from nearfar.probes.retrieval import Retrieval
from nearfar.probes.stored_outcomes import save_outcomes
from nearfar.training.run import Run

HELD_OUT = "held-out"
LONGEST = 200  # characters of a name; of a longer text its beginning and a digest


def store_held_out(run: Run, found: Retrieval, records: Records, config: Mapping[str, Any]) -> None:
    """Write reciprocal rank and recall@10 of every held-out query into the run's directory."""
    recipe = config["recipe"]
    about = {"kind": "run", "recipe": recipe["name"], "seed": recipe["seed"], "data": config["data"]}
    save_outcomes(run.directory, {HELD_OUT: held_out_outcome(found, records)}, about)


def held_out_outcome(found: Retrieval, records: Records) -> Outcome:
    """The ranks of held-out records as an outcome; its names are their texts where they have any."""
    names = _names(records)
    return Outcome(
        probe="retrieval",
        main="mrr",
        units="queries",
        columns={"mrr": found.reciprocal_ranks, "recall@10": found.recalls(10)},
        means=("mrr", "recall@10"),
        names=[names[query] for query in found.queries] if names else [],
        facts={
            "documents": found.documents,
            "unanswerable": found.unanswerable,
            "fingerprint": records.fingerprint,
        },
    )


def _names(records: Records) -> list[str]:
    """Distinct queries in their order, as the measurement knows them, without prompts; nothing for what is no text."""
    everything = range(len(records))
    if "query" in records.fields:
        seen = records.many("query", everything)
        plain = records.many("query", everything, prompted=False)
        first: dict[Any, Any] = {}
        for text, name in zip(seen, plain, strict=True):
            first.setdefault(text, name)
        return [_short(name) for name in first.values()]
    texts = records.many("text", everything, prompted=False) if "text" in records.fields else []
    return [_short(text) for text in texts] if all(isinstance(text, str) for text in texts) else []


def _short(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return text[: LONGEST - 12] + " ..." + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
