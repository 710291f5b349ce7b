"""`split`: training pairs and held-out pairs that share no text.

Pairs that share a query or a document, directly or through others, stay on one side; otherwise a held-out answer was
seen in training and the measure is of memory. Which side is a function of the texts and the seed, not of their order.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from nearfar.core.errors import DataError, UsageError
from nearfar.data.pair_table import PairTable
from nearfar.data.records import Note


def split(table: PairTable, held_out: float | int = 0.1, seed: int = 0) -> tuple[PairTable, PairTable]:
    """(training pairs, held-out pairs), both in the table's order.

    held_out   a share (a float between 0 and 1) or a number of pairs (an int). Never more than asked for; fewer, with
               a note, if the groups of connected pairs do not add up to it

    Explicit hard negatives connect nothing: mined ones would join everything to one group.

    Errors: UsageError for a share or number out of range, DataError if every group is larger than the part asked for.

    >>> from nearfar.data.pairs import pairs
    >>> rest, held = split(pairs([("a", "1"), ("a", "2"), ("b", "3"), ("c", "4")]), held_out=1)
    >>> len(rest), len(held)
    (3, 1)
    """
    n = len(table)
    share = isinstance(held_out, float)
    if (share and not 0 < held_out < 1) or (not share and not 1 <= held_out < n):
        raise UsageError(
            f"held_out={held_out} of {n:,} pairs makes no sense",
            where="held_out",
            remedy="give a share between 0 and 1, or a number of pairs below their count",
        )
    wanted = max(1, round(n * held_out)) if share else int(held_out)
    group = connected(table)
    # A group is known by its smallest text id, so that the choice depends on the texts and not on their order.
    smallest = np.full(int(group.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(smallest, group, np.minimum(table.query_id, table.document_id))
    sizes = np.bincount(group)
    held_groups, held = np.zeros(len(sizes), dtype=bool), 0
    for g in sorted(range(len(sizes)), key=lambda g: _draw(seed, int(smallest[g]))):
        if held + sizes[g] <= wanted:
            held_groups[g] = True
            held += int(sizes[g])
    if not held:
        raise DataError(
            f"no group of connected pairs fits into {wanted:,} held-out pairs; the smallest has {int(sizes.min()):,}",
            where=table.source,
            remedy="hold out more, or give a held-out set of your own",
        )
    chosen = held_groups[group]
    rest, part = table.take(np.flatnonzero(~chosen)), table.take(np.flatnonzero(chosen))
    if held < 0.9 * wanted:
        note = Note(f"only {held:,} of {wanted:,} pairs could be held out: the others hang together by shared texts")
        part = replace(part, notes=(note,))
    return rest, part


def connected(table: PairTable) -> np.ndarray:
    """Group numbers [n] int64, from 0: pairs that share a query or a document, directly or through others, are one."""
    ids, node = np.unique(np.concatenate([table.query_id, table.document_id]), return_inverse=True)
    parent = list(range(len(ids)))

    def root(a: int) -> int:
        while parent[a] != a:
            parent[a] = parent[parent[a]]
            a = parent[a]
        return a

    n = len(table)
    for q, d in zip(node[:n].tolist(), node[n:].tolist(), strict=True):
        parent[root(q)] = root(d)
    return np.unique([root(a) for a in node[:n].tolist()], return_inverse=True)[1].astype(np.int64)


def _draw(seed: int, text_id: int) -> bytes:
    return hashlib.blake2b(f"split {seed} {text_id}".encode(), digest_size=16).digest()
