"""Clipping of whole, sparse and sharded gradients against one long vector in float64; parts; what is not finite."""

import math

import pytest
import torch
from torch import nn

from nearfar.core.errors import UsageError
from nearfar.training.clip import clip_gradients, lengths
from training import on_shards


def towers():
    """Two parts that share a parameter, one parameter without a gradient, one with a sparse gradient whose rows repeat."""
    shared = nn.Parameter(torch.zeros(3, dtype=torch.float64))
    a, b = nn.Parameter(torch.zeros(2, 2, dtype=torch.float64)), nn.Parameter(torch.zeros(4, 2, dtype=torch.float64))
    unused = nn.Parameter(torch.zeros(5))
    shared.grad = torch.tensor([1.0, -2.0, 2.0], dtype=torch.float64)
    a.grad = torch.tensor([[3.0, 0.0], [0.0, 4.0]], dtype=torch.float64)
    rows = torch.tensor([[1, 1, 3]])
    values = torch.tensor([[1.0, 1.0], [2.0, 1.0], [0.0, 6.0]], dtype=torch.float64)
    b.grad = torch.sparse_coo_tensor(rows, values, (4, 2), check_invariants=True)
    return {"left": [a, shared, unused], "right": [b, shared]}, (a, b, shared)


def dense(parameter):
    return parameter.grad.to_dense() if parameter.grad.is_sparse else parameter.grad


def test_the_norm_is_that_of_one_long_vector():
    parts, every = towers()
    whole = torch.cat([dense(p).flatten() for p in every])
    made = clip_gradients(parts)
    assert made.total == pytest.approx(float(whole.norm()), rel=1e-14)
    assert made.total == pytest.approx(math.sqrt(25 + (9 + 4 + 36) + 9))
    assert made.parts == pytest.approx({"left": math.sqrt(25 + 9), "right": math.sqrt(49 + 9)})
    assert made.finite
    # The known-bad variants: what is shared counted twice; a row that occurs twice counted as two.
    assert made.total != pytest.approx(math.sqrt(sum(v**2 for v in made.parts.values())))
    assert made.total != pytest.approx(math.sqrt(25 + (2 + 5 + 36) + 9))
    assert torch.equal(torch.cat([dense(p).flatten() for p in every]), whole), "only measured"


@pytest.mark.parametrize("most", [1.0, 9.0, 100.0])
def test_it_scales_everything_alike_and_only_downwards(most):
    parts, every = towers()
    before = torch.cat([dense(p).flatten() for p in every]).clone()
    made = clip_gradients(parts, most)
    after = torch.cat([dense(p).flatten() for p in every])
    assert made.total == pytest.approx(float(before.norm()))
    assert float(after.norm()) == pytest.approx(min(most, made.total), rel=1e-12)
    torch.testing.assert_close(after, before * min(1.0, most / made.total), rtol=1e-12, atol=0)
    assert every[1].grad.is_sparse


def test_as_torch_does_on_dense_gradients():
    ours, theirs = nn.Linear(4, 3), nn.Linear(4, 3)
    for number, module in enumerate((ours, theirs)):
        for place, parameter in enumerate(module.parameters()):
            parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(place))
        norm = (
            clip_gradients({"": module.parameters()}, 0.5).total
            if number == 0
            else float(nn.utils.clip_grad_norm_(module.parameters(), 0.5))
        )
        assert norm > 0.5
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_told_and_nothing_is_scaled(bad):
    parts, every = towers()
    every[0].grad[0, 0] = bad
    kept = every[2].grad.clone()
    made = clip_gradients(parts, 1.0)
    assert not made.finite
    assert not math.isfinite(made.parts["left"])
    assert math.isfinite(made.parts["right"])
    assert torch.equal(every[2].grad, kept), "scaled by zero or NaN it would be lost"


def test_no_gradients_other_types_and_wrong_limits():
    assert clip_gradients({"a": [nn.Parameter(torch.ones(2))]}, 1.0).total == 0.0
    assert clip_gradients({}).parts == {}
    half = nn.Parameter(torch.ones(4, dtype=torch.bfloat16))
    half.grad = torch.full((4,), 300.0, dtype=torch.bfloat16)
    assert clip_gradients({"a": [half]}).total == pytest.approx(600.0)
    assert lengths([]) == []
    for most in (0.0, -1.0, math.nan):
        with pytest.raises(UsageError, match="clipped to a norm"):
            clip_gradients({}, most)


def test_sharded_over_ranks_it_is_one_process(rank_groups):
    norms, gradients, _ = on_shards.clipped(0.5)
    assert norms.total > 0.5
    for there, clipped, own_shard in rank_groups[2].run(on_shards.clipped, 0.5):
        assert there.total == pytest.approx(norms.total, rel=1e-12)
        assert there.parts == pytest.approx(norms.parts, rel=1e-12)
        for name, gradient in gradients.items():
            torch.testing.assert_close(clipped[name], gradient, rtol=1e-12, atol=1e-14)
        # The known-bad variant: each rank clips by the norm of its own shard.
        assert own_shard != pytest.approx(norms.total, rel=1e-3)
