"""Settings of encoders: a frozen dataclass each, which refuses at once what makes no sense, whoever asks - a user or a stored model.

    @dataclass(frozen=True)
    class _Setup:
        dimension: int
        dropout: float

        def __post_init__(self) -> None:
            check_sizes(self, dimension=MAX_WIDTH)
            check_dropout(self.dropout)

`fit` makes one of what it is given, so a wrong value is a UsageError that names the setting. `from_config` makes one of what is
stored, within `stored`, so there it is the DataError of a damaged model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from nearfar.core.errors import DataError, UsageError
from nearfar.maths.layers import is_size

MAX_WIDTH = 2**16  # of a vector: a damaged configuration must not ask for all memory


@contextmanager
def stored(noun: str) -> Iterator[None]:
    """Within it a configuration is read: what makes no sense there is a DataError, "this is no configuration of {noun}"."""
    try:
        yield
    except (UsageError, DataError) as error:
        at = f" at {error.where}" if isinstance(error, DataError) and error.where else ""
        raise damaged(noun, error.what + at) from error


def damaged(noun: str, what: str) -> DataError:
    """The error for a stored model whose configuration makes no sense."""
    return DataError(
        f"this is no configuration of {noun}: {what}", where="encoders", remedy="the model is damaged; save it anew"
    )


def wrong(name: str, value: Any, remedy: str) -> UsageError:
    """The error for a value of a setting that makes no sense."""
    return UsageError(f"{name} is {value!r}", where=f"encoder.{name}", remedy=remedy)


def check_sizes(setup: Any, **limits: int) -> None:
    """Raises UsageError, which names the setting, for one that is no whole number from 1 to its limit."""
    for name, most in limits.items():
        if not is_size(getattr(setup, name), most):
            raise wrong(name, getattr(setup, name), f"give a whole number from 1 to {most:,}")


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    """Raises UsageError for a setting that is none of its choices."""
    if value not in choices:
        remedy = f"there are {', '.join(map(str, choices))}"
        raise UsageError(f"no {name} {value!r}", where=f"encoder.{name}", remedy=remedy)


def check_dropout(dropout: Any) -> None:
    """Raises UsageError for what is no share below one."""
    if type(dropout) not in (int, float) or not 0 <= dropout < 1:
        raise wrong("dropout", dropout, "give a share from 0 to below 1")


def check_heads(dimension: int, heads: int) -> None:
    """Raises UsageError for vectors that cannot be cut into so many heads."""
    if not is_size(heads, dimension) or dimension % heads:
        raise wrong("heads", heads, f"choose a divisor of the dimension, which is {dimension}")
