"""Training in micro-batches has the losses of training in one piece; "auto" plans by the memory there is, and says so."""

import pytest
import torch

import nearfar as nf
from nearfar.core.machine import Available
from nearfar.core.recipe import Contrast, Recipe, Use
from nearfar.core.stage import Fit
from nearfar.execution import plan as planning
from nearfar.training import fit as fitting
from nearfar.training.train import train_run
from small_world import QUICK, world

HARD = [(q, a, world()[i - 1][1]) for i, (q, a) in enumerate(world()[:60])]


def losses(tmp_path, data, *settings):
    """Of every step, and how many micro-batches each of them made."""
    made = train_run("pairs", data, out=tmp_path / str(len(list(tmp_path.iterdir()))), settings=[*QUICK, *settings])
    return torch.tensor(made.fitted.losses), made


@pytest.fixture
def pieces(monkeypatch):
    """Numbers of micro-batches, of all streams and steps."""
    seen, real = [], fitting.backward

    def backward(objective, streams, **options):
        from nearfar.execution.micro_batches import micro_batches

        for s in streams.values():
            cost = s.cost
            seen.append(len(micro_batches(cost, options["micro_batch"])))
        return real(objective, streams, **options)

    monkeypatch.setattr(fitting, "backward", backward)
    return seen


@pytest.mark.parametrize("data", [world(), HARD], ids=["pairs", "hard negatives"])
@pytest.mark.parametrize("objective", ["info_nce", "sigmoid"])
def test_every_micro_batch_gives_the_same_losses(tmp_path, pieces, data, objective):
    same = [
        "fit.epochs=3",
        f"objective.rule={objective}",
        "objective.learn_temperature=true",
        "objective.learn_bias=true",
    ]
    whole, _ = losses(tmp_path, data, *same, "fit.micro_batch=none")
    assert set(pieces) == {1}
    for most in (7, 60, 300):
        pieces.clear()
        cut, made = losses(tmp_path, data, *same, f"fit.micro_batch={most}")
        assert min(pieces) > 1
        assert torch.allclose(cut, whole, atol=1e-5)
        assert made.fitted.plan is None
    # What micro-batches are often mistaken for: smaller batches, whose negatives are fewer.
    smaller, _ = losses(tmp_path, data, *same, "fit.batch_size=16")
    assert not torch.allclose(smaller[: len(whole)], whole, atol=0.1)


def test_auto_takes_the_whole_batch_where_it_fits_and_is_the_same_bit_for_bit(tmp_path, pieces):
    whole, _ = losses(tmp_path, world(), "fit.micro_batch=none")
    auto, made = losses(tmp_path, world())
    assert torch.equal(auto, whole)
    assert set(pieces) == {1}
    assert made.fitted.plan.micro_batch is None
    assert made.fitted.plan.fits


def test_auto_cuts_where_memory_is_short_and_the_run_says_so(tmp_path, pieces, monkeypatch):
    whole, made = losses(tmp_path, world())
    plan = made.fitted.plan
    assert made.run.logged()[0]["plan"]["micro_batch"] is None
    # Beside the weights, which are there already, all but half of the activations of a step (free times 0.8).
    activations = plan.whole - (plan.weights + plan.vectors + max(plan.loss_stage["sweep"], plan.loss_stage["tiled"]))
    here = sum(p.numel() * 4 for p in made.model.parameters())
    free = Available(int((plan.whole - activations // 2 - here) / planning.HEADROOM), "a small machine")
    monkeypatch.setattr(planning, "available_memory", lambda: free)
    pieces.clear()
    cut, made = losses(tmp_path, world())
    assert max(pieces) > 1
    assert torch.allclose(cut, whole, atol=1e-5)
    first, *others = made.run.logged()
    assert first["plan"]["micro_batch"] == made.fitted.plan.micro_batch > 1
    assert first["plan"]["memory"] == made.fitted.plan.memory
    assert "a small machine" in first["plan"]["memory_source"]
    assert first["plan"]["tile"] == 64
    assert not any("plan" in entry for entry in others)


def test_a_step_that_will_hardly_fit_is_told_and_tried(tmp_path, monkeypatch):
    monkeypatch.setattr(planning, "available_memory", lambda: Available(1000, "a tiny machine"))
    with pytest.warns(RuntimeWarning, match="does not fit"):
        made = train_run("pairs", world(), out=tmp_path / "run", settings=QUICK)
    assert made.fitted.steps == made.fitted.total
    assert not made.run.logged()[0]["plan"]["fits"]


def test_dropped_negatives_are_counted_as_before(tmp_path):
    twice = [(f"{q} please", a) for q, a in world()[:40]] + world()[:40]
    for most in ("none", "50"):
        _, made = losses(tmp_path, twice, "held_out=0.0", f"fit.micro_batch={most}", "fit.batch_size=80")
        assert made.run.logged()[0]["dropped_negatives"] == 1.0


# Rules and relations with options


def test_a_rule_with_options_is_that_rule(tmp_path):
    base = ("objective.rule=triplet", "objective.temperature=1")
    default, _ = losses(tmp_path, world(), *base)
    same, _ = losses(tmp_path, world(), *base, "objective.rule.margin=0.2")
    wide, made = losses(tmp_path, world(), *base, "objective.rule.options.margin=0.5")
    assert torch.equal(default, same)
    assert float(wide[0]) > float(default[0]) + 0.1
    assert made.run.config["recipe"]["objective"]["rule"] == {"part": "triplet", "options": {"margin": 0.5}}
    stages = (Fit(batch_size=64, epochs=6, learning_rate=0.01),)
    recipe = Recipe(
        "mine", Use("static", {"dimension": 32}), Contrast(Use("triplet", {"margin": 0.5}), temperature=1.0), stages
    )
    own = train_run(recipe, world(), out=tmp_path / "own")
    assert torch.equal(torch.tensor(own.fitted.losses), wide)


def test_a_relation_with_options(tmp_path):
    plain, _ = losses(tmp_path, world())
    named, _ = losses(tmp_path, world(), "objective.relation.column=record")
    assert torch.equal(plain, named)
    shared, _ = losses(tmp_path, HARD, "held_out=0.0", "objective.relation=explicit_negatives")
    alone, _ = losses(
        tmp_path, HARD, "held_out=0.0", "objective.relation=explicit_negatives", "objective.relation.shared=false"
    )
    assert float(alone[0]) < float(shared[0]) - 0.1, "other rows' hard negatives do not compete"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["objective.rule=barlow"], r"objective of its own.*rules are .*info_nce"),
        (["objective.rule=byol"], "objective of its own"),
        (["objective.rule=individual_temperatures"], "objective of its own"),
        (["objective.rule=list_mle"], "reads teacher of every pair"),
        (["objective.rule=triplet", "objective.rule.margn=1"], "no option 'margn'.*margin"),
        (["objective.rule.margin=1"], "'info_nce' has no option.*it has none"),
        (["objective.rule=triplet", "objective.rule.margin=high"], "expected float, found 'high'"),
        (["objective.relation.colum=record"], "no option 'colum'.*column"),
        (["objective.rule=tripled"], "did you mean triplet"),
        (["objective.rule=triplet", "objective.rule.part=trplet"], "did you mean triplet"),
        (["fit.micro_batch=many"], "expected int"),
        (["fit.micro_batch=0"], "holds nothing"),
        (["fit.micro_batch=1.5"], "expected int"),
    ],
)
def test_wrong_parts_and_options_are_named(settings, said, tmp_path):
    with pytest.raises(nf.UsageError, match=said):
        nf.train("pairs", world()[:40], out=tmp_path / "run", settings=settings)
