"""InvP as loops: the second step, late in the training, when the bank holds the first one's pictures: own vector, and neighbours."""

import math

import torch

import nearfar as nf

T, NEAREST, HARDEST, WEIGHT, KEPT = 0.2, 8, 50, 0.6, 0.5


def unit(v):
    return v / v.norm(dim=-1, keepdim=True)


def second_step(made):
    """The bank after the first step, and the second one's rows and loss; nothing was optimised between the two."""
    learner = made.prepared.learner
    objective = learner.at_this_step()
    bank = next(m for m in learner.terms.modules() if hasattr(m, "momentum"))
    if bank.rows() is None:
        nf.update_state(objective, made.rows)
    return bank, nf.backward(objective, made.prepared.batches.streams(1), step=made.prepared.steps - 1)


def own(made):
    """What the bank is after the first step."""
    rows = made.rows["x"]
    start = nf.record_bank(seed=made.recipe.seed)(rows, rows)
    looks = dict(zip(rows.columns["record"].tolist(), unit(rows.vectors.double()), strict=True))
    before = zip(start.columns["record"].tolist(), start.vectors.double(), strict=True)
    return {record: unit(KEPT * v + (1 - KEPT) * looks[record]) for record, v in before}


def loss(made, *, itself_below=False):
    bank, step = second_step(made)
    rows, vectors = step.rows["x"], own(made)
    met = bank(rows, rows)  # the pictures of this step have begun, too
    for record, v in zip(met.columns["record"].tolist(), met.vectors.double(), strict=True):
        vectors.setdefault(record, v)
    total, reached = 0.0, 0
    for z, record, listed in zip(
        unit(rows.vectors.double()), rows.columns["record"].tolist(), rows.columns["neighbours"].tolist(), strict=True
    ):
        score = {other: float(z @ v) / T for other, v in vectors.items()}
        others = sorted((s for other, s in score.items() if other != record), reverse=True)
        total += math.log(sum(map(math.exp, [score[record], *others[:NEAREST]]))) - score[record]
        near = sorted(score[other] for other in set(listed) if other in score and other != record)[:HARDEST]
        if not near:
            continue
        below = {other for other in score if other != record and score[other] >= others[NEAREST - 1]}
        below |= {other for other in listed if other in score}
        if itself_below:
            below.add(record)
        mass = sum(map(math.exp, near)) / len(near)
        reached += 1
        total += (
            WEIGHT
            * len(rows)
            / count(rows, score)
            * (math.log(sum(math.exp(score[other]) for other in below)) - math.log(mass))
        )
    assert reached > 4
    return total / len(rows)


def count(rows, known):
    """Rows with a neighbour in the bank: the second term is a mean over those."""
    lists = zip(rows.columns["record"].tolist(), rows.columns["neighbours"].tolist(), strict=True)
    return sum(any(other in known and other != record for other in listed) for record, listed in lists)


def ours(made):
    bank, step = second_step(made)
    rows = bank.rows()
    return torch.cat([rows.vectors.double().flatten(), torch.tensor([float(step.loss)], dtype=torch.float64)])


def expected(made, **mistake):
    bank = own(made)
    return torch.cat([*(bank[r] for r in sorted(bank)), torch.tensor([loss(made, **mistake)], dtype=torch.float64)])


def loops(made):
    return expected(made)


def wrong(made):
    """The picture's own vector competes with its neighbours."""
    return expected(made, itself_below=True)
