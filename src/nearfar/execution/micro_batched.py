"""`backward`: one step's exact gradient through any encoders, in micro-batches that fit where the batch does not.

Two passes. All records are embedded without a graph, micro-batch by micro-batch; the objective sees the rows of the whole
batch (of all ranks) and gives their exact gradients; then each micro-batch is embedded again, with its graph, and its rows'
gradients are pushed through. The loss and the gradient are those of the undivided batch: embedding is local to a record,
so cutting there cuts nothing. Chance inside a model (dropout) is replayed by seed, so both passes draw the same masks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from nearfar.core.card import Card
from nearfar.core.errors import UsageError
from nearfar.core.memory import joined
from nearfar.core.rows import Rows, rows
from nearfar.core.terms import Term, Terms
from nearfar.execution.across_ranks import summed, surrogate
from nearfar.execution.evaluate import Tiling, evaluate_local, evaluate_objective
from nearfar.execution.micro_batches import cost_of, count, micro_batches, take
from nearfar.execution.ranks import Ranks, chosen
from nearfar.execution.sharded import gradients_summed_at_the_end, is_sharded
from nearfar.objectives.composed import Objective

CARD = Card(
    name="micro_batched",
    summary="one step's exact gradient in micro-batches, for a batch that the encoder could never hold",
    related=("contrast",),
    public=("Stream", "backward"),
)


@dataclass(frozen=True, eq=False)
class Stream:
    """One view of a step's records through one tower.

    encode    inputs of some records -> Rows or a tensor [r d], or (those, outputs for local terms); a module, or a function
    inputs    of all records: a tensor, a dict or tuple of tensors, a list, or anything with len() and take(index)
    columns   by record, added to the rows that `encode` gives
    cost      [n], the work of each record; None: what the encoder says, else the number of tokens, else 1
    gradient  False for a teacher or a frozen tower: embedded once, without a graph
    module    the module behind `encode` where that is a function

    A record may yield several rows; then `encode` returns Rows with a column `source`, the place of each row's record in
    its inputs.
    """

    encode: Callable[..., Any]
    inputs: Any
    columns: Mapping[str, Tensor] = field(default_factory=dict)
    cost: Tensor | None = None
    gradient: bool = True
    module: nn.Module | None = None

    @property
    def tower(self) -> nn.Module | None:
        """The module behind `encode`, where it is known."""
        inner = getattr(self.encode, "func", self.encode)
        return self.module or (inner if isinstance(inner, nn.Module) else None)


@dataclass(frozen=True, eq=False)
class Step(Terms):
    """The terms of a step, without gradient, and the rows of this rank that they were measured on, for `nf.update_state`."""

    rows: Mapping[str, Rows] = field(default_factory=dict)


def backward(
    objective: Objective,
    streams: Mapping[str, Stream],
    *,
    micro_batch: float | None = None,
    tile: Tiling = "auto",
    ranks: Ranks | Literal["auto"] | None = "auto",
    seed: int = 0,
    step: int = 0,
) -> Step:
    """The terms of the objective on these records; their exact gradient is added to every parameter's `.grad`.

    `micro_batch` is the most that one micro-batch may cost: records, or tokens where the encoder states its costs. None
    embeds the whole batch at once. Local terms run with each micro-batch's graph and are divided by the global count.
    On several ranks the batch is that of all; call `nf.sum_gradients(parameters)` once before the optimiser's step, and
    `nf.update_state(objective, step.rows)` after it if the objective remembers anything.

    Raises UsageError for batch norm in a tower that is embedded in pieces: its output depends on batch mates.

    >>> import torch, nearfar as nf
    >>> tower, pictures = torch.nn.Linear(8, 4), torch.randn(6, 8)
    >>> objective = nf.Objective({"contrast": nf.Scored(nf.info_nce, nf.paired(), temperature=0.1)})
    >>> streams = {"x": nf.Stream(tower, pictures), "y": nf.Stream(tower, pictures + 0.1)}
    >>> terms = nf.backward(objective, streams, micro_batch=2)
    >>> tower.weight.grad.shape
    torch.Size([4, 8])
    """
    together = chosen(ranks)
    rank = 0 if together is None else together.rank
    towers = [_Tower(n, s, micro_batch, together, (seed, step, i, rank)) for i, (n, s) in enumerate(streams.items())]
    local_terms = {n: t for n, t in objective.local().items() if t.stream in streams}
    if missing := sorted(set(objective.local()) - set(local_terms)):
        raise UsageError(f"local terms {missing} read streams that are not there", remedy=f"give {sorted(streams)}")
    local = Terms()
    for tower in towers:
        mine = {n: t for n, t in local_terms.items() if t.stream == tower.name}
        tower.local = Objective(mine, {n: w for n, w in objective.weights.items() if n in mine})
        local = local + tower.embed(step)
    table = {tower.name: tower.rows for tower in towers}
    terms = evaluate_objective(objective, table, step=step, tile=tile, ranks=together)
    if terms.loss.requires_grad:
        terms.loss.backward()
    if local.parts and together is not None:
        local = summed(local, together)
    with gradients_summed_at_the_end([(t.stream.tower, len(t.pieces)) for t in towers if t.stream.gradient]) as pushed:
        for tower in towers:
            tower.push(local, step, pushed)
    parts = {**terms.detach().parts, **local.detach().parts}
    return Step(parts, rows={n: t.detach() for n, t in table.items()})


class _Tower:
    """One stream in its two passes."""

    def __init__(
        self,
        name: str,
        stream: Stream,
        most: float | None,
        ranks: Ranks | None,
        seed: tuple[int, int, int, int],
    ) -> None:
        self.name, self.stream, self.seed, self.local = name, stream, seed, Objective({})
        cost = cost_of(stream.tower, stream.inputs) if stream.cost is None else stream.cost.float().cpu()
        if len(cost) != count(stream.inputs):
            raise UsageError(f"{len(cost)} costs for {count(stream.inputs)} records", where=f"stream {name!r}")
        self.pieces = micro_batches(cost, most)
        if ranks is not None and is_sharded(stream.tower):
            # Every rank must call a sharded tower equally often: what is missing is embedded for nothing, with no gradient.
            self.pieces += [torch.zeros(0, dtype=torch.long)] * (ranks.highest(len(self.pieces)) - len(self.pieces))
        if len(self.pieces) > 1 or ranks is not None:
            _refuse_batch_norm(name, stream.tower, len(self.pieces) > 1)
        self.made: dict[int, tuple[Rows, Any]] = {}
        self.sizes: list[int] = []

    def embed(self, step: int) -> Terms:
        """First pass: the rows of all records, and the sums and counts of the local terms."""
        parts: list[Rows] = []
        sources: list[Tensor] = []
        # Every rank has every term, or the ranks would not add up the same table; one without records has zeros.
        zero = torch.zeros((), dtype=torch.float64)
        weights = {n: self.local.weight(n, step) for n in self.local.terms}
        local = Terms({n: Term(zero, zero, w) for n, w in weights.items()})
        for piece, index in enumerate(self.pieces):
            # A batch in one piece keeps its graph: there is nothing to save by embedding it again.
            keep = self.stream.gradient and len(self.pieces) == 1
            with torch.set_grad_enabled(keep):
                table, outputs = self._encode(piece)
                if self.local.terms and len(index):
                    local = local + self._local(piece, outputs, step)
            if keep or (self.local.terms and not self.stream.gradient):
                # Of a frozen tower only what its local terms see is kept: what they learn themselves has a gradient still.
                self.made[piece] = table, outputs
            source = table.columns.get("source", torch.arange(len(table)))
            if "source" not in table.columns and len(index) and len(table) != len(index):
                raise UsageError(
                    f"{len(index)} records gave {len(table)} rows",
                    where=f"stream {self.name!r}",
                    remedy="return nf.rows(vectors, source=...) with the place of each row's record in the inputs",
                )
            self.sizes.append(len(table))
            real = slice(0, len(table) if len(index) else 0)
            parts.append(_without_source(table.detach().take(real)))
            sources.append(index[source[real].cpu()])
        together, source = joined([p for p in parts if len(p)] or parts[:1]), torch.cat(sources)
        self.order = torch.argsort(source, stable=True)
        columns = {name: column[source[self.order]] for name, column in self.stream.columns.items()}
        together = together.take(self.order.to(together.vectors.device))
        if "record" not in columns and together.numbered:
            columns["record"] = source[self.order]
            together = replace(together.with_columns(**columns), numbered=True)
        else:
            together = together.with_columns(**columns)
        vectors = together.vectors.detach()
        self.rows = together.with_vectors(vectors.requires_grad_(self.stream.gradient))
        return local.detach()

    def push(self, local: Terms, step: int, pushed: Callable[[nn.Module | None], None]) -> None:
        """Second pass: the gradients of rows and of local terms through the graph of each micro-batch."""
        if not self.stream.gradient and not self.local.terms:
            return
        given = torch.zeros_like(self.rows.vectors) if self.rows.vectors.grad is None else self.rows.vectors.grad
        unsorted = torch.zeros_like(given)
        unsorted[self.order.to(given.device)] = given
        first = 0
        for piece, index in enumerate(self.pieces):
            table, outputs = self.made[piece] if piece in self.made else self._encode(piece)
            size = self.sizes[piece] if len(index) else 0
            gradient = unsorted[first : first + size] if len(index) else torch.zeros_like(table.vectors)
            first += size
            if gradient.ndim == 3:
                # Token matrices of this micro-batch may be shorter than those of the longest.
                gradient = gradient[:, : table.vectors.shape[1]]
            roots: list[Tensor] = [table.vectors]
            gradients: list[Tensor | None] = [gradient.to(table.vectors.dtype)]
            if self.local.terms and len(index):
                roots.append(surrogate(self._local(piece, outputs, step), local))
                gradients.append(None)
            if self.stream.gradient:
                pushed(self.stream.tower)
            wanted = [(r, g) for r, g in zip(roots, gradients, strict=True) if r.requires_grad]
            if wanted:
                torch.autograd.backward([r for r, _ in wanted], [g for _, g in wanted])
            self.made.pop(piece, None)

    def _encode(self, piece: int) -> tuple[Rows, Any]:
        """Rows of one micro-batch and what local terms see of it, with the chance of this step and piece."""
        index = self.pieces[piece]
        # A piece without records (another rank has more of them) embeds a first record in vain, if there is one.
        stand_in = torch.zeros(min(1, count(self.stream.inputs)), dtype=torch.long)
        whole = len(self.pieces) == 1 and len(index) > 0
        inputs = self.stream.inputs if whole else take(self.stream.inputs, index if len(index) else stand_in)
        with _chance(*self.seed, piece):
            made = self.stream.encode(inputs)
        table, outputs = made if isinstance(made, tuple) else (made, made)
        return rows(table), outputs

    def _local(self, piece: int, outputs: Any, step: int) -> Terms:
        """The local terms of one micro-batch; what they draw (dropout in a decoder) is the same in both passes too."""
        with _chance(*self.seed, piece, 1):
            return evaluate_local(self.local, outputs, step=step)


@contextmanager
def _chance(*numbers: int) -> Iterator[None]:
    """Chance that belongs to these numbers; the generator is as before afterwards."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(_mixed(*numbers))
        yield


def _without_source(table: Rows) -> Rows:
    return replace(table, columns={k: v for k, v in table.columns.items() if k != "source"})


def _mixed(*numbers: int) -> int:
    """A seed from several numbers, different for different ones."""
    mixed = 0
    for number in numbers:
        mixed = (mixed * 6364136223846793005 + number + 1442695040888963407) % 2**63
    return mixed


def _refuse_batch_norm(name: str, tower: nn.Module | None, in_pieces: bool) -> None:
    for path, layer in tower.named_modules() if tower is not None else ():
        local = isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.training
        if local and (in_pieces or not isinstance(layer, nn.SyncBatchNorm)):
            raise UsageError(
                f"the tower has batch norm at {path!r}: a record's vector would depend on its batch mates",
                where=f"stream {name!r}",
                remedy="use group norm or layer norm"
                + ("; or embed the batch in one piece" if in_pieces else ", or nn.SyncBatchNorm"),
            )
