"""Mixed Barlow Twins as loops: pictures mixed pixel by pixel, four correlation matrices, one entry at a time."""

import torch

OFF, MIXED, EPSILON = 0.0078125, 4.0, 1e-5


def standardised(table):
    n, columns = len(table), []
    for column in zip(*table, strict=True):
        mean = sum(column) / n
        spread = (sum((v - mean) ** 2 for v in column) / (n - 1) + EPSILON) ** 0.5
        columns.append([(v - mean) / spread for v in column])
    return columns


def correlation(u, v):
    return [[sum(a * b for a, b in zip(p, q, strict=True)) / len(p) for q in v] for p in u]


def after_views(made, name):
    """The pictures of a stream as its views leave them."""
    path, seen = made.prepared.learner.paths[name], made.streams[name].inputs
    pictures = seen.inputs.float() / 255
    for place, view in enumerate(path.views):
        pictures = view(pictures, seen.draws.at(place))
    return pictures


def loss(made, *, permuted=True):
    x, y = (made.rows[name] for name in "xy")
    columns = made.rows["mixed"].columns
    place = {number: i for i, number in enumerate(x.columns["record"].tolist())}
    partner = [place[number] for number in columns["partner"].tolist()]
    assert sorted(partner) == list(range(len(place)))
    assert all(i != p for i, p in enumerate(partner))
    a = float(columns["share"][0])
    one, other = (after_views(made, name) for name in "xy")
    pictures = torch.stack([a * one[i] + (1 - a) * other[partner[i]] for i in range(len(one))])
    path = made.prepared.learner.paths["mixed"]
    with torch.no_grad():
        mixture = path.head(path.tower(pictures).vectors)
    z1, z2, zm = (standardised(v.double().tolist()) for v in (x.vectors, y.vectors, mixture))
    if not permuted:
        partner = list(range(len(partner)))
    second = [[column[p] for p in partner] for column in z2]
    d, total = len(z1), 0.0
    c = correlation(z1, z2)
    for i in range(d):
        for j in range(d):
            total += (c[i][j] - 1) ** 2 if i == j else OFF * c[i][j] ** 2
    for zk in (z1, z2):
        of_mixed, of_first, of_second = correlation(zm, zk), correlation(z1, zk), correlation(second, zk)
        for i in range(d):
            for j in range(d):
                gap = of_mixed[i][j] - a * of_first[i][j] - (1 - a) * of_second[i][j]
                total += MIXED * OFF * gap**2
    return total


def loops(made):
    return loss(made)


def wrong(made):
    """The pictures are mixed with others, the correlations with the picture's own second look."""
    return loss(made, permuted=False)
