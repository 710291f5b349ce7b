"""Batch norm: torch's values, gradients and averages, but nothing moves in a forward pass."""

import copy

import pytest
import torch
from torch import nn

import nearfar as nf
from nearfar.core.errors import UsageError
from nearfar.execution.update import update_state
from nearfar.maths.batch_norm import BatchNorm, GlobalLayers

STEPS = [torch.randn(n, 5, generator=torch.Generator().manual_seed(n)) * 3 + 2 for n in (8, 2, 33)]


def pair(**options) -> tuple[BatchNorm, nn.BatchNorm1d]:
    """Ours and torch's with the same weights, which are not ones and zeros."""
    names = {"share": "momentum", "epsilon": "eps", "affine": "affine"}
    ours, theirs = BatchNorm(5, **options), nn.BatchNorm1d(5, **{names[k]: v for k, v in options.items()})
    if ours.affine:
        nn.init.normal_(ours.weight)
        nn.init.normal_(ours.bias)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def outcome(layer: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """Output, and the gradients of input and parameters under a loss that is not symmetric."""
    x = x.clone().requires_grad_()
    y = layer(x)
    loss = (y * torch.arange(y.numel()).view_as(y).to(y)).sin().sum()
    return [y, *torch.autograd.grad(loss, [x, *layer.parameters()])]


@pytest.mark.parametrize("options", [{}, {"affine": False}, {"share": 0.3, "epsilon": 0.1}])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_torchs_in_training_and_after_the_same_updates_in_evaluation(options, dtype):
    ours, theirs = (layer.to(dtype) for layer in pair(**options))
    for x in STEPS:
        for a, b in zip(outcome(ours, x.to(dtype)), outcome(theirs, x.to(dtype)), strict=True):
            assert torch.equal(a, b)
        ours.update(nf.rows(x.to(dtype)))
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value)
    unmoved = copy.deepcopy(ours.train())
    unmoved.reset_running_stats()
    for layer in (ours, theirs, unmoved):
        layer.eval()
    for a, b in zip(outcome(ours, STEPS[0].to(dtype)), outcome(theirs, STEPS[0].to(dtype)), strict=True):
        assert torch.equal(a, b)
    assert not torch.allclose(unmoved(STEPS[0].to(dtype)), theirs(STEPS[0].to(dtype)))  # known bad: never updated


def test_variances_over_n_and_over_n_minus_one_are_told_apart():
    """The wrong variant: averages of the variance over n, which small batches show."""

    class Biased(BatchNorm):
        def observe(self, vectors):
            made = super().observe(vectors)
            self.running_var.sub_(self.share * (vectors.var(0) - vectors.var(0, correction=0)))
            return made

    theirs, right, wrong = nn.BatchNorm1d(5), BatchNorm(5), Biased(5)
    theirs(STEPS[1])
    right.update(nf.rows(STEPS[1]))
    wrong.update(nf.rows(STEPS[1]))
    assert torch.allclose(right.running_var, theirs.running_var)
    assert not torch.allclose(wrong.running_var, theirs.running_var)


def test_nothing_is_written_in_a_forward_pass():
    ours, theirs = pair()
    before = {k: v.clone() for k, v in ours.state_dict().items()}
    for mode in (True, False):
        ours.train(mode)(STEPS[0])
        theirs.train(mode)(STEPS[0])
    assert all(torch.equal(v, before[k]) for k, v in ours.state_dict().items())
    assert not all(torch.equal(v, before[k]) for k, v in theirs.state_dict().items())  # known bad: torch's own


def test_the_gradient_is_exact():
    ours = pair()[0].double()
    assert torch.autograd.gradcheck(ours, STEPS[0].double().requires_grad_())
    assert torch.autograd.gradcheck(ours.eval(), STEPS[0].double().requires_grad_())


def test_layers_move_by_the_rows_that_reach_them():
    torch.manual_seed(1)
    theirs = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 5), nn.BatchNorm1d(5))
    ours = GlobalLayers(
        nn.Linear(5, 7), BatchNorm(7), nn.ReLU(), GlobalLayers(nn.Linear(7, 5), BatchNorm(5))
    )  # nested, as a projector and a predictor are
    ours.load_state_dict({k.replace("3.", "3.0.").replace("4.", "3.1."): v for k, v in theirs.state_dict().items()})
    for x in STEPS:
        assert torch.equal(ours(x), theirs(x))
        ours.update(nf.rows(x))
    for a, b in zip(ours.buffers(), theirs.buffers(), strict=True):
        assert torch.allclose(a, b, rtol=1e-5)
    for layers in (ours, theirs):
        layers.eval()
    assert torch.allclose(ours(STEPS[2]), theirs(STEPS[2]), atol=1e-5)
    ours[3][1].reset_running_stats()  # known bad: the inner one forgotten
    assert not torch.allclose(ours(STEPS[2]), theirs(STEPS[2]), atol=1e-2)


def test_update_moves_in_evaluation_as_in_training_and_leaves_no_graph():
    one, other = (GlobalLayers(nn.Linear(5, 5), BatchNorm(5), nn.Linear(5, 5), BatchNorm(5)) for _ in range(2))
    other.load_state_dict(one.state_dict())
    one.train().update(nf.rows(STEPS[2]))
    other.eval().update(nf.rows(STEPS[2]))
    for a, b in zip(one.buffers(), other.buffers(), strict=True):
        assert torch.equal(a, b)
        assert not a.requires_grad


def test_update_state_moves_a_terms_head_once_a_step():
    layers = GlobalLayers(nn.Linear(5, 7), BatchNorm(7), nn.Linear(7, 4))

    class Head(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = layers

        def forward(self, table):
            return table.with_vectors(self.layers(table.vectors))

    term = nf.Scored(nf.info_nce, nf.paired(), head=Head())
    tables = {"x": nf.rows(STEPS[0]), "y": nf.rows(STEPS[0] + 1)}
    nf.contrast(term, tables["x"], tables["y"])
    assert int(layers[1].num_batches_tracked) == 0
    update_state(term, tables)
    assert int(layers[1].num_batches_tracked) == 1
    hidden = layers[0](STEPS[0] + 1)  # the keys' rows
    assert torch.allclose(layers[1].running_mean, 0.1 * hidden.mean(0), atol=1e-6)


def test_wrong_rows_say_so():
    with pytest.raises(UsageError, match="single row"):
        BatchNorm(5)(STEPS[0][:1])
    assert BatchNorm(5).eval()(STEPS[0][:1]).shape == (1, 5)
    with pytest.raises(UsageError, match=r"shape \[8, 5\] for a batch norm of width 4"):
        BatchNorm(4).update(nf.rows(STEPS[0]))


def test_a_tower_in_pieces_refuses_it():
    tower = nn.Sequential(nn.Linear(5, 4), BatchNorm(4))
    objective = nf.Objective({"c": nf.Scored(nf.info_nce, nf.paired())})
    streams = {name: nf.Stream(tower, STEPS[0]) for name in ("x", "y")}
    with pytest.raises(UsageError, match="batch norm at '1'"):
        nf.backward(objective, streams, micro_batch=4)
