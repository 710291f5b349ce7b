"""MoCHi (arXiv 2010.01028): keys of a row alone, mixed from the row's hardest queue keys, without a gradient."""

import torch
from harness import check, leaf, log_sum_exp, mean, unit

import nearfar as nf
from nearfar.core.predicate import key_has, same

N, D, T, HARDEST = 11, 5, 0.2, 3


def test_keys_mixed_from_the_hardest_of_the_row():
    x, y = leaf(N, D, seed=0), leaf(N, D, seed=1).detach()
    stored = unit(leaf(15, D, seed=2).detach())
    memory = nf.queue(15)
    memory.update(nf.rows(stored, record=torch.arange(100, 115)))
    relation = nf.paired().only(same("record") | key_has("stale"))
    # The draws belong to (record, number of the mix), never to a place in a tile.
    alpha = torch.rand(N, HARDEST, generator=torch.Generator().manual_seed(7), dtype=torch.float64)

    def mixed(tile):
        hard = tile.scores.detach().masked_fill(~tile.block.neg, -torch.inf).topk(HARDEST, 1).indices
        a = alpha[tile.number][:, :, None]
        first, second = tile.keys.vectors[hard], tile.keys.vectors[hard.roll(1, 1)]
        return nf.Own(vectors=(a * first + (1 - a) * second).detach())

    def run(tile):
        return nf.contrast(nf.info_nce, x, y, relation, keys=memory, own=mixed, temperature=T, tile=tile)

    def loops(of_query):
        q, k, losses = unit(x), unit(y), []
        for i in range(N):
            j = of_query(i)
            order = sorted(range(15), key=lambda n: -float((q[j] @ stored[n]).detach()))[:HARDEST]
            mixes = []
            for m in range(HARDEST):
                a = alpha[j, m]
                mixes.append(unit(a * stored[order[m]] + (1 - a) * stored[order[m - 1]]))
            positive = q[i] @ k[i] / T
            losses.append(
                log_sum_exp([positive, *[q[i] @ s / T for s in stored], *[q[i] @ h / T for h in mixes]]) - positive
            )
        return mean(losses)

    # The known mistake of public code: every query mixes the first query's hardest.
    check(run, lambda: loops(lambda i: i), lambda: loops(lambda _: 0), [x])
