"""`Service`: the corpora that are served, each behind its worker, and the table of routes over them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import nearfar
from nearfar.core.model import Model
from nearfar.search.index import Index
from nearfar.search.searcher import MODES
from nearfar.server.corpus import Asked, Corpus
from nearfar.server.limits import Limits
from nearfar.server.metrics import Metrics
from nearfar.server.openapi import document
from nearfar.server.refusal import Refusal
from nearfar.server.table import TEXT, Given, Param, Route
from nearfar.server.worker import Worker

NUMBER, LABEL = {"type": ["number", "null"]}, {"type": "string"}
HIT = {
    "type": "object",
    "required": [
        "key",
        "score",
        "cosine",
        "near_rank",
        "words",
        "words_rank",
        "title",
        "place",
        "snippet",
        "fields",
        "at",
    ],
    "properties": {
        "key": LABEL,
        "score": {"type": "number", "description": "what ordered the hits"},
        "cosine": {**NUMBER, "description": "of the vectors; null where the record is not among the nearest"},
        "near_rank": {"type": ["integer", "null"], "description": "among the nearest, from 1"},
        "words": {**NUMBER, "description": "BM25 of the words, higher is better"},
        "words_rank": {"type": ["integer", "null"], "description": "among those that hold the words, from 1"},
        "title": LABEL,
        "place": {**LABEL, "description": "file and line, or a path"},
        "snippet": LABEL,
        "fields": {"type": "object", "description": "short columns of the record"},
        "at": {"type": "array", "items": {"type": "integer"}, "description": "where it falls on the map"},
    },
}
HITS = {"type": "array", "items": HIT}
PIECES = {
    "type": "array",
    "items": {"type": "array", "items": {"type": "number"}},
    "description": "[start, end, what it adds to the cosine] of a piece, in characters",
}


class Service:
    """What is served. `writes`: rows may be added to the first index, and deleted from it."""

    def __init__(self, corpora: Sequence[tuple[Corpus, Worker]], limits: Limits, *, writes: bool, token: bool) -> None:
        self._corpora = {corpus.name: (corpus, worker) for corpus, worker in corpora}
        self.limits, self.metrics = limits, Metrics()
        self.routes = _routes(self, writes=writes)
        self._document = document(self.routes, token=token)
        self._writes = writes

    @classmethod
    def of(
        cls,
        opened: Sequence[tuple[str, Index, Model]],
        limits: Limits | None = None,
        *,
        writes: bool = False,
        token: bool = False,
    ) -> Service:
        """Serve open indexes, (name, index, model that made it) each; the first is what is searched unless another is named."""
        limits = limits or Limits()
        made = []
        for name, index, model in opened:
            worker = Worker(limits)
            made.append((worker.at_once(lambda n=name, i=index, m=model: Corpus(n, i, m, limits)), worker))
        return cls(made, limits, writes=writes, token=token)

    @property
    def names(self) -> list[str]:
        """Of the indexes."""
        return list(self._corpora)

    def close(self) -> None:
        """After the last request."""
        for corpus, worker in self._corpora.values():
            worker.close()
            corpus.close()

    # Handlers.

    async def search(self, given: Given) -> dict[str, Any]:
        """One query."""
        p = given.params
        asked = Asked(p["k"], p["mode"], p["where"], p["prefix"])
        found = await self._ask(p["index"], lambda corpus: corpus.search([p["q"]], asked))
        return {"index": p["index"], "hits": found[0]}

    async def search_batch(self, given: Given) -> dict[str, Any]:
        """Many queries."""
        b = given.body
        name = b.get("index", self.names[0])
        asked = Asked(int(b.get("k", 10)), b.get("mode", MODES[0]), b.get("where", []), b.get("prefix", False))
        found = await self._ask(name, lambda corpus: corpus.search(b["queries"], asked))
        return {
            "index": name,
            "results": [{"query": q, "hits": hits} for q, hits in zip(b["queries"], found, strict=True)],
        }

    async def like(self, given: Given) -> dict[str, Any]:
        """More like this."""
        p = given.params
        hits = await self._ask(p["index"], lambda corpus: corpus.like(p["key"], p["k"], p["where"]))
        return {"index": p["index"], "hits": hits}

    async def row(self, given: Given) -> dict[str, Any]:
        """All of a row."""
        return await self._ask(given.params["index"], lambda corpus: corpus.row(given.params["key"]))

    async def explain(self, given: Given) -> dict[str, Any]:
        """What made it near."""
        p = given.params
        return await self._ask(p["index"], lambda corpus: corpus.explain(p["q"], p["key"]))

    async def map(self, given: Given) -> dict[str, Any]:
        """The map."""
        return await self._ask(given.params["index"], lambda corpus: corpus.map())

    async def facts(self, given: Given) -> dict[str, Any]:
        """What is served."""
        limits = {
            name: getattr(self.limits, name) for name in ("query", "k", "batch", "filters", "rows", "keys", "body")
        }
        return {
            "version": nearfar.__version__,
            "writes": self._writes,
            "limits": limits,
            "indexes": [await self._ask(name, lambda corpus: corpus.facts()) for name in self.names],
        }

    async def add(self, given: Given) -> dict[str, Any]:
        """Write rows."""
        return await self._ask(self.names[0], lambda corpus: corpus.add(given.body["rows"]))

    async def delete(self, given: Given) -> dict[str, Any]:
        """Delete rows."""
        return await self._ask(self.names[0], lambda corpus: corpus.delete(given.params["key"]))

    async def health(self, given: Given) -> dict[str, Any]:
        """Whether all is well."""
        if not all(corpus.damage is None for corpus, _ in self._corpora.values()):
            raise Refusal(503, "an index is damaged", remedy="build it again, and start the server anew")
        return {"status": "ok"}

    async def counts(self, given: Given) -> str:
        """Metrics."""
        corpora = [corpus for corpus, _ in self._corpora.values()]
        return self.metrics.text({c.name: c.rows for c in corpora}, {c.name: c.damage is None for c in corpora})

    async def openapi(self, given: Given) -> dict[str, Any]:
        """The document of this API."""
        return self._document

    async def _ask(self, name: str, call: Any) -> Any:
        corpus, worker = self._corpora[name]
        return await worker.run(lambda: corpus.answered(lambda: call(corpus)))


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


def _routes(service: Service, *, writes: bool) -> list[Route]:
    limits = service.limits
    count = {"type": "integer", "minimum": 1, "maximum": limits.k}
    text = {"type": "string", "minLength": 1, "maxLength": limits.query}
    mode = {"type": "string", "enum": list(MODES)}
    key_text = {"type": "string", "minLength": 1, "maxLength": limits.key}
    filters = {
        "type": "array",
        "maxItems": limits.filters,
        "items": {
            "type": "string",
            "maxLength": limits.filter,
            "pattern": r"^ *[^\x00-\x20=<>!~][^=<>!~]*(=|!=|<=|>=|<|>|~)",
        },
    }
    named = {"type": "string", "enum": service.names}
    q = Param("q", text, "what to search for", required=True)
    k = Param("k", count, "how many hits", default=10)
    where = Param(
        "where", filters, "conditions that all must hold, such as language=python, line>=10, name~parse", default=()
    )
    which = Param("index", named, "which index", default=service.names[0])
    key = Param("key", key_text, "the key of a record", required=True)
    whole = _object(index=LABEL, hits=HITS)
    rank = Param("mode", mode, "near: by the model; words: by BM25; hybrid: both", default=MODES[0])
    prefix = Param("prefix", {"type": "boolean"}, "the last word is still being typed", default=False)
    batch = {
        "type": "object",
        "required": ["queries"],
        "additionalProperties": False,
        "properties": {
            "queries": {"type": "array", "minItems": 1, "maxItems": limits.batch, "items": text},
            "k": count,
            "mode": mode,
            "where": filters,
            "prefix": {"type": "boolean"},
            "index": named,
        },
    }
    result = _object(query=LABEL, hits=HITS)
    routes = [
        Route("GET", "/api/search", "Search.", service.search, whole, (q, k, rank, where, prefix, which)),
        Route(
            "POST",
            "/api/search",
            "Search for several queries at once.",
            service.search_batch,
            _object(index=LABEL, results={"type": "array", "items": result}),
            body=batch,
        ),
        Route("GET", "/api/like", "Records like one.", service.like, whole, (key, k, where, which), errors=(404,)),
        Route(
            "GET",
            "/api/row",
            "One record.",
            service.row,
            _object(
                key=LABEL, title=LABEL, place=LABEL, snippet=LABEL, fields={"type": "object"}, row={"type": "object"}
            ),
            (key, which),
            errors=(404,),
        ),
        Route(
            "GET",
            "/api/explain",
            "What made a record near to a query.",
            service.explain,
            _object(
                key=LABEL,
                cosine={"type": "number"},
                text=LABEL,
                pieces=PIECES,
                query=LABEL,
                query_words=PIECES,
                shared={"type": "array", "items": LABEL},
            ),
            (q, key, which),
            errors=(404,),
        ),
        Route(
            "GET",
            "/api/map",
            "A sample of the records on their two principal axes.",
            service.map,
            _object(
                points={"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
                keys={"type": "array", "items": LABEL},
                labels={"type": "array", "items": LABEL},
                colours={"type": "object"},
                rows={"type": "integer"},
                share={"type": "number", "description": "of the variance that the two axes hold"},
                grid={"type": "integer"},
            ),
            (which,),
        ),
        Route(
            "GET",
            "/api/index",
            "What is served: indexes, columns to filter by, limits.",
            service.facts,
            _object(version=LABEL, writes={"type": "boolean"}, limits={"type": "object"}, indexes={"type": "array"}),
        ),
        Route("GET", "/health", "Whether all is well.", service.health, _object(status=LABEL), open=True),
        Route("GET", "/metrics", "Counts for Prometheus.", service.counts, LABEL, media=TEXT),
        Route("GET", "/openapi.json", "This document.", service.openapi, {"type": "object"}),
    ]
    return routes + (_writing(service) if writes else [])


def _writing(service: Service) -> list[Route]:
    limits = service.limits
    # No character that does not show: whoever lists keys must see them apart.
    key = {"type": "string", "minLength": 1, "maxLength": limits.key, "pattern": r"^[!-~]([ -~]*[!-~])?$"}
    row = {
        "type": "object",
        "required": ["key", "text"],
        "properties": {"key": key, "text": {"type": "string", "minLength": 1}},
        "additionalProperties": {"type": ["string", "number", "integer", "boolean", "null"]},
    }
    rows = {"type": "array", "minItems": 1, "maxItems": limits.rows, "items": row}
    changed = _object(changed={"type": "integer"}, rows={"type": "integer"})
    keys = {"type": "array", "minItems": 1, "maxItems": limits.keys, "items": key}
    return [
        Route(
            "POST",
            "/api/rows",
            "Encode records and add them, or put them in the place of those with the same keys; on the disk when this answers.",
            service.add,
            changed,
            body={
                "type": "object",
                "required": ["rows"],
                "additionalProperties": False,
                "properties": {"rows": rows},
            },
        ),
        Route(
            "DELETE",
            "/api/rows",
            "Delete records.",
            service.delete,
            changed,
            (Param("key", keys, "the keys of records", required=True),),
        ),
    ]
