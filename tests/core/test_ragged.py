"""What lies end to end: taking out and padding are what lists of lists would give, of every kind that is kept so."""

import copy

import numpy as np
import pytest
import torch

from nearfar.core.errors import UsageError
from nearfar.core.graph import Graph, Graphs
from nearfar.core.ragged import Ragged, offsets_of, ragged, taken
from nearfar.core.tokens import Tokens
from nearfar.encoders.static import Bags
from nearfar.execution.micro_batches import count, take

LISTS = [[5, 6, 7], [], [8], [9, 10], [3, 3, 3, 3]]
OFFSETS = offsets_of(torch.tensor([len(part) for part in LISTS]))
FLAT = torch.tensor(sum(LISTS, []))


def bags():
    return Bags(FLAT, FLAT * 2.0, OFFSETS)


def graphs():
    """One node more than there are numbers in the list, which are its features; each but the first has an edge from the one before."""
    made = []
    for part in LISTS:
        x = torch.tensor([0.0, *part])[:, None]
        made.append(Graph(x, torch.stack([torch.arange(len(part)), torch.arange(len(part)) + 1])))
    return Graphs.of(made, 1)


def of_ragged(some):
    return [part.int().tolist() for part in some.values.split(some.lengths.tolist())]


def of_bags(some):
    sizes = some.offsets.diff().tolist()
    assert torch.equal(some.amounts, some.ids * 2.0)
    return [part.tolist() for part in some.ids.split(sizes)]


def of_graphs(some):
    """Each edge leads to the number after the one it leads from, so wrong edges are wrong lists."""
    parts = []
    for number in range(len(some)):
        edges = some.edges[:, some.ends[number] : some.ends[number + 1]]
        assert torch.equal(edges[0], some.nodes[number] + torch.arange(edges.shape[1]))
        assert some.nodes.diff()[number] == edges.shape[1] + 1
        parts.append(some.x[edges[1], 0].int().tolist())
    return parts


KINDS = {
    "ragged": (lambda: ragged([torch.tensor(part, dtype=torch.float) for part in LISTS]), of_ragged),
    "tokens": (lambda: Tokens.of(LISTS), of_ragged),
    "bags": (bags, of_bags),
    "graphs": (graphs, of_graphs),
}
INDICES = [
    [3, 0, 0],
    [1],
    [],
    [-1, 0],
    [2, -5, -1],
    np.array([4, 2]),
    torch.tensor([-1, 0]),
    slice(1, 4),
    slice(None, None, 2),
]


@pytest.mark.parametrize("index", INDICES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_taking_is_that_of_lists(kind, index):
    make, lists = KINDS[kind]
    whole = make()
    expected = LISTS[index] if isinstance(index, slice) else [LISTS[i] for i in index]
    assert lists(whole) == LISTS
    assert lists(whole.take(index)) == expected
    assert type(whole.take(index)) is type(whole)
    assert len(whole.take(index)) == len(expected)
    assert lists(copy.deepcopy(whole).take(slice(None))) == LISTS


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_is_told_apart_and_micro_batches_take_the_same(kind):
    make, lists = KINDS[kind]
    assert count(make()) == 5
    assert lists(take(make(), torch.tensor([3, 0]))) == [LISTS[3], LISTS[0]] != lists(make().take([0, 3]))


def test_negative_numbers_next_to_positive_ones():
    places, offsets = taken(OFFSETS, [-1, 0])
    assert FLAT[places].tolist() == [3, 3, 3, 3, 5, 6, 7]
    assert offsets.tolist() == [0, 4, 7]
    number = torch.tensor([-1, 0])
    wrong = OFFSETS[number + 1] - OFFSETS[number]  # known bad: the end of the last is looked for before the first
    assert wrong.tolist() != offsets.diff().tolist()


@pytest.mark.parametrize("kind", ["ragged", "tokens"])
def test_padding_is_of_these_alone(kind):
    whole = KINDS[kind][0]()
    values, mask = whole.take([2, 0]).padded(99)
    assert values.tolist() == [[8, 99, 99], [5, 6, 7]]
    assert mask.tolist() == [[True, False, False], [True, True, True]]
    assert whole.padded()[0].shape == (5, 4)  # known bad: as long as the longest of all
    assert whole.take([1]).padded(7)[0].tolist() == [[7]]
    assert whole.take([]).padded()[0].shape == (0, 1)
    assert whole.padded()[1].sum(1).tolist() == [len(part) for part in LISTS]


def test_steps_may_be_vectors_and_there_may_be_none():
    assert ragged([torch.ones(2, 5)]).padded()[0].shape == (1, 2, 5)
    assert ragged([]).padded()[0].shape == (0, 1)
    assert Tokens.of([]).padded()[0].shape == (0, 1)
    assert Ragged(torch.ones(3, 2), torch.tensor([0, 3])).to("cpu").lengths.tolist() == [3]


def test_offsets_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match="do not end"):
        Tokens(torch.arange(3), torch.tensor([0, 2]))
    assert len(Tokens(torch.arange(3), torch.tensor([0, 3]))) == 1
