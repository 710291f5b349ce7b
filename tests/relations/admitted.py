"""Every relation of the catalogue with columns that suit it, for suites that run rules and ways of running under all of them.

RELATIONS: name -> (relation, columns), where `columns(n, seed)` gives a table of n rows. Two tables of different seeds are
related to one another, and so is a table to itself. Further entries are the relations' options and edits.
"""

import torch

import nearfar as nf
from nearfar.core.parts import parts
from nearfar.core.predicate import alike, excluded, same, within


def _draws(seed):
    return torch.Generator().manual_seed(1000 + seed)


def paired(n, seed):
    """Records in another order in every table, about two rows each; two views; a few given negatives; labels, some unknown."""
    g = _draws(seed)
    record = torch.randperm(n, generator=g) % max(1, (n + 1) // 2)
    return {
        "record": record,
        "view": torch.arange(n) % 2 + 2 * seed,  # no row of one table is a row of the other
        "negative": torch.rand(n, generator=g) < 0.2,
        "label": torch.randint(-1, 3, (n,), generator=g),
        "class_count": torch.randint(2, 6, (n,), generator=g),
    }


def valued(n, seed):
    """As `paired`, with label sets, paths, values and a frozen encoder's vectors."""
    g = _draws(seed)
    return paired(n, seed) | {
        "labels": torch.rand(n, 5, generator=g) < 0.4,
        "path": torch.randint(0, 2, (n, 3), generator=g),
        "value": torch.randn(n, generator=g, dtype=torch.float64),
        "teacher": torch.randn(n, 4, generator=g, dtype=torch.float64),
    }


def looked_at(n, seed):
    """As `paired`, with the same two views in every table."""
    return paired(n, seed) | {"view": torch.arange(n) % 2}


def listed(n, seed):
    """As `paired`, with lists of three ids, some of them padding."""
    ids = torch.randint(-1, max(1, (n + 1) // 2), (n, 3), generator=_draws(seed + 50))
    return paired(n, seed) | {"neighbours": ids, "excluded": ids.flip(0)}


def remembered(n, seed):
    """As `paired`, every second row from a memory."""
    return paired(n, seed) | {"stale": torch.rand(n, generator=_draws(seed + 70)) < 0.5}


def grouped(n, seed):
    """Few records of many rows: cells with places and steps with times."""
    g = _draws(seed)
    return {
        "record": torch.arange(n) % max(1, n // 5),
        "view": torch.arange(n) // 5 % 2 + 2 * seed,
        "place": torch.rand(n, 2, generator=g, dtype=torch.float64),
        "cell": torch.rand(n, generator=g, dtype=torch.float64) + 0.5,
        "time": torch.arange(n) // max(1, n // 5),
    }


RELATIONS = {
    "paired": (nf.paired(), paired),
    "multi_view": (nf.multi_view(), paired),
    "labelled": (nf.labelled(), paired),
    "same_view": (nf.same_view(), looked_at),
    "masked_views": (nf.masked_views(), paired),
    "counted": (nf.counted(), paired),
    "explicit_negatives": (nf.explicit_negatives(), paired),
    "explicit_negatives, own": (nf.explicit_negatives(shared=False), paired),
    "queued": (nf.queued(), remembered),
    "multi_label": (nf.multi_label(), valued),
    "hierarchical": (nf.hierarchical(), valued),
    "hierarchical, one level": (nf.hierarchical((0.0, 1.0, 0.0)), valued),
    "graded": (nf.graded(nf.Rbf(0.7)), valued),
    "graded, triangular": (nf.graded(nf.Triangular(1.0)), valued),
    "graded_negatives": (nf.graded_negatives(within=0.5), valued),
    "teacher_soft": (nf.teacher_soft(), valued),
    "soft_label": (nf.soft_label(), valued),
    "neighbours": (nf.neighbours(), listed),
    "place": (nf.place(0.4), grouped),
    "place, in cells and across": (nf.place(0.4, unit="cell", across=True), grouped),
    "agreeing": (nf.agreeing(("view", "label"), itself=("record",)), looked_at),
    "temporal": (nf.temporal(1), grouped),
    "temporal, across": (nf.temporal(1, far=2, across=True), grouped),
    "edited: excluded": (nf.paired().drop_negatives(excluded()), listed),
    "edited: alike": (nf.paired().drop_negatives(alike("teacher", 0.4)), valued),
    "edited: same context": (nf.paired().drop_negatives(~same("label")), paired),
    "edited: near in time, weighted": (nf.paired().positives(within("time", 1), 0.5), grouped),
    "edited: balanced": (nf.labelled().balanced("class_count", leave_one_out=True), paired),
}

missing = {part.name for part in parts("relations", with_announced=False)} - set(RELATIONS)
assert not missing, f"give these relations columns in tests/relations/admitted.py: {sorted(missing)}"
