"""Heads: shapes, what is local and what is not, the papers' sizes, and that wrong sizes are named."""

import pytest
import torch
from torch import nn

import nearfar as nf
from nearfar.core.errors import UsageError
from nearfar.core.parts import parts
from nearfar.maths.batch_norm import BatchNorm

LOCAL = {"linear": nf.linear, "projector": nf.projector, "predictor": nf.predictor, "tanh_layer": nf.tanh_layer}
GLOBAL = {"batch_norm_projector": nf.batch_norm_projector, "batch_norm_predictor": nf.batch_norm_predictor}
EVERY = {**LOCAL, **GLOBAL}
DRAWING = ("gaussian_sample",)  # tested in a file of its own: it learns nothing, and is given chance
ONE_LAYER = ("linear", "tanh_layer")
ROWS = torch.randn(10, 16, generator=torch.Generator().manual_seed(0))


def small(name: str) -> nn.Module:
    torch.manual_seed(3)
    return EVERY[name](16, **({"hidden": 8} if name not in ONE_LAYER else {}), out=6)


def test_no_head_of_the_catalogue_is_missing():
    assert sorted([*EVERY, *DRAWING]) == sorted(part.name for part in parts("heads"))


@pytest.mark.parametrize("name", EVERY)
def test_rows_in_rows_out_and_every_parameter_learns(name):
    head = small(name)
    vectors = ROWS.clone().requires_grad_()
    made = head(vectors)
    assert made.shape == (10, 6)
    made.sin().sum().backward()
    assert vectors.grad is not None
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in head.parameters())
    assert torch.equal(made, small(name)(ROWS))
    torch.manual_seed(4)
    other = EVERY[name](16, out=6)
    assert not torch.equal(made, other(ROWS))  # known bad: another seed


@pytest.mark.parametrize("name", EVERY)
def test_local_heads_see_one_row_and_global_ones_the_batch(name):
    head = small(name)
    together, alone = head(ROWS), torch.cat([head(ROWS[i : i + 2]) for i in range(0, 10, 2)])
    assert torch.allclose(together, alone, atol=1e-6) == (name in LOCAL)
    head.eval()
    alone = torch.cat([head(ROWS[i : i + 1]) for i in range(10)])
    assert torch.allclose(head(ROWS), alone, atol=1e-6)


@pytest.mark.parametrize("name", GLOBAL)
def test_running_averages_move_in_update_alone(name):
    head = small(name)
    head(ROWS)
    norms = [m for m in head.modules() if isinstance(m, BatchNorm)]
    assert norms
    assert all(int(m.num_batches_tracked) == 0 for m in norms)
    for _ in range(200):
        head.update(nf.rows(ROWS))
    assert all(int(m.num_batches_tracked) == 200 for m in norms)
    trained = head(ROWS)
    # The averages divide by n - 1, the batch by n: equal up to that factor, and far from equal without updates.
    assert torch.allclose(head.eval()(ROWS), trained, atol=0.1)
    assert not torch.allclose(small(name).eval()(ROWS), trained, atol=0.1)


def shapes(head: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(m.weight.shape) for m in head.modules() if isinstance(m, nn.Linear)]


def test_sizes_are_those_of_the_papers():
    assert shapes(nf.projector(2048)) == [(2048, 2048), (128, 2048)]
    assert shapes(nf.batch_norm_projector(2048)) == [(4096, 2048), (256, 4096)]
    assert shapes(nf.batch_norm_projector(64, layers=3, hidden=32, out=16)) == [(32, 64), (32, 32), (16, 32)]
    assert shapes(nf.batch_norm_predictor(2048)) == [(512, 2048), (2048, 512)]
    assert shapes(nf.batch_norm_predictor(256, hidden=4096)) == [(4096, 256), (256, 4096)]
    assert shapes(nf.predictor(2)) == [(1, 2), (2, 1)]
    assert shapes(nf.projector(8, layers=1, out=4)) == [(4, 8)]
    assert shapes(nf.linear(8)) == [(512, 8)]


def test_tanh_layer_is_its_formula():
    head = small("tanh_layer")
    layer = next(m for m in head.modules() if isinstance(m, nn.Linear))
    assert torch.allclose(head(ROWS), (ROWS @ layer.weight.T + layer.bias).tanh(), atol=1e-6)
    assert not torch.allclose(head(ROWS), ROWS @ layer.weight.T + layer.bias, atol=1e-2)  # known bad: without the bend
    assert shapes(nf.tanh_layer(768)) == [(768, 768)]


def test_projector_is_its_formula():
    head = small("projector")
    first, last = (m for m in head.modules() if isinstance(m, nn.Linear))
    naive = (ROWS @ first.weight.T + first.bias).clamp_min(0) @ last.weight.T + last.bias
    assert torch.allclose(head(ROWS), naive, atol=1e-6)
    assert not torch.allclose(head(ROWS), (ROWS @ first.weight.T + first.bias) @ last.weight.T + last.bias, atol=1e-2)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("option", ["dimension", "hidden", "out", "layers"])
def test_a_size_below_one_is_named(name, option):
    if name in ONE_LAYER and option in ("hidden", "layers"):
        return
    options = {"dimension": 16, option: 0}
    with pytest.raises(UsageError, match=option):
        EVERY[name](options.pop("dimension"), **options)
