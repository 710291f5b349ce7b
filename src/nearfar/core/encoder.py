"""What every encoder, head and view is to the rest of the library: three protocols, and nothing that a class must inherit.

Data flows: records -> views of records (in workers) -> `prepare` (in workers) -> views of inputs (on the device) -> `forward` -> head.
Everything here is local to a record: what a record becomes depends on that record alone, never on its batch mates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from nearfar.core.draws import Draws
from nearfar.core.rows import Rows


@runtime_checkable
class Encoder(Protocol):
    """Records in, rows out; a torch module whose file has a card in `encoders/`.

    dimension  length of a vector that `forward` gives

    An attribute `at_once`, where there is one, says how much cost one forward pass of `Model.encode` best takes on a processor.
    """

    dimension: int

    @classmethod
    def fit(cls, records: Mapping[str, Sequence[Any]], *, seed: int = 0) -> Encoder:
        """Fresh weights, and what must be known of the records of all sides (a vocabulary, the number of features).

        Further keyword arguments, each with a default, are the encoder's settings: `--set encoder.NAME=VALUE`.
        """
        ...

    def prepare(self, records: Sequence[Any]) -> Any:
        """Inputs of n records: a function of records and settings, not of weights; runs in threads beside the training.

        A tensor [n ...], a mapping or tuple of them, or an object with len() and take(index). Never padded to the longest of
        all: what differs in length is kept ragged and padded in `forward`, micro-batch by micro-batch.
        Raises DataError with where="record i" for a record that cannot be used.
        """
        ...

    def forward(self, inputs: Any, side: str = "query") -> Rows:
        """One row a record, [n d], not normalised; or several, with a column `source`, the place of each row's record."""
        ...

    def cost(self, inputs: Any) -> Tensor:
        """[n], the work of each record in units of its own (tokens, nodes, frames); micro-batches are cut by it."""
        ...

    def config(self) -> dict[str, Any]:
        """Everything but the weights, as JSON; `from_config` makes the same architecture of it, also on the meta device."""
        ...


@runtime_checkable
class View(Protocol):
    """Another look at records that keeps what they are about. What it draws belongs to the record, by `draws` alone.

    Its attribute `on_inputs` is False, or missing as in a plain function, for a view of raw records (a list in, a list out; runs in
    workers), and True for one of prepared inputs (images: a float tensor [n c h w] of values 0 to 1 in, the like out; runs on the
    device, micro-batch by micro-batch). With a method `bind(records) -> View` it is shown all training records once.
    """

    def __call__(self, records: Any, draws: Draws) -> Any:
        """As many records as given, in their order; the given ones are never changed in place."""
        ...


@runtime_checkable
class Head(Protocol):
    """A module from the encoder's vectors to those that are contrasted: [r d] -> [r m]."""

    def __call__(self, vectors: Tensor) -> Tensor:
        """Row by row, unless it mixes records (batch norm); such a head is global and belongs to the objective."""
        ...
