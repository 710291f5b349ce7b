"""HPCR as loops: PCR with a gain, the squared difference of old scores, the divergence from old relations."""

import math

from recipes.in_short import reference

PCR = reference("proxy_replay")
LEAST, MOST, PERIOD, ALPHA, BETA, T = 0.09 / 0.16, 0.09 / 0.05, 4, 0.1, 0.5, 0.09


def softmax(scores):
    total = sum(map(math.exp, scores))
    return [math.exp(s) / total for s in scores]


def loss(rows, proxies, number, *, beta=BETA):
    gain = LEAST + (MOST - LEAST) * (1 - math.cos(2 * math.pi * number / PERIOD)) / 2
    total = gain * PCR.contrast(rows, proxies)
    if not rows.columns["taught"].any():
        return total
    x, w = PCR.unit(rows.vectors), PCR.unit(proxies)
    label, scores = rows.columns["label"].tolist(), rows.columns["old_scores"].double().tolist()
    memory = [i for i, taught in enumerate(rows.columns["taught"].tolist()) if taught]
    apart = [(PCR.dot(x[i], w[c]) / T - scores[i][c]) ** 2 for i in memory for c in label]
    total += ALPHA * sum(apart) / len(apart)
    before = {i: PCR.unit(rows.columns["old_vectors"][i : i + 1])[0] for i in memory}
    relations = 0.0
    for i in memory:
        others = [j for j in memory if j != i]
        p = softmax([PCR.dot(before[i], before[j]) / T for j in others])
        q = softmax([PCR.dot(x[i], x[j]) / T for j in others])
        relations += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)) / len(memory)
    return total + beta * relations


def found(made):
    return PCR.steps(made, 6)


def ours(made):
    tasks = [task for *_, task in found(made)]
    assert 1 in tasks
    return [loss for _, _, loss, _, _ in found(made)]


def loops(made):
    return [loss(rows, proxies, number) for rows, proxies, _, number, _ in found(made)]


def wrong(made):
    """Old relations are forgotten."""
    return [loss(rows, proxies, number, beta=0.0) for rows, proxies, _, number, _ in found(made)]
