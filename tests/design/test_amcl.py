"""AMCL (arXiv 2310.05615): a learned temperature of every pair, which enters the rule twice - as divisor and in a penalty."""

import torch
from harness import check, leaf, mean, unit

import nearfar as nf

N, D, BETA = 10, 5, 0.1


def test_learned_temperature_of_the_pair():
    x, y, phi = leaf(N, D, seed=0), leaf(N, D, seed=1), leaf(D, D, seed=2)

    def similarity(queries, keys):
        q, k = queries.vectors, keys.vectors
        return q @ k.T, {"temperature": 0.1 + 0.2 * torch.sigmoid(-(q @ phi) @ (k @ phi).T)}

    def penalty(t):
        return D / 2 * t.log() + 1 / t

    def amcl(scores, block):
        t = block.channels["temperature"]
        hardest = (scores * t).detach().masked_fill(~block.neg, -torch.inf).argmax(1, keepdim=True)
        near = ((-scores + BETA * penalty(t)) * block.pos).sum(1)
        return near + scores.gather(1, hardest)[:, 0] - BETA * penalty(t).gather(1, hardest)[:, 0]

    sphere = nf.Similarity("cosine with temperatures", similarity, unit)

    def run(tile):
        return nf.contrast(amcl, x, y, nf.paired(), similarity=sphere, tile=tile)

    def loops(gradient_of_temperature):
        q, k, losses = unit(x), unit(y), []

        def temperature(i, j):
            t = 0.1 + 0.2 * torch.sigmoid(-(q[i] @ phi) @ (k[j] @ phi))
            return t if gradient_of_temperature else t * 0.5 + 0.5 * t.detach()

        for i in range(N):
            h = max((j for j in range(N) if j != i), key=lambda j: float((q[i] @ k[j]).detach()))
            tp, tn = temperature(i, i), temperature(i, h)
            losses.append(-q[i] @ k[i] / tp + q[i] @ k[h] / tn + BETA * (penalty(tp) - penalty(tn)))
        return mean(losses)

    check(run, lambda: loops(True), lambda: loops(False), [x, y, phi])
