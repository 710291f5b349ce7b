"""Late interaction (ColBERT, arXiv 2004.12832): a row is a matrix of token vectors; padding takes no part."""

import torch
from harness import check, leaf, log_sum_exp, mean, unit

import nearfar as nf
from nearfar.maths.similarity import late_interaction

N, D, T = 9, 5, 0.5


def test_rows_of_tokens():
    x, y = leaf(N, 3, D, seed=0), leaf(N, 4, D, seed=1)
    long_x, long_y = [1 + i % 3 for i in range(N)], [1 + i % 4 for i in range(N)]
    mask_x = torch.tensor([[t < n for t in range(3)] for n in long_x])
    mask_y = torch.tensor([[t < n for t in range(4)] for n in long_y])

    def run(tile):
        q, k = nf.rows(x, mask=mask_x), nf.rows(y, mask=mask_y)
        return nf.contrast(
            nf.info_nce, q, k, nf.paired(), similarity=late_interaction, temperature=T, both_ways=True, tile=tile
        )

    def loops(masked):
        q, k = unit(x), unit(y)

        def score(i, j):
            tokens = range(long_y[j] if masked else 4)
            return sum(torch.stack([q[i, t] @ k[j, u] for u in tokens]).max() for t in range(long_x[i])) / T

        table = [[score(i, j) for j in range(N)] for i in range(N)]
        forward = [log_sum_exp(table[i]) - table[i][i] for i in range(N)]
        backward = [log_sum_exp([table[i][j] for i in range(N)]) - table[j][j] for j in range(N)]
        return (mean(forward) + mean(backward)) / 2

    check(run, lambda: loops(True), lambda: loops(False), [x, y])
