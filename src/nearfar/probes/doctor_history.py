"""What the doctor keeps of a run, bounded however long it is, and the questions that its checks ask of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median, stdev
from typing import Any

PATIENCE = 200  # steps at the full rate before a live run is told that it learned nothing
FEWEST = 10  # steps below which a run is too short to be judged by its loss
HELD_OUT = ("dev_loss", "mrr")  # held-out figures that stand in an entry by themselves
BLOCKS, SIGNS = 256, 256  # kept of a run, however long


@dataclass
class Block:
    """Losses of some steps in a row, less their chance level."""

    first: int
    count: int
    total: float

    @property
    def mean(self) -> float:
        return self.total / self.count


class History:
    """What is kept of a stage: its losses in at most 256 blocks of equally many steps, and at most 256 measurements."""

    def __init__(self) -> None:
        self.first = self.last = 0
        self.steps, self.rates, self.peak = 0, 0.0, 0.0
        self.blocks: list[Block] = []
        self.width = 1
        self.level: float | None = None
        self.reference = self.keys = 0.0
        self.bad: int | None = None
        self.signs: list[dict[str, float]] = []
        self.held: list[dict[str, float]] = []
        self.temperature: float | None = None
        self.deviation: dict[str, float] = {}

    def add(self, entry: Mapping[str, Any]) -> bool:
        """Whether the entry brings more than a loss."""
        step, figures = int(entry["step"]), {k: float(v) for k, v in _numbers(entry)}
        self.first, self.last = self.first or step, max(self.last, step)
        held = {k: figures[k] for k in HELD_OUT if k in figures} | _first_of(entry.get("held_out"))
        if held:
            self.held = _thinned([*self.held, {"step": float(step), **held}])
        measured = any(k.partition("/")[0] in _MEASURED for k in figures)
        if measured:
            self._measured(figures)
        loss = entry.get("loss")
        if not isinstance(loss, (int, float)):
            return bool(held) or measured
        self.steps += 1
        self.keys = figures.get("keys", self.keys)
        rate = figures.get("rate", 1.0)
        self.peak, self.rates = max(self.peak, rate), self.rates + rate
        if not math.isfinite(loss):
            self.bad = self.bad or step
            return True
        self.reference = self.reference or abs(float(loss))
        self._lost(step, float(loss) - (self.level or 0.0))
        return bool(held) or measured

    @property
    def full_steps(self) -> float:
        """Steps done, a step at half of the highest rate counted as half a step."""
        return self.rates / self.peak if self.peak > 0 else 0.0

    def _lost(self, step: int, above: float) -> None:
        if self.blocks and self.blocks[-1].count < self.width:
            self.blocks[-1].count += 1
            self.blocks[-1].total += above
            return
        if len(self.blocks) == BLOCKS:
            two = zip(self.blocks[::2], self.blocks[1::2], strict=True)
            self.blocks = [Block(a.first, a.count + b.count, a.total + b.total) for a, b in two]
            self.width *= 2
        self.blocks.append(Block(step, 1, above))

    def _measured(self, figures: dict[str, float]) -> None:
        self.signs = _thinned([*self.signs, figures])
        self.temperature = self.temperature or figures.get("temperature")
        for name, value in figures.items():
            if name.startswith("deviation/"):
                self.deviation[name] = max(value, self.deviation.get(name, 0.0))
        level = figures.get("scored_chance")
        if level is not None:
            if self.level is None:
                for block in self.blocks:  # what came before the first measurement
                    block.total -= level * block.count
            self.level = level


_MEASURED = frozenset(
    {"mean_cosine", "scored_chance", "candidates", "non_finite", "gradient_norm", "queue_fill", "temperature"}
)


def _numbers(entry: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in entry.items():
        if isinstance(value, Mapping):  # a mean and its interval
            value = value.get("mean")
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            yield name, value


def _first_of(held_out: Any) -> dict[str, float]:
    """Of several held-out figures the first: it is the one that counts."""
    return (
        dict([next(_numbers(held_out), ("", 0.0))]) if isinstance(held_out, Mapping) and any(_numbers(held_out)) else {}
    )


def _thinned(kept: list[dict[str, float]]) -> list[dict[str, float]]:
    """Every second of too many, the newest and the oldest among them."""
    return kept if len(kept) <= SIGNS else [kept[0], *kept[2:-1:2], kept[-1]]


class Settings:
    """What the configuration says, and the words that change it."""

    def __init__(self, config: Mapping[str, Any], stage: str) -> None:
        recipe = config.get("recipe", config)
        recipe = recipe if isinstance(recipe, Mapping) else {}
        stages = [s for s in recipe.get("stages") or () if isinstance(s, Mapping)]
        mine = next((s for s in stages if s.get("name") == stage), {})
        objective = mine.get("objective") or recipe.get("objective")
        self.name = stage or "fit"
        self.objective: Mapping[str, Any] = objective if isinstance(objective, Mapping) else {}
        self.stage = mine
        # A weight that moves over the training, and negatives that are mined anew, move the loss too.
        also = [a for a in recipe.get("also") or () if isinstance(a, Mapping)]
        self.ramped = any(isinstance(a.get("weight"), Mapping) for a in also)
        self.moving = self.ramped or bool(mine.get("refresh"))
        feeds = [f for f in (mine.get("streams") or recipe.get("streams") or ()) if isinstance(f, Mapping)]
        learning = {f.get("tower", "encoder") for f in feeds if f.get("through", "online") == "online"}
        self.teachers = {f.get("tower", "encoder") for f in feeds} - learning

    def number(self, name: str) -> float | None:
        """A setting of the stage, if it is a number."""
        value = self.stage.get(name)
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None

    def times(self, name: str, factor: float, default: str) -> str:
        """`--set STAGE.NAME=VALUE` with the present value times a factor."""
        value = self.number(name)
        return f"--set {self.name}.{name}={default if value is None else f'{value * factor:.3g}'}"


@dataclass(frozen=True)
class Seen:
    """A stage as the checks see it."""

    history: History
    settings: Settings
    ended: bool

    @property
    def mature(self) -> bool:
        """Whether it had the time to learn something."""
        return self.history.steps >= FEWEST and (self.ended or self.history.full_steps >= PATIENCE)

    def subjects(self, figure: str) -> list[str]:
        """Of which streams, terms or towers a figure was measured last: "" for one without a name."""
        last = self.history.signs[-1] if self.history.signs else {}
        return [name.partition("/")[2] for name in last if name.partition("/")[0] == figure]

    def last(self, figure: str, subject: str = "", count: int = 2) -> list[float]:
        """The last values of a figure, at most `count` of them, oldest first; none if there are fewer than two."""
        name = f"{figure}/{subject}" if subject else figure
        values = [signs[name] for signs in self.history.signs[-count:] if name in signs]
        return values if len(values) >= 2 else []

    def least(self, figure: str, subject: str = "") -> float | None:
        """The smaller of the last two values."""
        return min(self.last(figure, subject), default=None)

    def most(self, figure: str, subject: str = "") -> float | None:
        """The greater of the last two values."""
        return max(self.last(figure, subject), default=None)

    def half(self, figure: str, subject: str = "") -> float | None:
        """The median of the second half of the run's values."""
        values = self.last(figure, subject, max(2, len(self.history.signs) // 2))
        return median(values) if values else None

    @property
    def groups(self) -> float:
        """How many things there are to tell apart: candidates over positives, or rows where no term has any."""
        pairs = [(self.most("candidates", t), self.most("positives", t)) for t in self.subjects("candidates")]
        counted = [c / max(p, 1.0) for c, p in pairs if c is not None and p is not None]
        rows = [v for s in self.subjects("rows") if (v := self.least("rows", s)) is not None]
        return min(counted or rows, default=0.0)

    @property
    def only_scored(self) -> bool:
        """Whether the loss is that of the scored terms alone."""
        both = [(s["loss"], s["scored_loss"]) for s in self.history.signs if "loss" in s and "scored_loss" in s]
        return all(abs(a - b) <= 1e-3 * max(abs(a), 1e-3) for a, b in both)

    def ending(self) -> tuple[float, int, float] | None:
        """Mean loss less chance of the last tenth of the run (five steps at least), where that begins, and its standard error."""
        wanted, last = max(5, self.history.steps // 10), []
        for block in reversed(self.history.blocks):
            last.append(block)
            if sum(b.count for b in last) >= wanted:
                mean = sum(b.total for b in last) / sum(b.count for b in last)
                error = stdev(b.mean for b in last) / math.sqrt(len(last)) if len(last) > 1 else 0.0
                return mean, block.first, error
        return None

    def scored_end(self) -> tuple[float, int, float] | None:
        """The same of the scored terms alone."""
        if self.only_scored:
            return self.ending()
        both = [s for s in self.history.signs[-3:] if {"scored_loss", "scored_chance"} <= set(s)]
        if len(both) < 2:
            return None
        values = [s["scored_loss"] - s["scored_chance"] for s in both]
        return sum(values) / len(values), int(both[0]["step"]), stdev(values) / math.sqrt(len(values))

    def found(self) -> float:
        """The least share of positives that stand first, over the terms; 0 where it was not measured."""
        values = [v for t in self.subjects("found_first") if (v := self.least("found_first", t)) is not None]
        return min(values, default=0.0)

    def discriminates(self) -> bool:
        """Whether scored terms tell pairs apart well, whatever the geometry looks like."""
        end, level = self.scored_end(), self.history.level
        return end is not None and level is not None and self.found() > 0.5 and end[0] < -0.5 * abs(level)
