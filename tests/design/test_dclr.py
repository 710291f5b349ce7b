"""DCLR (arXiv 2205.00656): noise keys moved by ascent on the loss of the whole batch, once a step, before any tile."""

import torch
from harness import check, leaf, log_sum_exp, mean, unit

import nearfar as nf

N, D, T, NOISE = 12, 5, 0.05, 6


def ascend(queries, steps):
    """Shared noise keys, moved uphill on the batch's loss against them: a pure function of the queries."""
    noise = torch.randn(NOISE, D, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    for _ in range(steps):
        noise = noise.detach().requires_grad_()
        loss = torch.logsumexp(unit(queries).detach() @ unit(noise).T / 0.1, 1).sum()
        noise = noise + 0.1 * unit(torch.autograd.grad(loss, noise)[0])
    return noise.detach()


def test_noise_keys_by_ascent_are_global():
    x, y = leaf(N, D, seed=0), leaf(N, D, seed=1)

    def keys(queries, documents):
        return nf.cat([documents, nf.rows(ascend(queries.vectors, 3), record=torch.full((NOISE,), -1))])

    def run(tile):
        return nf.contrast(nf.info_nce, x, y, nf.paired(), keys=keys, temperature=T, tile=tile)

    def loops(steps):
        q, k, noise, losses = unit(x), unit(y), unit(ascend(x, steps)), []
        for i in range(N):
            scores = [q[i] @ k[j] / T for j in range(N)] + [q[i] @ e / T for e in noise]
            losses.append(log_sum_exp(scores) - scores[i])
        return mean(losses)

    check(run, lambda: loops(3), lambda: loops(0), [x, y])
