"""Sent2Vec's loss as loops over the words of the first batch; targets' vectors, zero at the start, are given other values first."""

import math

import torch

import nearfar as nf


def term(made):
    (found,) = [m for m in made.prepared.learner.terms.modules() if hasattr(m, "targets")]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        found.targets.copy_(torch.randn(found.targets.shape, generator=generator))
    return found


def ours(made):
    term(made)
    return float(nf.backward(made.prepared.learner.at_this_step(), made.streams).loss)


def loss(made, *, spans=True):
    found, encoder = term(made), made.prepared.learner.towers["encoder"]
    number = {word: i for i, word in enumerate(encoder.words)}
    table, targets = encoder.table.double().tolist(), found.targets.double().tolist()
    seen = made.streams["x"].inputs
    drawn = found.others(seen.inputs.ids, seen.inputs.lengths, seen.draws).tolist()
    total, count, place = 0.0, 0, 0
    for record in made.rows["x"].columns["record"].tolist():
        text = made.records.fields["text"][record].lower().split()
        ids = [number[word] for word in text if word in number]
        for i, word in enumerate(ids):
            rest = [w for j, w in enumerate(ids) if j != i]
            for j in range(len(ids) - 1):
                if spans and i not in (j, j + 1):
                    rest.append(len(encoder.words) + (ids[j] * 116_049_371 + ids[j + 1]) % encoder.buckets)
            v = [sum(table[row][c] for row in rest) / len(rest) for c in range(encoder.dimension)]
            scores = [sum(a * b for a, b in zip(targets[w], v, strict=True)) for w in (word, *drawn[place])]
            total += math.log1p(math.exp(-scores[0])) + sum(math.log1p(math.exp(s)) for s in scores[1:])
            count, place = count + 1, place + 1
    return total / count


def loops(made):
    return loss(made)


def wrong(made):
    """Words alone, without their spans."""
    return loss(made, spans=False)
