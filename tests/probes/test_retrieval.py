"""Retrieval by ranks only: known answers, fair ties, the same numbers for every size of tile."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise, permutations

import numpy as np
import pytest
import torch

from nearfar.core.errors import DataError, UsageError
from nearfar.probes.retrieval import retrieval
from nearfar.probes.scores import fused_scores, vector_scores


def by_all_orders(scores: list[float], relevant: set[int], k: int) -> tuple[float, float, float]:
    """Reciprocal rank, recall@k and hit@k, averaged over every order of the documents that the scores allow."""
    found = []
    for order in permutations(range(len(scores))):
        if all(scores[a] >= scores[b] for a, b in pairwise(order)):
            first = next(place for place, d in enumerate(order, 1) if d in relevant)
            top = relevant & set(order[:k])
            found.append((1 / first, len(top) / len(relevant), float(bool(top))))
    return tuple(np.mean(found, axis=0))  # type: ignore[return-value]


def test_ties_equal_the_mean_over_all_orders():
    random = np.random.default_rng(0)
    optimistic = 0
    for _ in range(40):
        scores = random.integers(-2, 2, size=6).astype(float).tolist()
        relevant = set(random.choice(6, size=random.integers(1, 5), replace=False).tolist())
        k = int(random.integers(1, 7))
        found = retrieval([scores], [list(relevant)])
        expected = by_all_orders(scores, relevant, k)
        assert (found.mrr, found.recall(k), found.hit(k)) == pytest.approx(expected, abs=1e-12)
        best = max(scores[d] for d in relevant)  # the known-bad variant: ties resolved in one's own favour
        optimistic += abs(1 / (1 + sum(s > best for s in scores)) - expected[0]) > 1e-9
    assert optimistic > 10


def test_many_relevant_documents_take_the_sorted_path_to_the_same_numbers():
    random = np.random.default_rng(1)
    scores = random.integers(-5, 5, size=(7, 60)).astype(np.float32)
    relevant = [np.sort(random.choice(60, size=30, replace=False)) for _ in range(7)]
    found = retrieval(lambda rows: scores[rows], relevant)  # 30 > 8 relevant a row: sorted
    own = [scores[q, d] for q in range(7) for d in relevant[q]]
    lines = [scores[q] for q in range(7) for _ in relevant[q]]
    assert found.above.tolist() == [int((line > s).sum()) for line, s in zip(lines, own, strict=True)]
    assert found.tied.tolist() == [int((line == s).sum()) for line, s in zip(lines, own, strict=True)]
    assert found.above.tolist() != [int((line >= s).sum()) for line, s in zip(lines, own, strict=True)]


@pytest.mark.parametrize("shift", [-100.0, -1.0, 0.0])
def test_negative_and_zero_scores_are_ordinary(shift: float):
    scores = np.array([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]]) - 3 + shift
    found = retrieval(scores, [0, 0])
    assert found.reciprocal_ranks.tolist() == pytest.approx([1.0, 1 / 3])
    positive_only = np.where(scores > 0, scores, -np.inf)  # what drops documents without a positive score reports
    assert retrieval(positive_only, [0, 0]).reciprocal_ranks.tolist() != pytest.approx([1.0, 1 / 3])


def test_known_rankings():
    n = 50
    perfect, adverse = np.eye(n), -np.eye(n)
    assert retrieval(perfect, range(n)).mrr == 1
    assert retrieval(adverse, range(n)).mrr == pytest.approx(1 / n)
    assert retrieval(adverse, range(n)).recall(n - 1) == 0
    collapsed = retrieval(np.zeros((n, n)), range(n))  # all equal is exactly chance, wherever the document stands
    assert collapsed.mrr == pytest.approx(sum(1 / r for r in range(1, n + 1)) / n)
    assert collapsed.recalls(10).tolist() == pytest.approx([10 / n] * n)


@pytest.mark.parametrize("tile_bytes", [1, 4_000, 64 << 20])
def test_every_size_of_tile_gives_the_same(tile_bytes: int):
    random = np.random.default_rng(2)
    scores = random.integers(0, 9, size=(23, 31)).astype(np.float32)
    seen = []

    def score(rows: slice) -> np.ndarray:
        seen.append(scores[rows].nbytes)
        return scores[rows]

    relevant = [random.choice(31, size=1 + q % 3, replace=False) for q in range(23)]
    found, whole = retrieval(score, relevant, tile_bytes=tile_bytes), retrieval(scores, relevant)
    assert found.reciprocal_ranks.tolist() == whole.reciprocal_ranks.tolist()
    assert found.recalls(3).tolist() == whole.recalls(3).tolist()
    assert max(seen) <= max(tile_bytes, 31 * 4)
    shuffled = retrieval(score, relevant[1:] + relevant[:1], tile_bytes=tile_bytes)
    assert shuffled.reciprocal_ranks.tolist() != whole.reciprocal_ranks.tolist()


def peak_bytes(tile_bytes: int) -> int:
    table = np.random.default_rng(0).random((600, 2_000)).astype(np.float32)
    tracemalloc.start()
    retrieval(lambda rows: table[rows].copy(), [[q, q + 1] for q in range(600)], tile_bytes=tile_bytes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_follows_the_budget():
    assert peak_bytes(1_000_000) < 2_000_000
    assert peak_bytes(100_000_000) > 4_000_000  # the same check sees a tile of everything


def test_queries_without_a_relevant_document_are_left_out_and_counted():
    scores = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    for relevant in ([0, -1, 0], [[0], [], [0]], torch.tensor([0, -1, 0])):
        found = retrieval(scores, relevant)
        assert found.unanswerable == 1
        assert found.queries.tolist() == [0, 2]
        assert found.reciprocal_ranks.tolist() == [1.0, 0.5]  # scoring the missing one 0 would give a mean of 0.5
        assert found.table((1,)) == {"mrr": 0.75, "recall@1": 0.5, "queries": 2, "unanswerable": 1, "documents": 2}


def test_vectors_are_compared_by_cosine_and_lengths_do_not_matter():
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(40, 8, generator=generator)
    documents = queries + 0.5 * torch.randn(40, 8, generator=generator)
    lengths = torch.linspace(0.01, 100, 40)[:, None]
    plain, scaled = retrieval((queries, documents), range(40)), retrieval((queries, documents * lengths), range(40))
    assert scaled.reciprocal_ranks.tolist() == plain.reciprocal_ranks.tolist()
    dot = retrieval(vector_scores(queries, documents * lengths, cosine=False), range(40))
    assert dot.mrr < plain.mrr


def test_the_hybrid_helps_where_two_systems_err_apart():
    random = np.random.default_rng(3)
    truth = np.eye(200)
    a, b = (truth * 2 + random.normal(size=truth.shape) for _ in range(2))
    hybrid = retrieval(fused_scores(lambda rows: a[rows], lambda rows: 1000 * b[rows]), range(200))
    assert hybrid.mrr > max(retrieval(a, range(200)).mrr, retrieval(b, range(200)).mrr)


def test_values_by_name():
    found = retrieval([[0.1, 0.2, 0.3]], [[0, 2]])
    assert [found.values(m).tolist() for m in ("mrr", "recall@1", "hit@1")] == [[1.0], [0.5], [1.0]]
    assert found.figure("recall@1") == found.recall(1) == 0.5
    for unknown in ("ndgc@10", "ndcg@0", "ndcg@", "recall", "precision", "bpref@5", "mrr@-1"):
        with pytest.raises(UsageError, match=unknown):
            found.values(unknown)
    for needs in ("bpref", "judged@10"):
        with pytest.raises(UsageError, match="judged and not relevant"):
            found.values(needs)
    with pytest.raises(UsageError, match="judged and not relevant"):
        found.condensed()


@pytest.mark.parametrize(
    ("scores", "relevant", "error", "message"),
    [
        ([[0.0, float("nan")]], [0], DataError, "query 0 with document 1"),
        ([[0.0, 1.0]], [2], DataError, "row 2 .* 2 documents"),
        ([[0.0, 1.0]], [[-2]], DataError, "names"),
        ([[0.0, 1.0]], [0.5], DataError, "names"),
        ([[0.0, 1.0]], [-1], DataError, "none of the 1 queries"),
        ([[0.0, 1.0]], [0, 1], UsageError, "1 queries are scored"),
        (lambda rows: np.zeros((1, 3)), [0, 0, 0], UsageError, r"not \[2, 3\]"),
        ((np.zeros((1, 3)), np.zeros((2, 4))), [0], UsageError, "3 dimensions"),
        ((np.ones((1, 3)), np.array([[1.0, 2, 3], [1, np.nan, 0]])), [0], DataError, "vector 1 of the documents"),
        ((np.full((1, 3), np.inf), np.ones((2, 3))), [0], DataError, "vector 0 of the queries"),
        ((np.ones((1, 3)), np.ones((2, 3))), [2], DataError, "row 2 .* 2 documents"),
        ([[0.0, 1.0]], [{0: float("nan")}], DataError, "gain of row 0"),
        ([[0.0, 1.0]], [{0: 0, 1: -1}], DataError, "none of the 1 queries"),
        ([[0.0, 1.0]], [], DataError, "no queries"),
    ],
)
def test_errors_say_what_is_wrong(scores, relevant, error, message):
    with pytest.raises(error, match=message) as caught:
        retrieval(scores, relevant)
    assert caught.value.remedy
