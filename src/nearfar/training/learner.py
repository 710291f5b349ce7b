"""`Learner`: all that a stage optimises or remembers, as one module - towers, heads, teachers, the objective's own state.

Its `state_dict` is what a checkpoint holds of a method. A stream of a recipe becomes here a path: views of inputs, a tower, a
head; and what it is to the gradient (online, momentum teacher, frozen, stopped) is said by which weights the path goes through.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from nearfar.core.draws import Draws
from nearfar.core.encoder import View
from nearfar.core.errors import UsageError
from nearfar.core.outputs import Outputs
from nearfar.core.ramp import Ramp
from nearfar.core.recipe import Feed
from nearfar.core.rows import Rows, rows
from nearfar.execution.micro_batches import cost_of, count, take
from nearfar.objectives.composed import Objective, Schedule
from nearfar.training.modules import modules_in


@dataclass(frozen=True, eq=False)
class Seen:
    """Inputs of some records with what the views of inputs draw from, and the columns of the records for local terms.

    partner  of the records that are mixed with these, row by row; the column `share` says how much is left of these
    """

    inputs: Any
    draws: Draws
    columns: Mapping[str, Tensor] = field(default_factory=dict)
    partner: Seen | None = None

    def __len__(self) -> int:
        return count(self.inputs)

    def take(self, index: Any) -> Seen:
        """Those at `index`."""
        columns = {name: values[index] for name, values in self.columns.items()}
        partner = None if self.partner is None else self.partner.take(index)
        return Seen(take(self.inputs, index), self.draws.take(index), columns, partner)


class Path(nn.Module):
    """What a stream's records go through: views of inputs, the tower, a head."""

    def __init__(
        self, tower: Any, head: nn.Module | None, side: str, layer: int | None, views: Sequence[View], bfloat16: bool
    ) -> None:
        super().__init__()
        self.tower, self.head = tower, head
        self.side, self.views, self.short = side, tuple(views), bfloat16
        self.options: dict[str, Any] = {"side": side} if layer is None else {"side": side, "layer": layer}
        self.is_read = False  # by a local term

    def forward(self, seen: Seen) -> Rows:
        """Rows of the records, in float32."""
        return self._embedded(seen, {})[0]

    def with_outputs(self, seen: Seen) -> tuple[Rows, Outputs]:
        """The same, and what local terms see of it."""
        has_states = "states" in inspect.signature(self.tower.forward).parameters
        table, features, states, inputs = self._embedded(seen, {"states": True} if has_states else {})
        device = table.vectors.device
        own = len(seen) == len(table) and "source" not in table.columns
        columns = {name: values.to(device) for name, values in seen.columns.items()} if own else {}
        return table, Outputs(
            table.with_columns(**columns), features, states, inputs, seen.inputs, seen.draws, self.tower
        )

    def _embedded(self, seen: Seen, more: Mapping[str, Any]) -> tuple[Rows, Tensor, Rows | None, Any]:
        """Rows, the vectors before the head, states where they are asked for, and the inputs after their views."""
        device = next(self.parameters(), torch.zeros(0)).device
        inputs = self._looked_at(seen, device)
        # A tower that shuffles what a record is made of is given the chance of the records, as views are.
        chance = {"draws": seen.draws} if getattr(self.tower, "draws_by_record", False) else {}
        with torch.autocast(device.type, torch.bfloat16, enabled=self.short):
            made = self.tower(inputs, **self.options, **more, **chance)
            table, states = made if more else (made, None)
            table = rows(table)
            vectors = features = table.vectors
            if self.head is not None:
                # So is a head that draws (a latent vector).
                drawn = (seen.draws,) if getattr(self.head, "draws_by_record", False) else ()
                vectors = self.head(features, *drawn)
        if self.short:
            states = None if states is None else states.with_vectors(states.vectors.float())
            vectors, features = vectors.float(), features.float()
        return table.with_vectors(vectors), features, states, inputs

    def _looked_at(self, seen: Seen, device: torch.device) -> Any:
        """Inputs after their views, mixed with those of partners where there are any."""
        inputs: Any = seen.inputs
        if isinstance(inputs, Tensor):
            inputs = inputs.to(device)
        for place, view in enumerate(self.views):
            inputs = _looked_at(view, _as_floats(inputs), seen.draws.at(place))
        if seen.partner is None:
            return inputs
        other = _as_floats(self._looked_at(seen.partner, device))
        share = seen.columns["share"].to(other).view(-1, *[1] * (other.ndim - 1))
        return share * _as_floats(inputs) + (1 - share) * other

    def plain(self, inputs: Any) -> Rows:
        """Rows of prepared records without any view."""
        if isinstance(inputs, Tensor):
            inputs = inputs.to(next(self.parameters(), torch.zeros(0)).device)
        table = rows(self.tower(inputs, **self.options))
        return table if self.head is None else table.with_vectors(self.head(table.vectors))

    def cost(self, seen: Seen) -> Tensor:
        """What the tower says of its inputs."""
        return cost_of(self.tower, seen.inputs)


def _as_floats(inputs: Any) -> Any:
    """Pictures as numbers from 0 to 1; what is prepared otherwise as it is."""
    return inputs.float() / 255 if isinstance(inputs, Tensor) and inputs.dtype == torch.uint8 else inputs


def _looked_at(view: View, inputs: Any, draws: Draws) -> Any:
    """Inputs after a view; of records of several pictures [n m c h w] each picture by itself, with a chance of its own."""
    if not isinstance(inputs, Tensor) or inputs.ndim != 5:
        return view(inputs, draws)
    return view(inputs.flatten(0, 1), draws.items(inputs.shape[1])).unflatten(0, inputs.shape[:2])


class Learner(nn.Module):
    """Towers, heads, teachers and the objective of one stage.

    towers, heads  by name; shared with the stages before and after
    objective      built anew each step from what is learned (`at_this_step`), so it is built once
    views          of each stream: those of records, then those of inputs
    """

    def __init__(
        self,
        towers: Mapping[str, nn.Module],
        heads: Mapping[str, nn.Module],
        feeds: Sequence[Feed],
        objective: Objective,
        views: Mapping[str, Sequence[View]],
        *,
        bfloat16: bool = False,
    ) -> None:
        super().__init__()
        self.towers, self.heads = nn.ModuleDict(towers), nn.ModuleDict(heads)
        self.feeds, self.objective = tuple(feeds), objective
        self.terms = modules_in(objective)
        self.teachers = nn.ModuleDict()
        self.paths: dict[str, Path] = {}
        for feed in self.feeds:
            _refuse_global_head(feed, self.heads[feed.head] if feed.head else None)
            tower, head = self._weights(feed)
            of_inputs = [v for v in views.get(feed.name, ()) if getattr(v, "on_inputs", False)]
            self.paths[feed.name] = Path(tower, head, feed.side or feed.field, feed.layer, of_inputs, bfloat16)
            self.paths[feed.name].is_read = feed.name in {term.stream for term in objective.local().values()}

    def _weights(self, feed: Feed) -> tuple[nn.Module, nn.Module | None]:
        """The tower and head of a stream: those that learn, or a teacher's."""
        tower = self.towers[feed.tower]
        head = self.heads[feed.head] if feed.head else None
        if feed.through in ("online", "stopped"):
            return tower, head
        return self._teacher(feed.through, feed.tower, tower), (
            None if head is None else self._teacher(feed.through, "head_" + feed.head, head)
        )

    def _teacher(self, kind: str, name: str, original: nn.Module) -> nn.Module:
        key = f"{kind}_{name}"
        if key not in self.teachers:
            teacher = copy.deepcopy(original)
            for parameter in teacher.parameters():
                parameter.requires_grad_(False)
            self.teachers[key] = teacher
        return self.teachers[key]

    def train(self, mode: bool = True) -> Learner:
        """Teachers are never in training mode: a target is without dropout."""
        super().train(mode)
        self.teachers.eval()
        return self

    def learned(self) -> dict[str, nn.Module]:
        """What the optimiser moves, by name: every tower, every head, the objective's own parameters."""
        parts: dict[str, nn.Module] = {f"tower {name}": t for name, t in self.towers.items()}
        parts |= {f"head {name}": h for name, h in self.heads.items()}
        return {**parts, "objective": self.terms}

    def at_this_step(self) -> Objective:
        """The objective, with temperatures and biases as they are now."""
        return self.objective.at_this_step()

    @torch.no_grad()
    def move_teachers(self, keep: float) -> None:
        """After the optimiser's step: the momentum teacher keeps the share `keep` of itself and takes the rest from what learned."""
        for key, teacher in self.teachers.items():
            kind, _, name = key.partition("_")
            if kind != "momentum":
                continue
            learned = self.heads[name[5:]] if name.startswith("head_") else self.towers[name]
            for mine, theirs in zip(teacher.parameters(), learned.parameters(), strict=True):
                mine.lerp_(theirs.to(mine.dtype), 1 - keep)
            for mine, theirs in zip(teacher.buffers(), learned.buffers(), strict=True):
                mine.copy_(theirs)

    @property
    def has_momentum(self) -> bool:
        """Whether a teacher follows what learns."""
        return any(key.startswith("momentum_") for key in self.teachers)


def _refuse_global_head(feed: Feed, head: nn.Module | None) -> None:
    if head is not None and any(getattr(m, "mixes_records", False) or _is_batch_norm(m) for m in head.modules()):
        raise UsageError(
            f"the head {feed.head!r} mixes records by its batch norm",
            where=f"{feed.name}.head",
            remedy="make it the objective's head (objective.head), which sees the global batch, or take a head without batch norm",
        )


def _is_batch_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.batchnorm._BatchNorm)


def weight_at(weight: float | Ramp, total: int) -> Schedule:
    """The weight of a term as a function of the step, for `Objective`."""
    return weight if isinstance(weight, (int, float)) else lambda step: weight(step / max(1, total - 1))


def merged(objectives: Mapping[str, Objective], weights: Mapping[str, Any]) -> Objective:
    """One objective of several, the names of the terms under those of the objectives; "" keeps them as they are."""
    terms, all_weights = {}, {}
    for prefix, one in objectives.items():
        for name, term in one.terms.items():
            full = f"{prefix}/{name}" if prefix and name else prefix or name
            terms[full] = term
            outer, inner = weights.get(prefix, 1.0), one.weights.get(name, 1.0)
            all_weights[full] = _product(outer, inner)
    return replace(next(iter(objectives.values())), terms=terms, weights=all_weights)


def _product(a: Schedule, b: Schedule) -> Schedule:
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return float(a) * float(b)
    return lambda step: _at(a, step) * _at(b, step)


def _at(weight: Schedule, step: int) -> float:
    return float(weight(step)) if callable(weight) else float(weight)
