"""`Searcher`: an index and the model that made it, asked in words: by vector, by word, or by both; explained, and "more like this".

How both rankings are joined says `fusion`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.core.model import Model
from nearfar.search.backend import Backend
from nearfar.search.explain import Explanation, explanation
from nearfar.search.filters import Filter
from nearfar.search.fusion import Fusion, fused
from nearfar.search.given import Hits, asked

CARD = Card(
    name="searcher",
    summary="an index asked in words: by vector, by word or both, filtered, reranked and explained",
    public=("Searcher",),
    related=("index",),
)

MODES = ("hybrid", "near", "words")
DEPTH = 10  # rows of each ranking for every hit asked for, before they are joined or reranked
DEEPEST, SHALLOWEST = 1_000, 100
KNOWN = 1_024  # queries whose vectors are kept

Rerank = Callable[[str, Sequence[str]], np.ndarray]


class Found(NamedTuple):
    """A hit: what ordered it (`score`), and what is known of it; None where a ranking does not hold it.

    near_rank, words_rank   from 1
    words                   BM25, higher is better
    """

    key: str
    slot: int
    score: float
    row: dict[str, Any]
    cosine: float | None = None
    near_rank: int | None = None
    words: float | None = None
    words_rank: int | None = None
    reranked: float | None = None


class Searcher:
    """Ask an index in words. `model` is the one that made it; another is refused with DataError.

    >>> import nearfar as nf, tempfile
    >>> texts = ["parse a date", "open a file", "sort a list of numbers"]
    >>> place, small = tempfile.mkdtemp(), ["encoder.dimension=16", "fit.epochs=1"]
    >>> model = nf.train("pairs", data=[(t, t) for t in texts] * 4, settings=small, out=place + "/run", progress=False)
    >>> vectors = model.encode(texts, side="document")
    >>> index = nf.Index.build(place + "/index", vectors, [{"text": t} for t in texts], model=model.fingerprint)
    >>> nf.Searcher(index, model).search("sort numbers", k=1)[0].row["text"]
    'sort a list of numbers'
    """

    def __init__(self, index: Backend, model: Model) -> None:
        index.check_model(model.fingerprint)
        self.index, self.model = index, model
        self.fusion = Fusion.of(index)
        document = index.manifest.about.get("side")
        self.document_side = document if document in model.sides else next(iter(model.sides))
        self.query_side = "query" if "query" in model.sides else self.document_side
        self._known: OrderedDict[str, np.ndarray] = OrderedDict()
        self._lock = Lock()
        self._beside = ThreadPoolExecutor(thread_name_prefix="nearfar-words")

    def search(
        self,
        text: str,
        k: int = 10,
        *,
        mode: str = "hybrid",
        where: Sequence[Filter] = (),
        prefix: bool = False,
        rerank: Rerank | None = None,
    ) -> list[Found]:
        """The k best records for a text, best first.

        mode     "near": by the model's cosine; "words": by BM25 of the words they share; "hybrid": both rankings joined
        where    filters (`filters.parse`), all of which must hold
        prefix   the last word is still being typed
        rerank   (text, texts of the best records) -> scores, higher is better: they order the first 10 k records anew

        Errors: UsageError for a mode that there is not, a k below 1, an empty text, or words that the model does not know.
        """
        return self.search_many([text], k, mode=mode, where=where, prefix=prefix, rerank=rerank)[0]

    def search_many(
        self,
        texts: Sequence[str],
        k: int = 10,
        *,
        mode: str = "hybrid",
        where: Sequence[Filter] = (),
        prefix: bool = False,
        rerank: Rerank | None = None,
    ) -> list[list[Found]]:
        """`search` for several texts; their vectors are made and compared together."""
        if mode not in MODES:
            raise UsageError(f"there is no mode {mode!r}", where="mode", remedy=f"choose one of {', '.join(MODES)}")
        for number, text in enumerate(texts):
            if not isinstance(text, str) or not text.strip():
                raise UsageError("the query is empty", where=f"query {number}", remedy="ask for something")
        k = asked(k)
        depth = k if mode != "hybrid" and rerank is None else max(min(DEPTH * k, DEEPEST), SHALLOWEST, k)

        def by_words() -> list[Hits | None]:
            return [self.index.words(text, depth, where=where, prefix=prefix) for text in texts]

        nothing: list[Hits | None] = [None] * len(texts)
        # Both leave Python's lock to others for most of their time. Not so under a filter: both would read all rows for it, once each.
        beside = self._beside.submit(by_words) if mode == "hybrid" and not where else None
        near = self._near(texts, depth, where, alone=mode == "near") if mode != "words" else nothing
        words = nothing if mode == "near" else by_words() if beside is None else beside.result()
        made = []
        for text, nearest, holding in zip(texts, near, words, strict=True):
            found = self._joined(nearest, holding, mode, depth if rerank else k)
            made.append(_reranked(text, found, rerank)[:k] if rerank else found[:k])
        return made

    def like(self, key: str, k: int = 10, *, where: Sequence[Filter] = ()) -> list[Found]:
        """The k records nearest to a record, itself left out. UsageError for a key that there is not."""
        slot = self._slot(key)
        hits = self.index.nearest(self.index.vectors([slot]), k + 1, where=where)
        kept = hits.rows[0] != slot
        return self._joined(Hits(hits.rows[:, kept], hits.scores[:, kept]), None, "near", k)[:k]

    def explain(self, text: str, key: str) -> Explanation:
        """What made a record near to a text: what its pieces and the words of the query add to the cosine."""
        return explanation(text, _text(self.index.row(self._slot(key)), key), self._encoded)

    def vectors(self, texts: Sequence[str]) -> np.ndarray:
        """Vectors [n d] of queries; those of late are remembered."""
        with self._lock:
            new = [text for text in dict.fromkeys(texts) if text not in self._known]
        made = dict(zip(new, self._encoded(new, query=True), strict=True)) if new else {}
        with self._lock:
            # What was known when this began may have been forgotten meanwhile by another thread.
            gone = [text for text in texts if text not in made and text not in self._known]
            made.update({text: self._known[text] for text in texts if text in self._known})
        if gone:
            made.update(zip(gone, self._encoded(gone, query=True), strict=True))
        with self._lock:
            for text in texts:
                self._known[text] = made[text]
                self._known.move_to_end(text)
            while len(self._known) > KNOWN:
                self._known.popitem(last=False)
        return np.stack([made[text] for text in texts])

    def _encoded(self, texts: Sequence[str], *, query: bool) -> np.ndarray:
        side = self.query_side if query else self.document_side
        return self.model.encode(list(texts), side=side)[:, : self.index.manifest.dimension]

    def _near(self, texts: Sequence[str], k: int, where: Sequence[Filter], *, alone: bool) -> list[Hits | None]:
        vectors = self.vectors(texts)
        known = vectors.any(1)
        if alone and not known.all():
            text = texts[int(np.flatnonzero(~known)[0])]
            raise UsageError(f"the model knows no word of {text!r}", where="query", remedy="ask with other words")
        made: list[Hits | None] = [None] * len(texts)
        asked = np.flatnonzero(known)
        if len(asked):
            hits = self.index.nearest(vectors[asked], k, where=where)
            for number, rows, scores in zip(asked, hits.rows, hits.scores, strict=True):
                made[number] = Hits(rows[rows >= 0][None], scores[rows >= 0][None])
        return made

    def _joined(self, near: Hits | None, words: Hits | None, mode: str, k: int) -> list[Found]:
        """The k best of one or two rankings, with their rows; records that were deleted meanwhile are left out."""
        places = [_places(hits) for hits in (near, words)]
        if mode == "hybrid":
            scores = fused(list(places[0]), list(places[1]), self.fusion)
        else:
            scores = {slot: score for found in places for slot, (_, score) in found.items()}
        order = sorted(scores, key=lambda slot: (-scores[slot], slot))[:k]
        rows = self.index.named(order)
        made = []
        for slot in order:
            if slot in rows:
                (near_rank, cosine), (words_rank, bm25) = (found.get(slot, (None, None)) for found in places)
                made.append(Found(*_named(rows[slot], slot, scores[slot]), cosine, near_rank, bm25, words_rank))
        return made

    def _slot(self, key: str) -> int:
        slot = self.index.slot(key)
        if slot is None:
            raise UsageError(f"there is no record {key!r}", where="key", remedy="give the key of a hit")
        return slot


def _named(found: tuple[str, dict[str, Any]], slot: int, score: float) -> tuple[str, int, float, dict[str, Any]]:
    return found[0], slot, score, found[1]


def _places(hits: Hits | None) -> dict[int, tuple[int, float]]:
    """{slot: (rank from 1, score)} of one ranking."""
    if hits is None:
        return {}
    return {
        int(s): (rank, float(v)) for rank, (s, v) in enumerate(zip(hits.rows[0], hits.scores[0], strict=True), start=1)
    }


def _reranked(text: str, found: list[Found], rerank: Rerank) -> list[Found]:
    scores = np.asarray(rerank(text, [_text(hit.row, hit.key) for hit in found]), dtype=np.float64)
    if scores.shape != (len(found),) or not np.isfinite(scores).all():
        raise UsageError(
            f"reranking {len(found)} records gave {list(scores.shape)} scores, or some that are not finite",
            where="rerank",
            remedy="return one finite score for each text",
        )
    scored = [hit._replace(score=float(s), reranked=float(s)) for hit, s in zip(found, scores, strict=True)]
    return sorted(scored, key=lambda hit: -hit.score)


def _text(row: dict[str, Any], key: str) -> str:
    """What a record says: its column `text`, or else its longest text."""
    text = row.get("text")
    if not isinstance(text, str):
        text = max((value for value in row.values() if isinstance(value, str)), key=len, default=None)
    if text is None:
        raise UsageError("the record has no text", where=f"record {key!r}", remedy="choose one with a text")
    return text
