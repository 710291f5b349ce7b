"""Gaussian sample: means and scales of its draws, chance that belongs to the record in any micro-batch, bad input."""

import pytest
import torch
from torch import nn

import nearfar as nf
from nearfar.core.draws import Draws
from nearfar.core.errors import UsageError
from nearfar.core.recipe import Also, Contrast, Feed, Named, Recipe, Use
from nearfar.core.stage import Fit, Transform
from nearfar.training.train import train_run
from small_recipes import table


def test_draws_have_the_mean_and_the_scale_that_the_vector_says():
    vectors = torch.tensor([[1.0, -2.0, 0.0, -1.0]]).repeat(4000, 1)
    made = nf.gaussian_sample(4)(vectors, Draws(0, epoch=0, record=torch.arange(4000)))
    assert torch.allclose(made.mean(0), vectors[0, :2], atol=0.06)
    assert torch.allclose(made.std(0), vectors[0, 2:].exp(), rtol=0.05)
    assert not torch.allclose(made.std(0), vectors[0, 2:].exp().sqrt(), rtol=0.05)  # known bad: a log of the variance
    sure = nf.gaussian_sample(4)(
        vectors - torch.tensor([0, 0, 90.0, 90.0]), Draws(0, epoch=0, record=torch.arange(4000))
    )
    assert 0.5 * torch.tensor(-6.0).exp() < sure.std(0).min() < 2 * torch.tensor(-6.0).exp()


def test_what_cannot_be_halved_or_has_several_vectors_is_named():
    with pytest.raises(UsageError, match="dimension is 5"):
        nf.gaussian_sample(5)
    with pytest.raises(UsageError, match="dimension is 0"):
        nf.gaussian_sample(0)
    with pytest.raises(UsageError, match="6 vectors of 3 records"):
        nf.gaussian_sample(4)(torch.zeros(6, 4), Draws(0, epoch=0, record=torch.arange(3)))
    with pytest.raises(UsageError, match="no means and as many log scales"):
        nf.gaussian_sample(4)(torch.zeros(6, 5))
    with pytest.raises(UsageError, match="no half"):
        nf.first_half()(torch.zeros(2, 3).numpy())
    with pytest.raises(UsageError, match="how many numbers"):
        nf.mutual_information_machine(4, towers={"encoder": nn.Linear(2, 4)})


class FromTheGenerator(nn.Module):
    """The wrong variant: noise that comes next, whoever asks."""

    def forward(self, vectors):
        mean, log_scale = vectors.chunk(2, -1)
        return mean + log_scale.exp() * torch.randn_like(mean)


def trained(out, micro_batch, monkeypatch=None):
    if monkeypatch is not None:
        monkeypatch.setattr("nearfar.heads.gaussian_sample.GaussianSample", FromTheGenerator)
    recipe = Recipe(
        "latent",
        Use("mlp", {"hidden": 16, "dimension": 8}),
        Contrast(rule="mean_denominator", temperature=0.2, both_ways=False, y=None),
        (
            Fit(batch_size=20, epochs=2, optimiser="sgd", learning_rate=0.01, micro_batch=micro_batch),
            Transform("means", "first_half"),
        ),
        data="records",
        held_out=0.0,
        streams=(Feed("x", "row", head="latent"),),
        heads=(Named("latent", "gaussian_sample"),),
        also=(Also("back", Use("mutual_information_machine", {"hidden": 12})),),
    )
    made = train_run(recipe, table(40), out=out)
    return torch.cat([p.detach().flatten() for p in made.model.parameters()]), made


def test_micro_batches_draw_what_the_whole_batch_draws(tmp_path, monkeypatch):
    whole, made = trained(tmp_path / "whole", None)
    cut, _ = trained(tmp_path / "cut", 7)
    assert torch.allclose(whole, cut, atol=1e-6)
    assert made.model.dimension == 4
    records = made.records.many("row", range(3))
    tower = made.model.tower("row")
    with torch.no_grad():
        means = tower(tower.prepare(records)).vectors[:, :4]
    assert torch.allclose(
        torch.from_numpy(made.model.encode(records)), nn.functional.normalize(means, dim=1), atol=1e-6
    )
    pieces = [trained(tmp_path / f"wrong{m}", m, monkeypatch)[0] for m in (None, 7)]
    assert not torch.allclose(*pieces, atol=1e-4)
