"""MoCo (arXiv 2003.04297): a queue of past keys whose record ids may be those of the batch.

A stale copy of the query's own record is no negative; batch mates are none either in MoCo, only the queue is.
"""

import torch
from harness import check, leaf, log_sum_exp, mean, unit

import nearfar as nf
from nearfar.core.predicate import key_has, same

N, D, T = 12, 5, 0.2


def test_moco_queue_knows_stale_records():
    x, y = leaf(N, D, seed=0), leaf(N, D, seed=1).detach()
    memory = nf.queue(20)
    stale = torch.randint(0, 24, (26,), generator=torch.Generator().manual_seed(2))
    stored = unit(leaf(26, D, seed=3).detach())
    memory.update(nf.rows(stored[:13], record=stale[:13]))
    memory.update(nf.rows(stored[13:], record=stale[13:]))
    relation = nf.paired().only((same("record") & ~key_has("stale")) | (key_has("stale") & ~same("record")))

    def run(tile):
        return nf.contrast(nf.info_nce, x, y, relation, keys=memory, temperature=T, tile=tile)

    def loops(skip_own):
        q, k, old, ids = unit(x), unit(y), stored[-20:], stale[-20:].tolist()
        assert any(i < N for i in ids), "no stale copy of a record in the batch: the case is not tested"
        losses = []
        for i in range(N):
            positive = q[i] @ k[i] / T
            rivals = [q[i] @ old[j] / T for j in range(20) if not (skip_own and ids[j] == i)]
            losses.append(log_sum_exp([positive, *rivals]) - positive)
        return mean(losses)

    check(run, lambda: loops(True), lambda: loops(False), [x])


def test_queue_keeps_the_newest_and_moves_only_in_update():
    memory = nf.queue(3)
    batch = nf.rows(torch.eye(4, dtype=torch.float64))
    assert len(memory(batch, batch)) == len(memory(batch, batch)) == 4
    memory.update(batch)
    past = memory(batch, batch).take(slice(4, None))
    assert past.columns["record"].tolist() == [1, 2, 3]
    assert past.columns["stale"].all()
    assert torch.equal(past.vectors, torch.eye(4, dtype=torch.float64)[1:])
