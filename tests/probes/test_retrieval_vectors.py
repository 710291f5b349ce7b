"""Ranks by vectors: exact whatever the blocks, so equal vectors are tied and near ones are not; memory by the block."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nearfar.core.errors import UsageError
from nearfar.probes import placing
from nearfar.probes.retrieval import retrieval
from nearfar.probes.scores import vector_scores


def unit(vectors):
    """In float32, as vectors are stored, with the length taken in float64."""
    wide = vectors.astype(np.float64)
    lengths = np.sqrt((wide**2).sum(1))
    return (wide / np.where(lengths > 0, lengths, 1)[:, None]).astype(np.float32)


def by_loops(queries, documents, judged, cosine=True):
    """above and tied of each judged document, by scores in float64."""
    x, y = (unit(t) if cosine else t for t in (queries, documents))
    above, tied = [], []
    for q, rows in enumerate(judged):
        scores = [float(np.dot(x[q].astype(np.float64), row.astype(np.float64))) for row in y]
        above += [sum(s > scores[d] + 1e-13 for s in scores) for d in sorted(rows)]
        tied += [sum(abs(s - scores[d]) <= 1e-13 for s in scores) for d in sorted(rows)]
    return above, tied


def world(seed=0, q=60, n=300, d=24, copies=60):
    """Documents of which some are copies of others, and queries near several of them; some have many relevant ones."""
    random = np.random.default_rng(seed)
    documents = random.normal(size=(n, d)).astype(np.float32)
    documents[random.choice(n, copies, replace=False)] = documents[random.choice(n, copies)]
    documents[3] = 0
    judged = [random.choice(n, size=40 if q % 20 == 0 else 1 + q % 4, replace=False).tolist() for q in range(q)]
    queries = np.stack([documents[rows].mean(0) for rows in judged]) + random.normal(size=(q, d)) * 0.5
    return queries.astype(np.float32), documents, judged


@pytest.mark.parametrize("cosine", [True, False])
@pytest.mark.parametrize(("height", "width", "many"), [(256, 2048, 24), (7, 13, 24), (5, 64, 1), (300, 1, 10**9)])
def test_equals_loops_in_float64_for_every_size_of_block(cosine, height, width, many, monkeypatch):
    monkeypatch.setattr(placing, "HEIGHT", height)
    monkeypatch.setattr(placing, "WIDTH", width)
    monkeypatch.setattr(placing, "MANY", many)
    queries, documents, judged = world()
    found = retrieval(vector_scores(queries, documents, cosine=cosine), judged)
    above, tied = by_loops(queries, documents, judged, cosine)
    assert (found.above.tolist(), found.tied.tolist()) == (above, tied)
    assert max(tied) > 1
    assert found.above.tolist() != by_loops(queries, documents, judged, not cosine)[0]


def test_near_scores_are_told_apart_and_equal_vectors_are_not():
    """Documents whose cosines differ by less than float32 can tell, around one direction."""
    random = np.random.default_rng(1)
    centre = random.normal(size=64)
    documents = (centre + 1e-6 * random.normal(size=(200, 64))).astype(np.float32)
    documents[100:120] = documents[0]
    queries = (centre + random.normal(size=(20, 64))).astype(np.float32)
    judged = [[0, q + 1] for q in range(20)]
    found = retrieval((queries, documents), judged)
    above, tied = by_loops(queries, documents, judged)
    assert (found.above.tolist(), found.tied.tolist()) == (above, tied)
    assert tied[0] == 21
    rough = retrieval(unit(queries) @ unit(documents).T, judged)  # the wrong variant: float32 decides
    assert rough.above.tolist() != above


def test_a_collapsed_encoder_is_at_chance():
    for length in (3, 130, 768):
        found = retrieval((np.ones((9, length)), np.tile(np.linspace(0.1, 1, length), (211, 1))), range(9))
        assert set(found.tied.tolist()) == {211}
        assert found.mrr == pytest.approx(sum(1 / r for r in range(1, 212)) / 211)


def test_memory_budgets_and_kinds_of_tables_change_nothing(tmp_path):
    queries, documents, judged = world(2)
    expected = retrieval((queries, documents), judged)
    np.save(tmp_path / "documents.npy", documents)
    mapped = np.load(tmp_path / "documents.npy", mmap_mode="r")
    for tables in (
        (queries, mapped),
        (torch.from_numpy(queries), torch.from_numpy(documents)),
        (queries.tolist(), documents.astype(np.float64)),
    ):
        for budget in (1, 10_000, 1 << 26):
            found = retrieval(tables, judged, tile_bytes=budget)
            assert (found.above == expected.above).all()
            assert (found.tied == expected.tied).all()
    half = retrieval((queries, torch.from_numpy(documents).bfloat16()), judged)
    assert (half.above != expected.above).any()


def test_lower_precision_for_training_does_not_touch_ranks():
    queries, documents, judged = world(3)
    expected = retrieval((queries, documents), judged)
    torch.set_float32_matmul_precision("medium")
    try:
        found = retrieval((queries, documents), judged)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert (found.above == expected.above).all()


def test_excluded_documents_by_vectors():
    queries, documents, judged = world(4)
    documents = np.concatenate([queries, documents])
    rows = [[len(queries) + d for d in some] for some in judged]
    found = retrieval((queries, documents), rows, excluded=range(len(queries)))
    above, tied = by_loops(queries, documents, rows)
    alone = retrieval((queries, documents), rows)
    assert (alone.above.tolist(), alone.tied.tolist()) == (above, tied)
    assert found.above.tolist() == [a - 1 for a in above], "the query itself stood above all others"
    assert set(found.ranked.tolist()) == {len(documents) - 1}
    with pytest.raises(UsageError, match="`excluded` speaks of 3 queries"):
        retrieval((queries, documents), rows, excluded=[0, 1, 2])
