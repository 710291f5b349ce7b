"""One key a class: against loops, with its gradient, in any tiling and order; and what has no class."""

import pytest
import torch
from harness import check, leaf, log_sum_exp, mean, unit

import nearfar as nf
from nearfar.core.errors import UsageError

N, D, T = 7, 5, 0.2
LABEL = [2, 0, 2, 5, 0, 2, -1]


def term(x, y, tile=None):
    queries, keys = (nf.rows(v, label=LABEL) for v in (x, y))
    return nf.contrast(nf.info_nce, queries, keys, nf.paired("label"), keys=nf.class_means(), temperature=T, tile=tile)


def test_it_is_classification_over_the_classes():
    x, y = leaf(N, D, seed=0), leaf(N, D, seed=1)

    def loops(count_all):
        centres = {c: unit(sum(unit(y[j]) for j in range(N) if LABEL[j] == c)) for c in (0, 2, 5)}
        times = {c: LABEL.count(c) if count_all else 1 for c in centres}
        losses = []
        for i in range(N):
            if LABEL[i] >= 0:
                scores = {c: unit(x[i]) @ centre / T for c, centre in centres.items()}
                losses.append(log_sum_exp([s for c, s in scores.items() for _ in range(times[c])]) - scores[LABEL[i]])
        return mean(losses)

    check(lambda tile: term(x, y, tile), lambda: loops(False), lambda: loops(True), [x, y], (None, 1, 3, "auto"))


def test_the_order_of_keys_does_not_matter():
    y = nf.rows(leaf(N, D, seed=1), label=LABEL)
    made = [nf.class_means()(y, table) for table in (y, y.take(torch.arange(N).flip(0)))]
    assert made[0].columns["label"].tolist() == made[1].columns["label"].tolist() == [0, 2, 5]
    assert torch.allclose(made[0].vectors, made[1].vectors)
    assert not torch.allclose(made[0].vectors, made[0].vectors.flip(0))
    assert made[0].replicated


@pytest.mark.parametrize("columns", [{}, {"label": [0.0] * N}, {"label": [[0, 1]] * N}])
def test_labels_that_are_none_are_refused(columns):
    y = nf.rows(leaf(N, D, seed=1), **columns)
    with pytest.raises(UsageError, match="label"):
        nf.class_means()(y, y)
