"""Edits of a tile's weights, row by row in plain numbers, a mistake beside each; the same loss plain and in tiles."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import nearfar as nf
from nearfar.core.errors import UsageError
from nearfar.core.parts import parts
from nearfar.core.tile import Tile

# Each naive edit takes one row: scores, weights of positives and of negatives, the guide's scores; it returns new weights.


def best_positive(scores, pos):
    return max((s for s, p in zip(scores, pos, strict=True) if p > 0), default=math.inf)


def drop(keep):
    """Negatives for which `keep(score, guide, the row's best positive, the guide's)` fails are left out."""

    def row(scores, pos, neg, guide):
        near, told = best_positive(scores, pos), best_positive(guide, pos)
        kept = [n if keep(s, g, near, told) else 0 for s, g, n in zip(scores, guide, neg, strict=True)]
        return pos, kept

    return row


def reweigh(beta, mean_of_all=False):
    def row(scores, pos, neg, guide):
        raised = [n * math.exp(beta * s) if n > 0 else 0 for s, n in zip(scores, neg, strict=True)]
        total = sum(neg) if not mean_of_all else len(neg)
        return pos, [r * total / sum(raised) if r > 0 else 0 for r in raised]

    return row


def pick(weights, scores, k, sign):
    """The k best by sign x score, of equal ones the first."""
    order = sorted((i for i, w in enumerate(weights) if w > 0), key=lambda i: (-sign * scores[i], i))[:k]
    return [w if i in order else 0 for i, w in enumerate(weights)]


def hardest(k, sign=1):
    return lambda scores, pos, neg, guide: (pos, pick(neg, scores, k, sign))


def positives(k, sign):
    return lambda scores, pos, neg, guide: (pick(pos, scores, k, sign), neg)


def semi_hard(margin, of=any):
    def row(scores, pos, neg, guide):
        near = [s for s, p in zip(scores, pos, strict=True) if p > 0]
        kept = [n if near and of(p - margin < s < p for p in near) else 0 for s, n in zip(scores, neg, strict=True)]
        return pos, kept

    return row


# name -> edit, its definition, a wrong one
CASES = {
    "drop_above": (nf.drop_above(0.25), drop(lambda s, g, n, t: s <= 0.25), drop(lambda s, g, n, t: s >= 0.25)),
    "drop_near_positive": (
        nf.drop_near_positive(0.125),
        drop(lambda s, g, n, t: s <= n - 0.125),
        drop(lambda s, g, n, t: s <= n + 0.125),
    ),
    "drop_relative": (
        nf.drop_relative(0.75),
        drop(lambda s, g, n, t: n == math.inf or s <= n - 0.25 * abs(n)),
        drop(lambda s, g, n, t: n == math.inf or s <= 0.75 * n),
    ),
    "drop_by_guide": (
        nf.drop_by_guide(margin=0.0625),
        drop(lambda s, g, n, t: g <= t - 0.0625),
        drop(lambda s, g, n, t: s <= n - 0.0625),
    ),
    "reweigh": (nf.reweigh(3.0), reweigh(3.0), reweigh(3.0, mean_of_all=True)),
    "hardest": (nf.hardest(2), hardest(2), hardest(2, -1)),
    "semi_hard": (nf.semi_hard(0.375), semi_hard(0.375), semi_hard(0.375, all)),
    "hardest_positive": (nf.hardest_positive(1), positives(1, -1), positives(1, 1)),
    "easy_positive": (nf.easy_positive(2), positives(2, 1), positives(2, -1)),
}


def test_every_edit_is_here():
    assert {part.name for part in parts("edits", with_announced=False)} == set(CASES)


# Sixteenths, so that equal scores and scores on a threshold occur and are the same number for everyone.
sixteenths = st.integers(-16, 16).map(lambda i: i / 16)
pair = st.tuples(sixteenths, st.sampled_from(["pos", "neg", "neg", "none", "both"]), st.integers(1, 7))


def guides(angles):
    """Unit vectors whose cosine with (1, 0) is a known number."""
    return torch.tensor([[math.cos(a), math.sin(a)] for a in angles], dtype=torch.float64)


def tile_of(rows, boolean):
    """A tile from rows of (score, kind, number); pairs that do not exist have an infinite score."""
    scores, pos, neg = [], [], []
    for row in rows:
        scores.append([math.inf if kind == "none" else s for s, kind, _ in row])
        weight = [1 if boolean else w / 4 for _, _, w in row]
        pos.append([w if kind in ("pos", "both") else 0 for w, (_, kind, _) in zip(weight, row, strict=True)])
        neg.append([w if kind in ("neg", "both") else 0 for w, (_, kind, _) in zip(weight, row, strict=True)])
    dtype = torch.bool if boolean else torch.float64
    q, k = len(rows), len(rows[0])
    angles = [(j * 5 % 7) / 3 for j in range(k)]
    queries = nf.Rows(torch.zeros(q, 2), {"guide": guides([0.0] * q)})
    keys = nf.Rows(torch.zeros(k, 2), {"guide": guides(angles)})
    block = nf.Block(torch.tensor(pos, dtype=dtype), torch.tensor(neg, dtype=dtype))
    tile = Tile(queries, keys, torch.tensor(scores, dtype=torch.float64), block, torch.arange(q))
    return tile, [math.cos(a) for a in angles]


def differs(block, definition, tile, guide):
    worst = 0.0
    for i in range(len(tile.scores)):
        given = (tile.scores[i].tolist(), tile.block.pos[i].double().tolist(), tile.block.neg[i].double().tolist())
        for matrix, want in zip((block.pos, block.neg), definition(*given, guide), strict=True):
            worst = max(worst, max(abs(a - b) for a, b in zip(matrix[i].double().tolist(), want, strict=True)))
    return worst


tiles = st.tuples(st.integers(1, 4), st.integers(1, 9)).flatmap(
    lambda shape: st.lists(st.lists(pair, min_size=shape[1], max_size=shape[1]), min_size=shape[0], max_size=shape[0])
)


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=60, deadline=None)
@given(rows=tiles, boolean=st.booleans())
def test_equals_its_definition_row_by_row(name, rows, boolean):
    edit, definition, _ = CASES[name]
    tile, guide = tile_of(rows, boolean)
    before = tile.block.pos.clone(), tile.block.neg.clone()
    block = edit(tile)
    assert differs(block, definition, tile, guide) < 1e-12
    assert torch.equal(tile.block.pos, before[0])
    assert torch.equal(tile.block.neg, before[1])
    if name != "reweigh":
        assert block.pos.dtype == tile.block.pos.dtype
        assert block.neg.dtype == tile.block.neg.dtype


@pytest.mark.parametrize("name", CASES)
def test_the_wrong_definition_is_told_apart(name):
    edit, definition, wrong = CASES[name]
    rows = [
        [(s / 16, kind, 1 + (i + j) % 3) for j, (s, kind) in enumerate(zip(found, kinds, strict=True))]
        for i, (found, kinds) in enumerate(
            [
                ((10, 6, 9, 11, -3, 8, 2, 4), ("pos", "pos", "neg", "neg", "neg", "neg", "neg", "pos")),
                ((-4, -4, -6, -3, -9, 1, 5, 5), ("pos", "neg", "neg", "neg", "neg", "none", "neg", "neg")),
            ]
        )
    ]
    tile, guide = tile_of(rows, boolean=False)
    assert differs(edit(tile), definition, tile, guide) < 1e-12
    assert differs(edit(tile), wrong, tile, guide) > 1e-3


N, D = 11, 5


def tables():
    g = torch.Generator().manual_seed(4)
    x, y = (torch.randn(N, D, generator=g, dtype=torch.float64).requires_grad_() for _ in range(2))
    label = torch.arange(N) % 4
    first = torch.randn(N, 3, generator=g, dtype=torch.float64)
    guide = (first, first + torch.randn(N, 3, generator=g, dtype=torch.float64))
    return x, y, [nf.rows(t, guide=v, label=label) for t, v in zip((x, y), guide, strict=True)]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("relation", ["paired", "labelled"])
def test_loss_and_gradient_are_the_same_in_tiles(name, relation):
    x, y, (queries, keys) = tables()
    made = nf.paired() if relation == "paired" else nf.paired("label")

    def outcome(tile, edits=(CASES[name][0],)):
        loss = nf.contrast(
            nf.info_nce,
            queries,
            keys,
            made,
            edits=edits,
            both_ways=True,
            temperature=0.2,
            tile=tile,
            similarity=nf.cosine,
        )
        return [loss.detach(), *torch.autograd.grad(loss, [x, y])]

    def gap(a, b):
        return max(float((p - q).abs().max()) for p, q in zip(a, b, strict=True))

    plain = outcome(None)
    assert all(gap(outcome(tile), plain) < 1e-12 for tile in (1, 4, "auto"))
    if not (relation == "paired" and "_positive" in name and name != "drop_near_positive"):
        assert gap(outcome(None, ()), plain) > 1e-4, "the edit changes nothing"


def test_edits_come_one_after_the_other():
    _, _, (queries, keys) = tables()

    def left(*edits):
        return nf.pair_counts(nf.Scored(nf.info_nce, nf.paired(), edits=edits), queries, keys)

    both = left(nf.drop_by_guide(), nf.hardest(2))
    assert both.negatives <= 2 * N
    assert left(nf.hardest(2), nf.drop_by_guide()).negatives < both.negatives


def test_own_keys_have_no_guide_and_stay():
    _, _, (queries, keys) = tables()
    own = torch.randn(N, 2, D, dtype=torch.float64)
    counts = nf.pair_counts(
        nf.Scored(nf.info_nce, nf.paired(), own=own, edits=[nf.drop_by_guide(margin=3.0)]), queries, keys
    )
    assert counts.negatives == 2 * N
    assert counts.dropped_by_edits == N * (N - 1)


def test_noise_has_no_guide_and_stays():
    _, _, (queries, keys) = tables()
    term = nf.Scored(
        nf.info_nce, nf.paired(), keys=nf.noise_negatives(per_query=2), edits=[nf.drop_by_guide(margin=3.0)]
    )
    counts = nf.pair_counts(term, queries, keys)
    assert counts.negatives == 2 * N * N
    assert counts.dropped_by_edits == N * (N - 1)


def test_reweighing_at_the_ends():
    tile, _ = tile_of([[(0.5, "pos", 1), (0.25, "neg", 1), (0.75, "neg", 1), (-0.5, "neg", 1)]], boolean=True)
    assert torch.allclose(nf.reweigh(0.0)(tile).neg, tile.block.neg.double())
    assert nf.reweigh(1e4)(tile).neg.tolist() == [[0.0, 0.0, 3.0, 0.0]]


@pytest.mark.parametrize(
    "call",
    [
        lambda: nf.hardest(0),
        lambda: nf.hardest_positive(0),
        lambda: nf.easy_positive(0),
        lambda: nf.semi_hard(0.0),
    ],
)
def test_mistakes_are_named(call):
    with pytest.raises(UsageError) as caught:
        call()
    assert caught.value.remedy


def test_a_guide_that_is_missing_is_named():
    x = torch.randn(3, 2)
    with pytest.raises(UsageError, match="no column 'guide'"):
        nf.contrast(nf.info_nce, x, x, nf.paired(), edits=[nf.drop_by_guide()])
