"""Local terms in a recipe - classification, reconstruction, next item, masked tokens - see what they need, exactly in micro-batches."""

import inspect

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import nearfar as nf
from nearfar.core.ramp import Ramp
from nearfar.core.recipe import Also, Contrast, Feed, Recipe, Use
from nearfar.core.stage import Fit
from nearfar.core.tokens import Tokens
from nearfar.data.array_records import array_records
from nearfar.training.train import train_run
from small_recipes import KINDS, table
from tiny_models import text_folder

WORDS = [(a, b) for a in "red green blue black".split() for b in "cat dog cow hen ox".split()]
TEXTS = [f"{a} {b} " + "and on " * (i % 4) for i, (a, b) in enumerate(WORDS * 2)]
ITEMS = [[(start + k) % 12 + 1 for k in range(3 + start % 5)] for start in range(40)]


def classes(dimension, seed):
    head = nn.Sequential(nn.Dropout(0.2), nn.Linear(dimension, KINDS))

    def loss(outputs):
        label = outputs.rows.columns["label"]
        return functional.cross_entropy(head(outputs.rows.vectors), label, reduction="sum"), torch.tensor(len(label))

    return nf.Local(loss)


def features(dimension):
    decoder = nn.Linear(dimension, 8)

    def loss(outputs):
        error = decoder(outputs.rows.vectors) - outputs.plain
        return error.square().sum(), torch.tensor(error.numel())

    return nf.Local(loss)


def next_item(towers):
    items = towers["encoder"].setup.items

    def loss(outputs):
        states, item = outputs.states, outputs.states.columns["item"]
        scores = states.vectors[:, :-1] @ outputs.tower.items.weight[:items].T
        wanted = states.mask[:, 1:]
        total = functional.cross_entropy(scores[wanted], item[:, 1:][wanted] - 1, reduction="sum")
        return total, wanted.sum()

    return nf.Local(loss)


def masked_tokens(hide, vectors_of):
    def made():
        def loss(outputs):
            tokens = outputs.inputs
            drawn = torch.cat(outputs.draws.each("masked", tokens.lengths))
            hidden = (drawn < 0.3) & (tokens.ids > 2)
            changed = Tokens(torch.where(hidden, hide(outputs.tower), tokens.ids), tokens.offsets)
            _, states = outputs.tower(changed, states=True)
            found, wanted = states.vectors[states.mask][hidden], tokens.ids[hidden]
            scores = found @ vectors_of(outputs.tower).T
            return functional.cross_entropy(scores, wanted, reduction="sum"), hidden.sum()

        return nf.Local(loss)

    return made


OWN = masked_tokens(lambda tower: tower.mask_id, lambda tower: tower.tokens.weight)
OTHERS = masked_tokens(lambda tower: 3, lambda tower: tower.model.get_input_embeddings().weight)


def case(name, folder):
    """Encoder, field, records, term."""
    items = {"dimension": 8, "depth": 1, "dropout": 0.1}
    return {
        "classes": (Use("mlp", {"hidden": 16, "dimension": 8}), "row", table(40), classes),
        "features": (Use("mlp", {"hidden": 16, "dimension": 8}), "row", table(40), features),
        "next item": (Use("self_attention", items), "item", array_records(item=ITEMS), next_item),
        "next item, gru": (Use("gru", items), "item", array_records(item=ITEMS), next_item),
        "masked tokens": (
            Use("transformer", {"dimension": 16, "depth": 1, "heads": 2, "vocabulary": 300, "dropout": 0.0}),
            "text",
            array_records(text=TEXTS),
            OWN,
        ),
        "masked tokens, pretrained": (
            Use("pretrained", {"folder": str(folder)}),
            "text",
            array_records(text=TEXTS),
            OTHERS,
        ),
    }[name]


NAMES = ["classes", "features", "next item", "next item, gru", "masked tokens", "masked tokens, pretrained"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return text_folder(tmp_path_factory.mktemp("bert"))


def trained(name, folder, out, *, term=None, weight=1.0, dropout=True, **fit):
    encoder, field, records, made = case(name, folder)
    if not dropout and "dropout" in encoder.options:
        encoder = Use(encoder.part, {**encoder.options, "dropout": 0.0})
    given = Recipe(
        "local",
        encoder,
        Contrast(temperature=0.2, both_ways=False),
        (Fit(**({"batch_size": 20, "epochs": 6, "learning_rate": 0.01} | fit)),),
        data="records",
        held_out=0.0,
        streams=(Feed("x", field), Feed("y", field)),
        also=(Also("local", term or made, weight),),
    )
    entries = []
    run = train_run(given, records, out=out, callbacks=[lambda entry, learner: entries.append(dict(entry))])
    return run, entries


@pytest.mark.parametrize("name", NAMES)
def test_they_learn_and_are_logged_by_their_names(name, folder, tmp_path):
    _, entries = trained(name, folder, tmp_path / "run", epochs=15, learning_rate=0.02)
    local = [entry["loss/local"] for entry in entries]
    assert np.mean(local[-3:]) < 0.95 * local[0]
    assert all(e["loss"] == pytest.approx(e["loss/"] + e["loss/local"]) for e in entries)


def still(name):
    """Terms and encoders without dropout, whose masks belong to a micro-batch."""

    def quiet(dimension, seed):
        term = classes(dimension, seed)
        modules = [cell.cell_contents for cell in term.function.__closure__]
        next(m for m in modules if isinstance(m, nn.Module))[0].p = 0.0
        return term

    return quiet if name == "classes" else None


@pytest.mark.parametrize("name", ["classes", "next item", "masked tokens"])
def test_micro_batches_of_any_size_train_the_same_model(name, folder, tmp_path):
    def weights(label, **options):
        run, _ = trained(
            name, folder, tmp_path / label, term=options.pop("term", still(name)), dropout=False, **options
        )
        return torch.cat([p.detach().flatten() for p in run.model.parameters()])

    by = {"epochs": 1, "optimiser": "sgd", "learning_rate": 0.02}
    whole, cut = weights("whole", micro_batch=None, **by), weights("cut", micro_batch=7, **by)
    assert torch.allclose(whole, cut, atol=1e-5)
    # The mean of the means of micro-batches, which weighs their tokens unevenly; and a term without influence.
    made = still(name) or case(name, folder)[3]

    def uneven(**given):
        real = made(**{k: v for k, v in given.items() if k in inspect.signature(made).parameters})

        def loss(outputs):
            total, count = real.function(outputs)
            return total / count.clamp_min(1), torch.ones(())

        return nf.Local(loss)

    def asking(dimension, seed, towers):
        return uneven(dimension=dimension, seed=seed, towers=towers)

    if name not in ("classes", "features"):
        assert not torch.allclose(whole, weights("uneven", micro_batch=7, term=asking, **by), atol=1e-4)
    assert not torch.allclose(whole, weights("without", micro_batch=None, weight=0.0, **by), atol=1e-4)


def test_the_weight_follows_its_ramp(folder, tmp_path):
    _, entries = trained("features", folder, tmp_path / "run", weight=Ramp(0.0, 1.0), epochs=3)
    for entry, share in zip(entries, np.linspace(0, 1, len(entries)), strict=True):
        assert entry["loss"] == pytest.approx(entry["loss/"] + share * entry["loss/local"])
    assert entries[-1]["loss"] != pytest.approx(entries[-1]["loss/"])


def test_dropout_of_a_term_is_the_same_in_both_passes():
    """The gradient is that of the loss that was told; drawn anew in the second pass it would be another's."""
    torch.manual_seed(0)
    tower, decoder, x = nn.Linear(5, 4), nn.Dropout(0.5), torch.randn(9, 5)

    def loss(rows):
        return decoder(rows).square().sum(), torch.tensor(len(rows))

    def step(micro_batch, weight):
        tower.weight.data = weight
        tower.weight.grad = None
        made = nf.backward(nf.Objective({"back": nf.Local(loss)}), {"x": nf.Stream(tower, x)}, micro_batch=micro_batch)
        return float(made.loss), tower.weight.grad.clone()

    start = tower.weight.detach().clone()
    _, gradient = step(4, start)
    direction = torch.randn(start.shape)
    ahead, behind = (step(4, start + s * 1e-2 * direction)[0] for s in (1, -1))
    assert (ahead - behind) / 2e-2 == pytest.approx(float((gradient * direction).sum()), rel=1e-2)
    state = torch.get_rng_state()
    step(4, start)
    assert torch.equal(state, torch.get_rng_state()), "the user's own generator stays"


def test_vectors_alone_are_not_enough():
    with pytest.raises(nf.UsageError, match=r"local terms \['back'\].*nf.backward"):
        nf.contrast(nf.Objective({"back": nf.Local(lambda rows: (rows.sum(), torch.ones(())))}), torch.randn(4, 3))
