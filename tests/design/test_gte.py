"""GTE (arXiv 2308.03281): one logarithm over four blocks, query and document each against all queries and documents."""

import torch
from harness import check, leaf, log_sum_exp, mean, unit

import nearfar as nf
from nearfar.core.predicate import key_has, query_has, same
from nearfar.maths.weighted import either
from nearfar.maths.weighted import log_sum_exp as lse

N, D, T = 9, 5, 0.1


def inside(scores, block):
    return lse(scores, either(block.pos, block.neg)) - lse(scores, block.pos)


def test_four_blocks_in_one_row():
    x, y = leaf(N, D, seed=0), leaf(N, D, seed=1)
    # The pair itself stands once in the denominator, from the query; a document meets the queries and documents of others.
    relation = nf.multi_view().only(~same("record") | (query_has("is_query") & ~key_has("is_query")))

    def run(tile):
        q = nf.rows(x, view=torch.zeros(N), is_query=torch.ones(N))
        d = nf.rows(y, view=torch.ones(N), is_query=torch.zeros(N))
        return nf.contrast(inside, nf.cat([q, d]), relation=relation, row="record", temperature=T, tile=tile)

    def loops(blocks):
        q, d, losses = unit(x), unit(y), []
        for i in range(N):
            four = {
                "qd": [q[i] @ d[j] / T for j in range(N)],
                "qq": [q[i] @ q[j] / T for j in range(N) if j != i],
                "dq": [q[j] @ d[i] / T for j in range(N) if j != i],
                "dd": [d[j] @ d[i] / T for j in range(N) if j != i],
            }
            losses.append(log_sum_exp([s for b in blocks for s in four[b]]) - four["qd"][i])
        return mean(losses)

    check(run, lambda: loops(["qd", "qq", "dq", "dd"]), lambda: loops(["qd", "qq", "dq"]), [x, y])
