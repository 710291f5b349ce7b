"""Causal self-attention for sequences of items."""

import copy
import json
import random

import numpy as np
import pytest
import torch

import nearfar as nf
from encoders.of_sequences import check_backward, check_local, check_stored, close, loss_after, vectors
from nearfar.core.errors import DataError, UsageError

CHANCE = random.Random(0)
SEQUENCES = [[CHANCE.randint(1, 20) for _ in range(k)] for k in (5, 1, 9, 3, 12, 2)]
OTHERS = [[CHANCE.randint(1, 20) for _ in range(k)] for k in (2, 7, 1, 4, 3, 8)]


def encoder(**options):
    sides = {"query": [*SEQUENCES, [20]], "document": OTHERS}
    return nf.SelfAttention.fit(sides, **{"dimension": 8, "heads": 2, **options})


def test_a_sequences_vector_is_its_own():
    check_local(encoder(), SEQUENCES, pad=0)


def test_the_gradient_reaches_every_parameter_in_one_piece_and_in_many():
    check_backward(encoder(), SEQUENCES, OTHERS, dropout=False)
    check_backward(encoder(), SEQUENCES, OTHERS, dropout=True)


def test_stored_self_attention_is_the_same(tmp_path):
    check_stored(encoder(), SEQUENCES, tmp_path)


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


def test_weights_come_from_the_seed_alone():
    state = torch.get_rng_state()
    same, again, other = (vectors(encoder(seed=s).eval(), SEQUENCES) for s in (1, 1, 2))
    assert torch.equal(same, again)
    assert not close(same, other)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("bad", [[21], [-2], [], np.zeros(3, int), "1 2", [1.5], None])
def test_a_record_that_cannot_be_used_is_named(bad):
    with pytest.raises(DataError) as caught:
        encoder().prepare([[1], [2], [3], bad])
    assert caught.value.where == "record 3"


def test_settings_and_configurations_that_make_no_sense_are_refused():
    bad = {
        "dimension": (0, 9, 10**6),
        "heads": (0, 3),
        "depth": (0, 10**4),
        "dropout": (1.0, -0.1),
        "max_items": (0, 10**9),
    }
    for field, values in bad.items():
        for value in values:
            with pytest.raises(UsageError):
                encoder(**{field: value})
    good = json.loads(json.dumps(encoder().config()))
    assert nf.SelfAttention.from_config(good).config() == good
    bad |= {"items": (0, -1, 10**12, "3", True), "more": (1,)}
    for field, values in bad.items():
        for value in values:
            with pytest.raises(DataError):
                nf.SelfAttention.from_config({"setup": {**good["setup"], field: value}})
    for config in ({}, {"setup": None}, {"setup": {}}):
        with pytest.raises(DataError):
            nf.SelfAttention.from_config(config)


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
    chance = random.Random(1)
    tastes = [chance.sample(range(1, 61), 6) for _ in range(24)]
    sequences = [[chance.choice(taste) for _ in range(8)] for taste in tastes]
    others = [[chance.choice(taste) for _ in range(5)] for taste in tastes]
    fresh = nf.SelfAttention.fit({"x": sequences, "y": others}, dimension=24)
    assert loss_after(copy.deepcopy(fresh), sequences, others, 0) > 1.5
    assert loss_after(fresh, sequences, others, 60, rate=1e-2) < 0.3
