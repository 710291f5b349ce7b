"""Classes that come task by task in a stream that passes once, and a small memory of it that is replayed: a stage of its own.

Each step sees the next records of the stream and as many drawn from a reservoir; all of them, in every look that the recipe's streams
say, are contrasted with proxies, a learned vector a class. The recipe's objective says how: its keys are the proxies, with columns

    label, prototype    the class, and its number
    class_count         how often the class occurs in the step
    seen                whether it has occurred so far

and its queries have, beside the columns of the records,

    replayed            whether the record comes from the memory
    taught              the same, and the first task is over: what the memory remembers is a teacher
    old_vectors         [d] what the vector was when the record was stored, without any look but the first stream's; zeros of new ones
    old_scores          [c] likewise its scores with every class

The memory holds which records, not copies of them; a real stream would store their contents. While it is empty nothing is learned: the
first batch is only stored. After each task the held-out records of the classes so far are measured: a record's class is that of the
proxy with the largest score among those seen.
Source: reservoir sampling, Vitter 1985; batches of 10 and 10 and the empty first step as in the code of Lin et al. 2023 (arXiv
2304.04408); forgetting, Chaudhry et al. 2018 (arXiv 1801.10112).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from nearfar.core.draws import uniform
from nearfar.core.errors import DataError, UsageError
from nearfar.core.recipe import Contrast, Recipe
from nearfar.core.rows import Rows
from nearfar.core.stage import Fit
from nearfar.data.records import Records
from nearfar.execution.micro_batched import Step, Stream, backward
from nearfar.execution.update import update_state
from nearfar.keys.prototypes import Prototypes
from nearfar.maths.similarity import Similarity
from nearfar.objectives.composed import Objective
from nearfar.objectives.scored import Scored, now
from nearfar.training.checkpoint import Checkpoint, restore, save_checkpoint, state_of
from nearfar.training.fit import Fitted
from nearfar.training.learner import Learner, Path, Seen
from nearfar.training.objective import vectors_of
from nearfar.training.optimisers import groups_of, optimiser
from nearfar.training.prepare import prepare
from nearfar.training.progress import Standing
from nearfar.training.state import State

CHUNK = 1024  # records classified at once


@dataclass(frozen=True)
class Replay:
    """One pass over the training records, class by class, with replay.

    task           classes in a task; the classes come in the order of their labels
    batch_size     records of the stream in a step
    replayed       records of the memory in a step
    memory         records that it holds
    column         the labels
    optimiser, learning_rate, momentum, weight_decay  as of `Fit`; the rate is constant
    """

    name: str = "replay"
    task: int = 2
    batch_size: int = 10
    replayed: int = 10
    memory: int = 200
    column: str = "label"
    optimiser: Literal["adamw", "sgd"] = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.0
    weight_decay: float = 0.0

    def gain(self, step: int) -> float:
        """The weight of the main term at a step of the present task."""
        return 1.0

    def run(self, state: State) -> None:
        """All tasks."""
        Replaying(self, state).run()


class Classes(nn.Module):
    """Proxies of classes as keys, with how often each occurs among the queries, and whether it has been seen."""

    seen: Tensor

    def __init__(self, proxies: Prototypes) -> None:
        super().__init__()
        self.proxies = proxies
        self.register_buffer("seen", torch.zeros(len(proxies.label), dtype=torch.bool))

    def counts(self, table: Rows) -> Tensor:
        """[c] rows of each class."""
        return (table.columns["label"][:, None] == self.proxies.label).sum(0)

    def forward(self, queries: Rows, keys: Rows) -> Rows:
        """The proxies, in place of any other key."""
        count = self.counts(queries)
        return self.proxies.rows().with_columns(class_count=count, seen=self.seen | (count > 0))

    @torch.no_grad()
    def update(self, keys: Rows) -> None:
        """Remember which classes there were."""
        self.seen |= self.counts(keys) > 0


class Reservoir(nn.Module):
    """A uniform sample of the records offered so far: their numbers, and what was thought of them then."""

    record: Tensor
    vectors: Tensor
    scores: Tensor
    offered: Tensor

    def __init__(self, size: int, dimension: int, classes: int, seed: int) -> None:
        super().__init__()
        self.size, self.seed = size, seed
        self.register_buffer("record", torch.full((size,), -1))
        self.register_buffer("vectors", torch.zeros(size, dimension))
        self.register_buffer("scores", torch.zeros(size, classes))
        self.register_buffer("offered", torch.zeros((), dtype=torch.long))

    def __len__(self) -> int:
        return min(self.size, int(self.offered))

    def drawn(self, count: int, step: int) -> Tensor:
        """Places of `count` different records, or of all there are."""
        return uniform(self.seed, "replay", step, torch.arange(len(self))).argsort()[:count]

    @torch.no_grad()
    def update(self, record: Tensor, vectors: Tensor, scores: Tensor) -> None:
        """Offer records [n], vectors [n d] and scores [n c]: the k-th record ever is kept with probability size / k."""
        number = int(self.offered) + torch.arange(len(record))
        drawn = (uniform(self.seed, "reservoir", number) * (number + 1)).long()
        for row, place in enumerate(torch.where(number < self.size, number, drawn).tolist()):
            if place < self.size:
                self.record[place], self.vectors[place], self.scores[place] = record[row], vectors[row], scores[row]
        self.offered += len(record)


@dataclass(frozen=True, eq=False)
class Looks:
    """The same records as each stream sees them."""

    seen: tuple[Seen, ...]

    def __len__(self) -> int:
        return len(self.seen[0])

    def take(self, index: Any) -> Looks:
        """Those at `index`."""
        return Looks(tuple(seen.take(index) for seen in self.seen))


class Replaying:
    """A Replay stage at work. Raises UsageError on several ranks and for settings below one, DataError for labels that make no tasks."""

    def __init__(self, stage: Replay, state: State) -> None:
        if state.ranks is not None:
            raise UsageError(
                "a stream that passes once is seen by one process", where=stage.name, remedy="run it without torchrun"
            )
        for setting in ("task", "batch_size", "replayed", "memory"):
            if getattr(stage, setting) < 1:
                raise UsageError(
                    f"{getattr(stage, setting)} makes no sense",
                    where=f"{stage.name}.{setting}",
                    remedy="give 1 or more",
                )
        if state.resumed is not None:
            state.put_back(state.resumed)
        self.stage, self.state, self.seed = stage, state, state.recipe.seed
        self.label = _labels(state.records, stage)
        self.classes = np.unique(self.label)
        self.batches_of = _batches(self.label, self.classes, stage, self.seed)
        first = state.recipe.streams[0]
        head = state.heads[first.head] if first.head else None
        dimension = vectors_of(head, state.towers[first.tower].dimension)
        proxies = Prototypes(len(self.classes), dimension, torch.from_numpy(self.classes), self.seed)
        self.proxies = Classes(proxies)
        fit = Fit(stage.name, batch_size=stage.batch_size, workers=0, micro_batch=None)
        recipe = replace(state.recipe, objective=_with_keys(state.recipe, self.proxies))
        self.prepared = prepare(fit, recipe, state.records, state.towers, state.heads, bad=state.bad)
        self.learner: Learner = self.prepared.learner
        self.batches = self.prepared.batches
        self.memory = Reservoir(stage.memory, dimension, len(self.classes), self.seed)
        self.learner.add_module("memory", self.memory)  # so that a checkpoint holds it
        self.paths: list[Path] = [source.path for source in self.batches.sources]
        self.optimiser = optimiser(stage, groups_of(self.learner.learned()))
        self.total, self.step = sum(map(len, self.batches_of)), 0
        self.losses: list[float] = []
        self.accuracy: list[list[float]] = []

    def run(self) -> None:
        """Task after task, each with a checkpoint and a measurement at its end."""
        started = time.perf_counter()
        done = self._resume()
        self.learner.train()
        with torch.random.fork_rng(devices=[]):
            for task in range(done, len(self.batches_of)):
                for number in range(len(self.batches_of[task])):
                    self._log(task, self.take(task, number), time.perf_counter() - started)
                self.accuracy.append(self._accuracies(task))
                self._save()
        self.learner.eval()
        if measured := self._figures():
            self.state.measured[self.stage.name] = measured
            if self.state.run is not None:
                self.state.run.log({"stage": self.stage.name, "step": self.step, "measured": measured})
        self.state.fitted = Fitted(self.step, self.total, self.losses, time.perf_counter() - started)

    def take(self, task: int, number: int) -> Step:
        """Step `number` of a task: the gradient, the optimiser's move, what remembers."""
        torch.manual_seed((self.seed * 2**32 + self.step) % 2**63)
        objective = self.objective(number)
        made = backward(objective, {"x": self.stream(task, number)}, ranks=None, seed=self.seed, step=self.step)
        table = made.rows["x"]
        fresh = table.take(~table.columns["replayed"] & (table.columns["view"] == 0))
        scores = self.scores(fresh)
        if len(self.memory):
            self.optimiser.step()
        self.optimiser.zero_grad()
        update_state(objective, made.rows, ranks=None)
        self.memory.update(fresh.columns["record"], fresh.vectors, scores)
        self.step += 1
        return made

    def objective(self, number: int) -> Objective:
        """As it is at step `number` of a task."""
        whole = self.learner.at_this_step()
        return replace(whole, weights={**whole.weights, "": self.stage.gain(number)})

    def stream(self, task: int, number: int) -> Stream:
        """The records of a step, new ones and then those of the memory: every record a row a look."""
        new, places = self.batches_of[task][number], self.memory.drawn(self.stage.replayed, self.step)
        record = np.concatenate([new, self.memory.record[places].numpy()])
        # Looks of a record that comes again are drawn anew: the step stands for the pass over the data.
        made = [self.batches.inputs(source, record, self.step) for source in self.batches.sources]
        columns = {name: values for name, values in made[0][1].items() if name != "view"}
        columns["label"] = torch.from_numpy(self.label[record])
        columns["replayed"] = torch.arange(len(record)) >= len(new)
        columns["taught"] = columns["replayed"] & (task > 0)
        for name, kept in (("old_vectors", self.memory.vectors), ("old_scores", self.memory.scores)):
            columns[name] = torch.cat([kept.new_zeros(len(new), kept.shape[1]), kept[places]])
        looks = Looks(tuple(seen for seen, _ in made))
        return Stream(self._embedded, looks, columns, cost=torch.ones(len(record)), module=self.paths[0].tower)

    def _embedded(self, looks: Looks) -> Rows:
        vectors = torch.cat([path(seen).vectors for path, seen in zip(self.paths, looks.seen, strict=True)])
        n, look = len(looks), torch.arange(len(self.paths))
        return Rows(vectors, {"source": torch.arange(n).repeat(len(look)), "view": look.repeat_interleave(n)})

    @torch.no_grad()
    def scores(self, table: Rows) -> Tensor:
        """[r c] of rows with every class, as the main term makes them."""
        term, classes = self.learner.at_this_step().terms[""], self.proxies.proxies.rows()
        assert isinstance(term, Scored)
        similarity = term.similarity
        if isinstance(similarity, Similarity) and similarity.prepare is not None:
            table, classes = (t.with_vectors(similarity.prepare(t.vectors)) for t in (table, classes))
        made = similarity(table, classes)
        return (made[0] if isinstance(made, tuple) else made) / now(term.temperature)

    @torch.no_grad()
    def predicted(self, records: Records) -> np.ndarray:
        """[n] the class of each record, among those seen so far."""
        training, source = self.learner.training, self.batches.sources[0]
        self.learner.eval()
        made = []
        for first in range(0, len(records), CHUNK):
            items = records.many(source.feed.field, np.arange(first, min(first + CHUNK, len(records))))
            scores = self.scores(source.path.plain(source.prepare(items)))
            made.append(scores.masked_fill(~self.proxies.seen, -torch.inf).argmax(1).numpy())
        self.learner.train(training)
        return self.classes[np.concatenate(made)]

    def _accuracies(self, task: int) -> list[float]:
        """Of the held-out records of each task so far; none where nothing is held out."""
        part = self.state.held_out
        if part is None or self.stage.column not in part.columns:
            return []
        label, size = part.columns[self.stage.column], self.stage.task
        owners = [np.isin(label, self.classes[t * size : (t + 1) * size]) for t in range(task + 1)]
        places = np.flatnonzero(np.any(owners, 0))
        if not len(places):
            return []
        right = np.zeros(len(label))
        right[places] = self.predicted(part.take(places)) == label[places]
        return [float(right[mine].mean()) if mine.any() else float("nan") for mine in owners]

    def _figures(self) -> dict[str, float]:
        """Accuracy at the end over the held-out records of all classes; forgetting: how much better each earlier task once was."""
        part, last = self.state.held_out, self.accuracy[-1] if self.accuracy else []
        if part is None or not last:
            return {}
        label, size = part.columns[self.stage.column], self.stage.task
        counts = [np.isin(label, self.classes[t * size : (t + 1) * size]).sum() for t in range(len(last))]
        figures = {"accuracy": float(np.nansum(np.array(last) * counts) / np.sum(counts))}
        lost = [max(row[t] for row in self.accuracy[t:-1]) - last[t] for t in range(len(last) - 1) if counts[t]]
        return {**figures, "forgetting": float(np.mean(lost))} if lost else figures

    def _log(self, task: int, made: Step, seconds: float) -> None:
        self.losses.append(float(made.loss))
        if not np.isfinite(self.losses[-1]):
            raise UsageError(
                f"the loss is {self.losses[-1]} at step {self.step}",
                where=f"{self.stage.name}.learning_rate",
                remedy="lower the learning rate or raise the temperature",
            )
        entry: dict[str, Any] = {
            "stage": self.stage.name,
            "step": self.step,
            "task": task,
            "loss": self.losses[-1],
            "rate": self.stage.learning_rate,
            "seconds": seconds,
        }
        values = made.values()
        if len(values) > 1:
            entry |= {f"loss/{name or 'main'}": value for name, value in values.items()}
        if self.state.run is not None:
            self.state.run.log(entry)
        for callback in self.state.callbacks:
            callback(entry, self.learner)
        if self.state.progress is not None:
            self.state.progress(Standing(self.step, self.total, self.losses[-1]))

    def _save(self) -> None:
        tensors, numbers = state_of(self.learner, self.optimiser)
        numbers |= {"tasks": len(self.accuracy), "accuracy": self.accuracy, "losses": self.losses}
        if self.state.run is not None:
            made = Checkpoint(self.state.stage, self.stage.name, self.step, tensors, numbers)
            save_checkpoint(self.state.run.checkpoints, made, self.state.about)

    def _resume(self) -> int:
        """Tasks that a checkpoint has done; the log is cut there."""
        made, self.state.resumed = self.state.resumed, None
        if self.state.run is not None:
            self.state.run.rewind(self.stage.name, 0 if made is None else made.step)
        if made is None:
            return 0
        restore(made, self.learner, self.optimiser)
        self.step, self.losses = made.step, list(made.numbers["losses"])
        self.accuracy = [list(row) for row in made.numbers["accuracy"]]
        return int(made.numbers["tasks"])


def _with_keys(recipe: Recipe, classes: Classes) -> Contrast:
    for feed in recipe.streams:
        if feed.mix:
            raise UsageError(
                "replay looks at each record by itself",
                where=f"{feed.name}.mix",
                remedy="leave it at 0, or train by Fit",
            )
    if (
        not isinstance(recipe.objective, Contrast)
        or recipe.objective.keys is not None
        or recipe.objective.y is not None
    ):
        raise UsageError(
            "replay contrasts records with proxies of classes",
            where="objective",
            remedy="let the objective be a Contrast without keys and with y=None",
        )
    return replace(recipe.objective, keys=classes)


def _labels(records: Records, stage: Replay) -> np.ndarray:
    """[n] int64."""
    label = records.columns.get(stage.column)
    if label is None:
        raise DataError(
            f"the records have no column {stage.column!r}",
            where=f"{stage.name}.column",
            remedy="give labels: a folder of images has a folder a class",
        )
    if label.ndim != 1 or label.dtype.kind not in "iu" or len(np.unique(label)) < 2 or label.min() < 0:
        raise DataError(
            f"the column {stage.column!r} does not tell classes",
            where=f"{stage.name}.column",
            remedy="give whole numbers from 0, of two classes at least, none unknown",
        )
    return label.astype(np.int64)


def _batches(label: np.ndarray, classes: np.ndarray, stage: Replay, seed: int) -> list[list[np.ndarray]]:
    """Of every task the records of its steps, each once, in an order drawn from the seed."""
    tasks = []
    for first in range(0, len(classes), stage.task):
        mine = np.flatnonzero(np.isin(label, classes[first : first + stage.task]))
        mine = mine[uniform(seed, "stream", torch.from_numpy(mine)).argsort(stable=True).numpy()]
        tasks.append([mine[at : at + stage.batch_size] for at in range(0, len(mine), stage.batch_size)])
    return tasks
