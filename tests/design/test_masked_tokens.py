"""A masked-token term beside a contrastive one: local terms of uneven micro-batches add to those of the whole batch.

Their sums and counts are divided once, by the global count; the mean of micro-batch means would weigh tokens unevenly.
"""

import torch
from harness import check, leaf, log_sum_exp, mean, unit

import nearfar as nf
from nearfar.core.terms import Terms
from nearfar.execution.evaluate import evaluate_local, evaluate_objective

N, LENGTH, D, WORDS, T, WEIGHT = 9, 4, 5, 6, 0.2, 0.3


def test_local_term_in_micro_batches():
    tokens, vocabulary = leaf(N, LENGTH, D, seed=0), leaf(WORDS, D, seed=1)
    draws = torch.Generator().manual_seed(2)
    words = torch.randint(0, WORDS, (N, LENGTH), generator=draws)
    masked = torch.rand(N, LENGTH, generator=draws) < 0.4

    def masked_tokens(numbers):
        scores = tokens[numbers] @ vocabulary.T
        loss = torch.nn.functional.cross_entropy(
            scores[masked[numbers]], words[numbers][masked[numbers]], reduction="sum"
        )
        return loss, masked[numbers].sum()

    objective = nf.Objective(
        {
            "contrast": nf.Scored(nf.info_nce, nf.paired(), temperature=T),
            "tokens": nf.Local(masked_tokens),
        },
        weights={"tokens": WEIGHT},
    )

    def run(tile):
        pooled = tokens.mean(1)
        size = tile if isinstance(tile, int) else N
        local = Terms()
        for first in range(0, N, size):
            local = local + evaluate_local(objective, torch.arange(first, min(first + size, N)))
        terms = evaluate_objective(objective, {"x": nf.rows(pooled), "y": nf.rows(tokens[:, 0])}, tile=tile)
        return (terms + local).loss

    def loops(mean_of_means):
        q, k = unit(tokens.mean(1)), unit(tokens[:, 0])
        near = []
        for i in range(N):
            scores = [q[i] @ k[j] / T for j in range(N)]
            near.append(log_sum_exp(scores) - scores[i])
        losses, groups = [], []
        for i in range(N):
            mine = []
            for t in range(LENGTH):
                if masked[i, t]:
                    scores = [tokens[i, t] @ vocabulary[w] for w in range(WORDS)]
                    mine.append(log_sum_exp(scores) - scores[int(words[i, t])])
            losses += mine
            groups += [mean(mine)] if mine else []
        return mean(near) + WEIGHT * (mean(groups) if mean_of_means else mean(losses))

    check(run, lambda: loops(False), lambda: loops(True), [tokens, vocabulary], tiles=(None, 1, 2, 5))
