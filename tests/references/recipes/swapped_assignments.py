"""SwAV as loops: two large crops are assigned to prototypes in balance, every crop predicts the assignments of the others."""

import math

K, T, EPSILON, ROUNDS = 6, 0.1, 0.05, 3


def unit(vectors):
    vectors = vectors.detach().double()
    return (vectors / vectors.norm(dim=1, keepdim=True)).tolist()


def codes(scores, balanced):
    """Prototypes, then pictures, brought to equal sums, three times."""
    n = len(scores)
    q = [[math.exp(s / EPSILON) for s in row] for row in scores]
    for _ in range(ROUNDS):
        if balanced:
            used = [sum(q[i][k] for i in range(n)) for k in range(K)]
            q = [[v / used[k] for k, v in enumerate(row)] for row in q]
        q = [[v / sum(row) for v in row] for row in q]
    return q


def loss(made, *, balanced=True):
    (own,) = [m for m in made.prepared.learner.terms.modules() if hasattr(m, "vectors")]
    prototypes = unit(own.vectors)
    assert len(prototypes) == K
    scores = {}
    for name in "xyab":
        rows = unit(made.rows[name].vectors)
        scores[name] = [[sum(a * b for a, b in zip(row, c, strict=True)) for c in prototypes] for row in rows]
    losses = []
    for s in "xy":
        targets = codes(scores[s], balanced)
        for v in "xyab":
            if v == s:
                continue
            total = 0.0
            for code, row in zip(targets, scores[v], strict=True):
                bottom = math.log(sum(math.exp(o / T) for o in row))
                total -= sum(q * (o / T - bottom) for q, o in zip(code, row, strict=True))
            losses.append(total / len(targets))
    return sum(losses) / len(losses)


def loops(made):
    return loss(made)


def wrong(made):
    """Codes of single pictures, which may all be the same."""
    return loss(made, balanced=False)
