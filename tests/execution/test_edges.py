"""Rows at the edge of what there is: every rule stays finite, in loss and gradient, and every way of running agrees.

A vector of length zero has the cosine 0 with everything, and a finite loss and gradient; since the gradient of a direction goes with
one over the length, no more is promised for that vector itself. A batch without rows has the loss 0 and can be differentiated.
Beside each edge stands a rule or a similarity that falls over it.
"""

from dataclasses import dataclass, field

import pytest
import torch

import nearfar as nf
from contract.naive import RULES
from nearfar.core.rule import applies, card_of
from nearfar.execution.evaluate import evaluate
from nearfar.maths.similarity import Similarity
from nearfar.testing.problem import measuring

pytestmark = pytest.mark.usefixtures("shapes_unchecked")

N, D = 5, 4
WAYS = (None, 3, "auto")
SWEPT = ("info_nce", "decoupled", "sigmoid")


@dataclass
class Edge:
    """Two tables, how they are compared, and a (rule, similarity) that does not survive it; None: the usual one."""

    x: torch.Tensor
    y: torch.Tensor
    temperature: float = 0.5
    measured_by: object = measuring
    relation: object = field(default_factory=nf.paired)
    columns: tuple = ({}, {})
    careless: tuple = (None, None)


def draw(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def products(channels):
    """The dot product, with channels that stay between a half and one and a half."""

    def score(queries, keys):
        q, k = queries.vectors, keys.vectors
        return q @ k.T, {n: 1 + (q @ k.roll(at + 1, 1).T).tanh() / 2 for at, n in enumerate(channels)}

    return Similarity("dot with channels", score)


def exponentials(scores, block):
    """A softmax as in the textbook, without a shift."""
    e = scores.exp()
    return -((e * block.pos).sum(1) / (e * (block.pos | block.neg)).sum(1)).log()


def mean_negative(scores, block):
    """Divides by the number of negatives, which may be none."""
    return (scores * block.neg).sum(1) / block.neg.sum(1) - (scores * block.pos).sum(1)


def mean_positive(scores, block):
    """Divides by the number of positives, which may be none."""
    return torch.logsumexp(scores, 1) - (scores * block.pos).sum(1) / block.pos.sum(1)


def coupled(scores, block):
    """Centres its scores over the rows of a tile."""
    return nf.info_nce(scores - scores.mean(0), block)


def naive_distance(queries, keys):
    """A root has no slope at zero."""
    return -(queries.vectors[:, None] - keys.vectors[None]).square().sum(2).sqrt()


def naive_cosine(queries, keys):
    """Divides by lengths, which may be zero."""
    q, k = (t.vectors / t.vectors.norm(dim=1, keepdim=True) for t in (queries, keys))
    return q @ k.T


def without(table, *numbers):
    table = table.clone()
    table[list(numbers)] = 0
    return table


X, Y = draw(N, D, seed=1), draw(N, D, seed=2)
EDGES = {
    "a single row": Edge(X[:1], Y[:1], careless=(mean_negative, None)),
    "all rows equal": Edge(X[:1].expand(N, D), X[:1].expand(N, D), careless=(None, naive_distance)),
    "zero vectors": Edge(without(X, 0, 3), without(Y, 1, 3), careless=(None, naive_cosine)),
    "nothing but zero vectors": Edge(X * 0, Y * 0, careless=(None, naive_cosine)),
    "scores of 1e4": Edge(X, Y, 1e-4, careless=(exponentials, None)),
    "products of 1e4": Edge(70 * X, 70 * Y, 1.0, products, careless=(exponentials, None)),
    "temperature 1e-3": Edge(X, Y, 1e-3, careless=(exponentials, None)),
    "temperature 1e2": Edge(X, Y, 1e2, careless=(coupled, None)),
    "rows without a positive": Edge(
        X, Y, columns=({"record": [0, 1, 2, 50, 51]}, {"record": [0, 1, 2, 60, 61]}), careless=(mean_positive, None)
    ),
    "rows without a negative": Edge(
        X,
        Y,
        relation=nf.paired().drop_negatives(nf.same("alone")),
        columns=({"alone": [1, 0, 0, 1, 0]}, {"alone": [1, 1, 1, 1, 1]}),
        careless=(mean_negative, None),
    ),
    "rows of nothing at all": Edge(
        X,
        Y,
        relation=nf.paired().only(~nf.same("alone")),
        columns=({"alone": [1, 0, 0, 1, 0]}, {"alone": [1, 1, 1, 1, 1]}),
        careless=(mean_positive, None),
    ),
}


def term_of(edge, rule, similarity=None, both_ways=True):
    """A term with a learned temperature, and the temperature's logarithm."""
    channels = card.channels if (card := card_of(rule)) is not None else ()
    usual = nf.cosine if edge.measured_by is measuring else nf.dot  # those that have a sweep of their own
    log_t = torch.tensor(edge.temperature, dtype=torch.float64).log().requires_grad_()
    measured = similarity or (edge.measured_by(channels) if channels else usual)
    return nf.Scored(rule, edge.relation, similarity=measured, temperature=log_t.exp(), both_ways=both_ways), log_t


def tables(edge, dtype):
    leaves = [v.clone().to(dtype).requires_grad_() for v in (edge.x, edge.y)]
    return [nf.rows(v, **columns) for v, columns in zip(leaves, edge.columns, strict=True)]


def outcome(edge, rule, tile, dtype, similarity=None):
    """Loss and gradients of both tables and the temperature."""
    term, log_t = term_of(edge, rule, similarity)
    x, y = tables(edge, dtype)
    loss = nf.contrast(term, x, y, tile=tile)
    leaves = [x.vectors, y.vectors, log_t]
    gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
    return [loss.detach(), *(torch.zeros_like(v) if g is None else g for v, g in zip(leaves, gradients, strict=True))]


def turned(edge, outcome):
    """Gradients by how far a vector turns, which for a vector of length zero is still a number of ordinary size."""
    loss, *tables, of_temperature = outcome
    lengths = [v.norm(dim=1, keepdim=True).clamp_min(1e-12) for v in (edge.x, edge.y)]
    return [loss, *(g * length for g, length in zip(tables, lengths, strict=True)), of_temperature]


def sound(edge, rule, similarity=None, ways=WAYS):
    """Whether a rule is finite in float32 and the same in every way of running in float64."""
    for tile in ways:
        if not all(bool(t.isfinite().all()) for t in outcome(edge, rule, tile, torch.float32, similarity)):
            return False
    plain, *others = (turned(edge, outcome(edge, rule, tile, torch.float64, similarity)) for tile in ways)
    for other in others:
        for a, b in zip(other, plain, strict=True):
            if not float((a - b).abs().max()) < 1e-10 * max(1.0, float(b.abs().max())):
                return False
    return True


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("edge", EDGES)
def test_finite_and_the_same_in_every_way(edge, name):
    # So few rows fit a tile that "auto" is the plain graph, unless a sweep of its own takes them.
    assert sound(EDGES[edge], getattr(nf, name), ways=WAYS if name in SWEPT else WAYS[:2])


@pytest.mark.parametrize("edge", EDGES)
def test_a_careless_rule_falls_over_the_edge(edge):
    rule, similarity = EDGES[edge].careless
    assert not sound(EDGES[edge], rule or nf.info_nce, similarity)


def sums(edge, rule, tile):
    """Sum and count of the forward direction."""
    term, _ = term_of(edge, rule, both_ways=False)
    part = evaluate(term, *tables(edge, torch.float64), tile).parts[""]
    return float(part.sum.detach()), float(part.count)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize(
    "edge", ["a single row", "rows without a positive", "rows without a negative", "rows of nothing at all"]
)
def test_rows_that_lack_what_the_rule_needs_count_nothing(edge, name):
    rule, edge = getattr(nf, name), EDGES[edge]
    x, y = tables(edge, torch.float64)
    reaches = applies(rule, edge.relation(x.columns, y.columns))
    ways = WAYS if name in SWEPT else WAYS[:2]
    counts_pairs = name in ("active_pull", "active_push")  # which leave pairs out, and say how many they kept
    for tile in ways:
        assert counts_pairs or sums(edge, rule, tile)[1] == int(reaches.sum())
    if bool(reaches.all()):
        return
    kept = Edge(
        edge.x[reaches],
        edge.y,
        relation=edge.relation,
        columns=(
            {k: torch.as_tensor(v)[reaches] for k, v in ({"record": range(len(edge.x))} | edge.columns[0]).items()},
            edge.columns[1],
        ),
    )
    for tile in ways:
        assert sums(edge, rule, tile) == pytest.approx(sums(kept, rule, tile), abs=1e-10)


def test_a_rule_that_says_nothing_of_its_needs_counts_them():
    edge = EDGES["rows without a positive"]
    assert sums(edge, nf.info_nce, None)[1] == 3
    assert sums(edge, lambda scores, block: nf.info_nce(scores, block), None)[1] == N


@pytest.mark.parametrize("name", [*SWEPT, "margin"])
@pytest.mark.parametrize("tile", WAYS)
@pytest.mark.parametrize(("queries", "keys"), [(0, 0), (0, 3), (3, 0)])
def test_a_batch_without_rows_is_zero_and_can_be_differentiated(queries, keys, tile, name):
    for options in ({}, {"both_ways": True}, {"row": "record"}, {"reduce": "log_mean_exp"}):
        x, y = (torch.randn(n, D, requires_grad=True) for n in (queries, keys))
        loss = nf.contrast(getattr(nf, name), x, y, nf.paired(), tile=tile, **options)
        assert loss.item() == 0
        if "reduce" in options:
            continue  # the logarithm of nothing has no slope
        loss.backward()
        assert all(v.grad is None or bool((v.grad == 0).all()) for v in (x, y))


def test_a_mean_over_no_rows_would_be_no_number():
    assert torch.zeros(0, D).mean().isnan()
