"""In float32 and bfloat16 no way of running is much worse than plain torch: three times its error over twenty draws at most.

Plain torch is the dense graph that anyone would write, in the same arithmetic: normalise, multiply, divide by the temperature, the
rule, the mean. The truth is the same graph in float64 on the same rounded numbers. Loss and gradients are judged each by itself, by
the largest error over all draws.
"""

import pytest
import torch
from torch.nn.functional import normalize

import nearfar as nf
from contract.naive import RULES
from nearfar.core.rule import applies
from nearfar.testing.problem import measuring

pytestmark = pytest.mark.usefixtures("shapes_unchecked")

N, D, DRAWS = 24, 16, 20
SHORT = [torch.float32, torch.bfloat16]
SWEPT = ("info_nce", "decoupled", "sigmoid")


def vectors(seed, dtype):
    draws = torch.Generator().manual_seed(seed)
    return [torch.randn(N, D, generator=draws).to(dtype) for _ in range(2)]


def by_hand(rule, x, y, temperature, both_ways, rounded=None):
    """The dense graph; `rounded`: unit vectors are rounded to a shorter type on the way."""
    q, k = normalize(x, dim=1), normalize(y, dim=1)
    if rounded is not None:
        q, k = q.to(rounded).to(x.dtype), k.to(rounded).to(x.dtype)
    named = rule.card.channels
    channels = measuring(named).score(nf.rows(q), nf.rows(k))[1] if named else {}
    scores, eye = q @ k.T / temperature, torch.eye(N, dtype=torch.bool)
    block = nf.Block(eye, ~eye, channels)
    ways = [(scores, block)]
    if both_ways:
        ways.append((scores.T, block.map(lambda m: m.T)))
    losses = []
    for s, b in ways:
        assert bool(applies(rule, b).all())
        made = rule(s, b)
        loss, count = made if isinstance(made, tuple) else (made, torch.ones(N))
        losses.append(loss.sum() / count.sum())
    return torch.stack(losses).mean()


def by_nearfar(rule, x, y, temperature, both_ways, tile):
    similarity = measuring(rule.card.channels) if rule.card.channels else nf.cosine
    options = {"similarity": similarity, "temperature": temperature, "both_ways": both_ways, "tile": tile}
    return nf.contrast(rule, x, y, nf.paired(), **options)


def errors(rule, dtype, temperature, both_ways, runs):
    """{name of a run: its errors of the loss, of x's and of y's gradient}, the largest over the draws."""
    worst = {name: torch.zeros(3) for name in runs}
    for seed in range(DRAWS):
        given = vectors(seed, dtype)

        def outcome(run, kind, given=given):
            x, y = (v.to(kind).requires_grad_() for v in given)
            loss = run(rule, x, y, temperature, both_ways)
            return [t.double() for t in (loss.detach(), *torch.autograd.grad(loss, [x, y]))]

        exact = outcome(by_hand, torch.float64)
        for name, run in runs.items():
            apart = [(a - b).abs().max() for a, b in zip(outcome(run, dtype), exact, strict=True)]
            worst[name] = torch.maximum(worst[name], torch.tensor(apart))
    return worst


def tiled(tile):
    return lambda *arguments: by_nearfar(*arguments, tile)


def rounding(dtype):
    return lambda *arguments: by_hand(*arguments, rounded=dtype)


def no_worse(error, way):
    return bool((error[way] <= 3 * error["plain"]).all())


@pytest.mark.parametrize("dtype", SHORT)
@pytest.mark.parametrize("name", RULES)
def test_every_rule_in_tiles(name, dtype):
    error = errors(getattr(nf, name), dtype, 0.2, False, {"plain": by_hand, "tiles of 7": tiled(7)})
    assert no_worse(error, "tiles of 7"), error


@pytest.mark.parametrize("dtype", SHORT)
@pytest.mark.parametrize("temperature", [0.05, 0.01])
@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize("name", SWEPT)
def test_the_specialised_sweep(name, both_ways, temperature, dtype):
    runs = {"plain": by_hand, "blocks of 5": tiled(5), "auto": tiled("auto")}
    error = errors(getattr(nf, name), dtype, temperature, both_ways, runs)
    assert no_worse(error, "blocks of 5"), error
    assert no_worse(error, "auto"), error


@pytest.mark.parametrize(("dtype", "shorter"), [(torch.float32, torch.bfloat16), (torch.bfloat16, torch.float8_e5m2)])
@pytest.mark.parametrize("name", [*SWEPT, "margin", "soft_top_k"])
def test_rounding_once_too_often_would_be_noticed(name, dtype, shorter):
    error = errors(getattr(nf, name), dtype, 0.2, False, {"plain": by_hand, "short": rounding(shorter)})
    assert not no_worse(error, "short"), error
