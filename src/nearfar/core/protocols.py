"""What the library asks of an encoder and of a probe. Structural: nothing needs to inherit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self, runtime_checkable

from torch import Tensor

from nearfar.core.rows import Rows


class Inputs(Protocol):
    """A batch of prepared records: what `forward` takes, and what can be cut into micro-batches."""

    def __len__(self) -> int: ...

    def take(self, index: Any) -> Self:
        """The inputs of the records at `index`, in that order."""
        ...


@runtime_checkable
class Encoder(Protocol):
    """Records in, rows out, local to the record: no record's vector depends on its batch mates.

    `prepare` needs no weights and may run in workers; `forward` yields one row a record or many; `cost` estimates the
    work of each record [n], by which micro-batches are sized. `config` is JSON from which `from_config` builds the
    same architecture with fresh weights. A part of kind "encoders" also has `fit(texts, options)`, which builds one for
    a corpus (its vocabulary, say).
    """

    def prepare(self, records: Sequence[Any]) -> Any: ...

    def forward(self, inputs: Any, side: str = "query") -> Rows: ...

    def cost(self, inputs: Any) -> Tensor: ...

    def config(self) -> dict[str, Any]: ...

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self: ...


class Probe(Protocol):
    """Measures a representation and keeps the score of every query."""

    def __call__(self, queries: Any, documents: Any) -> Any: ...
