"""Encoding in windows and batches by cost gives each record the vector it has alone, in its place; bfloat16 nearly the same."""

import numpy as np
import pytest
import torch

import nearfar as nf
from nearfar.core import encoding
from nearfar.core.errors import DataError, UsageError
from nearfar.core.inputs import size_of
from nearfar.core.model import Model

TEXTS = [("near and far " * (i * 7 % 11)).strip() or "near" for i in range(60)]


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = nf.Transformer.fit({"query": TEXTS}, dimension=32, depth=2, heads=2, vocabulary=300)
    return Model({"query": encoder}).eval()


@pytest.fixture
def alone(model):
    return np.concatenate([model.encode([text]) for text in TEXTS])


@pytest.mark.parametrize("at_once", [1, 40, None])
def test_windows_and_batches_change_nothing(model, alone, at_once, monkeypatch):
    monkeypatch.setattr(encoding, "FIRST", 5)
    monkeypatch.setattr(encoding, "MOST", 9)
    told = []
    found = model.encode(TEXTS, at_once=at_once, progress=lambda done, total: told.append((done, total)))
    assert np.allclose(found, alone, atol=1e-6)
    assert told[-1] == (60, 60)
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    # Known bad: vectors in the order in which they were computed.
    order = np.argsort([-len(text) for text in TEXTS], kind="stable")
    assert not np.allclose(found[order], alone, atol=1e-2)


def test_no_batch_is_above_its_budget_and_few_tokens_are_padding(model, monkeypatch):
    seen = []
    tower = model.tower("query")
    forward = tower.forward

    def watched(inputs, **options):
        seen.append((len(inputs), int(inputs.lengths.max()), int(inputs.lengths.sum())))
        return forward(inputs, **options)

    monkeypatch.setattr(tower, "forward", watched)
    model.encode(TEXTS, at_once=100)
    assert sum(count for count, _, _ in seen) == len(TEXTS)
    assert all(count * longest <= 100 or count == 1 for count, longest, _ in seen)
    computed, real = sum(c * longest for c, longest, _ in seen), sum(tokens for _, _, tokens in seen)
    assert computed < 1.2 * real
    as_they_come = [tower.prepare(TEXTS[i : i + 5]).lengths for i in range(0, 60, 5)]
    assert sum(len(n) * int(n.max()) for n in as_they_come) > 1.5 * real, "known bad: without sorting"


def test_prepared_inputs_stay_small(model, monkeypatch):
    tower, sizes = model.tower("query"), []
    prepare = tower.prepare
    monkeypatch.setattr(tower, "prepare", lambda records: sizes.append(len(records)) or prepare(records))
    monkeypatch.setattr(encoding, "FIRST", 4)
    monkeypatch.setattr(encoding, "PREPARED_BYTES", 2 * size_of(prepare([max(TEXTS, key=len)])))
    model.encode(TEXTS)
    assert sizes[0] == 4
    assert max(sizes) < 60
    assert sum(sizes) == 60


def test_bfloat16_is_near_and_not_the_same(model, alone):
    before = {name: p.clone() for name, p in model.named_parameters()}
    found = model.encode(TEXTS, precision="bfloat16")
    assert found.dtype == np.float32
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5), "normalised in float32"
    cosines = (found * alone).sum(1)
    assert cosines.min() > 0.999
    assert not np.allclose(found, alone, atol=1e-5), "known bad: float32 all the same"
    assert (np.roll(found, 1, axis=0) * alone).sum(1).min() < 0.999
    assert all(torch.equal(p, before[name]) and p.dtype == torch.float32 for name, p in model.named_parameters())


def test_a_lowered_encoder_shares_what_it_does_not_cast(model):
    tower = model.tower("query")
    low = encoding.lowered(tower)
    assert low.tokens.weight.dtype == torch.bfloat16
    assert low.norm.weight is tower.norm.weight
    assert tower.tokens.weight.dtype == torch.float32


def test_errors_name_the_record_among_all(model, monkeypatch):
    monkeypatch.setattr(encoding, "FIRST", 5)
    wrong = [*TEXTS[:41], 3, *TEXTS[41:]]
    with pytest.raises(DataError) as raised:
        model.encode(wrong)
    assert raised.value.where == "record 41"
    training = model.training
    assert model.train().training
    with pytest.raises(DataError):
        model.encode(wrong)
    assert model.training, "put back after an error"
    model.train(training)
    with pytest.raises(UsageError, match="no precision 'half'"):
        model.encode(TEXTS, precision="half")
    with pytest.raises(UsageError, match="at_once is 0"):
        model.encode(TEXTS, at_once=0)


def test_a_matrix_a_record_is_refused():
    encoder = nf.Transformer.fit({"query": TEXTS}, dimension=16, depth=1, heads=2, vocabulary=300, pooling="tokens")
    with pytest.raises(UsageError, match="a matrix a record"):
        Model({"query": encoder}).encode(["near", "near"])
