"""The recurrent network for sequences of items."""

import copy
import json
import random

import numpy as np
import pytest
import torch

import nearfar as nf
from encoders.of_sequences import check_backward, check_local, check_stored, close, loss_after, vectors
from nearfar.core.errors import DataError, UsageError
from nearfar.core.item_sequences import MAX_ITEMS

CHANCE = random.Random(0)
SEQUENCES = [[CHANCE.randint(1, 20) for _ in range(k)] for k in (5, 1, 9, 3, 12, 2)]
OTHERS = [[CHANCE.randint(1, 20) for _ in range(k)] for k in (2, 7, 1, 4, 3, 8)]


def encoder(**options):
    return nf.Gru.fit({"query": [*SEQUENCES, [20]], "document": OTHERS}, **{"dimension": 8, **options})


@pytest.mark.parametrize("depth", [1, 2])
def test_a_sequences_vector_is_its_own(depth):
    check_local(encoder(depth=depth), SEQUENCES, pad=0)


def test_the_gradient_reaches_every_parameter_in_one_piece_and_in_many():
    check_backward(encoder(depth=2), SEQUENCES, OTHERS, dropout=False)
    check_backward(encoder(depth=2, dropout=0.3), SEQUENCES, OTHERS, dropout=True)


def test_a_stored_gru_is_the_same(tmp_path):
    check_stored(encoder(depth=2), SEQUENCES, tmp_path)


def test_the_state_is_the_units_formula():
    model = encoder().double().eval()
    (sequence,) = sequences = [[3, 20, 7, 3]]
    w, u = model.network.weight_ih_l0, model.network.weight_hh_l0
    b, c = model.network.bias_ih_l0, model.network.bias_hh_l0
    h = torch.zeros(8, dtype=torch.float64)
    states = []
    for item in sequence:
        x = model.items.weight[item - 1]
        (wr, wz, wn), (ur, uz, un) = (w @ x + b).chunk(3), (u @ h + c).chunk(3)
        r, z = torch.sigmoid(wr + ur), torch.sigmoid(wz + uz)
        h = (1 - z) * torch.tanh(wn + r * un) + z * h
        states.append(h)
    made = model.outputs(model.prepare(sequences))
    assert torch.allclose(made.vectors[0], torch.stack(states), atol=1e-12)
    assert torch.allclose(vectors(model, sequences)[0], h, atol=1e-12)
    assert not torch.allclose(vectors(model, [sequence[::-1]])[0], h, atol=1e-4)  # known bad
    assert made.columns["item"].tolist() == sequences


def test_a_state_knows_nothing_of_later_items():
    model = encoder().eval()
    long, short = model.outputs(model.prepare([[4, 5, 6, 7]])), model.outputs(model.prepare([[4, 5]]))
    assert close(long.vectors[:, :2], short.vectors)
    assert not close(long.vectors[:, 2:], short.vectors)


def test_weights_come_from_the_seed_alone():
    state = torch.get_rng_state()
    same, again, other = (vectors(encoder(seed=s).eval(), SEQUENCES) for s in (1, 1, 2))
    assert torch.equal(same, again)
    assert not close(same, other)
    assert torch.equal(state, torch.get_rng_state())


def test_records_of_all_kinds_and_hidden_items():
    model = encoder(max_items=3).eval()
    kinds = [[4, 5, 6], (4, 5, 6), np.array([4, 5, 6], np.int16), [0, 0, 4, 5, 6, 0], [9, 9, 4, 5, 6]]
    made = vectors(model, kinds)
    assert all(close(made[i], made[0]) for i in range(5))
    assert not close(vectors(model, [[9, 4, 5]])[0], made[0])
    hidden = vectors(model, [[4, -1, 6], [4, 5, 6], [4, 6]])
    assert not close(hidden[0], hidden[1])
    assert not close(hidden[0], hidden[2])
    masked = nf.item_mask(share=0.5)
    from nearfar.core.draws import Draws

    given = Draws(0, epoch=0, record=torch.arange(6))
    assert len(vectors(model, masked(SEQUENCES, given))) == 6


@pytest.mark.parametrize("bad", [[21], [1, 2, 10**12], [-2], [], [0], "1 2", [1.5], None, [[1]], [True]])
def test_a_record_that_cannot_be_used_is_named(bad):
    with pytest.raises(DataError) as caught:
        encoder().prepare([[1], [2], [3], bad])
    assert caught.value.where == "record 3"
    assert caught.value.remedy


def test_the_vocabulary_is_that_of_all_sides():
    assert encoder().setup.items == 20
    assert nf.Gru.fit({"query": [[1]], "document": [[33, -1]]}, dimension=4).setup.items == 33
    with pytest.raises(DataError) as caught:
        nf.Gru.fit({"query": [[1], [MAX_ITEMS + 1]]})
    assert caught.value.where == "record 1"
    for nothing in ({}, {"query": []}, {"query": [[-1]]}):
        with pytest.raises(UsageError):
            nf.Gru.fit(nothing)


def test_settings_and_configurations_that_make_no_sense_are_refused():
    bad = {"dimension": (0, 10**6), "depth": (0, 101), "dropout": (1.0, -0.1), "max_items": (0, 10**9)}
    for field, values in bad.items():
        for value in values:
            with pytest.raises(UsageError):
                encoder(**{field: value})
    good = json.loads(json.dumps(encoder().config()))
    assert nf.Gru.from_config(good).config() == good
    bad |= {"items": (0, -1, 10**12, "3", True), "more": (1,)}
    for field, values in bad.items():
        for value in values:
            with pytest.raises(DataError):
                nf.Gru.from_config({"setup": {**good["setup"], field: value}})
    for config in ({}, {"setup": None}, {"setup": {}}):
        with pytest.raises(DataError):
            nf.Gru.from_config(config)


def test_it_learns_who_bought_alike():
    chance = random.Random(1)
    tastes = [chance.sample(range(1, 61), 6) for _ in range(24)]
    sequences = [[chance.choice(taste) for _ in range(8)] for taste in tastes]
    others = [[chance.choice(taste) for _ in range(5)] for taste in tastes]
    fresh = nf.Gru.fit({"x": sequences, "y": others}, dimension=24)
    assert loss_after(copy.deepcopy(fresh), sequences, others, 0) > 1.5
    assert loss_after(fresh, sequences, others, 40, rate=1e-2) < 0.3
