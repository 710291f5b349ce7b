"""`cleared_gradients`: a step begins without gradients, and those of tables of vectors keep their memory from step to step.

A step uses some rows of a table. A gradient that is given back after every step is asked for again, as large as the table, and filled
with zeros; to one that is cleared in place only the rows of this step are added (`nearfar.maths.bag_sums`). The numbers are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from nearfar.training.optimisers import Group


def tables_of(groups: Sequence[Group]) -> list[nn.Parameter]:
    """The tables among the parameters, without those that FSDP2 has sharded: it makes their gradients itself."""
    return [t for group in groups if group.table for t in group.parameters if not hasattr(t, "device_mesh")]


@contextmanager
def cleared_gradients(optimiser: torch.optim.Optimizer, tables: Sequence[nn.Parameter]) -> Iterator[None]:
    """The gradients of what is done within, and of nothing before it.

    A table that was not used within has none, as always: optimisers leave it alone, where one of zeros would decay it.

    >>> table = nn.Parameter(torch.ones(3, 2))
    >>> optimiser = torch.optim.SGD([table])
    >>> for row in (0, 1):
    ...     with cleared_gradients(optimiser, [table]):
    ...         (2 * table[row]).sum().backward()
    >>> table.grad.tolist()
    [[0.0, 0.0], [2.0, 2.0], [0.0, 0.0]]
    >>> with cleared_gradients(optimiser, [table]):
    ...     pass
    >>> table.grad is None
    True
    """
    kept = [(table, table.grad) for table in tables if table.grad is not None and not table.grad.is_sparse]
    optimiser.zero_grad(set_to_none=True)
    used: set[int] = set()
    hooks = [table.register_post_accumulate_grad_hook(lambda one: used.add(id(one))) for table, _ in kept]
    for table, gradient in kept:
        table.grad = gradient.zero_()
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for table, _ in kept:
            if id(table) not in used:
                table.grad = None
