"""Handwritten digits as graphs: each joined to its three nearest, by pixels; 1,797 of them, from inside scikit-learn.

Parts: train 597 digits, dev 400, test 800, drawn once, classes in proportion. Each is one record, a graph of its digits alone (field `graph`):
64 features from 0 to 1, edges both ways wherever one of two is among the other's three nearest, and the digit as the nodes' label.
Clustering learns on the very graph that it clusters, without labels; for that, dev and test are graphs of their own.
Source: Alpaydin and Kaynak 1998 (CC BY 4.0), as in `digits`; graphs of nearest records with k = 3 for data that bring none: Bo et al. 2020
(arXiv 2002.01633), Kulatilleke et al. 2022 (arXiv 2209.14067).
"""

from __future__ import annotations

import numpy as np
import torch

from nearfar.core.card import Card
from nearfar.core.graph import Graph
from nearfar.core.optional import needed
from nearfar.data.dataset import Dataset
from nearfar.data.drawn_parts import drawn_parts
from nearfar.data.records import Records

CARD = Card(name="digits_graph", summary="1,797 handwritten digits, each joined to its nearest", related=("digits",))

NEAREST = 3


def digits_graph() -> Dataset:
    """The three parts.

    >>> digits_graph().train.fields["graph"]
    [Graph(597 nodes, 2552 edges, 64 features)]
    """
    data = needed("sklearn.datasets", "probes").load_digits()
    x, label = (data.data / 16).astype(np.float32), data.target.astype(np.int64)
    places = drawn_parts(label, {"train": 597, "dev": 400, "test": 800}, seed=0)
    parts = {name: Records({"graph": [_graph(x[rows], label[rows])]}) for name, rows in places.items()}
    return Dataset("digits_graph", parts, {"classes": 10})


def _graph(x: np.ndarray, label: np.ndarray) -> Graph:
    near = needed("sklearn.neighbors", "probes").kneighbors_graph(x, NEAREST).astype(bool)
    edges = np.stack((near + near.T).nonzero()).astype(np.int64)
    return Graph(torch.from_numpy(x), torch.from_numpy(edges), torch.from_numpy(label))
