"""From a recipe's stage and records to what the loop runs on: the learner, its batches, and how many steps there are."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from nearfar.core.batching import Batching
from nearfar.core.encoder import View
from nearfar.core.errors import UsageError
from nearfar.core.model import Model
from nearfar.core.recipe import Contrast, Feed, Recipe
from nearfar.core.stage import Fit
from nearfar.core.use import Use
from nearfar.data.bad_records import BadRecords
from nearfar.data.costs import costs
from nearfar.data.order import Order
from nearfar.data.records import Records
from nearfar.execution.plan import Plan, plan
from nearfar.execution.ranks import Ranks
from nearfar.training.batches import Batches, sources
from nearfar.training.learner import Learner
from nearfar.training.objective import known_terms, objective_of, vectors_of
from nearfar.training.options import fit_encoder, made


@dataclass(frozen=True)
class Prepared:
    """A stage ready to run: `batch` records a step, `steps` of them."""

    learner: Learner
    batches: Batches
    batch: int
    steps: int


def towers_of(recipe: Recipe, records: Records) -> tuple[dict[str, Any], dict[str, Any]]:
    """Encoders fitted to the records that go through them, and heads, with fresh weights."""
    uses = {"encoder": recipe.encoder} | {t.name: Use(t.part, t.options) for t in recipe.towers}
    for feed in recipe.streams:
        _refuse_unknown(feed, uses, {head.name: head for head in recipe.heads})
    towers: dict[str, Any] = {}
    for name, use in uses.items():
        seen: dict[str, Any] = {}
        for feed in recipe.streams:
            if feed.tower == name and feed.field in records.fields:
                seen[feed.side or feed.field] = records.fields[feed.field]
        if not seen:
            raise UsageError(
                f"no stream brings records to the tower {name!r}",
                where="streams",
                remedy=f"the records have the fields {', '.join(records.fields)}",
            )
        towers[name] = fit_encoder(use, seen, recipe.seed, name)
    heads: dict[str, Any] = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed + 2)
        for head in recipe.heads:
            users = [feed for feed in recipe.streams if feed.head == head.name]
            if not users or users[0].tower not in towers:
                raise UsageError(f"no stream goes through the head {head.name!r}", where=head.name, remedy="remove it")
            dimension = towers[users[0].tower].dimension
            heads[head.name] = made(Use(head.part, head.options), "heads", head.name, dimension)
    return towers, heads


def model_of(recipe: Recipe, towers: Mapping[str, Any]) -> Model:
    """What is published: the towers that learn, by the names of their sides."""
    learning = {feed.tower for feed in recipe.streams if feed.through == "online"}
    sides: dict[str, Any] = {}
    for feed in recipe.streams:
        if feed.tower in learning:  # what stood on the side of a teacher is published as what it taught
            sides.setdefault(feed.side or feed.field, towers[feed.tower])
    similarity = getattr(recipe.objective, "similarity", "cosine")
    return Model(sides, similarity if similarity in ("dot", "late_interaction") else "cosine")


def prepare(
    stage: Fit,
    recipe: Recipe,
    records: Records,
    towers: Mapping[str, Any],
    heads: Mapping[str, Any],
    *,
    ranks: Ranks | None = None,
    bad: BadRecords | None = None,
) -> Prepared:
    """The learner and the batches of a stage. Raises UsageError for streams, parts or columns that are not there."""
    refreshed = {refresh.write for refresh in stage.refresh}
    feeds = [_with_what_there_is(feed, records, refreshed) for feed in stage.streams or recipe.streams]
    for feed in feeds:
        _refuse_unknown(feed, towers, heads)
    views = {feed.name: _views(feed, records) for feed in feeds}
    batch = min(stage.batch_size, len(records))
    batching = stage.batching
    if batching.groups in refreshed:
        batching = replace(batching, groups=None)  # the first refresh comes before the first step
    columns = dict(records.columns)
    if batching.buckets > 1 and batching.cost == Batching.cost and batching.cost not in columns:
        fields = list(dict.fromkeys(feed.field for feed in feeds if feed.field in records.fields))
        columns[batching.cost] = costs(records, fields, paths=recipe.data in ("audio", "images"))
    order = Order.of(batching, batch, columns, recipe.seed, n=len(records))
    steps = max(1, stage.min_steps, round(stage.epochs * order.steps_per_epoch))
    spec = stage.objective or recipe.objective
    first = next((f for f in feeds if isinstance(spec, Contrast) and f.name == spec.x), feeds[0])
    dimension = vectors_of(heads[first.head] if first.head else None, towers[first.tower].dimension)
    objective = objective_of(
        spec,
        recipe.also,
        dimension,
        steps=steps,
        explicit=any(feed.more for feed in feeds),
        columns=frozenset(records.columns),
        seed=recipe.seed,
        records=len(records),
        towers=towers,
    )
    for feed in feeds:
        _refuse_layer(feed, towers[feed.tower])
    learner = Learner(towers, heads, feeds, objective, views, bfloat16=stage.precision == "bfloat16")
    chosen = sources(feeds, learner.paths, views)
    batches = Batches(records, chosen, order, seed=recipe.seed, workers=stage.workers, ranks=ranks, bad=bad)
    return Prepared(learner, batches, batch, steps)


def _refuse_unknown(feed: Feed, towers: Mapping[str, Any], heads: Mapping[str, Any]) -> None:
    for kind, name, there in (("tower", feed.tower, towers), ("head", feed.head, heads)):
        if name and name not in there:
            raise UsageError(
                f"the stream {feed.name!r} goes through a {kind} {name!r} that is not there",
                where=f"{feed.name}.{kind}",
                remedy=f"there are {', '.join(there) or 'none'}",
            )


def _refuse_layer(feed: Feed, tower: Any) -> None:
    if feed.layer is not None and "layer" not in inspect.signature(tower.forward).parameters:
        raise UsageError(
            f"the encoder {type(tower).__name__} gives out its last layer only",
            where=f"{feed.name}.layer",
            remedy="leave the layer out, or take an encoder that offers its layers, such as transformer or pretrained",
        )


def _with_what_there_is(feed: Feed, records: Records, refreshed: set[str]) -> Feed:
    """Without further rows where the records bring none, such as pairs without hard negatives."""
    if feed.more in refreshed or feed.more in records.columns:
        return feed
    there = feed.more in records.fields
    if there and isinstance(records.fields[feed.more], list):
        there = any(records.fields[feed.more])
    return feed if there else replace(feed, more="")


def _views(feed: Feed, records: Records) -> Sequence[View]:
    """The views of a stream; one that must know all records (marginals of a table) is told once."""
    chosen = []
    for number, spec in enumerate(feed.views):
        view = made(spec, "views", f"{feed.name}.views[{number}]")
        bind = getattr(view, "bind", None)
        chosen.append(view if bind is None else bind(records.fields[feed.field]))
    return chosen


def planned(prepared: Prepared, memory: int | None = None, batch: int | None = None) -> Plan:
    """What a step of `batch` records takes and how to cut it, measured on the dearest records of the data."""
    path, inputs = prepared.batches.dearest(prepared.batch)
    batch = prepared.batch if batch is None else batch
    keys = round(batch * prepared.batches.keys_per_query)
    terms = known_terms(prepared.learner.objective)
    both_ways = any(term.both_ways for term in terms.values()) if terms else True
    return plan(batch, encoder=path, inputs=inputs, memory=memory, keys=keys, both_ways=both_ways)
