"""One graph as one record: message passing inside it, its nodes the rows of two views (GRACE, arXiv 2006.04131).

A record is what must not be cut. Several graphs are embedded one by one and give the same rows as one large graph would, and
a node's positive is itself in the other view, its rivals all nodes of both views.
"""

import torch
from harness import check, leaf, log_sum_exp, mean, unit

import nearfar as nf

SIZES, D, T = (4, 3, 5), 4, 0.4


def test_nodes_of_whole_graphs():
    draws = torch.Generator().manual_seed(4)
    total = sum(SIZES)
    features, weight = leaf(total, 6, seed=0), leaf(6, D, seed=1)
    graphs, first = [], 0
    for size in SIZES:
        views = []
        for _ in range(2):
            edges = (torch.rand(size, size, generator=draws, dtype=torch.float64) < 0.5).double()
            edges = ((edges + edges.T + torch.eye(size)) > 0).double()
            views.append(edges / edges.sum(1, keepdim=True))
        graphs.append((first, size, views))
        first += size

    def encode(view):
        """Local to the record: a graph sees its own nodes and nothing else."""
        return torch.cat([torch.tanh(views[view] @ features[s : s + n] @ weight) for s, n, views in graphs])

    graph = torch.tensor([g for g, n in enumerate(SIZES) for _ in range(n)])

    def run(tile):
        views = [
            nf.rows(encode(v), record=torch.arange(total), graph=graph, view=torch.full((total,), v)) for v in (0, 1)
        ]
        return nf.contrast(nf.info_nce, nf.cat(views), relation=nf.multi_view(), temperature=T, tile=tile)

    def loops(across_graphs):
        vectors = []
        for view in (0, 1):
            for s, n, views in graphs:
                for a in range(n):
                    vectors.append(
                        unit(torch.tanh(sum(views[view][a, b] * features[s + b] for b in range(n)) @ weight))
                    )
        losses = []
        for i in range(2 * total):
            mate = (i + total) % (2 * total)
            rivals = [
                j
                for j in range(2 * total)
                if j != i and (across_graphs or int(graph[j % total]) == int(graph[i % total]))
            ]
            losses.append(log_sum_exp([vectors[i] @ vectors[j] / T for j in rivals]) - vectors[i] @ vectors[mate] / T)
        return mean(losses)

    check(run, lambda: loops(True), lambda: loops(False), [features, weight])
