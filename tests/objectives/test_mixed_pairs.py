"""Mixed pairs: partners are pairs, chance belongs to records and steps, both sides get their turn, and what is refused."""

import pytest
import torch
from harness import leaf

import nearfar as nf
from nearfar.core.errors import UsageError
from nearfar.execution.update import update_state

N, D = 9, 4
RECORD = [40, 3, 17, 5, 21, 8, 30, 11, 9]


def tables(order=None, **columns):
    x, y = (nf.rows(leaf(N, D, seed=s), record=RECORD, **columns) for s in (0, 1))
    return (x, y) if order is None else (x.take(order), y.take(order))


def headed(term, **columns):
    x, y = tables(**columns)
    return term.head(x), term.key_head(y)


def test_partners_are_pairs_and_one_of_an_odd_batch_stays_alone():
    x, y = headed(nf.mixed_pairs())
    partner = dict(zip(RECORD, x.columns["partner"].tolist(), strict=True))
    assert all(partner[partner[r]] == r for r in RECORD)
    assert sum(partner[r] == r for r in RECORD) == 1
    assert torch.equal(x.columns["partner"], y.columns["partner"])
    assert torch.equal(x.columns["share"], y.columns["share"])


def test_each_step_draws_anew_and_mixes_one_side():
    term, sides, partners, losses = nf.mixed_pairs(alpha=1.0), set(), set(), set()
    for _ in range(12):
        x, y = headed(term)
        moved = [not torch.equal(a.vectors, b.vectors) for a, b in zip((x, y), tables(), strict=True)]
        assert sum(moved) == 1
        sides.add(tuple(moved))
        partners.add(tuple(x.columns["partner"].tolist()))
        losses.add(nf.contrast(term, *tables()).item())
        update_state(term, dict(zip("xy", tables(), strict=True)))
    assert len(sides) == 2
    assert len(partners) == len(losses) == 12


def test_order_and_tiles_change_nothing():
    term = nf.mixed_pairs(alpha=1.0)
    whole = nf.contrast(term, *tables()).item()
    order = torch.randperm(N, generator=torch.Generator().manual_seed(0))
    for tile in (1, 4, None):
        assert nf.contrast(term, *tables(order), tile=tile).item() == pytest.approx(whole, abs=1e-10)
    assert nf.contrast(nf.mixed_pairs(alpha=1.0, seed=1), *tables()).item() != pytest.approx(whole, abs=1e-3)


def test_hardly_a_mixture_is_info_nce():
    seeds = (nf.mixed_pairs(alpha=1e-4, temperature=0.1, seed=s) for s in range(20))
    term = next(t for t in seeds if float(headed(t)[0].columns["share"][0]) > 1 - 1e-6)
    plain = nf.contrast(nf.info_nce, *tables(), nf.paired(), both_ways=True, temperature=0.1).item()
    assert nf.contrast(term, *tables()).item() == pytest.approx(plain, abs=1e-4)
    assert nf.contrast(nf.mixed_pairs(alpha=5.0, temperature=0.1), *tables()).item() != pytest.approx(plain, abs=1e-3)


def block_of(document):
    x, y = headed(nf.mixed_pairs(alpha=1.0), query=range(N), document=document)
    return x.columns, nf.mixed_pairs().relation(x.columns, y.columns)


def test_equal_texts_also_a_partners_are_no_negatives():
    document = [100, 100, 102, 103, 104, 105, 106, 107, 100]
    columns, block = block_of(document)
    partner = [RECORD.index(r) for r in columns["partner"].tolist()]
    for i in range(N):
        for j in range(N):
            texts = [{document[i], document[partner[i]]}, {document[j], document[partner[j]]}]
            matches = j in (i, partner[i])
            expected = 1 - float(block.pos[i, j]) if matches else float(not texts[0] & texts[1])
            assert float(block.neg[i, j]) == pytest.approx(expected)
    assert (block_of(range(100, 100 + N))[1].neg > block.neg).any()


def test_small_pieces_have_the_gradient_of_the_whole_batch():
    tower, inputs = torch.nn.Linear(D, 3).double(), [table.vectors.detach() for table in tables()]

    def gradient(micro_batch, pieces=(slice(None),)):
        tower.zero_grad()
        for piece in pieces:
            columns = {"record": torch.tensor(RECORD)[piece]}
            streams = {name: nf.Stream(tower, v[piece], columns) for name, v in zip("xy", inputs, strict=True)}
            nf.backward(nf.Objective({"": nf.mixed_pairs(alpha=1.0)}), streams, micro_batch=micro_batch)
        return torch.cat([p.grad.flatten() for p in tower.parameters() if p.grad is not None])

    whole = gradient(None)
    assert torch.allclose(gradient(2), whole, rtol=0, atol=1e-10)
    apart = gradient(None, (slice(0, 5), slice(5, N)))  # known bad: contrasted and mixed within pieces
    assert not torch.allclose(apart / 2, whole, rtol=0, atol=1e-3)


@pytest.mark.parametrize("given", [{"temperature": 0.0}, {"alpha": -1.0}, {"alpha": float("nan")}])
def test_numbers_that_are_not_positive(given):
    with pytest.raises(UsageError, match="above zero"):
        nf.mixed_pairs(**given)


def test_several_rows_of_a_record_are_refused():
    twice = nf.rows(leaf(4, D, seed=0), record=[0, 0, 1, 1], view=[0, 1, 0, 1])
    with pytest.raises(UsageError, match="several rows"):
        nf.contrast(nf.mixed_pairs(), twice, twice)
