"""Linear layers one after the other, with a norm and an activation between: what heads and encoders of tables are made of."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from torch import Tensor, nn

from nearfar.core.errors import UsageError
from nearfar.maths.similarity import unit


def perceptron(
    dimension: int,
    hidden: int,
    out: int,
    layers: int,
    *,
    norm: Callable[[int], nn.Module] | None = None,
    activation: Callable[[], nn.Module] = nn.ReLU,
    bias: bool = True,
) -> list[nn.Module]:
    """`layers` linear layers dimension -> hidden -> ... -> out; behind each but the last the norm and the activation.

    `bias` is that of all linear layers but the last, which always has one: a norm that centres makes the others useless.

    >>> [type(layer).__name__ for layer in perceptron(8, 16, 4, 2, norm=nn.LayerNorm)]
    ['Linear', 'LayerNorm', 'ReLU', 'Linear']
    """
    sizes = [dimension, *[hidden] * (layers - 1), out]
    made: list[nn.Module] = []
    for left, right in pairwise(sizes[:-1]):
        made += [nn.Linear(left, right, bias=bias), *([] if norm is None else [norm(right)]), activation()]
    return [*made, nn.Linear(sizes[-2], out)]


class Unit(nn.Module):
    """Rows brought to length one, as a layer."""

    def forward(self, vectors: Tensor) -> Tensor:
        """The same shape."""
        return unit(vectors)


def checked_sizes(most: int = 1_000_000, **sizes: int) -> None:
    """Raises UsageError, which names it, for a size below one or above `most`."""
    for name, size in sizes.items():
        if not is_size(size, most):
            raise UsageError(f"{name} is {size}", where=name, remedy=f"give a whole number from 1 to {most:,}")


def is_size(value: object, most: int) -> bool:
    """Whether this, from a stored configuration, is a whole number from 1 to `most`."""
    return type(value) is int and 1 <= value <= most
