"""CWCL (arXiv 2309.14580): positives weighted by a frozen reference tower, which travels as a column."""

import torch
from harness import check, leaf, log_sum_exp, mean, unit

import nearfar as nf
from nearfar.core.relation import as_relation
from nearfar.execution.evaluate import evaluate_objective

N, D, T = 10, 5, 0.1


def test_reference_tower_as_a_column():
    x, y = leaf(N, D, seed=0), leaf(N, D, seed=1)
    frozen = unit(leaf(N, 4, seed=2).detach())

    @as_relation
    def graded(queries, keys):
        weight = (1 + queries["reference"] @ keys["reference"].T) / 2
        return nf.Block(weight, torch.zeros_like(weight))

    def soft(scores, block):
        return -(block.pos * torch.log_softmax(scores, 1)).sum(1) / block.pos.sum(1)

    objective = nf.Objective(
        {
            "frozen to trained": nf.Scored(soft, graded, temperature=T),
            "trained to frozen": nf.Scored(nf.info_nce, nf.paired(), temperature=T, queries_from="y", keys_from="x"),
        }
    )

    def run(tile):
        streams = {"x": nf.rows(x, reference=frozen), "y": nf.rows(y, reference=frozen)}
        return evaluate_objective(objective, streams, tile=tile).loss

    def loops(normalised):
        p, q, one, two = unit(x), unit(y), [], []
        for i in range(N):
            w = [(1 + frozen[i] @ frozen[j]) / 2 for j in range(N)]
            bottom = log_sum_exp([p[i] @ q[j] / T for j in range(N)])
            row = -sum(w[j] * (p[i] @ q[j] / T - bottom) for j in range(N))
            one.append(row / sum(w) if normalised else row / N)
            two.append(log_sum_exp([q[i] @ p[j] / T for j in range(N)]) - q[i] @ p[i] / T)
        return mean(one) + mean(two)

    check(run, lambda: loops(True), lambda: loops(False), [x, y])
