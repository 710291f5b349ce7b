"""The bank in loops: a vector a record, wherever the record stands in the batch, moved by its looks and by nothing else."""

import pytest
import torch

import nearfar as nf
from nearfar.core.errors import UsageError


def unit(v):
    return v / v.norm()


def test_vectors_move_as_in_loops():
    bank, wrong = nf.record_bank(momentum=0.7), {}
    draws = torch.Generator().manual_seed(0)
    kept = {}
    for records in ([3, 8, 5], [8, 1, 3], [8, 8, 2]):
        z = torch.randn(3, 4, generator=draws, dtype=torch.float64)
        table = nf.rows(z, record=records)
        before = bank(table, table)
        start = dict(zip(before.columns["record"].tolist(), before.vectors, strict=True))
        for record in set(records):
            looks = [unit(v) for v, r in zip(z, records, strict=True) if r == record]
            old = kept.get(record, start[record])
            assert torch.allclose(start[record], old)
            kept[record] = unit(0.7 * old + 0.3 * unit(sum(looks)))
            wrong[record] = unit(0.7 * old + 0.3 * z[records.index(record)])  # known bad: the look's own length counts
        bank.update(table)
        rows = bank.rows()
        assert rows.columns["record"].tolist() == sorted(kept)
        assert torch.allclose(rows.vectors, torch.stack([kept[r] for r in sorted(kept)]))
        assert not torch.allclose(rows.vectors, torch.stack([wrong[r] for r in sorted(kept)]))


def test_the_start_of_a_record_is_its_own():
    one, other = nf.rows(torch.eye(3), record=[4, 9, 2]), nf.rows(torch.eye(3), record=[9, 2, 7])
    first, second = nf.record_bank()(one, one), nf.record_bank()(other, other)
    assert torch.equal(first.vectors[[0, 2]], second.vectors[[0, 2]])  # records 2 and 9
    assert not torch.equal(first.vectors, nf.record_bank(seed=1)(one, one).vectors)


def test_what_makes_no_sense_is_refused():
    x = nf.rows(torch.eye(3))
    with pytest.raises(UsageError, match="keep 2"):
        nf.record_bank(momentum=2)
    with pytest.raises(UsageError, match="full"):
        nf.record_bank(size=2).update(x)
    with pytest.raises(UsageError, match="one vector a row"):
        nf.record_bank().update(nf.rows(torch.zeros(2, 3, 4)))
