"""Connectivity of classes and domains: how often a classifier takes records of one cell, a class in a domain, for those of another.

        alpha   same class, other domain       the mean over classes of the error of telling the two cells apart
        beta    other class, same domain       the mean over drawn pairs of classes in each domain
        gamma   other class, other domain      the mean over drawn pairs of classes
        error   (wrong + 1) / (n + 2)          of the n held-out records of both cells, so that no ratio has a zero below it

Higher is more connected. Where classes are connected across domains, and domains across classes, more than where both differ (alpha and beta
above gamma), a classifier for the classes of one domain should hold in the other, however far apart the domains lie. Give vectors of a
model, or pixels of augmented pictures for the connectivity of the views themselves.
Kin: `modality_gap` measures the distance of two sets, not whether it does harm; `class_collapse` looks within classes.
Source: Shen et al. 2022 (arXiv 2204.00570), with the authors' code as a brief of it tells: 20 pairs in feature space, logistic regression
on vectors of unit length. Theirs tunes its strength; ours is that of the other probes of geometry. The error's ones and twos are ours.
"""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nearfar.core.card import Card
from nearfar.core.errors import DataError
from nearfar.probes.figures import Figures
from nearfar.probes.shared.inputs import joint_classes
from nearfar.probes.shared.linear_classifier import predictions
from nearfar.probes.shared.tensors import train_and_test

CARD = Card(
    name="connectivity",
    summary="how often classes of one domain are taken for classes of another: alpha, beta, gamma and their ratios",
    related=("class_collapse", "modality_gap", "linear_probe"),
    papers=("2204.00570",),
)

Cell = tuple[int, int]  # a class and a domain


def connectivity(
    train: Any,
    train_classes: Any,
    train_domains: Any,
    test: Any,
    classes: Any,
    domains: Any,
    *,
    pairs: int = 20,
    seed: int = 0,
) -> Figures:
    """Classifiers are fitted to vectors `train` [m d] of two domains with their classes, and asked about `test` [n d].

    pairs  of classes at most, for beta in each domain and for gamma; drawn by `seed` where there are more

    >>> import torch
    >>> x = torch.tensor([[1.0, 0, 0], [1.0, 0, 1], [0, 1.0, 0], [0, 1.0, 1]]).repeat(9, 1)     # class, class, domain
    >>> found = connectivity(x, [0, 0, 1, 1] * 9, [0, 1, 0, 1] * 9, x, [0, 0, 1, 1] * 9, [0, 1, 0, 1] * 9)
    >>> found.figure("alpha") == found.figure("beta") == 1 / 20        # all cells are told apart
    True

    Raises DataError for domains that are not two, fewer than two classes, a class that a domain lacks, and for NaN.
    """
    known, asked = (functional.normalize(table.double(), dim=1) for table in train_and_test(train, test))
    sizes = len(known), len(asked)
    kinds = joint_classes(train_classes, classes, sizes, "classes")
    places = joint_classes(train_domains, domains, sizes, "domains")
    cells = [list(zip(kind.tolist(), place.tolist(), strict=True)) for kind, place in zip(kinds, places, strict=True)]
    every = sorted({kind for kind, _ in cells[0]})
    _check(cells, every)
    rows = [{cell: np.array([c == cell for c in mine]) for cell in set(cells[0])} for mine in cells]
    chance = np.random.default_rng(seed)

    def error(one: Cell, other: Cell) -> float:
        return _error(known, asked, [(part[one], part[other]) for part in rows])

    def drawn() -> list[tuple[int, int]]:
        ordered = list(permutations(every, 2))
        return [ordered[i] for i in chance.permutation(len(ordered))[:pairs]]

    alpha = np.mean([error((kind, 0), (kind, 1)) for kind in every])
    beta = np.mean([error((a, domain), (b, domain)) for domain in (0, 1) for a, b in drawn()])
    gamma = np.mean([error((a, 0), (b, 1)) for a, b in drawn()])
    values = {"alpha": alpha, "beta": beta, "gamma": gamma, "alpha/gamma": alpha / gamma, "beta/gamma": beta / gamma}
    return Figures("connectivity", "alpha/gamma", {name: float(value) for name, value in values.items()})


def _check(cells: list[list[Cell]], every: list[int]) -> None:
    found = {place for mine in cells for _, place in mine}
    if len(found) != 2:
        raise DataError(f"there are {len(found)} domains", where="domains", remedy="give records of two")
    if len(every) < 2:
        raise DataError("there is one class only", where="classes", remedy="give records of two classes or more")
    for mine, where in zip(cells, ("train_classes", "classes"), strict=True):
        if lacking := {(kind, place) for kind in every for place in (0, 1)} ^ set(mine):
            kind, place = min(lacking)
            raise DataError(
                f"class number {kind} is not in both domains, in training and test records alike",
                where=where,
                remedy=f"leave the class out, or give it records in domain number {place}",
            )


def _error(known: Tensor, asked: Tensor, rows: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Of telling two cells apart; `rows` are theirs among the training and the test records."""
    (one, other), (mine, theirs) = rows
    fitted, chosen = one | other, mine | theirs
    train, test = (table[torch.from_numpy(kept)] for table, kept in ((known, fitted), (asked, chosen)))
    found = predictions(train, other[fitted].astype(np.int64), test)
    wrong = int((found != theirs[chosen]).sum())
    return (wrong + 1) / (int(chosen.sum()) + 2)
