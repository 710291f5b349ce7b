"""State moves once a step, in `update_state`, with the rows of the whole batch; a forward pass moves nothing."""

import pytest
import torch

import nearfar as nf
from nearfar.objectives.composed import OnRows


def tables(n=8, d=4):
    draws = torch.Generator().manual_seed(0)
    return {
        name: nf.rows(torch.randn(n, d, generator=draws), record=torch.arange(n), view=torch.full((n,), at))
        for at, name in enumerate("xy")
    }


def test_every_module_moves_once_however_many_terms_hold_it():
    memory, noise = nf.queue(64), nf.noise_negatives()
    shared = nf.chained(memory, noise)
    objective = nf.Objective({name: nf.Scored(nf.info_nce, nf.paired(), keys=shared) for name in ("a", "b")})
    rows = tables()
    before = nf.contrast(objective, rows["x"], rows["y"])
    assert memory.rows() is None, "a forward pass wrote"
    nf.update_state(objective, rows)
    assert len(memory.rows()) == 8, "twice would be 16"
    assert int(noise.step) == 1
    assert not torch.equal(before, nf.contrast(objective, rows["x"], rows["y"]))


def test_stages_get_the_terms_keys_without_gradient():
    memory, rows = nf.queue(64), tables()
    rows["y"] = rows["y"].with_vectors(rows["y"].vectors.requires_grad_())
    nf.update_state(nf.Scored(nf.info_nce, nf.paired(), keys=memory), rows)
    assert torch.equal(memory.rows().vectors, rows["y"].vectors)
    assert not memory.rows().vectors.requires_grad
    own = nf.queue(64)
    nf.update_state(nf.Scored(nf.info_nce, nf.multi_view(), keys=own, keys_from=None), rows)
    assert torch.equal(own.rows().vectors, rows["x"].vectors)
    assert not torch.equal(own.rows().vectors, memory.rows().vectors)


def test_the_owner_of_a_rule_gets_queries_and_keys():
    own = nf.individual_temperatures(8, nf.paired(), rho=0.5, keys_from="y")
    assert bool(own.log_average.isneginf().all())
    nf.update_state(own.objective, tables())
    assert bool(own.log_average.isfinite().all())
    other = nf.individual_temperatures(8, nf.paired(), rho=0.5, keys_from="y")
    other.update(tables()["y"], tables()["x"])
    assert not torch.allclose(own.log_average, other.log_average), "exchanged tables would go unnoticed"


def test_backward_hands_over_the_rows_that_it_measured():
    memory = nf.queue(64)
    objective = nf.Objective({"a": nf.Scored(nf.info_nce, nf.paired(), keys=memory, temperature=0.1)})
    tower, record = torch.nn.Linear(5, 3), torch.arange(6)
    inputs = {name: torch.randn(6, 5) for name in "xy"}
    streams = {name: nf.Stream(tower, i, {"record": record}) for name, i in inputs.items()}
    step = nf.backward(objective, streams, micro_batch=2)
    assert memory.rows() is None
    nf.update_state(objective, step.rows)
    assert torch.allclose(memory.rows().vectors, tower(inputs["y"]).detach())
    with pytest.raises(nf.UsageError, match="no stream 'y'"):
        nf.update_state(objective, {"x": step.rows["x"]})


def test_what_a_memory_keeps_has_been_through_the_head():
    memory, rows, turn = nf.queue(64), tables(), torch.linalg.qr(torch.randn(4, 4)).Q

    def head(table):
        return table.with_vectors(table.vectors @ turn)

    term = nf.Scored(nf.info_nce, nf.paired(), keys=memory, head=head)
    nf.update_state(term, rows)
    assert torch.allclose(memory.rows().vectors, rows["y"].vectors @ turn)
    assert not torch.allclose(memory.rows().vectors, rows["y"].vectors)


def test_the_state_of_a_function_of_whole_tables_gets_its_streams():
    class Counter(torch.nn.Module):
        seen = ()

        def update(self, *tables):
            self.seen += tuple(float(table.vectors.sum()) for table in tables)

    state, rows = Counter(), tables()
    term = OnRows(lambda y, x: (y.vectors - x.vectors).square().mean(), ("y", "x"), state=(state,))
    objective = nf.Objective({"a": term, "b": OnRows(lambda x: x.vectors.mean(), ("x",), state=(state,))})
    nf.contrast(objective, rows["x"], rows["y"])
    assert state.seen == (), "a forward pass wrote"
    nf.update_state(objective, rows)
    assert state.seen == tuple(float(rows[name].vectors.sum()) for name in "yx"), "once, with the streams of the first"
    assert state.seen != state.seen[::-1]
