"""SupReMix as loops: all looks, all mixtures with another value, all mixtures of a lower and a higher one; weights by distances of values."""

import math

from nearfar.core.draws import row_ids

WINDOW, T = 5.0, 0.3


def mixture(share, a, b):
    return [share * u + (1 - share) * v for u, v in zip(a, b, strict=True)]


def loss(made, *, whole_gap=False):
    rows = made.rows["x"]
    mixing = made.prepared.learner.objective.terms[""].own
    z = (rows.vectors / rows.vectors.norm(dim=1, keepdim=True)).double().tolist()
    value, record, view = (rows.columns[name].tolist() for name in ("label", "record", "view"))
    n, total = len(z), 0.0
    ids = row_ids(rows)
    for i in range(n):
        positives, keys = [], []  # vectors; vectors with weights
        for k in range(n):
            if k == i:
                continue
            gap = abs(value[k] - value[i])
            keys.append((z[k], 1.0 + gap))
            if gap == 0:
                positives.append(z[k])
            else:
                share = float(mixing.beta(2.0, 8.0, "share", ids[i], ids[k]))
                keys.append((mixture(share, z[i], z[k]), 1 + (1.0 if whole_gap else 1 - share) * gap))
        for j in range(n):
            for k in range(n):
                if value[i] - WINDOW <= value[j] < value[i] < value[k] <= value[i] + WINDOW:
                    share = (value[k] - value[i]) / (value[k] - value[j])
                    mixed = mixture(share, z[j], z[k])
                    positives.append(mixed)
                    keys.append((mixed, 1.0))
        scores = [sum(a * b for a, b in zip(z[i], key, strict=True)) / T for key, _ in keys]
        bottom = math.log(sum(w * math.exp(s) for (_, w), s in zip(keys, scores, strict=True)))
        chosen = [s for (key, _), s in zip(keys, scores, strict=True) if any(key is p for p in positives)]
        total += (bottom - sum(chosen) / len(chosen)) / n
    assert len({(r, v) for r, v in zip(record, view, strict=True)}) == n
    return total


def loops(made):
    return loss(made)


def wrong(made):
    """A mixture weighs like the record that was mixed in, instead of by its own value."""
    return loss(made, whole_gap=True)
