"""Every optimiser against a loop written from its formula in float64, beside the formula's nearest misreadings; state, groups, errors."""

import math
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nearfar.core.errors import UsageError
from nearfar.core.stage import Fit
from nearfar.training.optimisers import OPTIMISERS, Group, Lars, LazyAdam, RowwiseAdagrad, groups_of, optimiser
from training import on_shards

STEPS, RATE, DECAY, MOMENTUM = 6, 0.1, 0.02, 0.9
BETAS = (0.9, 0.99)


@dataclass(frozen=True)
class Settings:
    optimiser: str
    learning_rate: float = RATE
    weight_decay: float = DECAY
    momentum: float = MOMENTUM


def gradients(shape, steps=STEPS, used=None):
    """Gradients of some steps; with `used` only those rows of each step are not zero."""
    generator = torch.Generator().manual_seed(1)
    made = [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(steps)]
    if used is not None:
        for step, gradient in enumerate(made):
            gradient[[r for r in range(shape[0]) if r not in used[step % len(used)]]] = 0.0
    return made


def start(shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def optimised(made, parameter, given, factors=None):
    """The parameter after some steps; `factors` of the rate are a schedule, set as the training loop does."""
    base = [group["lr"] for group in made.param_groups]
    for step, gradient in enumerate(given):
        for group, rate in zip(made.param_groups, base, strict=True):
            group["lr"] = rate * (1 if factors is None else factors[step])
        parameter.grad = gradient.clone()
        made.step()
    return parameter.detach()


FALLING = [1.0, 0.9, 0.7, 0.5, 0.3, 0.1]


# AdamW and SGD


def adamw(w, given, factors, *, coupled=False, second_corrected=True):
    w, m, v = w.tolist(), [0.0] * w.numel(), [0.0] * w.numel()
    for t, (gradient, factor) in enumerate(zip(given, factors, strict=True), start=1):
        rate = RATE * factor
        for i, g in enumerate(gradient.tolist()):
            g += DECAY * w[i] if coupled else 0.0
            w[i] -= 0.0 if coupled else rate * DECAY * w[i]
            m[i] = BETAS[0] * m[i] + (1 - BETAS[0]) * g
            v[i] = BETAS[1] * v[i] + (1 - BETAS[1]) * g * g
            first = m[i] / (1 - BETAS[0] ** t)
            second = v[i] / (1 - BETAS[1] ** t) if second_corrected else v[i]
            w[i] -= rate * first / (math.sqrt(second) + 1e-8)
    return torch.tensor(w, dtype=torch.float64)


def sgd(w, given, factors, *, decay=DECAY, momentum=MOMENTUM):
    w, velocity = w.tolist(), [0.0] * w.numel()
    for gradient, factor in zip(given, factors, strict=True):
        for i, g in enumerate(gradient.tolist()):
            velocity[i] = momentum * velocity[i] + g + decay * w[i]
            w[i] -= RATE * factor * velocity[i]
    return torch.tensor(w, dtype=torch.float64)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(
    ("name", "loop", "wrong"),
    [
        ("adamw", adamw, [{"coupled": True}, {"second_corrected": False}]),
        ("sgd", sgd, [{"decay": 0.0}, {"momentum": 0.0}]),
    ],
)
def test_adamw_and_sgd_are_their_loops(name, loop, wrong, fused):
    weight = nn.Parameter(start((7,)))
    made = optimiser(Settings(name), [Group("all", (weight,))], fused=fused)
    assert made.param_groups[0]["fused"] is fused
    got = optimised(made, weight, gradients((7,)), FALLING)
    torch.testing.assert_close(got, loop(start((7,)), gradients((7,)), FALLING), rtol=1e-12, atol=1e-12)
    for mistake in wrong:
        assert (got - loop(start((7,)), gradients((7,)), FALLING, **mistake)).abs().max() > 1e-3


# LARS


def lars(w, given, factors, *, adapts=True, decay=DECAY, paper_norm=False, rate_outside=False):
    shape, w, velocity = w.shape, w.flatten().tolist(), [0.0] * w.numel()
    for gradient, factor in zip(given, factors, strict=True):
        raw = gradient.flatten().tolist()
        g = [a + decay * b for a, b in zip(raw, w, strict=True)]
        of_w = math.sqrt(sum(x * x for x in w))
        of_g = math.sqrt(sum(x * x for x in g))
        if paper_norm:
            of_g = math.sqrt(sum(x * x for x in raw)) + decay * of_w
        ratio = 0.001 * of_w / of_g if adapts and of_w > 0 and of_g > 0 else 1.0
        for i in range(len(w)):
            inside, outside = (1.0, RATE * factor) if rate_outside else (RATE * factor, 1.0)
            velocity[i] = MOMENTUM * velocity[i] + inside * ratio * g[i]
            w[i] -= outside * velocity[i]
    return torch.tensor(w, dtype=torch.float64).reshape(shape)


def test_lars_is_its_loop():
    weight = nn.Parameter(start((4, 3, 2)))
    got = optimised(optimiser(Settings("lars"), [Group("all", (weight,))]), weight, gradients((4, 3, 2)), FALLING)
    right = lars(start((4, 3, 2)), gradients((4, 3, 2)), FALLING)
    torch.testing.assert_close(got, right, rtol=1e-13, atol=1e-13)
    moved = (right - start((4, 3, 2))).abs().max()
    for mistake in ({"adapts": False}, {"decay": 0.0}, {"paper_norm": True}, {"rate_outside": True}):
        wrong = lars(start((4, 3, 2)), gradients((4, 3, 2)), FALLING, **mistake)
        assert (got - wrong).abs().max() > 1e-3 * moved, mistake


def test_lars_leaves_biases_and_norms_as_plain_momentum():
    module = nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2)).double()
    before = [p.detach().clone() for p in module.parameters()]
    made = optimiser(Settings("lars"), groups_of({"head": module}))
    given = [gradients(tuple(p.shape)) for p in module.parameters()]
    for step in range(STEPS):
        for parameter, gradient in zip(module.parameters(), given, strict=True):
            parameter.grad = gradient[step].clone()
        made.step()
    ones = [1.0] * STEPS
    for number, (parameter, w, g) in enumerate(zip(module.parameters(), before, given, strict=True)):
        right = lars(w, g, ones) if number == 0 else lars(w, g, ones, adapts=False, decay=0.0)
        torch.testing.assert_close(parameter.detach(), right, rtol=1e-12, atol=1e-12)
    assert (module[0].bias - lars(before[1], given[1], ones)).abs().max() > 0.1


def test_lars_scale_of_the_loss_does_not_matter_and_zeros_do_no_harm():
    small, large = (nn.Parameter(start((3, 2))) for _ in range(2))
    settings = Settings("lars", weight_decay=0.0)
    optimised(optimiser(settings, [Group("all", (small,))]), small, gradients((3, 2)))
    optimised(optimiser(settings, [Group("all", (large,))]), large, [1000 * g for g in gradients((3, 2))])
    torch.testing.assert_close(small, large, rtol=1e-12, atol=1e-12)
    zero = nn.Parameter(torch.zeros(3, 2))
    optimised(optimiser(settings, [Group("all", (zero,))]), zero, [torch.ones(3, 2)])
    # Weights of zero move by the plain rate.
    torch.testing.assert_close(zero.detach(), torch.full((3, 2), -RATE))
    still = nn.Parameter(torch.ones(3, 2))
    optimised(optimiser(settings, [Group("all", (still,))]), still, [torch.zeros(3, 2)])
    assert torch.equal(still.detach(), torch.ones(3, 2))


# Tables

USED = ([0, 2, 5], [2], [], [1, 2, 5])


def adagrad(w, given, factors, *, one_a_row=True, mean=True, decay_all=False):
    rows, width = w.shape
    w = w.tolist()
    total = [[0.0] * width for _ in range(rows)]
    for gradient, factor in zip(given, factors, strict=True):
        rate = RATE * factor
        for r, g in enumerate(gradient.tolist()):
            if not any(g):
                w[r] = [(1 - rate * DECAY) * x if decay_all else x for x in w[r]]
                continue
            square = sum(x * x for x in g) / (width if mean else 1)
            for d in range(width):
                total[r][d] += square if one_a_row else g[d] ** 2
                w[r][d] = (1 - rate * DECAY) * w[r][d] - rate * g[d] / (math.sqrt(total[r][d]) + 1e-10)
    return torch.tensor(w, dtype=torch.float64)


def lazy_adam(w, given, factors, *, own_count=True, lazy=True, one_second_moment=False):
    rows, width = w.shape
    w, m, v = w.tolist(), [[0.0] * width for _ in range(rows)], [[0.0] * width for _ in range(rows)]
    count = [0] * rows
    for step, (gradient, factor) in enumerate(zip(given, factors, strict=True), start=1):
        rate = RATE * factor
        for r, g in enumerate(gradient.tolist()):
            if lazy and not any(g):
                continue
            count[r] += 1
            t = count[r] if own_count else step
            for d in range(width):
                square = sum(x * x for x in g) / width if one_second_moment else g[d] ** 2
                m[r][d] = BETAS[0] * m[r][d] + (1 - BETAS[0]) * g[d]
                v[r][d] = BETAS[1] * v[r][d] + (1 - BETAS[1]) * square
                first, second = m[r][d] / (1 - BETAS[0] ** t), v[r][d] / (1 - BETAS[1] ** t)
                w[r][d] = (1 - rate * DECAY) * w[r][d] - rate * first / (math.sqrt(second) + 1e-8)
    return torch.tensor(w, dtype=torch.float64)


LOOPS = {
    "rowwise_adagrad": (adagrad, [{"one_a_row": False}, {"mean": False}, {"decay_all": True}]),
    "lazy_adam": (lazy_adam, [{"own_count": False}, {"lazy": False}, {"one_second_moment": True}]),
}


def as_sparse(gradient, repeat=True):
    """The same gradient as embedding_bag gives it with sparse=True: not coalesced, a used row twice, halves of its gradient."""
    rows = gradient.abs().amax(1).nonzero()[:, 0]
    halves = 2 if repeat else 1
    return torch.sparse_coo_tensor(
        rows.repeat(halves)[None], gradient[rows].repeat(halves, 1) / halves, gradient.shape, check_invariants=True
    )


@pytest.mark.parametrize("way", ["dense", "sparse", "a row at a time"])
@pytest.mark.parametrize("name", LOOPS)
def test_optimisers_of_tables_are_their_loops(name, way, monkeypatch):
    if way == "a row at a time":
        monkeypatch.setattr("nearfar.training.optimisers.CHUNK", 1)
    loop, wrong = LOOPS[name]
    given = gradients((6, 4), used=USED)
    table = nn.Parameter(start((6, 4)))
    made = optimiser(Settings(name), [Group("table", (table,), table=True)])
    got = optimised(made, table, given if way == "dense" else [as_sparse(g) for g in given], FALLING)
    torch.testing.assert_close(got, loop(start((6, 4)), given, FALLING), rtol=1e-12, atol=1e-12)
    for mistake in wrong:
        assert (got - loop(start((6, 4)), given, FALLING, **mistake)).abs().max() > 1e-4, mistake
    assert torch.equal(got[[3, 4]], start((6, 4))[[3, 4]]), "rows that were never used"
    assert (got[[0, 1, 2, 5]] != start((6, 4))[[0, 1, 2, 5]]).all()


@pytest.mark.parametrize("name", LOOPS)
def test_an_unused_row_and_its_state_rest_to_the_bit(name):
    table = nn.Parameter(start((6, 4)).float())
    made = optimiser(Settings(name), [Group("table", (table,), table=True)])
    first, second = (g.float() for g in gradients((6, 4), steps=2, used=([0, 1, 2, 3, 4, 5], [1])))
    optimised(made, table, [first])
    before = table.detach().clone()
    state = {k: v.clone() for k, v in made.state[table].items()}
    optimised(made, table, [second])
    rest = [0, 2, 3, 4, 5]
    assert torch.equal(table.detach()[rest], before[rest])
    assert not torch.equal(table.detach()[1], before[1])
    for key, value in made.state[table].items():
        assert torch.equal(value[rest], state[key][rest])
        assert not torch.equal(value[1], state[key][1])
    # The known-bad variant: Adam itself goes on moving rows by their momentum.
    adam = nn.Parameter(start((6, 4)).float())
    other = optimiser(Settings("adamw", weight_decay=0.0), [Group("table", (adam,))])
    optimised(other, adam, [first])
    before = adam.detach().clone()
    optimised(other, adam, [second])
    assert not torch.equal(adam.detach()[rest], before[rest])


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("name", LOOPS)
def test_gradients_of_embedding_bag_itself(name, sparse):
    """Rows of a batch repeat; torch gives the gradient whole or row by row, and both train the same table."""
    ids, offsets = torch.tensor([3, 1, 3, 0, 1, 1]), torch.tensor([0, 3, 4])
    tables = []
    for way in (sparse, False):
        table = nn.Parameter(start((6, 4)))
        made = optimiser(Settings(name), [Group("table", (table,), table=True)])
        for _ in range(3):
            made.zero_grad(set_to_none=True)
            F.embedding_bag(ids, table, offsets, mode="sum", sparse=way).square().sum().backward()
            assert table.grad is not None
            assert table.grad.is_sparse == way
            made.step()
        tables.append(table.detach())
    torch.testing.assert_close(*tables, rtol=1e-12, atol=1e-12)
    assert torch.equal(tables[0][[2, 4, 5]], start((6, 4))[[2, 4, 5]])


def test_sizes_of_state():
    table = nn.Parameter(torch.ones(6, 4))
    made = optimiser(Settings("rowwise_adagrad"), [Group("table", (table,), table=True)])
    optimised(made, table, [torch.ones(6, 4)])
    assert {k: v.shape for k, v in made.state[table].items()} == {"sum": (6,)}
    assert table.detach()[0, 0] == pytest.approx((1 - RATE * DECAY) - RATE), "the first step of a row is the rate"


# All of them: state, groups, errors


class Tower(nn.Module):
    """A table, what is trained beside it, and something frozen."""

    tables = ("own",)

    def __init__(self, dtype=torch.float32):
        super().__init__()
        self.embedding = nn.Embedding(8, 3)
        self.own = nn.Parameter(torch.randn(5, 3))
        self.mix = nn.Linear(3, 3)
        self.norm = nn.LayerNorm(3)
        self.frozen = nn.Parameter(torch.ones(2, 2), requires_grad=False)
        self.to(dtype)

    def loss(self, step):
        ids = torch.tensor([(step * 3 + k) % 8 for k in range(3)])
        x = self.embedding(ids) + self.own[ids % 5]
        return self.norm(self.mix(x)).pow(3).sum() + self.mix(x).square().sum()


def trained(tower, made, steps):
    for step in steps:
        made.zero_grad(set_to_none=True)
        tower.loss(step).backward()
        made.step()


def through_a_checkpoint(state):
    """What a checkpoint does to a state: tensors copied, numbers as JSON."""
    return {i: {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in s.items()} for i, s in state.items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", OPTIMISERS)
def test_saved_and_restored_it_goes_on_to_the_bit(name, dtype):
    torch.manual_seed(3)
    whole, cut = Tower(dtype), Tower(dtype)
    cut.load_state_dict(whole.state_dict())
    groups = groups_of({"tower": whole})
    settings = Settings(name, learning_rate=0.01)
    made = optimiser(settings, groups)
    trained(whole, made, range(10))
    assert all(bool(p.isfinite().all()) for p in whole.parameters())

    first = optimiser(settings, groups_of({"tower": cut}))
    trained(cut, first, range(5))
    resumed = Tower(dtype)
    resumed.load_state_dict({k: v.clone() for k, v in cut.state_dict().items()})
    second = optimiser(settings, groups_of({"tower": resumed}))
    saved = through_a_checkpoint(first.state_dict()["state"])
    second.load_state_dict({"state": saved, "param_groups": second.state_dict()["param_groups"]})
    for was, now in zip(first.state_dict()["state"].values(), second.state_dict()["state"].values(), strict=True):
        assert {k: getattr(v, "dtype", v) for k, v in was.items()} == {
            k: getattr(v, "dtype", v) for k, v in now.items()
        }
    trained(resumed, second, range(5, 10))
    for (key, a), b in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b), key

    # The known-bad variant: the state is left behind.
    third = optimiser(settings, groups_of({"tower": cut}))
    trained(cut, third, range(5, 10))
    assert any(not torch.equal(a, b) for a, b in zip(whole.parameters(), cut.parameters(), strict=True))


class AsTorchDoes(LazyAdam):
    """The known-bad variant: what torch's own optimisers do with a state."""

    load_state_dict = torch.optim.Optimizer.load_state_dict


def test_counts_of_rows_survive_where_torch_would_cast_them():
    table = nn.Parameter(torch.ones(4, 2, dtype=torch.bfloat16))
    made = LazyAdam([{"params": [table], "lr": 0.1}])
    optimised(made, table, [torch.ones(4, 2, dtype=torch.bfloat16)])
    made.state[table]["count"] += 1000
    for kind, exact in ((LazyAdam, True), (AsTorchDoes, False)):
        other = kind([{"params": [table], "lr": 0.1}])
        other.load_state_dict(made.state_dict())
        count, mean = other.state[table]["count"], other.state[table]["mean"]
        assert (count.tolist() == [1001] * 4) == exact
        assert torch.equal(mean, made.state[table]["mean"]) == exact
        assert count is not made.state[table]["count"], "a state of its own"


def test_groups():
    tower, term = Tower(), nn.ParameterDict({"log_temperature": nn.Parameter(torch.zeros(()))})
    groups = groups_of({"tower": tower, "objective": term, "again": tower}, {"tower": 0.5})
    assert [(g.name, g.decays, g.table, g.rate) for g in groups] == [
        ("tower", True, False, 0.5),
        ("tower", False, False, 0.5),
        ("tower", True, True, 0.5),
        ("objective", False, False, 1.0),
    ]
    assert groups[0].parameters == (tower.mix.weight,)
    assert set(groups[1].parameters) == {tower.mix.bias, tower.norm.weight, tower.norm.bias}
    assert set(groups[2].parameters) == {tower.own, tower.embedding.weight}
    made = optimiser(Settings("rowwise_adagrad"), groups)
    assert [g["lr"] for g in made.param_groups] == [RATE / 2] * 3 + [RATE]
    assert [g["weight_decay"] for g in made.param_groups] == [DECAY, 0.0, DECAY, 0.0]
    # The rate that the loop sets is the rate of the parts.
    before = tower.embedding.weight.detach().clone()
    for group in made.param_groups:
        group["lr"] = 0.0
    trained(tower, made, [0])
    assert torch.equal(tower.embedding.weight.detach(), before)
    made.load_state_dict(made.state_dict())
    for group in made.param_groups:
        group["lr"] = 0.1
    trained(tower, made, [1])
    assert not torch.equal(tower.embedding.weight.detach(), before)


def test_norms_do_not_decay_whatever_their_shape():
    module = nn.Sequential(nn.Conv2d(3, 4, 2), nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.LayerNorm([4, 2, 2]))
    (decaying,) = [g for g in groups_of({"m": module}) if g.decays]
    assert decaying.parameters == (module[0].weight,)


def test_the_settings_of_a_stage_are_enough():
    assert isinstance(optimiser(Fit(), groups_of({"t": Tower()})), torch.optim.AdamW)
    assert isinstance(optimiser(Fit(optimiser="lars"), groups_of({"t": Tower()})), Lars)
    only = optimiser(Fit(optimiser="rowwise_adagrad"), groups_of({"t": nn.Embedding(3, 2)}))
    assert isinstance(only, RowwiseAdagrad)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (Settings("adam"), "there are adamw, sgd, lars"),
        (Settings("adamw", learning_rate=0.0), "learning_rate is 0.0"),
        (Settings("adamw", learning_rate=math.nan), "learning_rate is nan"),
        (Settings("sgd", momentum=1.0), "momentum is 1.0"),
        (Settings("lars", weight_decay=-0.1), "weight_decay is -0.1"),
        (Settings("lazy_adam"), "no part has one"),
    ],
)
def test_wrong_settings(settings, said):
    with pytest.raises(UsageError, match=said):
        optimiser(settings, groups_of({"head": nn.Linear(2, 2)}))


def test_wrong_betas_nothing_to_learn_and_gradients_that_do_not_fit():
    with pytest.raises(UsageError, match="betas is"):
        optimiser(Settings("adamw"), groups_of({"head": nn.Linear(2, 2)}), betas=(0.9, 1.0))
    with pytest.raises(UsageError, match="nothing learns"):
        groups_of({"head": nn.Linear(2, 2).requires_grad_(False)})
    table = nn.Parameter(torch.ones(3, 2))
    with pytest.raises(UsageError, match="dense gradients"):
        optimised(optimiser(Settings("lars"), [Group("t", (table,))]), table, [as_sparse(torch.ones(3, 2))])
    with pytest.raises(UsageError, match=r"shape \[rows d\]"):
        RowwiseAdagrad([{"params": [nn.Parameter(torch.ones(3))], "lr": 0.1}])


@pytest.mark.parametrize("name", OPTIMISERS)
def test_sharded_over_ranks_it_is_one_process(name, rank_groups):
    """FSDP2 over two ranks: weights after six steps, and state that is saved whole and restored on another number of ranks."""
    alone, _ = on_shards.optimised(name)
    for weights, restored in rank_groups[2].run(on_shards.optimised, name):
        for key, weight in weights.items():
            torch.testing.assert_close(weight, alone[key], rtol=1e-12, atol=1e-12)
            assert torch.equal(weight, restored[key])
    assert all((w - v).abs().max() > 1e-6 for w, v in zip(alone.values(), on_shards.fresh().values(), strict=True))
