"""DCLW (arXiv 2110.06848): the positive's weight looks at the whole batch, w_i = 2 - exp(s_ii/sigma) / mean_k exp(s_kk/sigma).

The loss is two terms: the attraction, with these weights, and the repulsion, without. The gradient passes through the weights.
"""

import torch
from harness import check, leaf, log_sum_exp, mean, unit

import nearfar as nf
from nearfar.execution.evaluate import evaluate_objective
from nearfar.maths.weighted import log_sum_exp as lse
from nearfar.maths.weighted import weighted_mean

N, D, T, SIGMA = 12, 5, 0.1, 0.5


def weight(queries, keys):
    return 2 - N * torch.softmax((queries.vectors * keys.vectors).sum(1) / SIGMA, 0)


def test_batch_wide_weights_of_queries():
    x, y = leaf(N, D, seed=0), leaf(N, D, seed=1)
    objective = nf.Objective(
        {
            "near": nf.Scored(lambda s, b: -weighted_mean(s, b.pos), nf.paired(), temperature=T, weight=weight),
            "far": nf.Scored(lambda s, b: lse(s, b.neg), nf.paired(), temperature=T),
        }
    )

    def run(tile):
        return evaluate_objective(objective, {"x": nf.rows(x), "y": nf.rows(y)}, tile=tile).loss

    def loops(missing_factor):
        q, k = unit(x), unit(y)
        spread = sum((q[i] @ k[i] / SIGMA).exp() for i in range(N))
        losses = []
        for i in range(N):
            share = (q[i] @ k[i] / SIGMA).exp() / spread
            w = 2 - (1 if missing_factor else N) * share
            losses.append(-w * (q[i] @ k[i]) / T + log_sum_exp([q[i] @ k[j] / T for j in range(N) if j != i]))
        return mean(losses)

    check(run, lambda: loops(False), lambda: loops(True), [x, y])
