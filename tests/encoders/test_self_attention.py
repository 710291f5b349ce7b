"""Causal self-attention for sequences of items: what only it does; the rest is in test_contract.py."""

import copy

import pytest
import torch

import nearfar as nf
from encoders.cases import SEQUENCES
from encoders.shared import close, loss_after, shoppers, vectors
from nearfar.core.errors import UsageError


def encoder(**options):
    return nf.SelfAttention.fit({"query": [*SEQUENCES, [20]]}, **{"dimension": 8, "heads": 2, **options})


def test_a_state_knows_nothing_of_later_items_but_how_many_there_are():
    model = encoder().eval()
    first, second = (model.outputs(model.prepare([s])).vectors for s in ([4, 5, 6, 7], [4, 5, 9, 1]))
    assert close(first[:, :2], second[:, :2])
    assert not close(first[:, 2:], second[:, 2:])
    # Places are counted back from the latest item.
    shorter = model.outputs(model.prepare([[4, 5]])).vectors
    assert not close(first[:, :2], shorter)
    with torch.no_grad():
        model.places.weight.copy_(model.places.weight[:1].expand_as(model.places.weight))
    assert close(
        model.outputs(model.prepare([[4, 5, 6, 7]])).vectors[:, :2], model.outputs(model.prepare([[4, 5]])).vectors
    )


def test_the_latest_item_has_the_first_place_whatever_the_length():
    model = encoder(depth=1, max_items=4).eval()
    with torch.no_grad():
        # Without attention and perceptron, what goes in comes out.
        for block in model.blocks:
            block.out.weight.zero_()
            block.narrow.weight.zero_()
    for sequence in ([7], [3, 7], [1, 2, 3, 4, 5, 7]):
        wanted = model.norm(model.items.weight[6] + model.places.weight[0])
        assert close(vectors(model, [sequence])[0], wanted)
    out = model.outputs(model.prepare([[1, 2, 3, 4, 5, 7], [7]]))
    assert out.columns["item"].tolist() == [[3, 4, 5, 7], [7, 0, 0, 0]]
    wanted = model.norm(model.items.weight[2] + model.places.weight[3])
    assert close(out.vectors[0, 0], wanted)


def test_order_matters_and_the_hidden_item_has_a_vector_of_its_own():
    model = encoder().eval()
    assert not close(*vectors(model, [[4, 5, 6], [5, 4, 6]]))
    a, b, c = vectors(model, [[4, -1, 6], [4, 5, 6], [4, 6]])
    assert not close(a, b)
    assert not close(a, c)
    with torch.no_grad():
        model.items.weight[-1] = model.items.weight[4]
    assert close(vectors(model, [[4, -1, 6]])[0], b)


def test_heads_must_divide_the_dimension():
    for options in ({"dimension": 9}, {"heads": 3}, {"heads": 0}):
        with pytest.raises(UsageError, match="heads"):
            encoder(**options)


def test_next_items_are_learned_by_a_local_term():
    sequences = [[(start + i) % 12 + 1 for i in range(6)] for start in range(12)]
    model = nf.SelfAttention.fit({"x": sequences}, dimension=24, heads=2, depth=1, dropout=0.0)
    inputs = model.prepare(sequences)
    optimiser = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(60):
        out = model.outputs(inputs)
        scores = out.vectors[:, :-1] @ model.items.weight[:-1].T
        wanted = out.columns["item"][:, 1:] - 1
        loss = torch.nn.functional.cross_entropy(scores.flatten(0, 1), wanted.flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.1
    assert bool((scores.argmax(2) == wanted).all())


def test_it_learns_who_bought_alike():
    sequences, others = shoppers()
    fresh = nf.SelfAttention.fit({"x": sequences, "y": others}, dimension=24)
    assert loss_after(copy.deepcopy(fresh), sequences, others, 0) > 1.5
    assert loss_after(fresh, sequences, others, 60, rate=1e-2) < 0.3
