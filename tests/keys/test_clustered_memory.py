"""The clustered memory in loops: neighbours are past keys of the assigned cluster, never of the record itself, nearest first."""

import pytest
import torch

import nearfar as nf
from nearfar.core.errors import UsageError
from nearfar.maths.sinkhorn import sinkhorn

DRAWS = torch.Generator().manual_seed(0)


def heaps(n, first=0):
    """Keys round three directions, numbered from `first`."""
    kind = torch.arange(n) % 3
    x = 3 * torch.eye(3, 6, dtype=torch.float64)[kind] + 0.4 * torch.randn(n, 6, generator=DRAWS, dtype=torch.float64)
    return nf.rows(x, record=torch.arange(first, first + n), kind=kind)


def unit(v):
    return v / v.norm(dim=-1, keepdim=True)


def filled():
    memory = nf.clustered_memory(clusters=3, size=30, nearest=2)
    for first in (0, 15, 30):
        memory.update(heaps(15, first))
    return memory


def test_it_waits_until_it_is_full_and_drops_the_oldest():
    memory, x = nf.clustered_memory(clusters=3, size=30, nearest=2), heaps(6, 100)
    memory.update(heaps(15))
    assert len(memory(x, x)) == 6
    assert memory.rows().columns["cluster"].tolist() == [-1] * 15
    memory.update(heaps(15, 15))
    assert len(memory(x, x)) == 18
    memory.update(heaps(15, 30))
    assert memory.rows().columns["record"].tolist() == list(range(15, 45))
    # Clusters are the three directions, of new keys too.
    cluster, kind = memory.rows().columns["cluster"], memory.rows().columns["kind"]
    assert all(len(set(cluster[kind == k].tolist())) == 1 for k in range(3))
    assert len(set(cluster.tolist())) == 3


def neighbours(memory, x, *, any_cluster=False):
    """(record, vector) of each neighbour, in loops."""
    past = memory.rows()
    cluster = past.columns["cluster"].tolist()
    centres = torch.stack(
        [unit(sum(unit(v) for v, c in zip(past.vectors, cluster, strict=True) if c == k)) for k in range(3)]
    )
    mine = sinkhorn(unit(x.vectors) @ centres.T, 0.05, 10).argmax(1).tolist()
    found = []
    for i, record in enumerate(x.columns["record"].tolist()):
        able = [
            j
            for j, other in enumerate(past.columns["record"].tolist())
            if other != record and (any_cluster or cluster[j] == mine[i])
        ]
        able.sort(key=lambda j: -float(unit(x.vectors[i]) @ unit(past.vectors[j])))
        found += [(record, tuple(past.vectors[j].tolist())) for j in able[:2]]
    return sorted(found)


def made(memory, x):
    table = memory(x, x).take(slice(len(x), None))
    return sorted((r, tuple(v)) for r, v in zip(table.columns["record"].tolist(), table.vectors.tolist(), strict=True))


def test_neighbours_equal_loops():
    memory, x = filled(), heaps(9, 20)  # records 20 to 28 are in the memory already
    assert made(memory, x) == neighbours(memory, x)
    assert not {tuple(v.tolist()) for v in x.vectors} & {v for _, v in made(memory, x)}
    lopsided = nf.rows(
        heaps(9).vectors[:1].expand(6, 6) + 0.1 * torch.randn(6, 6, generator=DRAWS, dtype=torch.float64)
    )
    assert made(memory, lopsided) == neighbours(memory, lopsided)  # equal use sends some to other clusters
    assert made(memory, lopsided) != neighbours(memory, lopsided, any_cluster=True)
    assert not memory(x, x).take(slice(len(x), None)).vectors.requires_grad


def test_a_cluster_without_keys_has_no_direction():
    memory = filled()
    past = memory.rows()
    emptied = past.with_columns(cluster=past.columns["cluster"].clamp_max(1))
    memory._replace({"vectors": past.vectors, **{f"column:{k}": v for k, v in emptied.columns.items()}})
    assert memory.centres()[2].tolist() == [0.0] * 6
    x = heaps(6, 100)
    assert len(memory(x, x)) >= 6


def test_what_makes_no_sense_is_refused():
    for wrong in ({"clusters": 9, "size": 8}, {"nearest": 0}, {"epsilon": 0.0}, {"iterations": 0}):
        with pytest.raises(UsageError):
            nf.clustered_memory(**wrong)
    tokens = nf.rows(torch.zeros(2, 3, 4))
    with pytest.raises(UsageError, match="one vector a row"):
        nf.clustered_memory()(tokens, tokens)
