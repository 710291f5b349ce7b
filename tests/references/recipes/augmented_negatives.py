"""CLAN as loops: squared distances of all pairs of rows, squared hinges of all pairs of a row and an altered one, each over active pairs."""


def distances(one, other):
    units = [(v / v.norm(dim=1, keepdim=True)).tolist() for v in (one.double(), other.double())]
    return [[max(0.0, (1 - sum(a * b for a, b in zip(x, y, strict=True))) / 2) for y in units[1]] for x in units[0]]


def loss(made, *, own_alone=False):
    x, y = made.rows["x"].vectors, made.rows["y"].vectors
    pull = [d**2 for i, row in enumerate(distances(x, x)) for k, d in enumerate(row) if k != i]
    push = [
        max(0.0, 0.6 - d) ** 2
        for i, row in enumerate(distances(x, y))
        for k, d in enumerate(row)
        if k == i or not own_alone
    ]
    return sum(sum(part) / sum(v > 1e-6 for v in part) for part in (pull, push))


def loops(made):
    return loss(made)


def wrong(made):
    """Only the altered look at the row itself is a negative."""
    return loss(made, own_alone=True)
