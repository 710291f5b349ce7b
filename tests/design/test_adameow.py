"""AdaMEOW (arXiv 2208.10603): a learned weight of every negative, sigmoid(u . (x_i + y_j)), enters as log w on the score."""

import torch
from harness import check, leaf, mean, unit

import nearfar as nf

N, D, T = 10, 5, 0.3


def test_learned_weight_of_a_negative():
    x, y, u = leaf(N, D, seed=0), leaf(N, D, seed=1), leaf(D, seed=2)

    def similarity(queries, keys):
        log_weight = torch.nn.functional.logsigmoid((queries.vectors[:, None] + keys.vectors[None]) @ u)
        return queries.vectors @ keys.vectors.T, {"log_weight": log_weight}

    def weighted_info_nce(scores, block):
        shifted = torch.where(block.neg, scores + block.channels["log_weight"], scores)
        return nf.info_nce(shifted, nf.Block(block.pos, block.neg))

    learned = nf.Similarity("with learned weights", similarity, unit)

    def run(tile):
        return nf.contrast(weighted_info_nce, x, y, nf.paired(), similarity=learned, temperature=T, tile=tile)

    def loops(weigh_positive):
        q, k, losses = unit(x), unit(y), []
        for i in range(N):
            near = (q[i] @ k[i] / T).exp()
            bottom = torch.sigmoid((q[i] + k[i]) @ u) * near if weigh_positive else near
            for j in range(N):
                if j != i:
                    bottom = bottom + torch.sigmoid((q[i] + k[j]) @ u) * (q[i] @ k[j] / T).exp()
            losses.append(bottom.log() - q[i] @ k[i] / T)
        return mean(losses)

    check(run, lambda: loops(False), lambda: loops(True), [x, y, u])
