"""Task `link_prediction`: links (head, relation, tail), or edges (head, tail), of which one end is to be found among all entities.

What is asked for is a text: the template `tail_query` with the texts of head and relation in it, and `head_query` with those of relation
and tail for the other end. Answers are compared with the texts of all entities. Edges have no relation: tail_query = "{head}".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from nearfar.core.errors import DataError
from nearfar.evaluation.task import Table, TaskSettings, Work, check_names
from nearfar.probes.link_prediction import link_prediction
from nearfar.probes.outcome import Outcome
from nearfar.probes.scores import VectorScores, vector_scores

COLUMNS = {"head": "any", "relation": "text", "tail": "any", "id": "any", "entity": "text"}
ROLES = ("query", "entity")
PLACE = r"{(\w+)}"
KNOWN = {"tail_query": ("head", "relation"), "head_query": ("relation", "tail")}


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """Keys beyond those of every task.

    entities    file of ids and texts of all entities; without, they are what links name, and their names are their texts
    known       file of other true links (of training and dev), which leave the rankings as those of `data` do
    tail_query  template of what is asked for a tail
    head_query  the same for a head; "": only tails are ranked
    at          the ranks k of metrics
    """

    entities: str | None = None
    known: str | None = None
    tail_query: str = "{head} {relation}"
    head_query: str = ""
    at: tuple[int, ...] = (1, 3, 10)


def files(work: Work) -> None:
    """Read all files."""
    _check(work.settings)
    for key in ("data", "known"):
        work.optional(key, _roles(work.settings))
    work.optional("entities", ("id", "entity"))


def measure(work: Work) -> Outcome:
    """Where the right end of each link stands among all entities but other right ones."""
    roles, settings = _roles(work.settings), work.settings
    asked, others = work.table("data", roles), work.optional("known", roles)
    told = work.optional("entities", ("id", "entity"))
    tables = [table for table in (asked, others) if table is not None]
    if told is None:
        ends = dict.fromkeys(str(name) for table in tables for role in ("head", "tail") for name in table[role])
        texts = {name: name for name in ends}
    else:
        texts = {str(name): text for name, text in zip(told["id"], told["entity"], strict=True)}
        if len(texts) < len(told):
            raise DataError("two entities have the same id", where="entities", remedy="give each its own")
    place = {name: row for row, name in enumerate(texts)}
    kinds: dict[str, int] = {}
    links = [_links(table, place, kinds, "data" if table is asked else "known") for table in tables]
    entities = work.vectors(list(texts.values()), "entity")

    def scores(template: str) -> VectorScores | None:
        if not template:
            return None
        relations = asked["relation"] if "relation" in roles else [""] * len(asked)
        queries = [
            _filled(template, {"head": texts[str(h)], "relation": r, "tail": texts[str(t)]})
            for h, r, t in zip(asked["head"], relations, asked["tail"], strict=True)
        ]
        return vector_scores(work.vectors(queries, "query"), entities, cosine=work.cosine)

    return link_prediction(
        links[0],
        tails=scores(settings.tail_query),
        heads=scores(settings.head_query),
        known=np.concatenate(links),
        at=settings.at,
        names=work.names(" | ".join(str(asked[role][i]) for role in roles) for i in range(len(asked))),
    )


def _filled(template: str, values: dict[str, str]) -> str:
    return re.sub(PLACE, lambda found: values[found[1]], template)


def _check(settings: Settings) -> None:
    for key, known in KNOWN.items():
        check_names(re.findall(PLACE, getattr(settings, key)), known, key, f"part of {key}")
    if not settings.tail_query:
        raise DataError("nothing is asked", where="tail_query", remedy='write a template such as "{head} {relation}"')


def _roles(settings: Settings) -> tuple[str, ...]:
    with_relation = "{relation}" in settings.tail_query + settings.head_query
    return ("head", "relation", "tail") if with_relation else ("head", "tail")


def _links(table: Table, place: dict[str, int], kinds: dict[str, int], where: str) -> np.ndarray:
    """Numbers of head, relation (if there is one) and tail [n 2 or 3]."""
    columns: list[list[Any]] = []
    for role in table.columns:
        if role == "relation":
            columns.append([kinds.setdefault(name, len(kinds)) for name in table[role]])
            continue
        lacking = [i for i, name in enumerate(table[role]) if str(name) not in place]
        if lacking:
            raise DataError(
                f"no entity has the id {table[role][lacking[0]]!r}",
                where=f"{where}, record {lacking[0]}, {role}",
                remedy="name entities by the ids that their file gives them",
            )
        columns.append([place[str(name)] for name in table[role]])
    return np.array(columns, dtype=np.int64).T
