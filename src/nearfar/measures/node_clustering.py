"""Whether k-means on the vectors of nodes finds their classes: agreement with the labels, which training did not see.

Kin: the probe is `clustering`; `knn_accuracy` asks for classes among neighbours, of records.
"""

from __future__ import annotations

import numpy as np

from nearfar.core.card import Card
from nearfar.core.errors import DataError
from nearfar.core.graph import graphs_of
from nearfar.core.model import Model
from nearfar.data.dataset import Dataset
from nearfar.probes.clustering import clustering
from nearfar.probes.outcome import Outcome

CARD = Card(
    name="node_clustering",
    summary="agreement of k-means clusters of nodes with their classes",
    related=("clustering", "knn_accuracy"),
)


def node_clustering(model: Model, dataset: Dataset, split: str, *, field: str = "graph") -> Outcome:
    """All nodes of the part's graphs together, their labels as classes.

    Raises DataError for a graph whose nodes have no labels.
    """
    part = dataset.part(split)
    graphs = graphs_of(part.many(field, range(len(part))))
    labels = [graph.label for graph in graphs]
    known = [label for label in labels if label is not None]
    if len(known) < len(labels):
        raise DataError("the nodes of a graph have no labels", where=split, remedy='give graphs with a "label" a node')
    vectors = np.concatenate(model.encode_nodes(graphs))
    return clustering(vectors, np.concatenate([label.numpy() for label in known]))
