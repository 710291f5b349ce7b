"""neighbourhood_contrast in loops over nodes, on two small graphs."""

import nearfar as nf
from graph_terms import REACH, TAU, D, K, blocks, divergence, far, known, near, outputs, parameters, streams

__all__ = ["outputs", "parameters", "streams"]


def objective():
    return known(nf.neighbourhood_contrast(dimension=D, clusters=K, contrast=1.5, clustering=0.4, tau=TAU, reach=REACH))


def total(objective, streams, repel):
    z, (centres,) = list(streams["x"].vectors), parameters(objective)
    return 1.5 * (near(z) + repel(z, centres)) + 0.4 * divergence(z, centres)


def loops(objective, streams):
    return total(objective, streams, lambda z, centres: far(z))


def wrong(objective, streams):
    """Sums of clusters repel."""
    return total(objective, streams, lambda z, centres: far(blocks(z, centres)))
