"""Our step under Lightning: the weights of our own loop, bit for bit, whatever its loggers and checkpoints do; and a plain loop's differ."""

import csv

import numpy as np
import pytest
import torch

import nearfar as nf
from nearfar.core.errors import DataError, ResourceError, UsageError
from nearfar.core.recipe import Recipe, Use
from nearfar.core.stage import Refresh
from nearfar.training import lightning
from nearfar.training.lightning import lightning_module
from nearfar.training.train import train_run
from small_recipes import FIT, RECIPES, changed, small, table

# What Lightning says of checkpoints, and what it uses of torch.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Using ModelCheckpoint with manual optimization"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*is deprecated:FutureWarning"),
]
STEPS = ["held_out=0.0", "fit.epochs=10", "fit.batch_size=45"]  # 20 steps


@pytest.fixture(scope="module")
def pl():
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of packages that it imports
        import pytorch_lightning

    return pytorch_lightning


def trainer(pl, folder, **options):
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu", "devices": 1}
    quiet |= {"logger": False, "enable_checkpointing": False, "default_root_dir": folder, "max_epochs": -1}
    return pl.Trainer(**(quiet | options))


def state(module):
    return {k: v.clone() for k, v in module.learner.state_dict().items()}


def by_our_loop(recipe, folder, settings=STEPS):
    kept = {}
    made = train_run(
        recipe,
        table(),
        out=folder,
        settings=settings,
        callbacks=[lambda entry, learner: kept.update({k: v.clone() for k, v in learner.state_dict().items()})],
    )
    return kept, made


def different(a, b):
    assert a.keys() == b.keys()
    return [k for k in a if not torch.equal(a[k], b[k])]


def unlike(module, want):
    """Whether it has learned something else."""
    return any(not torch.equal(v, want[k]) for k, v in state(module).items() if k.startswith("towers"))


WITH = (
    "two views",
    "queue and momentum teacher",
    "dropout in a shared head",
    "clusters that are refreshed",
    "averaged and clipped",
)


@pytest.mark.parametrize("name", WITH)
def test_twenty_steps_give_the_weights_of_our_own_loop(name, pl, tmp_path):
    want, made = by_our_loop(RECIPES[name], tmp_path / "ours")
    module = lightning_module(RECIPES[name], table(), settings=STEPS)
    trainer(pl, tmp_path, max_steps=module.total).fit(module)
    assert module.total == made.fitted.steps == 20
    assert different(state(module), want) == []
    assert module.loop.losses == made.fitted.losses
    published, model = module.published().state_dict(), made.model.state_dict()
    assert different(published, model) == [], "averages too"
    other = lightning_module(RECIPES[name], table(), settings=[*STEPS, "seed=1"])
    assert unlike(other, want), "any weights would pass"


def test_automatic_optimisation_of_micro_batches_trains_something_else(pl, tmp_path):
    """What a user of Lightning would write: a loss for each half of a batch, accumulated. Its negatives are those of the half."""
    want, _ = by_our_loop(RECIPES["two views"], tmp_path / "ours")
    loop = lightning_module(RECIPES["two views"], table(), settings=STEPS).loop

    class Plain(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.learner = loop.learner

        def configure_optimizers(self):
            return loop.optimiser

        def train_dataloader(self):
            halves = [(t, half) for t in range(20) for half in np.array_split(loop.batches.order.records(t), 2)]
            return torch.utils.data.DataLoader(halves, batch_size=None, collate_fn=lambda one: one)

        def training_step(self, batch, batch_idx):
            step, index = batch
            rows = {}
            for source in loop.batches.sources:
                seen, columns = loop.batches.inputs(source, index, loop.batches.order.epoch_of(step))
                rows[source.feed.name] = source.path(seen).with_columns(**columns)
            for group, base in zip(loop.optimiser.param_groups, loop.base, strict=True):
                group["lr"] = base * lightning_factor(loop, step)
            return nf.contrast(self.learner.at_this_step(), rows["x"], rows["y"])

    module = Plain()
    trainer(pl, tmp_path, max_steps=20, accumulate_grad_batches=2).fit(module)
    gap = max(float((state(module)[k] - want[k]).abs().max()) for k in want)
    assert gap > 0.01


def lightning_factor(loop, step):
    from nearfar.training.schedule import factor

    return factor(loop.stage, step, loop.total)


def test_its_loggers_and_checkpoints_take_part_and_change_nothing(pl, tmp_path):
    from pytorch_lightning.callbacks import ModelCheckpoint
    from pytorch_lightning.loggers import CSVLogger

    recipe = RECIPES["queue and momentum teacher"]
    want, made = by_our_loop(recipe, tmp_path / "ours")
    keeps = ModelCheckpoint(tmp_path / "kept", every_n_train_steps=7, save_top_k=-1, filename="{step}")
    logger = CSVLogger(tmp_path / "log", flush_logs_every_n_steps=1)
    module = lightning_module(recipe, table(), settings=STEPS)
    options = {"logger": logger, "log_every_n_steps": 1, "enable_checkpointing": True, "callbacks": [keeps]}
    trainer(pl, tmp_path, max_steps=module.total, **options).fit(module)
    assert different(state(module), want) == []
    with open(tmp_path / "log" / "lightning_logs" / "version_0" / "metrics.csv", newline="") as file:
        logged = [float(row["loss"]) for row in csv.DictReader(file)]
    assert logged == pytest.approx(made.fitted.losses)
    assert sorted(p.stem for p in (tmp_path / "kept").iterdir()) == ["step=14", "step=7"]


RESUMED = {
    "queue and momentum teacher": RECIPES["queue and momentum teacher"],
    "averaged and clipped": RECIPES["averaged and clipped"],
    "clusters, measured": small(
        "measured",
        fit=changed(FIT, measure=1.0, refresh=(Refresh("find", Use("clusters", {"k": 5}), "label", every=2.0),)),
    ),
}


@pytest.mark.parametrize("name", RESUMED)
def test_a_checkpoint_of_the_middle_of_an_epoch_is_gone_on_with_exactly(name, pl, tmp_path):
    """Lightning would begin the epoch's data anew; ours go on where the step is."""
    recipe, settings = RESUMED[name], ["fit.epochs=4", "fit.batch_size=30"]  # 2 steps an epoch
    want, made = by_our_loop(recipe, tmp_path / "ours", settings)
    for stop in (4, 7):  # the end of an epoch, and within one
        first = lightning_module(recipe, table(), settings=settings)
        begun = trainer(pl, tmp_path, max_steps=stop)
        begun.fit(first)
        begun.save_checkpoint(tmp_path / f"{stop}.ckpt")
        second = lightning_module(recipe, table(), settings=settings)
        ended = trainer(pl, tmp_path, max_steps=second.total)
        ended.fit(second, ckpt_path=tmp_path / f"{stop}.ckpt", weights_only=True)
        assert ended.global_step == second.total == made.fitted.steps
        assert different(state(second), want) == []
        assert second.loop.losses == made.fitted.losses[stop:]
        assert second.loop.watch.measured == [e["held_out"] for e in made.run.logged() if "held_out" in e]
    again = lightning_module(recipe, table(), settings=settings)
    trainer(pl, tmp_path, max_steps=4).fit(again)
    assert unlike(again, want), "the rest of the steps would not matter"


def test_it_ends_by_itself_and_early_where_the_recipe_says(pl, tmp_path):
    stage = changed(FIT, measure=1.0, patience=1, learning_rate=1e-9, epochs=20)
    module = lightning_module(small("early", fit=stage), table())
    run = trainer(pl, tmp_path)
    run.fit(module)
    assert module.loop.stopped.startswith("no better")
    assert run.global_step == module.loop.step < module.total
    module = lightning_module(RECIPES["two views"], table(), settings=["fit.epochs=2.5"])
    run = trainer(pl, tmp_path)
    run.fit(module)
    assert run.global_step == module.total


def test_the_published_model_is_one_of_ours(pl, tmp_path):
    module = lightning_module(RECIPES["two views"], table(), settings=["fit.epochs=1"])
    trainer(pl, tmp_path, max_steps=module.total).fit(module)
    module.published().save(tmp_path / "model")
    rows = table().fields["row"][:3]
    assert np.allclose(
        nf.load(tmp_path / "model").encode(rows, side="row"), module.published().encode(rows, side="row")
    )


# What cannot be


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        (Recipe("two", Use("mlp"), stages=(FIT, FIT), data="records"), "one Fit stage"),
        (small("best", fit=changed(FIT, keep="best", measure=1.0)), "which weights are kept"),
        (small("shard", fit=changed(FIT, shard=True)), "not sharded"),
    ],
)
def test_what_lightning_cannot_do_here_is_refused(recipe, says, pl):
    with pytest.raises(UsageError, match=says):
        lightning_module(recipe, table())


def test_a_checkpoint_of_another_module_is_refused(pl):
    module = lightning_module(RECIPES["two views"], table())
    with pytest.raises(DataError, match="not made by this module"):
        module.on_load_checkpoint({"state_dict": {}})


def test_what_would_change_the_gradient_is_refused(pl, tmp_path):
    module = lightning_module(RECIPES["two views"], table(), settings=["fit.epochs=1"])
    with pytest.raises(UsageError, match="precision bf16-mixed"):
        trainer(pl, tmp_path, precision="bf16-mixed", max_steps=1).fit(module)
    with pytest.raises(Exception, match="gradient clipping is not supported for manual optimization"):
        trainer(pl, tmp_path, gradient_clip_val=1.0, max_steps=1).fit(module)


def test_without_lightning_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(lightning, "PACKAGES", ("there_is_no.such_package",))
    with pytest.raises(ResourceError, match=r"nearfar\[lightning\]"):
        lightning_module(RECIPES["two views"], table())


def test_nearfar_does_not_import_it(in_process):
    done = in_process(
        "-c", "import nearfar.training.lightning, sys; print([m for m in sys.modules if 'lightning' in m])"
    )
    assert done.stdout.strip() == "['nearfar.training.lightning']", done.stderr
