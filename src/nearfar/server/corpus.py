"""`Corpus`: one open index and what is answered from it, as plain JSON; called from the threads of a `worker`.

Damage that is found while searching is remembered: from then on nothing is answered from this index.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from nearfar.core.errors import DataError, NearfarError, ResourceError, UsageError
from nearfar.core.model import Model
from nearfar.search.filters import Filter, parse
from nearfar.search.index import Index
from nearfar.search.searcher import Found, Searcher
from nearfar.server.limits import Limits
from nearfar.server.map import CorpusMap
from nearfar.server.refusal import Refusal, busy
from nearfar.server.shown import cut, shown

EXAMPLES, WORDS = 3, (3, 9)  # queries that the empty page offers, and how many words they have
SAMPLED = 60  # rows that examples are looked for in
VALUES = 20  # of a column that a filter offers
LONGER_THAN_A_PATH = "what is near and what is far " * 200

LOG = logging.getLogger("nearfar.server")
T = TypeVar("T")


class Asked(NamedTuple):
    """How a search is done; `where` as people write it."""

    k: int
    mode: str
    where: Sequence[str]
    prefix: bool


class Corpus:
    """An open index, the model that made it, and its map. `name` is what the API calls it."""

    def __init__(self, name: str, index: Index, model: Model, limits: Limits) -> None:
        self.name, self.index, self.model, self.limits = name, index, model, limits
        self.searcher = Searcher(index, model)
        self.damage: NearfarError | None = None
        self.reads_text = _reads_text(model)
        self.rows = len(index)
        self._map = CorpusMap(index)
        self._columns: tuple[int, list[dict[str, Any]]] = (-1, [])  # of a version of the index
        self._examples = self._drawn() if self.reads_text else []
        self.facts()  # the columns of a large index take a second: better before the first visitor

    def close(self) -> None:
        """Let go of the files."""
        self.index.close()

    def answered(self, call: Callable[[], T]) -> T:
        """The value of a call on this corpus, its errors as refusals. Damage is remembered and answered with 500."""
        if self.damage is not None:
            raise self._damaged()
        try:
            return call()
        except UsageError as error:
            raise Refusal(422, error.what, where=error.where, remedy=error.remedy) from error
        except DataError as error:
            self.damage = error
            LOG.error("%s [%s]", error.what, error.where)
            raise self._damaged() from error
        except ResourceError as error:
            raise busy(error.what) from error

    def _damaged(self) -> Refusal:
        return Refusal(
            500,
            f"the index {self.name} is damaged, and nothing is answered from it",
            where=self.name,
            remedy="the server's output says where; build the index again, and start anew",
        )

    # Answers.

    def facts(self) -> dict[str, Any]:
        """What is in the index, and what filters can offer."""
        version = self.index.view().version
        if self._columns[0] != version:
            columns = [
                {"name": name, "values": [[value, count] for value, count in list(values.items())[:VALUES]]}
                for name, values in self.index.columns().items()
                if len(values) > 1
            ]
            self._columns, self.rows = (version, columns), len(self.index)
        manifest = self.index.manifest
        return {
            "name": self.name,
            "rows": self.rows,
            "model": manifest.model,
            "dimension": manifest.dimension,
            "dtype": manifest.dtype,
            "reads_text": self.reads_text,
            "columns": self._columns[1],
            "examples": self._examples,
        }

    def search(self, texts: Sequence[str], asked: Asked) -> list[list[dict[str, Any]]]:
        """Hits of each query, best first."""
        where = _filters(asked.where)
        if not self.reads_text and asked.mode != "words":
            raise Refusal(
                422,
                "the model of this index does not read text",
                where=self.name,
                remedy='search its words (mode "words"), or ask for rows that are like one (GET /api/like)',
            )
        # A query that says nothing, or nothing that the model knows, finds nothing: people see that on their way to one that does.
        told = [i for i, text in enumerate(texts) if text.strip()]
        if asked.mode == "near" and told:
            vectors = self.searcher.vectors([texts[i] for i in told])
            told = [i for i, vector in zip(told, vectors, strict=True) if vector.any()]
        made: list[list[dict[str, Any]]] = [[] for _ in texts]
        if told:
            found = self.searcher.search_many(
                [texts[i] for i in told], asked.k, mode=asked.mode, where=where, prefix=asked.prefix
            )
            for i, hits in zip(told, found, strict=True):
                made[i] = self._hits(hits)
        return made

    def like(self, key: str, k: int, where: Sequence[str]) -> list[dict[str, Any]]:
        """The rows nearest to one, without itself."""
        self._slot(key)
        return self._hits(self.searcher.like(key, k, where=_filters(where)))

    def row(self, key: str) -> dict[str, Any]:
        """All of one row."""
        slot = self._slot(key)
        row = self.index.row(slot)
        return {"key": key, **shown(row), "row": row, "at": self._places([slot])[0]}

    def explain(self, text: str, key: str) -> dict[str, Any]:
        """What made a row near to a query: its cosine, and how much of it each piece of both is worth."""
        self._slot(key)
        if not self.reads_text:
            raise Refusal(422, "the model of this index does not read text", where=self.name)
        told = self.searcher.explain(text, key)
        return {
            "key": key,
            "cosine": _rounded(told.cosine),
            "text": told.text,
            "pieces": [[start, end, _rounded(value)] for start, end, value in told.pieces],
            "query": text,
            "query_words": [[start, end, _rounded(value)] for start, end, value in told.query_words],
            "shared": list(told.shared),
        }

    def map(self) -> dict[str, Any]:
        """The points of the map."""
        return self._map.content()

    # Writing.

    def add(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Encode the texts of rows and add them, or put them in the place of those with the same keys; on the disk when this returns."""
        if not self.reads_text:
            raise Refusal(422, "the model of this index does not read text", where=self.name)
        keys = [str(row["key"]) for row in rows]
        contents = [{name: value for name, value in row.items() if name != "key"} for row in rows]
        texts = [str(row["text"]) for row in rows]
        vectors = self.model.encode(texts, side=self.searcher.document_side)[:, : self.index.manifest.dimension]
        unknown = np.flatnonzero(~vectors.any(1))
        if len(unknown):
            raise Refusal(
                422,
                "the model knows no word of this text",
                where=f"body.rows[{unknown[0]}].text",
                remedy="leave the row out",
            )
        try:
            count = self.index.add(vectors, contents, keys)
        except DataError as error:
            if not error.where.startswith(("keys", "rows")):
                raise
            raise Refusal(422, error.what, where=f"body.{error.where}", remedy=error.remedy) from error
        return self._changed(count)

    def delete(self, keys: Sequence[str]) -> dict[str, Any]:
        """Delete rows; how many there were."""
        return self._changed(self.index.delete(keys))

    def _changed(self, count: int) -> dict[str, Any]:
        self.rows = len(self.index)
        return {"changed": count, "rows": self.rows}

    # Inside.

    def _slot(self, key: str) -> int:
        slot = self.index.slot(key)
        if slot is None:
            raise Refusal(404, f"there is no row {cut(key, 60)!r}", where=self.name, remedy="it may have been deleted")
        return slot

    def _hits(self, found: Sequence[Found]) -> list[dict[str, Any]]:
        places = self._places([hit.slot for hit in found])
        return [
            {
                "key": hit.key,
                "score": _rounded(hit.score),
                "cosine": _rounded(hit.cosine),
                "near_rank": hit.near_rank,
                "words": _rounded(hit.words),
                "words_rank": hit.words_rank,
                **shown(hit.row),
                "at": place,
            }
            for hit, place in zip(found, places, strict=True)
        ]

    def _places(self, slots: Sequence[int]) -> list[list[int]]:
        return self._map.places(self.index.vectors(slots)) if len(slots) else []

    def _drawn(self) -> list[str]:
        """Queries of some words from rows spread over the corpus."""
        slots = self.index.slots()
        chosen = slots[np.linspace(0, len(slots) - 1, min(SAMPLED, len(slots))).astype(int)] if len(slots) else slots
        made: dict[str, None] = {}
        for row in self.index.rows(chosen.tolist()):
            parts = shown(row)
            words = (parts["snippet"] or parts["title"]).split(". ")[0].rstrip(".:").split()
            if len(words) >= WORDS[0]:
                made[" ".join(words[: WORDS[1]])] = None
        step = max(1, len(made) // EXAMPLES)
        return list(made)[::step][:EXAMPLES]


def _filters(where: Sequence[str]) -> list[Filter]:
    return [parse(text) for text in where]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 6)


def _reads_text(model: Model) -> bool:
    """Whether a query may be given to the model: encoders of images and sounds take a text for the path of a file, and open it."""
    try:
        # A text that no file can be called: it is either read as a text or refused.
        model.tower(next(iter(model.sides))).prepare([LONGER_THAN_A_PATH])
    except (NearfarError, TypeError, ValueError, OSError):
        return False
    return True
