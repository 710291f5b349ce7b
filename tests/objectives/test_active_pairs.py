"""Pull and push over active pairs: sums and counts of the whole, in tiles of any size, equal loops over all pairs."""

import pytest
import torch

import nearfar as nf
from contract.naive import module

DRAWS = torch.Generator().manual_seed(5)
X = torch.randn(9, 3, generator=DRAWS, dtype=torch.float64)
Y = torch.randn(7, 3, generator=DRAWS, dtype=torch.float64)
Y[2], Y[3] = -X[0], 2 * X[1]
X[4] = 3 * X[5]


def rows():
    return nf.rows(X, view=[0] * 9), nf.rows(Y, view=[1] * 7)


def cosines(x, y):
    units = [v / v.norm(dim=1, keepdim=True) for v in (x, y)]
    return (units[0] @ units[1].T).tolist()


def truth(name, row_means=False):
    naive = module(name)
    keys = X if name == "active_pull" else Y
    totals, counts = [], []
    for i, scores in enumerate(cosines(X, keys)):
        there = [0.0 if keys is X and i == k else 1.0 for k in range(len(keys))]
        none = [0.0] * len(keys)
        weights = (there, none) if keys is X else (none, there)
        total, count = getattr(naive, name)(scores, *weights)
        totals.append(total)
        counts.append(count)
    assert 0 < sum(counts) < 9 * len(keys) - (9 if keys is X else 0), "some pairs are inactive"
    if row_means:
        return sum(t / max(c, 1) for t, c in zip(totals, counts, strict=True)) / len(totals)
    return sum(totals) / sum(counts)


@pytest.mark.parametrize("name", ["active_pull", "active_push"])
@pytest.mark.parametrize("tile", [None, 1, 4, "auto"])
def test_they_equal_loops_over_all_pairs(name, tile):
    x, y = rows()
    given = (x,) if name == "active_pull" else (x, y)
    loss = float(nf.contrast(getattr(nf, name), *given, relation=nf.same_view(), tile=tile))
    assert loss == pytest.approx(truth(name), abs=1e-12)
    assert abs(loss - truth(name, row_means=True)) > 1e-3, "the mean of the means of rows passes as right"


def test_counts_have_no_gradient_and_what_has_come_together_loses_nothing():
    x = X.clone().requires_grad_()
    loss = nf.contrast(nf.active_pull, nf.rows(x, view=[0] * 9), relation=nf.same_view())
    loss.backward()
    assert x.grad.abs().max() > 0
    same = nf.rows(torch.ones(4, 3), view=[0] * 4)
    assert float(nf.contrast(nf.active_pull, same, relation=nf.same_view())) == 0
    far = nf.rows(-torch.ones(4, 3), view=[1] * 4)
    assert float(nf.contrast(nf.active_push, same, far, nf.same_view())) == 0
    near = nf.rows(torch.ones(4, 3), view=[1] * 4)
    assert float(nf.contrast(nf.active_push, same, near, nf.same_view())) == pytest.approx(0.36)
