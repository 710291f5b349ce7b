"""JigClu as loops: every patch against all others of the batch, those of its picture as positives; and the place of each patch."""

import math

PIECES, BAG, T = 4, 4, 0.07


def features(made):
    """Vectors before the head, a patch each, in the order of the batch."""
    stream = made.streams["x"]
    return stream.encode(stream.inputs)[1].features.detach().double()


def clusters(made, *, itself_below=False):
    z = made.rows["x"].vectors.double()
    z = z / z.norm(dim=1, keepdim=True)
    n = len(z)
    assert n == 6 * BAG * PIECES
    scores, total = (z @ z.T / T).tolist(), 0.0
    for i in range(n):
        mine = [k for k in range(n) if k // PIECES == i // PIECES and k != i]  # patches stand picture by picture
        assert len(mine) == 3
        below = math.log(sum(math.exp(scores[i][k]) for k in range(n) if itself_below or k != i))
        total += sum(below - scores[i][p] for p in mine) / 3
    return total / n


def places(made):
    (classifier,) = [m.linear for m in made.prepared.learner.terms.modules() if hasattr(m, "linear")]
    weight, bias = classifier.weight.detach().double(), classifier.bias.detach().double()
    total, rows = 0.0, features(made)
    for i, f in enumerate(rows):
        scores = [float(f @ w) + float(b) for w, b in zip(weight, bias, strict=True)]
        total += math.log(sum(map(math.exp, scores))) - scores[i % PIECES]
    return total / len(rows)


def loops(made):
    return clusters(made) + places(made)


def wrong(made):
    """A patch competes with itself."""
    return clusters(made, itself_below=True) + places(made)
