"""Small indexes of drawn vectors, and all that one holds: what the tests of indexes in files share."""

import numpy as np

from nearfar.search.index import Index

MODEL = "model-one"


def vectors(n=40, d=8, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def rows(n=40, tag="row"):
    return [{"name": f"{tag} {i}", "line": i} for i in range(n)]


def made(directory, n=40, seed=0, tag="row") -> Index:
    return Index.build(directory, vectors(n, seed=seed), rows(n, tag), model=MODEL)


def content(index):
    """Everything that an index holds, by key."""
    slots = index.slots()
    return {index.key(s): (index.row(s), index.vectors([s])[0].tobytes()) for s in slots}
