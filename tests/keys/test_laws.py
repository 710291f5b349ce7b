"""What every part of keys/ promises: same result whenever asked, in any tiling, order of rows and share of ranks; state moves in update."""

import copy
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

import nearfar as nf
from nearfar.core.draws import uniform
from nearfar.core.memory import with_past
from nearfar.core.parts import parts
from nearfar.core.predicate import key_has, same
from nearfar.execution.evaluate import evaluate
from nearfar.execution.ranks import Ranks
from nearfar.maths.similarity import dot

N, D = 11, 5
RECORD = [40, 3, 17, 5, 21, 8, 30, 11, 9, 2, 77]
DRAWS = torch.Generator().manual_seed(0)
X, Y, OLD = (torch.randn(n, D, generator=DRAWS, dtype=torch.float64) for n in (N, N, 20))
COLUMNS = {"record": RECORD, "label": [i % 3 for i in range(N)], "value": [float(i * i % 7) for i in range(N)]}
PAST = nf.rows(OLD, record=range(100, 120), label=[i % 3 for i in range(20)], value=[float(i % 7) for i in range(20)])
MOCO = nf.paired().only(same("record") | key_has("stale"))


def of_the_label(queries, keys):
    alike = queries["label"][:, None] == keys["label"]
    return nf.Block(alike, ~alike)


def pull(scores, block):
    return -(scores * block.pos).sum(1), block.pos.sum(1)


@dataclass(frozen=True, eq=False)
class Case:
    """A part in use: its term, and the module with its state."""

    term: nf.Scored
    module: Any
    draws: bool = False


def scored(relation, rule=nf.info_nce, **given):
    return nf.Scored(rule, relation, temperature=0.2, **given)


def queue():
    return Case(scored(MOCO, keys=(m := nf.queue(15))), m)


def cross_batch_memory():
    return Case(scored(nf.labelled(), keys=(m := nf.cross_batch_memory(15, start=1))), m)


def clustered_memory():
    m = nf.clustered_memory(clusters=2, size=15, nearest=2)
    return Case(scored(nf.paired(), keys=m), m)


def record_bank():
    return Case(scored(nf.paired(), keys=(m := nf.record_bank())), m)


def support_set():
    return Case(scored(nf.paired(), keys=(m := nf.support_set(15))), m)


def prototypes():
    return Case(scored(of_the_label, keys=(m := nf.prototypes(3, D).double())), m)


def mixed_negatives():
    own = nf.mixed_negatives(hardest=4, pairs=3, with_query=2)
    return Case(scored(nf.paired(), own=own), own, True)


def noise_negatives():
    return Case(scored(nf.paired(), keys=(m := nf.noise_negatives(step_size=0.1))), m, True)


def online_centroids():
    m = nf.online_centroids(k=4, momentum=0.2, start=1.0)
    return Case(scored(nf.paired(), keys=m), m)


def interpolated():
    keys = nf.chained(nf.queue(15), nf.interpolated())
    return Case(scored(MOCO, keys=keys, head=nf.unit, similarity=dot), keys, True)


def extrapolated():
    return Case(scored(nf.paired(), similarity=(m := nf.extrapolated()), head=nf.unit), m, True)


def smoothed_extrapolation():
    m = nf.smoothed_extrapolation(dimension=D, spread=0.5).double()
    return Case(scored(nf.paired(), similarity=m), m, True)


def mixed_labels():
    own = nf.mixed_labels(negatives=3, brackets=2, window=3.0)
    relation = nf.graded_negatives()
    return Case(scored(relation, own=own, head=nf.unit, similarity=dot, keys_from=None), own, True)


def hallucinated_positives():
    own = nf.hallucinated_positives(6, centres=4, nearest=3, memory=30)
    return Case(scored(None, pull, own=own), own, True)


def chained():
    keys = nf.chained(nf.queue(15), nf.noise_negatives())
    return Case(scored(nf.paired(), keys=keys), keys, True)


CASES = {
    f.__name__: f
    for f in (
        queue,
        cross_batch_memory,
        clustered_memory,
        record_bank,
        support_set,
        prototypes,
        mixed_negatives,
        noise_negatives,
        online_centroids,
        interpolated,
        extrapolated,
        smoothed_extrapolation,
        mixed_labels,
        hallucinated_positives,
        chained,
    )
}
NO_STATE = {"class_means", "class_prompts", "own_negatives", "unit"}


def prepared(name):
    case = CASES[name]()
    for _ in range(2):
        if hasattr(case.module, "update"):
            case.module.update(PAST)
    return case


def tables(order=None):
    x, y = (nf.rows(t.clone().requires_grad_(), **COLUMNS) for t in (X, Y))
    if order is None:
        return x, y, x.vectors, y.vectors
    return x.take(order), y.take(order), x.vectors, y.vectors


def outcome(case, tile=None, order=None):
    x, y, *leaves = tables(order)
    leaves += [p for p in case.module.parameters() if p.requires_grad]
    loss = nf.contrast(case.term, x, y, tile=tile)
    gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
    return [loss.detach(), *(torch.zeros(1) if g is None else g for g in gradients)]


def gap(first, second):
    return max(float((a - b).abs().max()) for a, b in zip(first, second, strict=True))


def state(module):
    return {k: v.clone() for k, v in module.state_dict().items()}


def same_state(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_every_part_is_here():
    assert {part.name for part in parts("keys", with_announced=False)} == set(CASES) | NO_STATE


@pytest.mark.parametrize("name", CASES)
def test_evaluating_is_repeatable_and_changes_nothing(name):
    case = prepared(name)
    before = state(case.module)
    first = outcome(case, 4)
    torch.randn(3)
    second = outcome(case, 4)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert same_state(state(case.module), before)
    assert float(first[1].abs().max()) > 1e-6


@pytest.mark.parametrize("name", CASES)
def test_no_tiling_changes_it(name):
    case = prepared(name)
    plain = outcome(case)
    for tile in (1, 4, "auto"):
        assert gap(outcome(case, tile), plain) < 1e-12


@pytest.mark.parametrize("name", CASES)
def test_no_order_of_rows_changes_it(name):
    """Chance, hardness and partners belong to records: permuted rows give the same loss and the same gradient of each."""
    case = prepared(name)
    plain = outcome(case)
    for seed in range(3):
        order = torch.randperm(N, generator=torch.Generator().manual_seed(seed))
        assert gap(outcome(case, 4, order), plain) < 1e-12


def test_chance_by_place_would_be_noticed():
    """The known-bad twin of order and tiling: draws by the place in the tile."""

    def by_place(tile):
        place = torch.arange(len(tile.queries))[:, None]
        shift = uniform(0, "wrong", place, torch.arange(D))
        return nf.Own(vectors=(tile.queries.vectors.detach() + shift)[:, None])

    case = Case(scored(nf.paired(), own=by_place), torch.nn.Module())
    plain = outcome(case)
    assert gap(outcome(case, 4), plain) > 1e-4
    assert gap(outcome(case, None, torch.arange(N - 1, -1, -1)), plain) > 1e-4


@pytest.mark.parametrize("name", CASES)
def test_shares_of_ranks_add_up(name):
    """Every rank makes the same keys from the gathered rows and computes its share; three shares are the whole."""
    case = prepared(name)
    x, y, *_ = tables()
    keys = x if case.term.keys_from is None else y
    whole = evaluate(case.term, x, keys, tile=4).parts[""]
    shares = [evaluate(case.term, x, keys, tile=4, ranks=Ranks(rank, 3)).parts[""] for rank in range(3)]
    assert sum(float(s.sum.detach()) for s in shares) == pytest.approx(float(whole.sum.detach()), abs=1e-10)
    assert sum(float(s.count) for s in shares) == pytest.approx(float(whole.count))


@pytest.mark.parametrize("name", CASES)
def test_it_runs_without_gradient(name):
    case = prepared(name)
    value = outcome(case)[0]
    for mode in (torch.no_grad, torch.inference_mode):
        for tile in (None, 4):
            x, y, *_ = tables()
            with mode():
                loss = nf.contrast(case.term, x, y, tile=tile)
            assert not loss.requires_grad
            assert float(loss) == pytest.approx(float(value), abs=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_update_moves_state_and_a_checkpoint_restores_it(name):
    case = prepared(name)
    if not hasattr(case.module, "update"):
        assert name == "prototypes"
        return
    before, first = state(case.module), outcome(case)
    fresh = nf.rows(Y.flip(0) + 1, **COLUMNS)
    case.module.update(fresh)
    assert not same_state(state(case.module), before)
    moved = outcome(case)
    assert gap(moved, first) > 1e-6
    again = CASES[name]()
    again.module.load_state_dict(load(save({k: v.contiguous() for k, v in case.module.state_dict().items()})))
    assert gap(outcome(again), moved) == 0
    assert gap(outcome(Case(case.term, case.module)), moved) == 0


@pytest.mark.parametrize("name", [n for n in CASES if CASES[n]().draws])
def test_another_step_has_other_draws(name):
    """With everything else as it was: only the step moves."""
    case = prepared(name)
    first = outcome(case)
    for buffer_name, buffer in case.module.named_buffers():
        if buffer_name.split(".")[-1] == "step":
            buffer.add_(1)
    assert gap(outcome(case), first) > 1e-6


@pytest.mark.parametrize("name", CASES)
def test_short_arithmetic_stays_near(name):
    case = prepared(name)
    exact = outcome(case)[0]
    short = copy.deepcopy(case.module).float()
    slots = {k: short for k in ("keys", "own", "similarity") if getattr(case.term, k) is case.module}
    term = replace(case.term, **slots)
    x, y = (nf.rows(t.float(), **COLUMNS) for t in (X, Y))
    assert nf.contrast(term, x, y, tile=4).item() == pytest.approx(float(exact), rel=1e-3)


def test_columns_survive():
    """Who a stored key is, is known: its record, its label, and that it is stale."""
    x, y, *_ = tables()
    memory = nf.queue(20)
    memory.update(PAST)
    table = with_past(y, memory.rows())
    for made in (memory(x, y), nf.chained(memory, nf.interpolated())(x, y)):
        assert made.columns["stale"].tolist() == [False] * N + [True] * 20
        assert torch.equal(made.columns["record"], table.columns["record"])
        assert torch.equal(made.columns["label"], table.columns["label"])
