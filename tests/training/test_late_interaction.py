"""Late interaction from a recipe to a measured, stored model: matrices of token vectors all the way, none of them cut or padded."""

import numpy as np
import pytest
import torch

import nearfar as nf
from nearfar.core.recipe import Contrast, Feed, Recipe, Use
from nearfar.core.stage import Fit, Measure, Refresh
from nearfar.training.held_out import late_scores, measure
from nearfar.training.train import train_run
from small_world import world

ENCODER = Use("transformer", {"dimension": 16, "depth": 1, "heads": 2, "vocabulary": 300, "pooling": "tokens"})
LATE = Contrast(similarity="late_interaction", temperature=1.0)


def recipe(*stages, objective=LATE, **changes):
    fit = Fit(batch_size=24, epochs=3, learning_rate=0.003, measure=1.0, keep="best", micro_batch=200)
    return Recipe("late", ENCODER, objective, (fit, *stages), held_out=0.2, **changes)


def by_loops(model, queries, documents):
    """[q n] the sum over query tokens of the best document token, in loops."""
    x, y = model.encode_tokens(queries, side="query"), model.encode_tokens(documents, side="document")
    return np.array([[sum(max(float(a @ b) for b in d) for a in q) for d in y] for q in x])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("late") / "run"
    return train_run(recipe(Measure("looks")), world()[:80], out=out)


def test_it_trains_is_measured_and_loads_again(made):
    model = made.model
    assert model.similarity == "late_interaction"
    assert made.figures["mrr"]["mean"] > 0.3
    assert any("held_out" in entry for entry in made.run.logged())
    held = made.held_out
    queries, documents = (held.many(field, range(len(held))) for field in ("query", "document"))
    distinct, first = list(dict.fromkeys(queries)), list(dict.fromkeys(documents))
    right = [[first.index(d) for q, d in zip(queries, documents, strict=True) if q == query] for query in distinct]
    found = nf.retrieval(by_loops(model, distinct, first), right)
    assert np.allclose(measure(model, held).reciprocal_ranks, found.reciprocal_ranks)
    assert made.figures["mrr"]["mean"] == pytest.approx(found.mrr)
    pooled = [
        np.stack([m.mean(0) for m in model.encode_tokens(t, side=s)])
        for s, t in (("query", distinct), ("document", first))
    ]
    assert not np.allclose(nf.retrieval(pooled[0] @ pooled[1].T, right).reciprocal_ranks, found.reciprocal_ranks)
    again = nf.load(made.run.directory)
    assert again.similarity == "late_interaction"
    for one, other in zip(again.encode_tokens(distinct), model.encode_tokens(distinct), strict=True):
        assert np.allclose(one, other, atol=1e-6)
    looks = next(e["measured"] for e in made.run.logged() if e.get("stage") == "looks")
    assert looks["mrr"]["mean"] == pytest.approx(found.mrr, abs=0.15)


def test_a_matrix_is_that_of_the_text_alone(made):
    texts = ["a cat", "a much longer text about cats and dogs", "dogs"]
    together = made.model.encode_tokens(texts, at_once=1000)
    for text, matrix in zip(texts, together, strict=True):
        (alone,) = made.model.encode_tokens([text])
        assert alone.shape == matrix.shape
        assert np.allclose(alone, matrix, atol=1e-5)
        assert np.allclose(np.linalg.norm(matrix, axis=1), 1, atol=1e-5)
    assert len({len(matrix) for matrix in together}) > 1
    assert made.model.encode_tokens([]) == []
    with pytest.raises(nf.UsageError, match="not one string"):
        made.model.encode_tokens("a cat")
    with pytest.raises(nf.UsageError, match="encode_tokens"):
        made.model.encode(texts)


def test_scores_do_not_see_padding():
    torch.manual_seed(0)
    vectors = -torch.rand(2, 3, 4)  # every product with a positive query is negative, and padding would win with zero
    mask = torch.tensor([[True, True, False], [True, True, True]])
    table = nf.rows(vectors.masked_fill(~mask[..., None], 0), mask=mask)
    queries = nf.rows(torch.rand(2, 2, 4), mask=torch.tensor([[True, True], [True, False]]))
    got = late_scores(queries, table)(slice(0, 2))
    for i in range(2):
        for j in range(2):
            real = [queries.vectors[i, t] for t in range(2) if queries.mask[i, t]]
            want = sum(max(float(q @ table.vectors[j, u]) for u in range(3) if mask[j, u]) for q in real)
            assert float(got[i, j]) == pytest.approx(want)
    unmasked = late_scores(queries, nf.rows(table.vectors))(slice(0, 2))
    assert not torch.allclose(got, unmasked)


def test_matrices_and_a_similarity_of_single_vectors_are_refused(tmp_path):
    with pytest.raises(nf.UsageError, match="late_interaction, or let the encoder pool"):
        train_run(recipe(objective=Contrast()), world()[:80], out=tmp_path / "run")
    pooled = nf.Transformer.fit({"query": ["a", "b"]}, dimension=8, depth=1, heads=2, vocabulary=300)
    with pytest.raises(nf.UsageError, match="one vector a record"):
        nf.Model({"query": pooled}).encode_tokens(["a"])


def test_clusters_of_matrices_are_those_of_their_means(tmp_path):
    given = recipe(
        Refresh("find", Use("clusters", {"k": 3}), "cluster"), streams=(Feed("x", "query"), Feed("y", "document"))
    )
    made = train_run(given, world()[:60], out=tmp_path / "run", settings=["fit.epochs=1"])
    assert len(np.unique(made.records.columns["cluster"])) > 1
