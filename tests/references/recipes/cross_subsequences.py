"""ICSRec as loops: softmax over items, two histories with one next item, and each against the centre of its cluster."""

import math

import torch


def vectors(made):
    rows = made.rows["x"]
    n = len(rows) // 2
    h = rows.vectors.detach().double().tolist()
    columns = {name: c.tolist() for name, c in rows.columns.items()}
    assert columns["next"][:n] == columns["next"][n:], "both histories of a pair led to one item"
    return h[:n], h[n:], columns


def dot(a, b):
    return sum(p * q for p, q in zip(a, b, strict=True))


def contrast(a, b, first, second, masked):
    """Both directions, over all rows of both, without those of the same label."""
    z, label, n = a + b, first + second, len(a)
    losses = []
    for i in range(2 * n):
        partner = (i + n) % (2 * n)
        bottom = math.exp(dot(z[i], z[partner]))
        for k in range(2 * n):
            if k not in (i, partner) and (label[k] != label[i] or not masked):
                bottom += math.exp(dot(z[i], z[k]))
        losses.append(math.log(bottom) - dot(z[i], z[partner]))
    return sum(losses) / len(losses)


def loss(made, *, masked=True):
    first, second, columns = vectors(made)
    n = len(first)
    tower = made.prepared.learner.towers["encoder"]
    table = tower.items.weight.detach().double()[: tower.setup.items].tolist()
    total = 0.0
    for row, item in zip(first, columns["next"][:n], strict=True):
        scores = [dot(row, e) for e in table]
        total += (math.log(sum(map(math.exp, scores))) - scores[item - 1]) / n
    total += 0.3 * contrast(first, second, columns["next"][:n], columns["next"][n:], masked)
    cluster, centre = columns["cluster"], torch.tensor(columns["centre"]).double()
    lengths = centre.norm(dim=1)
    assert torch.allclose(lengths, torch.ones_like(lengths), atol=1e-5)
    for half, rows in ((slice(0, n), first), (slice(n, 2 * n), second)):
        total += 0.1 * contrast(rows, centre[half].tolist(), cluster[half], cluster[half], masked)
    return total


def loops(made):
    return loss(made)


def wrong(made):
    """Histories with the same next item or intent are pushed away."""
    return loss(made, masked=False)
