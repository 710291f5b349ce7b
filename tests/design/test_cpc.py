"""CPC (arXiv 1807.03748): rows are time steps, a bilinear map, distractors of the same utterance given by index.

The row has no shared keys at all, only its own: the target first, then the distractors. The last step has no target and is
left out.
"""

import torch
from harness import check, leaf, log_sum_exp, mean

import nearfar as nf
from nearfar.maths.similarity import bilinear

UTTERANCES, STEPS, D, S = 5, 4, 5, 3


def test_distractors_by_index():
    total = UTTERANCES * STEPS
    context, latent, weight = leaf(total, D, seed=0), leaf(total, D, seed=1), leaf(D, D, seed=2)
    draws = torch.Generator().manual_seed(3)
    index = torch.zeros(total, 1 + S, dtype=torch.long)
    for row in range(total):
        first = row // STEPS * STEPS
        rest = [first + t for t in range(STEPS) if first + t != row + 1]
        picked = torch.randint(0, len(rest), (S,), generator=draws)
        index[row] = torch.tensor([min(row + 1, total - 1), *[rest[int(p)] for p in picked]])
    has_target = torch.arange(total) % STEPS < STEPS - 1
    pos = torch.zeros(total, 1 + S, dtype=torch.bool)
    pos[:, 0] = has_target
    own = nf.Own(index=index, pos=pos, neg=~pos & has_target[:, None])

    def run(tile):
        return nf.contrast(nf.info_nce, context, latent, None, own=own, similarity=bilinear(weight), tile=tile)

    def loops(count_all):
        losses = []
        for row in range(total):
            if row % STEPS < STEPS - 1:
                scores = [context[row] @ weight @ latent[int(j)] for j in index[row]]
                losses.append(log_sum_exp(scores) - scores[0])
        return sum(losses) / total if count_all else mean(losses)

    check(run, lambda: loops(False), lambda: loops(True), [context, latent, weight])


def test_all_steps_of_the_utterance_by_relation():
    """The same system with shared keys: every step of the utterance competes, the next one is the positive."""
    total = UTTERANCES * STEPS
    context, latent, weight = leaf(total, D, seed=0), leaf(total, D, seed=1), leaf(D, D, seed=2)
    utterance, time = torch.arange(total) // STEPS, torch.arange(total) % STEPS

    def following(queries, keys):
        together = queries["utterance"][:, None] == keys["utterance"]
        following = together & (keys["time"] == queries["time"][:, None] + 1)
        return nf.Block(following, together & ~following)

    def run(tile):
        c = nf.rows(context, utterance=utterance, time=time)
        z = nf.rows(latent, utterance=utterance, time=time)
        return nf.contrast(nf.info_nce, c, z, following, similarity=bilinear(weight), tile=tile)

    def loops(step):
        losses = []
        for row in range(total):
            first = row // STEPS * STEPS
            if row + step < first + STEPS:
                scores = [context[row] @ weight @ latent[j] for j in range(first, first + STEPS)]
                losses.append(log_sum_exp(scores) - context[row] @ weight @ latent[row + step])
        return mean(losses)

    check(run, lambda: loops(1), lambda: loops(2), [context, latent, weight])


def test_both_ways_transposes_a_one_sided_relation():
    context, latent, weight = leaf(8, D, seed=0), leaf(8, D, seed=1), leaf(D, D, seed=2)
    time = torch.arange(8)

    def following(queries, keys):
        following = keys["time"] == queries["time"][:, None] + 1
        return nf.Block(following, ~following)

    def run(tile):
        c, z = nf.rows(context, time=time), nf.rows(latent, time=time)
        return nf.contrast(nf.info_nce, c, z, following, similarity=bilinear(weight), both_ways=True, tile=tile)

    def loops(transposed):
        score = [[context[i] @ weight @ latent[j] for j in range(8)] for i in range(8)]
        forward = [log_sum_exp(score[i]) - score[i][i + 1] for i in range(7)]
        columns = [[score[i][j] for i in range(8)] for j in range(8)]
        # Backwards the target of step j is step j - 1; an untransposed relation would take j + 1.
        if transposed:
            backward = [log_sum_exp(columns[j]) - columns[j][j - 1] for j in range(1, 8)]
        else:
            backward = [log_sum_exp(columns[j]) - columns[j][j + 1] for j in range(7)]
        return (mean(forward) + mean(backward)) / 2

    check(run, lambda: loops(True), lambda: loops(False), [context, latent, weight])
