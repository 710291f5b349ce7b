"""Small real trainings for the doctor: ten and more healthy ones, and one made sick on purpose for each finding.

Each trains through `nf.backward` for a second or two and writes the entries that a run's metrics.jsonl holds.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import nn

import nearfar as nf
from nearfar.core.ids import string_ids
from nearfar.data.order import Order
from nearfar.probes.vital_signs import tower_norms, vital_signs
from small_world import world

EVERY = 10


@dataclass
class Setup:
    """A training: `streams(index, step)` are those of some records; `after(step)` moves a teacher."""

    objective: Any
    streams: Callable[[Any, int], Mapping[str, Any]]
    towers: Mapping[str, nn.Module]
    records: int
    batch: int = 64
    steps: int = 50
    rate: float = 0.003
    optimiser: Any = torch.optim.Adam
    also: tuple[nn.Parameter, ...] = ()
    also_rate: float | None = None
    after: Callable[[int], None] | None = None
    moves: bool = True
    held_out: Callable[[], dict[str, float]] | None = None
    objective_config: Mapping[str, Any] | None = None
    every: int = EVERY


def run(setup: Setup) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The entries of the training, and its configuration."""
    torch.manual_seed(0)
    whole = setup.objective if isinstance(setup.objective, nf.Objective) else nf.Objective({"": setup.objective})
    learned = [p for tower in setup.towers.values() for p in tower.parameters() if p.requires_grad]
    groups = [{"params": learned}, {"params": list(setup.also), "lr": setup.also_rate or setup.rate}]
    optimiser = setup.optimiser(groups if setup.also else learned, lr=setup.rate)
    order, entries = Order(setup.records, setup.batch, 0), []
    for step in range(1, setup.steps + 1):
        optimiser.zero_grad()
        made = nf.backward(whole, setup.streams(order.records(step - 1), step), ranks=None, step=step)
        entry = {"stage": "fit", "step": step, "loss": float(made.loss), "rate": setup.rate}
        looked = step in (1, setup.steps) or step % setup.every == 0
        norms = tower_norms(setup.towers) if looked else None
        optimiser.step()
        if norms is not None:
            entry |= vital_signs(made.rows, whole, made, norms=norms())
        if setup.moves:
            nf.update_state(whole, made.rows, ranks=None)
        if setup.after is not None:
            setup.after(step)
        entries.append(entry)
        if setup.held_out is not None and step % 15 == 0:
            entries.append({"stage": "fit", "step": step, **setup.held_out()})
    config = {
        "recipe": {
            "objective": dict(setup.objective_config or {}),
            "stages": [{"name": "fit", "learning_rate": setup.rate, "epochs": 3.0, "batch_size": setup.batch}],
        }
    }
    return entries, config


def mlp(*widths, bias=True):
    """Linear layers with ReLU between them, drawn from seed 0."""
    torch.manual_seed(0)
    layers = [m for a, b in zip(widths, widths[1:], strict=False) for m in (nn.Linear(a, b, bias=bias), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


@lru_cache
def digits():
    """Pictures of scikit-learn's digits [1797 64] between 0 and 1, and their labels."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return torch.from_numpy(data.data / 16).float(), torch.from_numpy(data.target)


def look(pictures, step, number, strength=0.15):
    """A view: noise, and a twentieth of the pixels dropped."""
    draw = torch.Generator().manual_seed(step * 10 + number)
    noise = torch.randn(pictures.shape, generator=draw) * strength
    return (pictures + noise) * (torch.rand(pictures.shape, generator=draw) > 0.05)


def views(tower, pictures, other=None, columns=None, strength=0.15):
    """Two looks at each record, through one tower, or the second through `other`."""

    def streams(index, step):
        index = torch.as_tensor(index)
        mine = {"record": index, **{k: v[index] for k, v in (columns or {}).items()}}
        return {
            "x": nf.Stream(tower, look(pictures[index], step, 0, strength), mine),
            "y": nf.Stream(other or tower, look(pictures[index], step, 1, strength), mine),
        }

    return streams


def factors(n=1024, size=12, seed=1, noise=0.3):
    """Two kinds of records [n 48] and [n 32] with common hidden factors: two modalities of random features."""
    draw = np.random.default_rng(seed)
    hidden = draw.normal(size=(n, size))
    mixing = np.random.default_rng(0)
    made = [np.tanh(hidden @ mixing.normal(size=(size, d)) / 2) + noise * draw.normal(size=(n, d)) for d in (48, 32)]
    return [torch.from_numpy(m).float() for m in made]


def two_towers(first, second, x, y, wrap=lambda t: t):
    """Streams of pairs through towers of their own."""

    def streams(index, step):
        index = torch.as_tensor(index)
        return {
            "x": nf.Stream(first, x[index], {"record": index}),
            "y": nf.Stream(wrap(second), y[index], {"record": index}),
        }

    return streams


def scored(rule="info_nce", temperature=0.1, **options):
    """A term of a rule by name, under `paired` unless told."""
    return nf.Scored(getattr(nf, rule), options.pop("relation", nf.paired()), temperature=temperature, **options)


def text(pairs, same_text="left_out", **options):
    """The static encoder on pairs of texts; equal texts are left out of the negatives, or not."""
    queries, documents = [q for q, _ in pairs], [d for _, d in pairs]
    torch.manual_seed(0)
    encoder = nf.Static.fit({"query": queries, "document": documents}, dimension=64, seed=0)
    ids = {"query": torch.from_numpy(string_ids(queries)), "document": torch.from_numpy(string_ids(documents))}
    sides = {"x": encoder.prepare(queries), "y": encoder.prepare(documents)}
    relation = nf.paired()
    if same_text == "left_out":
        relation = relation.drop_negatives(nf.same("query") | nf.same("document"))

    def streams(index, step):
        index = torch.as_tensor(index)
        columns = {"record": index, **{k: v[index] for k, v in ids.items()}}
        return {name: nf.Stream(encoder, inputs.take(index), columns) for name, inputs in sides.items()}

    term = scored(temperature=options.pop("temperature", 0.05), relation=relation, both_ways=True)
    return Setup(term, streams, {"encoder": encoder}, len(pairs), **{"rate": 0.01, **options})


class Teacher:
    """The moving average of a tower."""

    def __init__(self, tower, keep):
        import copy

        self.tower, self.keep, self.module = tower, keep, copy.deepcopy(tower).requires_grad_(False)

    @torch.no_grad()
    def follow(self, step):
        for mine, theirs in zip(self.module.parameters(), self.tower.parameters(), strict=True):
            mine.lerp_(theirs, 1 - self.keep)


def with_teacher(objective, tower, keep, pictures, both=False, **options):
    """Keys (and with `both` also the targets of x) from a momentum teacher."""
    teacher = Teacher(tower, keep)

    def streams(index, step):
        index = torch.as_tensor(index)
        a, b, mine = look(pictures[index], step, 0), look(pictures[index], step, 1), {"record": index}
        if not both:
            return {"x": nf.Stream(tower, a, mine), "y": nf.Stream(teacher.module, b, mine, gradient=False)}
        return {
            "x": nf.Stream(tower, a, mine),
            "y": nf.Stream(tower, b, mine),
            "x_target": nf.Stream(teacher.module, a, mine, gradient=False),
            "y_target": nf.Stream(teacher.module, b, mine, gradient=False),
        }

    return Setup(
        objective, streams, options.pop("towers", {"encoder": tower}), len(pictures), after=teacher.follow, **options
    )


# Healthy ------------------------------------------------------------------------------------------------------------------


def healthy_info_nce():
    tower = mlp(64, 128, 64)
    return Setup(scored(both_ways=True), views(tower, digits()[0]), {"encoder": tower}, 1797, batch=128)


def healthy_text():
    return text(world())


def healthy_sigmoid():
    x, y = factors()
    first, second = mlp(48, 96, 32), mlp(32, 96, 32)
    log_t, bias = nn.Parameter(torch.tensor(0.1).log()), nn.Parameter(torch.tensor(-4.0))
    term = scored("sigmoid", temperature=lambda: log_t.exp(), bias=lambda: bias)
    return Setup(term, two_towers(first, second, x, y), {"x": first, "y": second}, len(x), also=(log_t, bias))


def healthy_triplet():
    tower = mlp(64, 128, 64)
    return Setup(scored("triplet", 1.0, both_ways=True), views(tower, digits()[0]), {"encoder": tower}, 1797, batch=64)


def healthy_vicreg():
    tower = mlp(64, 128, 64)
    return Setup(nf.vicreg(), views(tower, digits()[0]), {"encoder": tower}, 1797, batch=256)


def healthy_barlow():
    tower = mlp(64, 128, 64)
    objective = nf.Objective({"": nf.barlow()})
    return Setup(objective, views(tower, digits()[0]), {"encoder": tower}, 1797, batch=128)


def healthy_byol():
    tower, predictor = mlp(64, 128, 64), mlp(64, 64, 64)
    towers = {"encoder": tower, "predictor": predictor}
    return with_teacher(
        nf.byol(predictor=predictor), tower, 0.99, digits()[0], both=True, towers=towers, batch=64, steps=150
    )


def healthy_queue():
    tower = mlp(64, 128, 64)
    return with_teacher(scored(keys=nf.queue(1024)), tower, 0.99, digits()[0], batch=32)


def healthy_queue_repeats():
    """A queue of four passes over the data."""
    tower = mlp(64, 128, 64)
    return with_teacher(scored(keys=nf.queue(1600)), tower, 0.99, digits()[0][:400], batch=32)


def healthy_labels():
    pictures, labels = digits()
    tower = mlp(64, 128, 64)
    relation = nf.labelled()
    return Setup(
        scored(relation=relation), views(tower, pictures, columns={"label": labels}), {"encoder": tower}, 1797, batch=64
    )


def healthy_learned_temperature():
    x, y = factors()
    first, second = mlp(48, 96, 32), mlp(32, 96, 32)
    log_t = nn.Parameter(torch.tensor(0.07).log())
    term = scored(temperature=lambda: log_t.exp(), both_ways=True)
    return Setup(term, two_towers(first, second, x, y), {"x": first, "y": second}, len(x), batch=16, also=(log_t,))


def healthy_decoupled():
    tower = mlp(64, 128, 32)
    return Setup(scored("decoupled"), views(tower, digits()[0]), {"encoder": tower}, 1797, batch=16)


def healthy_margin():
    tower = mlp(64, 128, 64)
    return Setup(scored("margin", 1.0), views(tower, digits()[0]), {"encoder": tower}, 1797, batch=64)


def healthy_hot_softmax():
    """A temperature of 0.5, as SimCLR's on small pictures, and plain gradient descent."""
    tower = mlp(64, 128, 64)
    options = {"rate": 0.5, "optimiser": torch.optim.SGD, "batch": 256}
    return Setup(
        scored(temperature=0.5, both_ways=True), views(tower, digits()[0]), {"encoder": tower}, 1797, **options
    )


def healthy_held_out():
    """Pairs enough, and a held-out figure that gets better."""
    x, y = factors(4096)
    first, second = mlp(48, 64, 32), mlp(32, 64, 32)
    return Setup(
        scored(both_ways=True),
        two_towers(first, second, x, y),
        {"x": first, "y": second},
        len(x),
        held_out=held_out(first, second),
    )


def held_out(first, second, noise=0.3):
    """Reciprocal ranks on pairs of another seed."""
    x, y = factors(256, seed=2, noise=noise)

    @torch.no_grad()
    def measure():
        relation = nf.paired()
        term = nf.Scored(nf.info_nce, relation, temperature=0.1)
        a, b = (nn.functional.normalize(t(v), dim=1) for t, v in ((first, x), (second, y)))
        cosines = a @ b.T
        ranks = (cosines >= cosines.diagonal()[:, None]).sum(1)
        loss = nf.contrast(term, a, b)
        return {"mrr": float((1 / ranks).mean()), "dev_loss": float(loss)}

    return measure


HEALTHY = {n.removeprefix("healthy_"): f for n, f in list(globals().items()) if n.startswith("healthy_")}


# Sick on purpose ----------------------------------------------------------------------------------------------------------


def strangers(rule, temperature=0.1, **options):
    """Pairs that have nothing in common, new ones each step: there is nothing to learn."""
    first, second = mlp(48, 96, 32), mlp(32, 96, 32)

    def streams(index, step):
        index, draw = torch.as_tensor(index), torch.Generator().manual_seed(step)
        x, y = (torch.randn(len(index), d, generator=draw) for d in (48, 32))
        return {"x": nf.Stream(first, x, {"record": index}), "y": nf.Stream(second, y, {"record": index})}

    also = options.pop("also", ())
    term = scored(rule, temperature, **options)
    return Setup(term, streams, {"x": first, "y": second}, 1024, also=also, objective_config={"rule": rule})


def sick_chance_level_info_nce():
    return strangers("info_nce", both_ways=True)


def sick_chance_level_sigmoid():
    bias = nn.Parameter(torch.tensor(-4.0))
    return strangers("sigmoid", bias=lambda: bias, also=(bias,))


def sick_chance_level_triplet():
    return strangers("triplet", 1.0)


def sick_chance_level_decoupled():
    return strangers("decoupled")


def sick_chance_level_margin():
    return strangers("margin", 1.0)


def sick_collapse_pull():
    """Positives are pulled together, and nothing keeps records apart."""
    tower = mlp(64, 128, 64)
    objective = nf.Objective({"": nf.alignment()}) if not isinstance(nf.alignment(), nf.Objective) else nf.alignment()
    return Setup(objective, views(tower, digits()[0]), {"encoder": tower}, 1797, rate=0.01)


def sick_collapse_vicreg():
    """VICReg without its variance."""
    tower = mlp(64, 128, 64)
    return Setup(
        nf.vicreg(variance=0.0, covariance=0.0), views(tower, digits()[0]), {"encoder": tower}, 1797, rate=0.01
    )


def sick_few_dimensions_bottleneck():
    tower = mlp(64, 128, 2, 64)
    tower[3] = nn.Identity()
    return Setup(scored(both_ways=True), views(tower, digits()[0]), {"encoder": tower}, 1797, batch=128)


def sick_few_dimensions_line():
    tower = mlp(64, 128, 1, 64)
    tower[3] = nn.Identity()
    return Setup(scored("decoupled"), views(tower, digits()[0]), {"encoder": tower}, 1797, batch=64)


def sick_few_dimensions_vicreg():
    tower = mlp(64, 128, 64)
    return Setup(nf.vicreg(covariance=0.0), views(tower, digits()[0]), {"encoder": tower}, 1797, rate=0.01, steps=100)


def sick_temperature_high():
    tower = mlp(64, 128, 64)
    return Setup(scored(temperature=10.0), views(tower, digits()[0]), {"encoder": tower}, 1797)


def sick_temperature_low():
    tower = mlp(64, 128, 64)
    return Setup(scored(temperature=0.001), views(tower, digits()[0]), {"encoder": tower}, 1797)


def sick_temperature_low_learned():
    """Easy pairs, and a temperature that learns a hundred times as fast as the tower."""
    x, _ = factors()
    tower = mlp(48, 96, 32)
    log_t = nn.Parameter(torch.tensor(0.07).log())
    term = scored(temperature=lambda: log_t.exp())
    return Setup(term, two_towers(tower, tower, x, x), {"encoder": tower}, len(x), also=(log_t,), also_rate=1.0)


def sick_temperature_high_learned():
    """Pairs that have nothing in common, and towers that hardly learn: the temperature flees upwards."""
    log_t = nn.Parameter(torch.tensor(0.07).log())
    setup = strangers("info_nce", lambda: log_t.exp(), also=(log_t,))
    setup.rate, setup.also_rate = 1e-5, 0.5
    return setup


def sick_false_negatives():
    """Every pair is there three times, and equal texts count as wrong answers."""
    return text(world() * 3, same_text="negative", batch=128)


def sick_false_negatives_vectors():
    """The same pictures twice under two ids."""
    x, y = factors(256)
    first, second = mlp(48, 64, 32), mlp(32, 64, 32)
    streams = two_towers(first, second, x.repeat(4, 1), y.repeat(4, 1))
    return Setup(scored(), streams, {"x": first, "y": second}, 1024)


def sick_dead_queue():
    tower = mlp(64, 128, 64)
    return with_teacher(scored(keys=nf.queue(1024)), tower, 0.99, digits()[0], batch=32, moves=False)


def sick_stale_queue():
    """No teacher, a queue of many epochs' keys, and a tower that runs."""
    tower = mlp(64, 128, 64)
    return Setup(
        scored(keys=nf.queue(1500)), views(tower, digits()[0]), {"encoder": tower}, 1797, batch=32, rate=0.03, steps=80
    )


def sick_stale_queue_repeats():
    """A queue of many passes over few records, and a tower that has only begun to run."""
    tower = mlp(64, 128, 64)
    options = {"batch": 32, "rate": 0.05, "steps": 24, "every": 6}
    streams = views(tower, digits()[0][:64], strength=0.02)
    return Setup(scored(keys=nf.queue(4096)), streams, {"encoder": tower}, 64, **options)


def sick_dead_tower():
    x, y = factors()
    first, second = mlp(48, 96, 32), mlp(32, 96, 32)
    wrap = lambda tower: lambda inputs: tower(inputs).detach()  # noqa: E731
    return Setup(scored(), two_towers(first, second, x, y, wrap), {"x": first, "y": second}, len(x))


def sick_uneven_towers():
    """One tower's gradient is scaled down to next to nothing."""
    x, y = factors()
    first, second = mlp(48, 96, 32), mlp(32, 96, 32)
    scaled = lambda v: v.detach() + 1e-6 * (v - v.detach())  # noqa: E731
    wrap = lambda tower: lambda inputs: scaled(tower(inputs))  # noqa: E731
    return Setup(scored(), two_towers(first, second, x, y, wrap), {"x": first, "y": second}, len(x))


def sick_rate_high():
    """The first step throws the weights away."""
    x, y = factors()
    first, second = mlp(48, 96, 96, 32), mlp(32, 96, 96, 32)
    return Setup(scored(), two_towers(first, second, x, y), {"x": first, "y": second}, len(x), rate=10.0)


def sick_rate_high_descent():
    """Plain gradient descent that ends above where it began."""
    setup = healthy_info_nce()
    setup.rate, setup.optimiser = 30.0, torch.optim.SGD
    return setup


def sick_not_a_number():
    setup = healthy_vicreg()
    setup.rate, setup.optimiser, setup.steps = 3.0, torch.optim.SGD, 40
    return setup


def sick_rate_low():
    setup = healthy_info_nce()
    setup.rate = 1e-7
    return setup


def sick_overfitting():
    """A hundred pairs, much noise, many passes."""
    x, y = factors(128, noise=0.7)
    first, second = mlp(48, 256, 32), mlp(32, 256, 32)
    return Setup(
        scored(both_ways=True),
        two_towers(first, second, x, y),
        {"x": first, "y": second},
        128,
        steps=150,
        held_out=held_out(first, second, 0.7),
    )


def sick_wrong_positives():
    """Three pairs of ten have the document of another."""
    x, y = factors(4096, noise=0.1)
    wrong = torch.arange(len(x)) % 10 < 3
    y[wrong] = y[wrong].roll(1, 0)
    first, second = mlp(48, 96, 32), mlp(32, 96, 32)
    return Setup(scored(both_ways=True), two_towers(first, second, x, y), {"x": first, "y": second}, len(x), steps=120)


def sick_no_positives():
    """Five hundred classes, sixteen records a step, one look each."""
    x, _ = factors(2000)
    tower, label = mlp(48, 96, 32), torch.arange(2000) % 500

    def streams(index, step):
        index = torch.as_tensor(index)
        return {"x": nf.Stream(tower, x[index], {"record": index, "label": label[index]})}

    return Setup(scored(relation=nf.labelled(), keys_from=None), streams, {"encoder": tower}, 2000, batch=16)


def sick_zero_vectors():
    """A fifth of the records is empty, and an encoder without bias."""
    pictures = digits()[0].clone()
    pictures[::5] = 0
    tower = mlp(64, 128, 64, bias=False)
    return Setup(scored(), views(tower, pictures, strength=0.0), {"encoder": tower}, 1797)


def sick_modality_gap():
    """Two towers in two cones, and a temperature too low to bring them together."""
    x, y = factors()
    first, second = mlp(48, 96, 32), mlp(32, 96, 32)
    with torch.no_grad():
        first[-1].bias.fill_(3.0)
        second[-1].bias.fill_(-3.0)
    first[-1].bias.requires_grad_(False)
    second[-1].bias.requires_grad_(False)
    return Setup(
        scored(temperature=0.02), two_towers(first, second, x, y), {"x": first, "y": second}, len(x), rate=0.001
    )


SICK = {n.removeprefix("sick_"): f for n, f in list(globals().items()) if n.startswith("sick_")}
