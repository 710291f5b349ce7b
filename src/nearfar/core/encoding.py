"""Encoding many records quickly, in bounded memory: what `Model.encode` does beside transforming and normalising.

Records that look alike in length come together over the whole corpus, longest first; within what is prepared at once they are sorted
by what they really cost, and cut into batches of one cost, padding included. The next records are prepared in a thread meanwhile.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from inspect import signature
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nearfar.core.errors import DataError, UsageError
from nearfar.core.inputs import size_of, take

PRECISIONS = ("float32", "bfloat16")
# Units of cost (tokens, nodes, frames) of one forward pass, padding included, on a processor where the encoder does not say how many.
AT_ONCE, ON_ACCELERATOR = 16_384, 65_536
FIRST, MOST = 256, 8_192  # records prepared at once: the first ones, whose size tells how many further ones may be
PREPARED_BYTES = 32 << 20  # of the inputs prepared at once; as much again is prepared ahead
_CAST = (nn.Linear, nn.Embedding, nn.modules.conv._ConvNd)

Progress = Callable[[int, int], None]


def encoded(
    tower: Any,
    records: Sequence[Any],
    side: str,
    finish: Callable[[Tensor], Tensor],
    *,
    precision: str = "float32",
    at_once: int | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Vectors [n d] float32 of one record or more, in their order.

    finish   from float32 vectors to what is given out, row by row
    at_once  units of cost in one forward pass

    Raises UsageError for a precision that is not known, and for encoders that give no single vector a record; DataError, which names
    the record, for one that cannot be used.
    """
    lower = _precision(precision)
    if at_once is not None and at_once < 1:
        raise UsageError(f"at_once is {at_once}", where="at_once", remedy="give 1 or more, or leave it out")
    device = next((p.device for p in tower.parameters()), torch.device("cpu"))
    budget = at_once or (getattr(tower, "at_once", AT_ONCE) if device.type == "cpu" else ON_ACCELERATOR)
    tower = lowered(tower) if lower else tower
    out: np.ndarray | None = None
    done = 0
    for numbers, inputs in _prepared(tower, records, side):
        cost = torch.as_tensor(tower.cost(inputs)).float().cpu()
        for some in pieces(cost, budget):
            with _computing(device, lower):
                vectors = tower.forward(take(inputs, some), side=side).vectors
            if vectors.ndim != 2 or len(vectors) != len(some):
                raise UsageError(
                    "this encoder gives a matrix a record",
                    remedy="take model.encode_tokens or encode_nodes, or an encoder whose pooling gives one vector",
                )
            made = finish(vectors.float()).cpu().numpy()
            if out is None:
                out = np.empty((len(records), made.shape[1]), dtype=np.float32)
            out[numbers[some.numpy()]] = made
            done += len(some)
            if progress is not None:
                progress(done, len(records))
    assert out is not None
    return out


def token_matrices(tower: Any, records: Sequence[Any], side: str, at_once: int) -> list[np.ndarray]:
    """A matrix [t d] of unit vectors for each record, without padding; for encoders that give a vector a token."""
    made: list[Any] = [None] * len(records)
    for numbers, inputs in _prepared(tower, records, side) if records else ():
        for some in pieces(torch.as_tensor(tower.cost(inputs)).float().cpu(), at_once):
            table = tower.forward(take(inputs, some), side=side)
            if table.vectors.ndim != 3:
                raise UsageError(
                    "this encoder gives one vector a record", remedy='use encode, or fit it with pooling="tokens"'
                )
            vectors = nn.functional.normalize(table.vectors.float(), dim=-1).cpu()
            mask = torch.ones(vectors.shape[:2], dtype=torch.bool) if table.mask is None else table.mask.bool().cpu()
            for number, matrix, real in zip(numbers[some.numpy()].tolist(), vectors, mask, strict=True):
                made[number] = matrix[real].numpy()
    return made


def node_matrices(
    tower: Any, graphs: Sequence[Any], side: str, finish: Callable[[Tensor], Tensor], at_once: int
) -> list[np.ndarray]:
    """A matrix [v d] for each graph; for encoders that give a row a node, told apart by the column `source`."""
    made: list[Any] = [None] * len(graphs)
    for numbers, inputs in _prepared(tower, graphs, side) if graphs else ():
        for some in pieces(torch.as_tensor(tower.cost(inputs)).float().cpu(), at_once):
            table = tower.forward(take(inputs, some), side=side)
            if "source" not in table.columns:
                raise UsageError(
                    "this encoder gives one vector a record", remedy='use encode, or fit it with pooling="nodes"'
                )
            vectors, source = finish(table.vectors.float()).cpu(), table.columns["source"].cpu()
            for place, number in enumerate(numbers[some.numpy()].tolist()):
                made[number] = vectors[source == place].numpy()
    return made


def pieces(cost: Tensor, budget: float) -> Iterator[Tensor]:
    """Numbers of records, dearest first, cut where their number times the dearest of them exceeds the budget.

    >>> [some.tolist() for some in pieces(torch.tensor([1.0, 4.0, 2.0, 9.0]), 8)]
    [[3], [1, 2], [0]]
    """
    order = torch.argsort(cost, descending=True, stable=True)
    costs, first = cost[order].tolist(), 0
    while first < len(order):
        size = max(1, int(budget // max(costs[first], 1.0)))
        yield order[first : first + size]
        first += size


def lowered(tower: Any) -> Any:
    """A copy of an encoder whose linear, convolutional and embedding layers are in bfloat16; the rest is shared, not copied."""
    held: dict[int, Any] = {id(tensor): tensor for tensor in (*tower.parameters(), *tower.buffers())}
    for module in tower.modules():
        if isinstance(module, _CAST):
            held |= {id(p): nn.Parameter(p.detach().bfloat16(), requires_grad=False) for p in module.parameters(False)}
    return copy.deepcopy(tower, held)


def _precision(name: str) -> bool:
    if name not in PRECISIONS:
        raise UsageError(f"there is no precision {name!r}", where="precision", remedy=f"there are {PRECISIONS}")
    return name == "bfloat16"


def _computing(device: torch.device, lower: bool) -> AbstractContextManager[Any]:
    return torch.autocast(device.type, torch.bfloat16) if lower else nullcontext()


def _prepared(tower: Any, records: Sequence[Any], side: str) -> Iterator[tuple[np.ndarray, Any]]:
    """Numbers of some records and their inputs, until all have come; the next are prepared while these are worked with."""
    order = np.argsort([-_length(record) for record in records], kind="stable")
    # An encoder that prompts its sides says so by its signature.
    sided = {"side": side} if "side" in signature(tower.prepare).parameters else {}

    def prepare(numbers: np.ndarray) -> Any:
        try:
            return tower.prepare([records[i] for i in numbers.tolist()], **sided)
        except DataError as error:
            raise DataError(error.what, where=_renumbered(error.where, numbers), remedy=error.remedy) from error

    with ThreadPoolExecutor(1, thread_name_prefix="nearfar-prepare") as worker:
        start, size = 0, FIRST
        ahead = worker.submit(prepare, order[:size])
        while start < len(order):
            numbers, inputs = order[start : start + size], ahead.result()
            start += len(numbers)
            size = min(MOST, max(1, PREPARED_BYTES * len(numbers) // max(1, size_of(inputs))))
            if start < len(order):
                ahead = worker.submit(prepare, order[start : start + size])
            yield numbers, inputs


def _length(record: Any) -> int:
    """A guess at what a record costs, before anything is known of it."""
    if isinstance(record, (str, list, tuple)):
        return len(record)
    return len(record) if isinstance(record, (np.ndarray, Tensor)) and record.ndim else 0


def _renumbered(where: str, numbers: np.ndarray) -> str:
    """`record i` among those prepared together, as the record among all."""
    found = re.fullmatch(r"record (\d+)(.*)", where, re.DOTALL)
    if found is None or int(found[1]) >= len(numbers):
        return where
    return f"record {numbers[int(found[1])]}{found[2]}"
