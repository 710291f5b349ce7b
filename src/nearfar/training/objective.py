"""From a recipe's objective (names and numbers) to terms: rules under relations with what they learn, and objectives of their own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from nearfar.core.errors import UsageError
from nearfar.core.parts import parts, resolve
from nearfar.core.predicate import same
from nearfar.core.recipe import Also, Contrast, Part
from nearfar.core.relation import Relation, as_relation
from nearfar.core.rows import Rows
from nearfar.core.rule import Rule, card_of
from nearfar.core.use import Use
from nearfar.keys.chained import chained
from nearfar.maths.similarity import BY_NAME
from nearfar.objectives.composed import Aligned, Local, Objective, OnRows
from nearfar.objectives.scored import Scored
from nearfar.training.learner import merged, weight_at
from nearfar.training.options import made, options, use_of

Spec = Contrast | Use | Callable[..., Any]


def objective_of(
    spec: Spec,
    also: tuple[Also, ...],
    dimension: int,
    *,
    steps: int,
    explicit: bool,
    columns: frozenset[str],
    seed: int,
    records: int = 0,
    towers: Mapping[str, Any] | None = None,
) -> Objective:
    """The objective of a stage.

    dimension  of the rows that reach it
    steps      of the whole stage, over which weights may move
    explicit   whether records bring hard negatives of their own
    columns    that the records have: ids of texts are respected where there are any
    records    how many there are, for terms that remember something of each
    towers     by name, for functions that make a term and ask for them: sizes of vocabularies and states

    What makes a further term may also ask for `main`, the objective that it stands beside: what that remembers is remembered once.
    """
    known = {"dimension": dimension, "seed": seed, "records": records, "towers": dict(towers or {})}
    build = partial(_terms, known=known, explicit=explicit, columns=columns)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1)
        main = build(spec)
        terms = {"": main} | {one.name: build(one.term, main=main) for one in also}
    return merged(terms, {one.name: weight_at(one.weight, steps) for one in also})


def _terms(
    spec: Spec,
    *,
    known: Mapping[str, Any],
    explicit: bool,
    columns: frozenset[str],
    main: Objective | None = None,
) -> Objective:
    if isinstance(spec, Use) and card_of(resolve(spec.part, "objectives")) is not None:
        spec = Contrast(rule=spec)
    if isinstance(spec, Contrast):
        return _contrast(spec, known["dimension"], explicit, columns, known["seed"])
    known = {**known, "main": main}
    if isinstance(spec, Use):
        return _as_objective(made(_with_relation(spec), "objectives", "objective", **known), spec.part)
    asked = inspect.signature(spec).parameters
    return _as_objective(spec(**{k: v for k, v in known.items() if k in asked}), getattr(spec, "__name__", "objective"))


def _with_relation(use: Use) -> Use:
    """An objective's options, with the relation that one of them names."""
    named = use.options.get("relation")
    if not isinstance(named, (str, Use)):
        return use
    relation = made(named, "relations", "objective.relation")
    return Use(use.part, {**use.options, "relation": as_relation(relation)})


def _as_objective(term: Any, name: str) -> Objective:
    if isinstance(term, nn.Module):  # one that learns or remembers beside its terms
        term = getattr(term, "objective", term)
    if isinstance(term, Objective):
        return term
    if isinstance(term, (Scored, Aligned, OnRows, Local)):
        return Objective({"": term})
    raise UsageError(
        f"{name!r} made a {type(term).__name__}, which is no objective",
        where="objective",
        remedy="return an Objective or one of its terms: Scored, Aligned, OnRows, Local",
    )


def _contrast(spec: Contrast, dimension: int, explicit: bool, columns: frozenset[str], seed: int) -> Objective:
    term = ContrastTerm(spec, dimension, explicit=explicit, columns=columns, seed=seed)
    if not spec.dimensions:
        return Objective({"": term.scored()})
    lengths = sorted({*spec.dimensions, dimension})
    if lengths[0] < 1 or lengths[-1] > dimension:
        raise UsageError(
            f"prefixes of {list(spec.dimensions)} numbers of vectors of {dimension}",
            where="objective.dimensions",
            remedy=f"give lengths from 1 to {dimension}",
        )
    # The mean over lengths, each with weight one (Kusupati et al. 2022, arXiv 2205.13147, whose sum is this times their number).
    terms = {f"first {n}": _of_prefix(term.scored(), n) for n in lengths}
    return Objective(terms, dict.fromkeys(terms, 1 / len(terms)))


def _of_prefix(scored: Scored, length: int) -> Scored:
    def prefix(rows: Rows, head: Callable[[Rows], Rows] | None) -> Rows:
        whole = rows if head is None else head(rows)
        return whole.with_vectors(whole.vectors[..., :length])

    return replace(
        scored,
        head=partial(prefix, head=scored.head),
        key_head=None if scored.key_head is None else partial(prefix, head=scored.key_head),
    )


class ContrastTerm(nn.Module):
    """A recipe's contrastive term and what it learns: the logarithm of the temperature, the bias, a head."""

    def __init__(
        self,
        spec: Contrast,
        dimension: int,
        *,
        explicit: bool = False,
        columns: frozenset[str] = frozenset({"query", "document"}),
        seed: int = 0,
    ) -> None:
        super().__init__()
        if spec.relation is None and spec.own is None:
            raise UsageError(
                "no pairs and no keys of a row's own: nothing is contrasted",
                where="objective.relation",
                remedy="name a relation, such as paired, or a maker of own keys, such as hallucinated_positives",
            )
        if spec.temperature <= 0:
            raise UsageError("the temperature must be positive", where="objective.temperature", remedy="0.05 is usual")
        self.spec = spec
        self.rule = _rule(spec.rule)
        self.relation = None if spec.relation is None else _relation(spec, explicit, columns)
        self.similarity = _similarity(spec.similarity, dimension, seed)
        self.log_temperature = nn.Parameter(torch.tensor(spec.temperature).log(), requires_grad=spec.learn_temperature)
        self.bias = nn.Parameter(torch.tensor(spec.bias), requires_grad=spec.learn_bias)
        self.head = None if spec.head is None else made(spec.head, "heads", "objective.head", dimension)
        behind = vectors_of(self.head, dimension)
        self.predictor = (
            None if spec.predictor is None else made(spec.predictor, "heads", "objective.predictor", behind)
        )
        self.keys = _keys(spec.keys, seed)
        self.own = None if spec.own is None else made(spec.own, "keys", "objective.own", seed=seed)
        self.edits = tuple(made(e, "edits", f"objective.edits[{i}]") for i, e in enumerate(spec.edits))

    def scored(self) -> Scored:
        """The term; temperature and bias are read anew each step."""
        return Scored(
            self.rule,
            self.relation,
            similarity=self.similarity,
            temperature=self.temperature if self.spec.learn_temperature else self.spec.temperature,
            bias=self.learned_bias if self.spec.learn_bias else self.spec.bias,
            both_ways=self.spec.both_ways,
            head=None if self.head is None and self.predictor is None else self.foretold,
            key_head=None if self.predictor is None else self.through_head,
            keys=self.keys,
            own=self.own,
            edits=self.edits,
            row=self.spec.row,
            reduce=self.spec.reduce,
            queries_from=self.spec.x,
            keys_from=self.spec.y,
        )

    def temperature(self) -> Tensor:
        """As it is now."""
        return self.log_temperature.exp()

    def learned_bias(self) -> Tensor:
        """As it is now; a function, because terms are built once."""
        return self.bias * 1

    def through_head(self, rows: Rows) -> Rows:
        """All rows of a table through the global head, where there is one."""
        return rows if self.head is None else rows.with_vectors(self.head(rows.vectors))

    def foretold(self, rows: Rows) -> Rows:
        """The same, and through the predictor, where there is one."""
        behind = self.through_head(rows)
        return behind if self.predictor is None else behind.with_vectors(self.predictor(behind.vectors))


def _rule(spec: Part) -> Rule:
    """The rule itself; options of a named one are bound to it."""
    if not isinstance(spec, (str, Use)):
        return spec
    use = use_of(spec)
    rule = resolve(use.part, "objectives")
    card = card_of(rule)
    if card is None:
        # A whole objective reads streams, holds parameters or moves state: more than a rule under a relation.
        raise UsageError(
            f"{use.part!r} is an objective of its own, no rule on rows of scores",
            where="objective.rule",
            remedy=f'let the recipe say objective=Use("{use.part}"); rules are {", ".join(_rules())}',
        )
    if card.channels:
        raise UsageError(
            f"the rule {use.part!r} reads {', '.join(card.channels)} of every pair, which no similarity of a recipe measures",
            where="objective.rule",
            remedy=f"use it in a loop of yours, with a similarity that does: nf.contrast(nf.{use.part}, ...)",
        )
    return partial(rule, **options(use, rule, "objective.rule", given=2)) if use.options else rule


def _rules() -> list[str]:
    """Names of the objectives that a recipe can name as its rule."""
    cards = [card_of(part.load()) for part in parts("objectives")]
    return [card.name for card in cards if card is not None and not card.channels]


def _similarity(spec: str | Use, dimension: int, seed: int) -> Any:
    """One of the library's by name, or a part that scores pairs."""
    if isinstance(spec, Use):
        return made(spec, "keys", "objective.similarity", dimension=dimension, seed=seed)
    if spec not in BY_NAME:
        raise UsageError(
            f"no similarity {spec!r}", where="objective.similarity", remedy=f"there are {', '.join(sorted(BY_NAME))}"
        )
    return BY_NAME[spec]


def _keys(spec: Part | tuple[Part, ...] | None, seed: int) -> Any:
    """One stage of keys, or several in turn."""
    if spec is None or not isinstance(spec, tuple):
        return None if spec is None else made(spec, "keys", "objective.keys", seed=seed)
    return chained(*(made(stage, "keys", f"objective.keys[{i}]", seed=seed) for i, stage in enumerate(spec)))


def _relation(spec: Contrast, explicit: bool, columns: frozenset[str]) -> Relation:
    given: Any = spec.relation
    if isinstance(given, (str, Use)):
        use = use_of(given)
        if use.part == "paired" and explicit:
            use = Use("explicit_negatives", use.options)
        given = made(use, "relations", "objective.relation")
    if not isinstance(given, Relation) and not _takes_columns(given):
        given = given()
    relation = as_relation(given)
    if spec.same_text == "negative" or not {"query", "document"} <= columns:
        return relation
    # Pairs that share a query or a document are right answers to each other, whatever their record; and a document with the
    # words of the query is no wrong answer to it.
    return relation.drop_negatives(same("query") | same("document") | same("query", "document"))


def _takes_columns(function: Any) -> bool:
    """Whether this is the relation itself (two tables of columns), not a maker of one."""
    return len([p for p in inspect.signature(function).parameters.values() if p.default is p.empty]) == 2


def vectors_of(head: nn.Module | None, dimension: int) -> int:
    """The dimension of what a head gives for vectors of `dimension`."""
    if head is None:
        return dimension
    training = head.training
    head.eval()
    with torch.no_grad():
        size = int(head(torch.zeros(2, dimension)).shape[-1])
    head.train(training)
    return size


def known_terms(objective: Objective) -> Mapping[str, Scored]:
    """The contrastive terms of an objective, by name."""
    return {name: term for name, term in objective.terms.items() if isinstance(term, Scored)}
